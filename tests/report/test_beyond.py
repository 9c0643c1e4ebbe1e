"""Sections of long-run statistics and of the spread of ensembles."""

import pytest
import xarray as xr

from romae.errors import OptionError
from romae.progress import silent
from romae.report.beyond import calibration_section, long_run_section
from romae.report.figures import ensemble_calibration, long_run
from romae.study import run_study


def test_the_page_of_a_study_has_both_sections_and_their_numbers(forecast_study):
    folder = forecast_study.folder
    page = (folder / "run/report/index.html").read_text()
    for text in ("Long-run statistics", "Rollouts of 60 steps from 2 starts", "Spread of the en"):
        assert text in page
    for name in ("long-run-u", "calibration-u"):
        assert (folder / f"run/report/figures/{name}.png").exists()
    with xr.open_dataset(folder / "run/report/data/calibration.nc") as found:
        assert found.sizes["model"] == 1  # the best of the three
        assert found.model.values[0] != "POD k=4 + still"
        assert found.sizes["rank"] == 6
    with xr.open_dataset(folder / "run/report/data/statistics.nc") as found:
        assert list(found.model.values)[:3] == ["test data", "POD k=4 + DMD", "POD k=4 + still"]
        assert found.model.values[3] == "POD k=4 + DMD (auto)"  # chosen, beside the named one


@pytest.mark.slow
def test_both_are_there_only_when_asked_for(forecast_study):
    folder = forecast_study.folder
    text = forecast_study.text.replace("long_run = 60\nensemble = 5\n", "")
    (folder / "plain.toml").write_text(text)
    with silent():
        run_study(folder / "plain.toml", folder / "plain")
    assert "Long-run statistics" not in (folder / "plain/report/index.html").read_text()
    assert not (folder / "plain/forecast/statistics.nc").exists()


@pytest.mark.parametrize("bad", ["long_run = 2", "ensemble = 1", "ensemble = true"])
def test_numbers_that_cannot_be(forecast_study, tmp_path, bad):
    key = bad.partition(" ")[0]
    old = {"long_run": "long_run = 60", "ensemble": "ensemble = 5"}[key]
    (tmp_path / "bad.toml").write_text(forecast_study.text.replace(old, bad))
    with pytest.raises(OptionError, match=rf"\[forecast\].*{key}|{key}"):
        run_study(tmp_path / "bad.toml", tmp_path / "bad")


def test_words_follow_the_numbers(forecast_study, tmp_path):
    with xr.open_dataset(forecast_study.run / "report/data/calibration.nc") as found:
        found = found.load()
    for scale, words in ((1.0, "it is calibrated"), (0.1, "too sure"), (9.0, "less sure")):
        even = found.assign(spread=scale * found.skill)
        (text,) = calibration_section(even, tmp_path).text
        assert words in text
    with xr.open_dataset(forecast_study.run / "report/data/statistics.nc") as statistics:
        section = long_run_section(statistics.load(), tmp_path)
    rows = section.tables[0]["rows"]
    assert [row[0] for row in rows][:2] == ["test data", "POD k=4 + DMD"]
    assert all(len(row) == len(section.tables[0]["heads"]) for row in rows)


def test_curves_that_lie_on_one_another_differ_in_dashes(forecast_study):
    with xr.open_dataset(forecast_study.run / "report/data/statistics.nc") as statistics:
        figure = long_run(statistics.load())
    lines = [line for line in figure.axes[2].lines if line.get_label() is not None]
    looks = {(line.get_color(), line.get_linestyle()) for line in lines}
    assert len(looks) == len(lines)
    labels = [t.get_text() for t in figure.axes[2].get_xticklabels() if t.get_text()]
    assert not any("times" in text for text in labels)


def test_a_tiny_spread_is_still_seen(forecast_study):
    with xr.open_dataset(forecast_study.run / "report/data/calibration.nc") as found:
        one = found.load().isel(model=0)
    small = one.assign(spread=1e-3 * one.skill.min() * xr.ones_like(one.spread))
    assert ensemble_calibration(small).axes[0].get_yscale() == "log"
    assert ensemble_calibration(one.assign(spread=one.skill)).axes[0].get_yscale() == "linear"
