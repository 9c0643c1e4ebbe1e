"""Lead times of dated data are told in days, and only those."""

import numpy as np
import pytest
import xarray as xr

import romae
from romae.cli.forecast_compare import text_table
from romae.compare.told import in_days
from romae.report.beyond import _long_run_rows
from romae.report.dynamics import dynamics_section
from romae.report.figures import (
    dynamics_ranking,
    ensemble_calibration,
    forecast_error,
    long_run,
)


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


def test_statistics_of_dated_data_are_told_per_day_and_keep_the_power(parts):
    rom = romae.ReducedModel(romae.POD(2), romae.DMD()).fit(parts[0])
    found = romae.compare_statistics({"dmd": rom}, parts[1], steps=40, starts=2)
    told = in_days(found)
    assert found.frequency.attrs["units"] == found.lyapunov.attrs["units"] == "s-1"
    assert told.frequency.attrs["units"] == told.lyapunov.attrs["units"] == "1/day"
    assert 0.4 < float(told.frequency[-1]) <= 0.5  # one snapshot a day
    np.testing.assert_allclose(told.lyapunov, 86400 * found.lyapunov)
    power = [(d.time_spectrum.sum("frequency") * d.frequency[1]).values for d in (found, told)]
    np.testing.assert_allclose(*power)
    xr.testing.assert_identical(in_days(told), told)
    section = _long_run_rows(found)
    assert any("1/day" in str(head) for head in section["heads"])
    short = romae.compare_statistics({"dmd": rom}, parts[1], steps=40, starts=2)
    short.attrs["dt"] = 60.0  # forty minutes in all
    xr.testing.assert_identical(in_days(short), short)


def test_axes_of_long_runs_and_of_the_ranking_have_units(parts, ranking):
    sea = parts[1].to_dataset()
    sea["u"].attrs["units"], sea["x"].attrs["units"] = "K", "km"
    rom = romae.ReducedModel(romae.POD(2), romae.DMD())
    rom.fit(parts[0].to_dataset().assign(u=parts[0].to_dataset().u.assign_attrs(units="K")))
    figure = long_run(romae.compare_statistics({"dmd": rom}, sea, steps=40, starts=2))
    texts = [ax.get_xlabel() for ax in figure.axes]
    assert texts[:3] == ["u [K]", "wavenumber along x [km-1]", "frequency [1/day]"]
    assert "lead time [days]" in [ax.get_xlabel() for ax in dynamics_ranking(ranking).axes]
