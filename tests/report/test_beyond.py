"""Sections of long-run statistics and of the spread of ensembles."""

import numpy as np
import pytest
import xarray as xr

from romae.errors import OptionError
from romae.progress import silent
from romae.report.beyond import calibration_section, long_run_section
from romae.report.figures import ensemble_calibration, long_run
from romae.study import run_study

STUDY = """
[data]
files = "waves.nc"
split = [0.5, 0.2, 0.3]
[[reducers]]
kind = "pod"
latent = 4
[[dynamics]]
kind = "dmd"
[[dynamics]]
kind = "persistence"
name = "still"
[forecast]
steps = 10
starts = 3
long_run = 60
ensemble = 5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beyond")
    t, x = 0.1 * np.arange(200), 2 * np.pi * np.arange(16) / 16
    rng = np.random.default_rng(0)
    u = np.cos(x - t[:, None]) + 0.5 * np.cos(2 * x - 2.2 * t[:, None])
    u += 0.02 * rng.normal(size=u.shape)
    coords = {"time": ("time", t, {"units": "s"}), "x": ("x", x, {"units": "m", "periodic": 1})}
    xr.Dataset({"u": (("time", "x"), u, {"units": "m/s"})}, coords).to_netcdf(folder / "waves.nc")
    (folder / "waves.toml").write_text(STUDY)
    with silent():
        run_study(folder / "waves.toml", folder / "run")
    return folder


def test_the_page_of_a_study_has_both_sections_and_their_numbers(folder):
    page = (folder / "run/report/index.html").read_text()
    for text in ("Long-run statistics", "Rollouts of 60 steps from 2 starts", "Spread of the en"):
        assert text in page
    for name in ("long-run-u", "calibration-u"):
        assert (folder / f"run/report/figures/{name}.png").exists()
    with xr.open_dataset(folder / "run/report/data/calibration.nc") as found:
        assert list(found.model.values) == ["POD k=4 + DMD"]  # the better of the two
        assert found.sizes["rank"] == 6
    with xr.open_dataset(folder / "run/report/data/statistics.nc") as found:
        assert list(found.model.values)[:3] == ["test data", "POD k=4 + DMD", "POD k=4 + still"]


@pytest.mark.slow
def test_both_are_there_only_when_asked_for(folder):
    text = STUDY.replace("long_run = 60\nensemble = 5\n", "")
    (folder / "plain.toml").write_text(text)
    with silent():
        run_study(folder / "plain.toml", folder / "plain")
    assert "Long-run statistics" not in (folder / "plain/report/index.html").read_text()
    assert not (folder / "plain/forecast/statistics.nc").exists()


@pytest.mark.parametrize("bad", ["long_run = 2", "ensemble = 1", "ensemble = true"])
def test_numbers_that_cannot_be(folder, bad):
    key = bad.partition(" ")[0]
    old = {"long_run": "long_run = 60", "ensemble": "ensemble = 5"}[key]
    (folder / "bad.toml").write_text(STUDY.replace(old, bad))
    with pytest.raises(OptionError, match=rf"\[forecast\].*{key}|{key}"):
        run_study(folder / "bad.toml", folder / "bad")


def test_words_follow_the_numbers(folder, tmp_path):
    with xr.open_dataset(folder / "run/report/data/calibration.nc") as found:
        found = found.load()
    for scale, words in ((1.0, "it is calibrated"), (0.1, "too sure"), (9.0, "less sure")):
        even = found.assign(spread=scale * found.skill)
        (text,) = calibration_section(even, tmp_path).text
        assert words in text
    with xr.open_dataset(folder / "run/report/data/statistics.nc") as statistics:
        section = long_run_section(statistics.load(), tmp_path)
    rows = section.tables[0]["rows"]
    assert [row[0] for row in rows][:2] == ["test data", "POD k=4 + DMD"]
    assert all(len(row) == len(section.tables[0]["heads"]) for row in rows)


def test_curves_that_lie_on_one_another_differ_in_dashes(folder):
    with xr.open_dataset(folder / "run/report/data/statistics.nc") as statistics:
        figure = long_run(statistics.load())
    lines = [line for line in figure.axes[2].lines if line.get_label() is not None]
    looks = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(lines)
    labels = [t.get_text() for t in figure.axes[2].get_xticklabels() if t.get_text()]
    assert not any("times" in text for text in labels)


def test_a_tiny_spread_is_still_seen(folder):
    with xr.open_dataset(folder / "run/report/data/calibration.nc") as found:
        one = found.load().isel(model=0)
    small = one.assign(spread=1e-3 * one.skill.min() * xr.ones_like(one.spread))
    assert ensemble_calibration(small).axes[0].get_yscale() == "log"
    assert ensemble_calibration(one.assign(spread=one.skill)).axes[0].get_yscale() == "linear"
