"""What a forecast starts from: uneven histories put on the step of the model, parameters found."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import romae
from romae.dynamics.resampling import ending
from romae.dynamics.times import TimeStep, measure_step
from romae.errors import DataError, OptionError

HOUR = 3600 * 10**9
KINDS = ("number", "datetime64", "noleap", "360_day")


def axis_of(kind, hours):
    """``hours`` after a start, as an axis of any kind."""
    if kind == "number":
        return xr.DataArray(hours, dims="time", attrs={"units": "h"}), TimeStep("number", 1.0, "h")
    ms = np.round(3.6e6 * hours).astype("m8[ms]")
    if kind == "datetime64":
        values = (np.datetime64("2001-02-27", "ms") + ms).astype("M8[ns]")
        return xr.DataArray(values, dims="time"), TimeStep("datetime", HOUR)
    start = xr.date_range("2001-02-27", periods=1, calendar=kind, use_cftime=True).values[0]
    values = np.array([start + pd.Timedelta(m).to_pytimedelta() for m in ms])
    return xr.DataArray(values, dims="time"), TimeStep("cftime", HOUR)


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(KINDS), count=st.integers(1, 8), seed=st.integers(0, 999))
def test_the_end_of_an_uneven_history_is_on_the_step_and_keeps_its_last_time(kind, count, seed):
    """Exact for cubics, whatever the axis; what lies before changes nothing."""
    hours = np.cumsum(np.random.default_rng(seed).uniform(0.4, 1.6, 40))
    time, dt = axis_of(kind, hours)
    z = (hours - hours[-1])[:, None] ** [1, 2, 3] / [1, 10, 100]
    z = xr.DataArray(z, dims=("time", "latent"), coords={"time": time})
    found = ending(z, dt, count, "a forecast")
    back = np.arange(1.0 - count, 1)
    np.testing.assert_allclose(found, back[:, None] ** [1, 2, 3] / [1, 10, 100], atol=1e-4)
    assert found.time.values[-1] == time.values[-1]
    if count > 1:
        assert measure_step(found.time, "found").size == pytest.approx(dt.size)


def test_what_cannot_be_bridged():
    hours = np.array([0, 1, 2, 9, 10, 11.5])
    time, dt = axis_of("number", hours)
    z = xr.DataArray(hours[:, None], dims=("time", "latent"), coords={"time": time})
    with pytest.raises(DataError, match=r"a gap of 7 steps of 1 h after 2.0.*begin the forecast"):
        ending(z, dt, 3, "a forecast")
    with pytest.raises(DataError, match=r"reach 2.5 steps of 1 h back. Expected 5 for a forecast"):
        ending(z[3:], dt, 6, "a forecast")
    with pytest.raises(DataError, match="do not increase"):
        ending(z[::-1], dt, 2, "a forecast")


def wave(time, omega=2.0, phase=0.0):
    x = 2 * np.pi * np.arange(16) / 16
    u = np.cos(x - omega * np.asarray(time)[:, None] - phase)
    coords = {"time": ("time", time, {"units": "s"}), "x": ("x", x, {"units": "m", "periodic": 1})}
    return xr.Dataset({"u": (("time", "x"), u, {"units": "m/s"})}, coords)


def test_a_model_of_even_steps_forecasts_from_an_uneven_history():
    rng = np.random.default_rng(0)
    uneven = 0.1 * (np.arange(80) + rng.uniform(-0.3, 0.3, 80))
    rom = romae.ReducedModel(romae.POD(2), romae.DMD(3)).fit(wave(uneven), resample=0.1)
    with pytest.raises(DataError, match="resample"):
        rom.forecast(wave(uneven), 20)
    with pytest.raises(OptionError, match=r"DMD steps by 0\.1 s.*resample=True"):
        rom.forecast(wave(uneven), 20, resample=0.2)
    found = rom.forecast(wave(uneven), 20, resample=True)
    np.testing.assert_allclose(found.time, uneven[-1] + 0.1 * np.arange(1, 21))
    np.testing.assert_allclose(found.u, wave(found.time.values).u, atol=0.02)
    cases = xr.concat([wave(uneven), wave(uneven, phase=1.0)], "case")
    both = rom.forecast(cases, 20, resample=True)
    np.testing.assert_allclose(both.u[0], found.u, atol=1e-5)
    np.testing.assert_allclose(both.u[1], wave(found.time.values, phase=1.0).u, atol=0.02)


def test_the_median_step_is_that_of_the_training_data_everywhere():
    """Parts of uneven data have other medians; models of one step are compared at that step."""
    rng = np.random.default_rng(1)
    jitter = np.where(np.arange(120) < 70, 0.3, 0.9) * rng.uniform(-0.4, 0.4, 120)
    data = wave(0.1 * (np.arange(120) + jitter))
    train, test = data.isel(time=slice(70)), data.isel(time=slice(70, None))
    medians = [float(np.median(np.diff(part.time))) for part in (train, test)]
    assert abs(medians[1] / medians[0] - 1) > 0.02
    rom = romae.ReducedModel(romae.POD(2), romae.DMD(2)).fit(train, test, resample="median")
    assert rom.dynamics.dt.size == pytest.approx(medians[0])
    assert rom.horizon is not None
    found = romae.compare_forecasts([rom], test, 5, 3, resample="median")
    np.testing.assert_allclose(found.lead_time, medians[0] * np.arange(1, 6))
    ranked = romae.compare_dynamics(
        rom.reducer, train, test, ["dmd"], steps=5, starts=3, resample="median"
    )
    np.testing.assert_allclose(ranked.lead_time, medians[0] * np.arange(1, 6))
    assert not any(ranked.failure.values)


def test_parameters_of_one_case_are_its_scalar_coordinates():
    time, omega = 0.1 * np.arange(60), [1.0, 1.5, 2.0, 2.5]
    family = xr.concat([wave(time, w) for w in omega], "case").assign_coords(omega=("case", omega))
    rom = romae.ReducedModel(romae.POD(2), romae.OperatorInference("linear")).fit(family)
    alone = wave(time, 1.8).assign_coords(omega=1.8)
    told = rom.forecast(wave(time, 1.8), 5, params={"omega": 1.8})
    np.testing.assert_array_equal(rom.forecast(alone, 5).u, told.u)
    with pytest.raises(DataError, match="the forecast has none"):
        rom.forecast(wave(time, 1.8), 5)


@pytest.mark.parametrize("params", [{"omega": 2.0}, [[2.0]]])
def test_parameters_that_no_model_looks_at_are_refused(params):
    time = 0.1 * np.arange(60)
    for model, text in (
        (romae.DMD(), "DMD takes no params"),
        (romae.OperatorInference("linear"), "OperatorInference was fitted without params"),
    ):
        rom = romae.ReducedModel(romae.POD(2), model).fit(wave(time))
        with pytest.raises(OptionError, match=f"{text}.*leave params out"):
            rom.forecast(wave(time), 5, params=params)
