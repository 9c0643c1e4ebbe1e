"""[archive] of a study: one step, kept, compared with its source; wrong values show early."""

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import MissingFileError, RomaeError
from romae.progress import silent
from romae.study import list_steps, run_study

STUDY = """
[data]
case = "burgers"
size = "tiny"
split_by = "case"
split = [0.6, 0.2, 0.2]

[[reducers]]
kind = "pod"
latent = 3

[archive]
rel = 1e-3
model = "none"
"""


@pytest.fixture
def study(tmp_path) -> Path:
    path = tmp_path / "waves.toml"
    path.write_text(STUDY)
    return path


def run(path: Path, *settings: str, **options: str) -> list[str]:
    """Names of the steps that were done now."""
    with silent():
        outcome = run_study(path, path.parent / "run", settings=settings, **options)
    return [step["name"] for step in outcome.data["steps"] if step["done"]]


def test_the_archive_of_several_cases_holds_all_the_data_within_the_bound(study):
    assert run(study, until="archive") == ["data", "fit/pod-3", "compare", "archive"]
    folder = study.parent / "run"
    source = xr.load_dataset(folder / "data" / "snapshots.nc")
    back = xr.open_dataset(folder / "archive" / "waves.romae").load()
    assert source.sizes["case"] > 1
    error = float(np.abs(back.u.astype(float) - source.u.astype(float)).max())
    assert error <= 1e-3 * float(source.u.max() - source.u.min())
    found = json.loads((folder / "archive" / "archive.json").read_text())["verification"]
    assert found["ok"]
    assert found["worst"][0]["error"] == error
    assert not list((folder / "checkpoints").iterdir())


def test_it_is_redone_when_its_own_settings_or_the_data_change(study):
    run(study, until="archive")
    assert run(study, until="archive") == []
    assert run(study, "reducers.0.latent=4", until="archive") == ["fit/pod-4", "compare"]
    assert run(study, "archive.rel=1e-2", until="archive") == ["compare", "archive"]
    archives = [p.name for p in (study.parent / "run" / "archive").glob("*.romae")]
    assert archives == ["waves.romae"]
    changed = run(study, "archive.rel=1e-2", "data.settings={snapshots = 30}", until="archive")
    assert "archive" in changed


def test_it_needs_no_reducer_unless_one_is_its_model(study):
    run(study, only="data")
    with pytest.raises(MissingFileError, match="fit/pod-3"):
        run(study, "archive.model=pod-3", only="archive")
    assert run(study, only="archive") == ["archive"]
    steps = list_steps(study, study.parent / "run")
    assert [n for n, finished in steps.items() if finished] == ["data", "archive"]


def test_killed_after_compressing_it_does_not_compress_again(study, monkeypatch):
    run(study, until="compare")

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(romae, "verify", killed)
        run(study, only="archive")
    (grown,) = (study.parent / "run" / "checkpoints").glob("archive-*/waves.romae")
    chunks = {p.name: p.stat().st_ino for p in grown.glob("coded/0/c*")}
    assert run(study, only="archive") == ["archive"]
    kept = (study.parent / "run" / "archive" / "waves.romae").glob("coded/0/c*")
    assert chunks == {p.name: p.stat().st_ino for p in kept}


def test_an_archive_that_differs_from_its_source_ends_the_run(study, monkeypatch):
    from romae.archive import Verification

    bad = Verification("x", 1, problems=["u: error 2 exceeds the bound 1"])
    monkeypatch.setattr(romae, "verify", lambda *_, **__: bad)
    with pytest.raises(RomaeError, match="exceeds the bound"):
        run(study, until="archive")
    assert not (study.parent / "run" / "archive").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("rel = 1e-3", ""), ["[archive]", "one bound"]),
        (("rel = 1e-3", "rel = 1e-3\nabs = 1"), ["[archive]", "one bound"]),
        (("rel = 1e-3", "rel = 0"), ["[archive]", "above 0"]),
        (("rel = 1e-3", "rel = nan"), ["[archive]", "above 0"]),
        (("rel = 1e-3", 'rel = "small"'), ["archive.rel", "'small'"]),
        (("rel = 1e-3", "abs = { w = 1.0 }"), ["[archive]", "'w'", "one of: u"]),
        (("rel = 1e-3", "nrmse = { u = -1.0 }"), ["[archive]", "'u'", "above 0"]),
        (("rel = 1e-3", "rel = 1e-3\nchunk = 0"), ["chunk", "1 or more"]),
        (("rel = 1e-3", "rel = 1e-3\nchunks = 8"), ["'chunks'", "'chunk'?"]),
        (('"none"', '"nothing"'), ["'nothing'", "none", "pod-3"]),
        (('"none"', '"pod-4"'), ["'pod-4'", "'pod-3'?"]),
    ],
)
def test_wrong_values_show_before_any_fit(study, change, words):
    old, new = change
    study.write_text(STUDY.replace(old, new))
    with pytest.raises(RomaeError) as caught:
        run(study)
    for word in words:
        assert word in str(caught.value)
    assert not (study.parent / "run" / "models").exists()


@pytest.mark.slow
def test_the_page_shows_it(study):
    with silent():
        outcome = run_study(study, study.parent / "run")
    assert "waves.romae: sound" in outcome.text
    assert "of bound" in outcome.text
    report = study.parent / "run" / "report"
    page = (report / "index.html").read_text()
    assert '<section id="archive">' in page
    assert "times smaller" in page
    assert (report / "figures" / "archive-u.png").exists()
    assert (report / "figures" / "archive-errors.svg").exists()
    about = json.loads((report / "data" / "archive.json").read_text())
    alone = about["tried"]["alone"]
    assert alone["spline"] == about["tried"]["tried_archive_bytes"]  # nothing else was allowed
    assert alone["exact"] > alone["spline"]
    assert run(study, "archive.rel=1e-2") == ["archive", "report"]
