"""A study does each step once, redoes what a change touches, and goes on after a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import MissingFileError, OptionError, RomaeError
from romae.progress import silent
from romae.study import list_steps, read_study, run_study

TEXT = """
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
"""


@pytest.fixture
def study(tmp_path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(TEXT)
    return path


def run(path: Path, *settings: str, **options: str) -> dict[str, bool]:
    """Names of the steps and whether each was done now."""
    with silent():
        outcome = run_study(path, path.parent / "run", settings=settings, **options)
    return {step["name"]: step["done"] for step in outcome.data["steps"]}


def done(steps: dict[str, bool]) -> list[str]:
    return [name for name, was in steps.items() if was]


ALL = ["data", "fit/pod-3", "fit/pod-6", "compare", "dynamics/pod-3+dmd", "forecast"]


def test_each_step_is_done_once(study):
    assert done(run(study, until="forecast")) == ALL
    assert done(run(study, until="forecast")) == []
    folder = study.parent / "run"
    saved = romae.load(folder / "models" / "pod-6.rom")
    assert saved.latent == 6
    assert json.loads((folder / "study.json").read_text())["data"]["case"] == "burgers"
    assert (folder / "compare" / "comparison.csv").exists()
    assert (folder / "forecast" / "forecasts.nc").exists()
    horizon = romae.load(folder / "dynamics" / "pod-3+dmd.rom").horizon
    assert horizon.starts > 1
    told = xr.load_dataset(folder / "forecast" / "forecasts.nc").attrs["horizons"]
    assert told == f"POD k=3 + DMD {horizon}"
    run(study)
    assert f"on the validation data: {told}" in (folder / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("setting", "redone"),
    [
        ("forecast.starts=3", ["forecast"]),
        ("dynamics.0.options.delays=2", ["dynamics/pod-3+dmd", "forecast"]),
        ("reducers.0.options.scale=field", [n for n in ALL if n != "data"]),
        ("data.gap=0", []),
        ("run.device=cpu", []),
        ("run.seed=3", []),  # neither POD nor DMD draws numbers
        ("name=another", []),
        ("data.split=[0.4, 0.2, 0.4]", [n for n in ALL if n != "data"]),
        ("data.settings={snapshots = 30}", ALL),
    ],
)
def test_a_change_redoes_what_depends_on_it(study, setting, redone):
    run(study, until="forecast")
    assert done(run(study, setting, until="forecast")) == redone


def test_a_lost_result_is_made_again(study):
    run(study, until="compare")
    (study.parent / "run" / "models" / "pod-3.rom" / "romae.json").unlink()
    (study.parent / "run" / "models" / "pod-3.rom" / "model.safetensors").unlink()
    (study.parent / "run" / "models" / "pod-3.rom").rmdir()
    assert done(run(study, until="compare")) == ["fit/pod-3"]


def test_changed_files_redo_everything(study, tmp_path):
    from romae.cases import make_case

    text = TEXT.replace('case = "burgers"\nsize = "tiny"', 'files = "data-*.nc"')
    study.write_text(text)
    make_case("burgers", "tiny", tmp_path / "data-1.nc", progress=False)
    run(study, until="compare")
    make_case("burgers", "tiny", tmp_path / "data-1.nc", progress=False, overwrite=True, end=1.0)
    assert done(run(study, until="compare")) == ["fit/pod-3", "fit/pod-6", "compare"]


def test_one_step_at_a_time(study):
    """As the tasks of a batch array do it."""
    with pytest.raises(MissingFileError, match="data"):
        run(study, only="fit/pod-3")
    run(study, only="data")
    run(study, only="fit/pod-6")
    folder = study.parent / "run"
    state = list_steps(study, folder)
    assert list(state) == [*ALL, "report"]
    assert [n for n, finished in state.items() if finished] == ["data", "fit/pod-6"]
    with pytest.raises(MissingFileError, match="fit/pod-3"):
        run(study, only="compare")
    run(study, only="fit/pod-3")
    run(study, only="dynamics/pod-3+dmd")
    run(study, only="forecast")
    assert done(run(study, until="forecast")) == ["compare"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("[data]", "[dta]"), ["'dta'", "'data'?"]),
        (("split_by", "splitby"), ["'splitby'", "'split_by'?"]),
        (('kind = "pod"', 'kind = "pdo"'), ["'pdo'", "'pod'?"]),
        (('kind = "dmd"', 'kind = "dmdd"'), ["'dmdd'", "'dmd'?"]),
        (('on = ["pod-3"]', 'on = ["pod-4"]'), ["'pod-4'", "pod-3, pod-6"]),
        (("latent = [3, 6]", "latent = [3, 3]"), ["'pod-3'", "2 times"]),
        (
            ("latent = [3, 6]", 'latent = 3\n[[reducers]]\nkind = "POD"\nlatent = 3'),
            ["'pod-3'", "2 times"],
        ),
        (("latent = [3, 6]", 'latent = "3"'), ["latent", "'3'"]),
        (("latent = [3, 6]", "latent = 3\noptions = {methd = 'gram'}"), ["'methd'", "'method'?"]),
        (('on = ["pod-3"]', "options = {delay = 2}"), ["'delay'", "'delays'?"]),
        (("steps = 5", "steps = 40"), ["40", "at most 39"]),
        (("latent = [3, 6]", "latent = [3, 600]"), ["600"]),
        (('size = "tiny"', 'size = "small"'), ["'small'"]),
        (('case = "burgers"', 'case = "burger"'), ["'burger'", "'burgers'?"]),
        (("[forecast]", "[run]\ndevice = 'gpu'\n[forecast]"), ["'gpu'", "cuda"]),
        (('case = "burgers"', ""), ["files or case"]),
        (('case = "burgers"', 'case = "burgers"\nfiles = "x.nc"'), ["files or case", "both"]),
    ],
)
def test_wrong_studies_fail_before_any_fit(study, change, words):
    old, new = change
    assert old in TEXT
    study.write_text(TEXT.replace(old, new))
    with pytest.raises(RomaeError) as caught:
        run(study)
    for word in words:
        assert word in str(caught.value)
    assert not (study.parent / "run" / "models").exists()


def test_unknown_stage_and_step(study):
    with pytest.raises(OptionError, match="'forecast'"):
        run(study, until="forcast")
    with pytest.raises(OptionError, match="fit/pod-3"):
        run(study, only="fit/pod3")


def test_seed_reaches_what_is_trained(study):
    text = TEXT.replace("latent = [3, 6]", 'latent = 3\n[[reducers]]\nkind = "pod-ae"\nlatent = 2')
    study.write_text(text.replace('kind = "dmd"', 'kind = "gru"'))
    from romae.study.plan import Plan

    plan = Plan(read_study(study, ["run.seed=5"]), study.parent)
    reducers = plan.new_reducers()
    assert reducers["pod-ae-2"].train.seed == 5
    assert plan.new_dynamics()[0].seed == 5
    chosen = Plan(
        read_study(study, ["run.seed=5", "reducers.1.options.train.seed=7"]), study.parent
    )
    assert chosen.new_reducers()["pod-ae-2"].train.seed == 7


def test_files_are_found_from_the_study(study, tmp_path, monkeypatch):
    study.write_text(TEXT.replace('case = "burgers"\nsize = "tiny"', 'files = "data/*.nc"'))
    monkeypatch.chdir("/")
    assert read_study(study).data.files == str(tmp_path / "data" / "*.nc")


TRAINED = """
[data]
case = "burgers"
size = "tiny"
split_by = "case"
split = [0.6, 0.2, 0.2]

[[reducers]]
kind = "pod-ae"
latent = 2
options = { hidden = [16], train = { epochs = 20, checkpoint_seconds = 0.0 } }
"""


@pytest.mark.slow
def test_killed_in_training_it_goes_on_to_the_same_weights(tmp_path):
    study = tmp_path / "trained.toml"
    study.write_text(TRAINED)
    with silent():
        run_study(study, tmp_path / "whole", until="fit")
    words = [sys.executable, "-m", "romae", "run", str(study), "-o", str(tmp_path / "cut")]
    with subprocess.Popen([*words, "--until", "fit", "-q"]) as process:
        checkpoints = tmp_path / "cut" / "checkpoints"
        deadline = time.monotonic() + 60
        while not list(checkpoints.glob("*/*.safetensors")) and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert list(checkpoints.glob("*/*.safetensors")), "it was to be killed in training"
    assert not (tmp_path / "cut" / "models" / "pod-ae-2.rom").exists()
    with silent():
        outcome = run_study(study, tmp_path / "cut", until="fit")
    assert [s["done"] for s in outcome.data["steps"]] == [False, True]
    one, other = (romae.load(tmp_path / n / "models" / "pod-ae-2.rom") for n in ("whole", "cut"))
    for name, tensor in one.module.state_dict().items():
        np.testing.assert_array_equal(tensor, other.module.state_dict()[name], err_msg=name)
    assert not list(checkpoints.iterdir())


@pytest.mark.slow
def test_it_ends_in_a_report(study):
    run(study)
    page = (study.parent / "run" / "report" / "index.html").read_text()
    assert "POD" in page
    assert done(run(study)) == []
    assert done(run(study, "report.title=Waves")) == ["report"]
    assert "Waves" in (study.parent / "run" / "report" / "index.html").read_text()
