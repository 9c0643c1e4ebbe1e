"""The benchmarks still start: they are run by hand, long after what they call has changed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted(p.stem for p in (ROOT / "benchmarks").glob("*.py") if p.stem != "test_ratios")


def run(*command: str, folder: Path = ROOT) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
def test_every_benchmark_can_be_imported():
    assert len(SCRIPTS) > 10
    run("-c", f"import {', '.join(SCRIPTS)}", folder=ROOT / "benchmarks")


@pytest.mark.slow
def test_the_ratios_of_make_bench_run():
    (line,) = re.findall(r"-m (pytest benchmarks.*)", (ROOT / "Makefile").read_text())
    given = [word for word in line.split() if not word.startswith("--benchmark")]
    assert "passed" in run("-m", *given, "--benchmark-disable", "-p", "no:cacheprovider")


@pytest.mark.slow
def test_the_networks_of_the_training_benchmark_are_what_it_says():
    """A fit drops modes that it does not need; the benchmark times networks of given sizes."""
    code = (
        "import training, torch\n"
        "module = training.pod_coordinates(48, (8,), 2)\n"
        "assert len(module.coder.basis.modes) == 48\n"
        "assert module.coder.analyse(torch.randn(3, 48)).shape == (3, 2)\n"
    )
    run("-c", code, folder=ROOT / "benchmarks")
