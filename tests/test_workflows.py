"""The workflows that ship with romae: they are read, checked, and the batch jobs run."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from romae.share import share_path
from romae.study import read_study
from romae.study.plan import Plan
from romae.study.run import check_options

WORKFLOWS = share_path("workflows")
STUDIES = sorted(WORKFLOWS.glob("local/*.toml"))
SCRIPTS = sorted([*WORKFLOWS.glob("slurm/*.sh"), *WORKFLOWS.glob("slurm/*.sbatch")])


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_studies_are_valid(path, tmp_path):
    study = read_study(path)
    plan = Plan(study, tmp_path)
    check_options(plan)
    assert plan.data_step.key


def test_the_study_in_the_readme_is_valid(tmp_path):
    text = (WORKFLOWS / "README.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "readme.toml").write_text(block)
    check_options(Plan(read_study(tmp_path / "readme.toml"), tmp_path))


def test_there_are_workflows():
    assert "wake" in [p.stem for p in STUDIES]
    assert len(SCRIPTS) == 12


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_are_valid_bash(path):
    subprocess.run(["bash", "-n", path], check=True)


# Runs what is submitted at once and counts the jobs; `--array=0-2` runs it three times.
FAKE_SBATCH = """#!/usr/bin/env bash
set -e
echo "$*" >> "$JOBS"
id=$(wc -l < "$JOBS")
last=0
for word in "$@"; do case $word in --array=0-*) last=${word#--array=0-};; esac; done
for i in $(seq 0 "$last"); do
    SLURM_ARRAY_TASK_ID=$i SLURM_CPUS_PER_TASK=1 bash "${@: -1}" >> "$JOBS.log" 2>&1
done
echo "$id"
"""

# The script comes before its own arguments here.
FAKE_ARRAY = """#!/usr/bin/env bash
set -e
echo "$*" >> "$JOBS"
id=$(wc -l < "$JOBS")
tasks=('')
while [[ $1 == --* ]]; do
    case $1 in --array=0-*) mapfile -t tasks < <(seq 0 "${1#--array=0-}");; esac
    shift
done
for i in "${tasks[@]}"; do
    SLURM_ARRAY_TASK_ID=$i bash "$@" >> "$JOBS.log" 2>&1
done
echo "$id"
"""

STUDY = """
[data]
case = "burgers"
size = "tiny"
split_by = "case"
split = [0.6, 0.2, 0.2]
[[reducers]]
kind = "pod"
latent = [3, 6]
[[dynamics]]
kind = "dmd"
on = ["pod-3"]
[forecast]
steps = 5
starts = 4
[archive]
rel = 1e-2
model = "none"
"""


@pytest.mark.slow
def test_batch_jobs_end_in_a_report(tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    romae = f'#!/usr/bin/env bash\nexec "{sys.executable}" -m romae "$@"\n'
    for name, text in {"sbatch": FAKE_SBATCH, "romae": romae}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    (tmp_path / "small.toml").write_text(STUDY)
    jobs = tmp_path / "jobs"
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        [WORKFLOWS / "slurm" / "submit.sh", tmp_path / "small.toml", tmp_path / "run"],
        env={**os.environ, "PATH": path, "JOBS": str(jobs)},
        check=True,
        capture_output=True,
        cwd=tmp_path,
    )
    assert (tmp_path / "run" / "report" / "index.html").exists()
    submitted = jobs.read_text().splitlines()
    assert [Path(line.split()[-1]).stem for line in submitted] == [
        "data", "fit", "compare", "forecast", "archive", "report",
    ]  # fmt: skip
    waits = [re.findall(r"--dependency=(\S+)", line) for line in submitted]
    assert waits == [[], ["afterok:1"], *[["afterok:2"]] * 3, ["afterok:3:4:5"]]
    assert "--array=0-1" in submitted[1]


@pytest.mark.slow
def test_an_archive_by_an_array_of_jobs_has_the_bytes_of_one_process(tmp_path):
    import romae
    from romae.archive.store import list_files
    from romae.cases import make_case

    tools = tmp_path / "bin"
    tools.mkdir()
    script = f'#!/usr/bin/env bash\nexec "{sys.executable}" -m romae "$@"\n'
    for name, text in {"sbatch": FAKE_ARRAY, "romae": script}.items():
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    make_case("burgers", "tiny", tmp_path / "data.nc", progress=False)
    jobs = tmp_path / "jobs"
    words = ["3", "data.nc", "-o", "parts.romae", "--rel", "1e-2", "--model", "none"]
    done = subprocess.run(
        [WORKFLOWS / "slurm" / "compress.sh", *words, "--chunk", "7"],
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "JOBS": str(jobs)},
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr + jobs.with_suffix(".log").read_text()
    plan, parts = jobs.read_text().splitlines()
    assert "--array" not in plan
    assert "--array=0-2" in parts
    assert "--dependency=afterok:1" in parts
    romae.compress(tmp_path / "data.nc", tmp_path / "one.romae", rel=1e-2, model=None, chunk=7)
    one, other = tmp_path / "one.romae", tmp_path / "parts.romae"
    names = list_files(one)
    assert sorted(names) == sorted(list_files(other))
    assert len(names) > 10
    assert all((one / n).read_bytes() == (other / n).read_bytes() for n in names)


@pytest.mark.slow
def test_pod_on_a_cluster(tmp_path):
    """The job as written: scheduler, workers, fit; `srun` starts one task."""
    pytest.importorskip("distributed")
    import romae
    from romae.cases import make_case

    tools = tmp_path / "bin"
    tools.mkdir()
    script = '#!/usr/bin/env bash\nexec "{python}" -m {module} "$@"\n'
    texts = {
        "srun": '#!/usr/bin/env bash\nexec "$@"\n',
        "romae": script.format(python=sys.executable, module="romae"),
        "dask": script.format(python=sys.executable, module="dask"),
    }
    for name, text in texts.items():
        (tools / name).write_text(text)
        (tools / name).chmod(stat.S_IRWXU)
    make_case("burgers", "tiny", tmp_path / "data.nc", progress=False)
    slurm = {
        "SLURM_CPUS_PER_TASK": "2",
        "WORKERS": "1",
        "SLURM_JOB_ID": "7",
        "TMPDIR": str(tmp_path),
    }
    site = {"SITE": str(WORKFLOWS / "slurm" / "site.sh")}
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", WORKFLOWS / "slurm" / "pod.sbatch", "data.nc", "pod.rom", "4", "--variables", "u"],
        env={**os.environ, **slurm, **site, "PATH": path},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "POD k=4" in done.stdout
    assert not (tmp_path / "scheduler-7.json").exists()
    pod = romae.load(tmp_path / "pod.rom")
    data = romae.open_snapshots(tmp_path / "data.nc")
    expected = romae.POD(4, method="randomized").fit(data, device="cpu")
    np.testing.assert_allclose(pod.singular_values, expected.singular_values, rtol=1e-3)
