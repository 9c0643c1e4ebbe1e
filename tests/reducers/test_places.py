"""Parameters that are places are found by the phases of the cases, and others are not."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import romae
from romae.progress import silent
from romae.reducers.places import places_among


def drops(cases=6, steps=40, *, shift=0.0, period=1.0):
    """Standing waves around a centre of their own, each with a frequency of its own."""
    rng = np.random.default_rng(0)
    x = period * ((np.arange(24) + 0.5) / 24 - 0.5)
    x0 = period * ((rng.permutation(cases) + rng.random(cases)) / cases - 0.5) + shift
    omega, t = 1 + np.linspace(0, 0.3, cases), 0.1 * np.arange(steps)
    k = 2 * np.pi * (x - x0[:, None, None]) / period
    wt = (omega[:, None] * t)[..., None]
    h = np.cos(k) * np.cos(wt) + 0.5 * np.cos(2 * k) * np.cos(2 * wt)
    coords = {
        "time": ("time", t, {"units": "s"}),
        "x": ("x", x, {"units": "m", "periodic": 1}),
        "x0": ("case", x0, {"units": "m"}),
        "omega": ("case", omega),
    }
    return xr.Dataset({"h": (("case", "time", "x"), h, {"units": "m"})}, coords)


def found_in(data, reducer):
    snapshots = romae.open_snapshots(data)
    with silent():
        reducer.fit(snapshots)
    return places_among(reducer, list(reducer.encode(snapshots)), snapshots.params)


@settings(max_examples=3, deadline=None)
@given(shift=st.floats(-3, 3), period=st.floats(0.1, 100))
def test_a_place_is_found_whatever_the_origin_and_the_period(shift, period):
    data = drops(shift=shift, period=period)
    assert found_in(data, romae.Aligned(romae.POD(2), "x")) == {"x0": "x"}


@pytest.mark.parametrize("what", ["few", "unaligned", "elsewhere", "one place", "none"])
def test_what_is_no_place(what):
    data = drops(3 if what == "few" else 6)
    if what == "elsewhere":
        data["x0"] = data.x0.roll(case=2)
    elif what == "one place":
        data["x0"] = 0 * data.x0 + 1e-3 * data.omega
    elif what == "none":
        data = data.drop_vars("x0")
    reducer = romae.POD(2) if what == "unaligned" else romae.Aligned(romae.POD(2), "x")
    assert not found_in(data, reducer)


def test_who_takes_parameters_is_warned_with_what_to_type():
    data = drops()
    train, held = data.isel(time=slice(30)), data.isel(time=slice(30, None))
    reducer = romae.Aligned(romae.POD(2), "x").fit(train)
    law = romae.OperatorInference("linear")
    told = r"'x0' \(along x\).*OperatorInference would.*drop_vars\(\['x0'\]\)"
    with pytest.warns(UserWarning, match=told):
        romae.ReducedModel(reducer, law).fit(train)
    with pytest.warns(UserWarning, match=told):
        romae.compare_dynamics(reducer, train, held, [law], steps=3, starts=3, measure="latents")
    romae.ReducedModel(reducer, law).fit(train.drop_vars("x0"))  # warnings are errors here
    romae.ReducedModel(reducer, romae.DMD()).fit(train)
