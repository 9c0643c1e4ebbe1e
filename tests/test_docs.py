"""The documentation builds without a warning, from docstrings and pages as they are now."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import romae

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_documentation_builds(tmp_path):
    pytest.importorskip("sphinx")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q"]
    done = subprocess.run(
        [*command, "-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        env=os.environ | {"MPLCONFIGDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "open_snapshots" in (tmp_path / "html" / "api.html").read_text()


def test_every_public_name_is_on_the_page_of_the_api():
    page = (ROOT / "docs" / "api.md").read_text()
    listed = {line.rpartition(".")[2] for line in page.splitlines() if line.startswith(".. auto")}
    elsewhere = {"RomaeError", "__version__"}  # with all errors; no function
    assert set(romae.__all__) - elsewhere <= listed
