"""Time axes: the step measured, checked and continued, for every kind of axis."""

import cftime
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from romae import resample
from romae.dynamics import Persistence
from romae.dynamics.times import TimeStep, check_step, continue_axis, measure_step
from romae.errors import DataError, OptionError


def dates(start, freq, calendar):
    return xr.date_range(start, periods=50, freq=freq, calendar=calendar, use_cftime=True)


AXES = {
    "seconds": 2.5 + 0.1 * np.arange(50),
    "float32": (1000 + 0.25 * np.arange(50)).astype(np.float32),
    "integers": 7 + 3 * np.arange(50),
    "hours": pd.date_range("1999-12-31T18:00", periods=50, freq="6h"),
    "datetime64[s]": np.datetime64("0850-02-27", "s") + np.arange(50) * np.timedelta64(86400, "s"),
    "timedelta": np.arange(50) * np.timedelta64(1500, "ms").astype("m8[ns]"),
    "noleap": dates("2000-02-20", "D", "noleap"),
    "360_day": dates("0001-01-28", "h", "360_day"),
}


def axis(values, **attrs):
    return xr.DataArray(np.asarray(values), dims="time", name="time", attrs=attrs)


@pytest.mark.parametrize("kind", AXES)
def test_a_continued_axis_is_the_axis(kind):
    whole = axis(AXES[kind])
    dt = measure_step(whole[:30], "data")
    after = continue_axis(whole[:30], dt, 20)
    assert after.dtype == whole.dtype
    if whole.dtype.kind == "f":
        np.testing.assert_allclose(after, whole[30:], rtol=2e-16 if whole.dtype == "f8" else 1e-7)
    else:
        assert np.array_equal(after, whole[30:].values)


@pytest.mark.parametrize("kind", AXES)
def test_a_forecast_keeps_units_and_attributes_of_time(kind):
    time = xr.Variable("time", np.asarray(AXES[kind]), {"long_name": "model time", "axis": "T"})
    time.encoding = {"units": "days since 1900-01-01", "dtype": "float64"}
    z = xr.DataArray(np.random.default_rng(0).normal(size=(50, 2)), dims=("time", "latent"))
    result = Persistence().fit(z.assign_coords(time=time)).forecast(z.assign_coords(time=time), 3)
    assert result.time.attrs == time.attrs
    assert result.time.encoding == time.encoding
    assert result.time.dtype == time.dtype
    assert measure_step(result.time, "forecast") == measure_step(xr.DataArray(time), "history")


@given(
    st.floats(1e-6, 1e6), st.floats(-1e6, 1e6), st.integers(2, 300), st.sampled_from(["f4", "f8"])
)
def test_the_step_of_a_numeric_axis_is_found(dt, t0, n, dtype):
    time = (t0 + dt * np.arange(n)).astype(dtype)
    spacing = float(np.spacing(np.abs(time).max()))
    if dt < 4 * spacing:
        return  # the type cannot tell these times apart
    found = measure_step(axis(time), "data")
    assert found.size == pytest.approx(dt, rel=1e-5, abs=2 * spacing)
    check_step(axis(time), TimeStep("number", dt), "data")


@given(st.integers(3, 60), st.data())
def test_one_missing_time_is_a_gap(n, data):
    gone = data.draw(st.integers(1, n - 2))
    time = np.delete(0.5 * np.arange(n + 1), gone)
    with pytest.raises(DataError, match=r"uneven time steps, from 0\.5 to 1;.*resample="):
        measure_step(axis(time), "data")


def test_months_are_uneven_and_the_message_says_where_and_what_to_type():
    months = axis(pd.date_range("2001-01-01", periods=24, freq="MS"))
    with pytest.raises(DataError, match=r"wake\.nc: uneven.*2001-02-01.*resample='median'"):
        measure_step(months, "wake.nc")


def test_a_numeric_step_is_written_as_people_write_it():
    assert measure_step(axis(0.1 * np.arange(1000)), "data").size == 0.1
    assert measure_step(axis(np.arange(9) / 3), "data").size == pytest.approx(1 / 3, rel=1e-15)


def test_times_that_do_not_increase_are_refused():
    with pytest.raises(DataError, match=r"does not increase after index 1 \(1\.0, then 0\.5\)"):
        measure_step(axis([0.0, 1.0, 0.5]), "data")
    with pytest.raises(DataError, match="missing values"):
        measure_step(axis(np.array(["2000-01-01", "NaT"], "M8[ns]")), "data")


def test_a_history_of_another_step_kind_or_unit_is_refused():
    dt = measure_step(axis(0.1 * np.arange(5), units="s"), "data")
    check_step(axis([3.0], units="s"), dt, "history")
    with pytest.raises(DataError, match=r"time step 0\.2 s, the model was fitted with 0\.1 s"):
        check_step(axis(0.2 * np.arange(5), units="s"), dt, "history")
    with pytest.raises(DataError, match="kind datetime, the model was fitted on number"):
        check_step(axis(pd.date_range("2000", periods=3)), dt, "history")
    with pytest.raises(DataError, match="in 'h', the model was fitted on 's'"):
        check_step(axis([3.0], units="h"), dt, "history")


@given(st.floats(1e-3, 1e3), st.integers(0, 1000), st.integers(2, 100), st.booleans())
def test_forecast_and_data_of_one_axis_align_bit_for_bit(dt, first, n, text):
    dt = float(f"{dt:.4g}")
    if text:  # as a file with few decimals would give it
        time = np.array([float(f"{t:.6f}") for t in dt * (first + np.arange(n + 50))])
    else:
        time = dt * (first + np.arange(n + 50))
    found = measure_step(axis(time), "all data")
    assert np.array_equal(continue_axis(axis(time[:n]), found, 50), time[n:])


def test_text_is_no_time():
    with pytest.raises(DataError, match="dtype <U1"):
        measure_step(axis(["a", "b"]), "data")


def test_a_calendar_without_leap_days_skips_them():
    days = [cftime.DatetimeNoLeap(2000, 2, d) for d in (26, 27)]
    dt = measure_step(axis(np.array(days, dtype=object)), "data")
    assert list(continue_axis(axis(np.array(days, dtype=object)), dt, 2)) == [
        cftime.DatetimeNoLeap(2000, 2, 28),
        cftime.DatetimeNoLeap(2000, 3, 1),
    ]


# how far: steps, duration, times


@pytest.mark.parametrize(
    ("kind", "duration", "steps"),
    [
        ("seconds", 0.5, 5),
        ("seconds", 0.51, 6),  # reaches what was asked for
        ("seconds", "0.5 s", 5),
        ("seconds", "500 ms", 5),
        ("seconds", np.timedelta64(1, "s"), 10),
        ("hours", "2 D", 8),
        ("hours", "1.5 h", 1),
        ("hours", pd.Timedelta("1D"), 4),
        ("noleap", "45 D", 45),
        ("360_day", "2.5 h", 3),
        ("timedelta", "1 min", 40),
    ],
)
def test_a_duration_is_as_many_steps_as_reach_it(kind, duration, steps):
    time = axis(AXES[kind], **({"units": "s"} if kind == "seconds" else {}))
    z = xr.DataArray(np.random.default_rng(0).normal(size=(50, 1)), dims=("time", "latent"))
    z = z.assign_coords(time=time)
    model = Persistence().fit(z)
    xr.testing.assert_identical(model.forecast(z, duration=duration), model.forecast(z, steps))


@pytest.mark.parametrize(
    ("kind", "duration", "words"),
    [
        ("hours", 5, "unit of fixed length"),
        ("hours", "2 M", "unit of fixed length"),
        ("hours", np.timedelta64(1, "M"), "finite time after the history"),
        ("integers", "5 s", "no stated unit"),
        ("hours", "soon", "text such as '45 D'"),
        ("hours", "-2 h", "finite time after the history"),
        ("integers", True, "Expected a number"),
    ],
)
def test_what_is_no_duration(kind, duration, words):
    z = xr.DataArray(np.zeros((50, 1)), dims=("time", "latent")).assign_coords(time=AXES[kind])
    with pytest.raises(OptionError, match=words):
        Persistence().fit(z).forecast(z, duration=duration)


@pytest.mark.parametrize("kind", AXES)
def test_times_on_the_grid_pick_the_steps(kind):
    z = xr.DataArray(np.random.default_rng(0).normal(size=(50, 1)), dims=("time", "latent"))
    z = z.assign_coords(time=axis(AXES[kind]))
    model = Persistence().fit(z)
    ahead = model.forecast(z[:30], 20)
    asked = z.time.values[[31, 35, 44]]
    xr.testing.assert_identical(model.forecast(z[:30], times=asked), ahead[[1, 5, 14]])


def test_times_off_the_grid_are_refused_with_those_that_are_on_it():
    class Stepping(Persistence):
        continuous = False

    z = xr.DataArray(np.zeros((50, 1)), dims=("time", "latent")).assign_coords(time=np.arange(50.0))
    model = Stepping().fit(z)
    with pytest.raises(OptionError, match=r"52\.4 lies off the grid.*such as 52\.0 or 53\.0"):
        model.forecast(z, times=[51.0, 52.4])
    with pytest.raises(OptionError, match="increasing times after the last of the history, 49"):
        model.forecast(z, times=[49.0, 51.0])
    with pytest.raises(OptionError, match=r"steps and duration\. Expected exactly one"):
        model.forecast(z, 3, duration=4)
    with pytest.raises(OptionError, match="neither steps nor duration nor times"):
        model.forecast(z)


# uneven times


def test_resampling_gives_even_cases_cut_at_gaps():
    rng = np.random.default_rng(0)
    t = np.sort(rng.uniform(0, 20, 400))
    t = t[(t < 8) | (t > 12)]
    z = xr.DataArray(np.sin(t)[:, None], dims=("time", "latent")).assign_coords(time=t)
    with pytest.raises(DataError, match=r"romae\.resample"):
        Persistence().fit(z)
    pieces = resample(z, 0.1, largest_gap=5)
    assert len(pieces) == 2
    for piece in pieces:
        np.testing.assert_allclose(np.diff(piece.time), 0.1, rtol=1e-9)
        np.testing.assert_allclose(piece[:, 0], np.sin(piece.time), atol=2e-3)
        assert "cubic to steps of 0.1" in piece.attrs["resampled"]
    assert float(pieces[0].time[-1]) <= 8 < 12 <= float(pieces[1].time[0])  # nothing is made up
    Persistence().fit(pieces)


def test_even_times_stay_as_they_are_and_straight_lines_are_straight():
    t = pd.date_range("2000", periods=20, freq="6h")
    z = xr.DataArray(np.arange(20.0)[:, None], dims=("time", "latent")).assign_coords(time=t)
    (same,) = resample(z)
    np.testing.assert_allclose(same, z, atol=1e-9)
    assert same.time.equals(z.time)
    (half,) = resample(z.isel(time=[0, 1, 3, 4, 7, 8]), "3 h", how="linear", largest_gap=9)
    np.testing.assert_allclose(half[:, 0], 0.5 * np.arange(17), atol=1e-9)


def test_what_cannot_be_resampled():
    z = xr.DataArray(np.zeros((5, 1)), dims=("time", "latent")).assign_coords(time=np.arange(5.0))
    with pytest.raises(DataError, match="leave no piece"):
        resample(z, 0.1)
    with pytest.raises(DataError, match="do not increase"):
        resample(z[::-1], 1.0)
    with pytest.raises(OptionError, match="largest_gap is 0"):
        resample(z, 1.0, largest_gap=0)
