"""Lead times of dated data are told in days, and only those."""

import numpy as np
import pytest
import xarray as xr

import romae
from romae.cli.forecast_compare import text_table
from romae.compare.told import in_days
from romae.report.dynamics import dynamics_section
from romae.report.figures import ensemble_calibration, forecast_error


@pytest.fixture(scope="module")
def parts():
    days, x = np.arange(120), 2 * np.pi * np.arange(16) / 16
    u = np.cos(x - 0.3 * days[:, None]) + 0.1 * np.sin(3 * x + days[:, None])
    time = np.datetime64("2001-01-01", "ns") + days * np.timedelta64(1, "D")
    sea = xr.Dataset({"u": (("time", "x"), u)}, {"time": time, "x": x})
    return romae.open_snapshots(sea).split(0.5, 0.5)


@pytest.fixture(scope="module")
def ranking(parts):
    return romae.compare_dynamics(romae.POD(2).fit(parts[0]), *parts, ["dmd"], steps=8, starts=3)


def test_times_are_days_and_costs_stay_seconds(ranking):
    told = in_days(ranking)
    assert ranking.lead_time.attrs["units"] == ranking.attrs["time_units"] == "s"
    assert told.lead_time.attrs["units"] == told.attrs["time_units"] == "days"
    np.testing.assert_allclose(told.lead_time, np.arange(1, 9))
    for name in ("valid_time", "valid_time_mean", "valid_time_lower"):
        np.testing.assert_allclose(told[name], ranking[name] / 86400)
    xr.testing.assert_identical(told.fit_seconds, ranking.fit_seconds)
    xr.testing.assert_identical(in_days(told), told)


def test_what_people_see_says_days(ranking, parts, tmp_path):
    assert "valid [days]" in text_table(ranking)
    assert "(8 days)" in ranking.attrs["verdict"]
    section = dynamics_section(ranking, tmp_path)
    assert any("days" in str(head) for head in section.tables[0]["heads"])
    figures = [ranking.romae.plot()]
    rom = romae.ReducedModel(romae.POD(2), romae.DMD()).fit(parts[0])
    figures.append(forecast_error(romae.compare_forecasts([rom], parts[1], 8, 3)))
    spread = romae.compare_ensembles([rom], parts[1], steps=8, starts=2, members=3)
    figures.append(ensemble_calibration(spread.isel(model=0)))
    for figure in figures:
        assert "lead time [days]" in [ax.get_xlabel() for ax in figure.axes]
