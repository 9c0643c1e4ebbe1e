"""Inputs and uneven times in comparisons of forecasts."""

import numpy as np
import pytest
import xarray as xr

import romae
from romae import POD, OperatorInference, ReducedModel, open_snapshots
from romae.compare.dynamics import choose
from romae.compare.even import evenly
from romae.compare.forcing import Forcing
from romae.errors import DataError, OptionError


def driven(force, rate=0.9):
    """Fields (time, x) of one mode that noise drives: nothing but the input tells what comes."""
    z = np.zeros(len(force))
    for n in range(len(force) - 1):
        z[n + 1] = rate * z[n] + force[n]
    x = np.linspace(0, 1, 12)
    time = ("time", 0.1 * np.arange(len(force)), {"units": "s"})
    return xr.Dataset({"u": (("time", "x"), z[:, None] * np.sin(3 * x))}, {"time": time, "x": x})


def series(force, **extra):
    return xr.Dataset({"wind": (("time",), force)}, {"time": 0.1 * np.arange(len(force))})


@pytest.fixture(scope="module")
def force():
    return np.random.default_rng(2).normal(size=300)


@pytest.fixture(scope="module")
def parts(force):
    return open_snapshots(driven(force)).split(0.5, 0.25, 0.25)


@pytest.fixture(scope="module")
def pod(parts):
    return POD(1).fit(parts[0])


def test_models_that_take_inputs_are_told_those_of_each_start(pod, parts, force):
    models = [OperatorInference("linear"), "koopman"]
    found = romae.compare_dynamics(
        pod, parts[0], parts[1], models, steps=20, starts=8, inputs=series(force)
    )
    best = found.isel(model=0)
    assert best.model.item() == "OperatorInference"
    assert float(best.error_mean) < 1e-3
    assert float(found.error_mean.sel(model="Koopman")) > 0.1
    assert float(best.step_seconds) > 0  # timed beyond the end of the series
    told = found.attrs["inputs"]
    assert told.startswith("The inputs (wind) are known to OperatorInference; ")
    assert "DMD" in told.partition(";")[2]
    assert found.attrs["verdict"].endswith(told)


def test_inputs_by_case_follow_the_cases(force):
    forces = force.reshape(4, 75)
    data = xr.concat([driven(f) for f in forces], "case")
    known = xr.concat([series(f) for f in forces], "case")
    fit, held = ([0, 1], [2, 3])
    pod = POD(1).fit(data.isel(case=fit))
    rom = ReducedModel(pod, OperatorInference("linear"))
    rom.fit(data.isel(case=fit), inputs=known.isel(case=fit))
    test = data.isel(case=held)
    good = romae.compare_forecasts([rom], test, 20, 6, inputs=known.isel(case=held))
    assert float(good.error_median.isel(model=0).max()) < 1e-3
    wrong = romae.compare_forecasts([rom], test, 20, 6, inputs=known.isel(case=[3, 2]))
    assert float(wrong.error_median.isel(model=0).max()) > 0.3


def test_inputs_that_end_too_early_and_models_fitted_without(pod, parts, force):
    with pytest.raises(DataError, match=r"inputs are missing from"):
        romae.compare_dynamics(
            pod, parts[0], parts[1], ["opinf"], steps=5, inputs=series(force[:200])
        )
    blind = OperatorInference("linear").fit(pod.encode(parts[0]))
    found = romae.compare_dynamics(
        pod, parts[0], parts[1], {"blind": blind}, steps=5, starts=3, inputs=series(force)
    )
    assert not found.failure.sel(model="blind").item()
    assert "known to no model" in found.attrs["inputs"]


def test_windows_hold_the_inputs_of_their_own_times(parts, force):
    known = Forcing.read(series(force), parts[1])
    start, c, steps = 30, 2, 4
    model = OperatorInference("linear").fit(POD(1).fit(parts[0]).encode(parts[0]))
    history = xr.DataArray(np.arange(c) * 0.1, dims="time", coords={"time": 0.1 * np.arange(c)})
    found = known.along([(0, start)], history, model, steps)
    first = len(parts[0]) + start - c
    np.testing.assert_allclose(found.wind[0], force[first : first + c + steps])
    assert found.sizes == {"case": 1, "time": c + steps}


@pytest.mark.parametrize("kind", ["number", "datetime"])
def test_uneven_data_are_compared_at_the_step_that_is_asked_for(kind):
    n = np.delete(np.arange(240), [20, 21, 55, 130, 200, 221])
    t, x = 0.1 * n, 2 * np.pi * np.arange(16) / 16
    u = np.cos(x - t[:, None])
    times = ("time", t, {"units": "s"})
    if kind == "datetime":
        times = ("time", np.datetime64("2001-01-01", "ns") + n * np.timedelta64(6, "h"))
    data = xr.Dataset({"u": (("time", "x"), u)}, {"time": times, "x": ("x", x, {"units": "m"})})
    train, valid = open_snapshots(data).split(0.6, 0.4)
    step = "6 h" if kind == "datetime" else "0.1 s"
    pod = POD(2).fit(train)
    with pytest.raises(DataError, match=r'not evenly spaced.*resample="6 h"'):
        romae.compare_dynamics(pod, train, valid, [], steps=10)
    found = romae.compare_dynamics(pod, train, valid, [], steps=10, starts=4, resample=step)
    assert found.model.values[0] == "DMD"
    assert float(found.error_mean[0]) < 0.01
    winner, _, _ = choose(pod, train, valid, ["opinf"], starts=4, resample=step)
    rom = ReducedModel(pod, winner)
    errors = romae.compare_forecasts([rom], valid, 10, 4, resample=step, train=train)
    assert float(errors.error_median.isel(model=0).max()) < 0.05


def test_the_even_truth_is_exact_for_straight_lines_and_keeps_out_of_gaps():
    n = np.array([0.0, 1, 2, 2.5, 10, 11, 12.5, 13, 14, 15, 40])
    ramp = xr.Dataset(
        {"p": (("time", "x"), n[:, None] * np.arange(1, 6.0), {"units": "Pa"})},
        {"time": ("time", n, {"units": "s"}), "x": np.arange(5.0)},
    )
    found = evenly(open_snapshots(ramp), "0.5 s")
    np.testing.assert_allclose(found.times(), np.arange(10, 15.1, 0.5))
    np.testing.assert_allclose(
        found.read(0, len(found))[:, 0], found.times().values[:, None] * np.arange(1, 6.0)
    )
    assert list(found.layout.names) == ["p"]
    even = open_snapshots(ramp.isel(time=slice(0, 3)))
    assert evenly(even, 1.0) is even
    with pytest.raises(DataError, match="no stretch without a gap"):
        evenly(open_snapshots(ramp), "30 s")
    with pytest.raises(OptionError, match="6 parsecs"):
        evenly(open_snapshots(ramp), "6 parsecs")


@pytest.mark.parametrize("kind", ["number", "datetime"])
def test_the_median_step_is_that_of_most_snapshots(kind):
    n = np.array([0, 1, 2, 4, 5, 6, 7, 8, 11, 12])
    times = ("time", 0.25 * n, {"units": "s"})
    if kind == "datetime":
        times = ("time", np.datetime64("2001-01-01", "ns") + n * np.timedelta64(90, "m"))
    u = (n[:, None] * np.arange(1, 4.0)).astype("f4")
    data = xr.Dataset({"u": (("time", "x"), u, {"units": "K"})}, {"time": times})
    found = evenly(open_snapshots(data), "median")
    unit = 0.25 if kind == "number" else np.timedelta64(90, "m")
    np.testing.assert_array_equal(found.times(), data.time.values[0] + np.arange(13) * unit)
    np.testing.assert_allclose(found.read(0, 13)[:, 0, 0], np.arange(13), rtol=1e-6)
    assert (found.dtype, found.layout.fields[0].units) == (np.float32, "K")


def test_cases_are_made_even_where_all_share_their_times(monkeypatch):
    n = np.array([0.0, 1, 2, 3, 5, 6])
    u = np.multiply.outer([1.0, -2.0], n[:, None] * np.arange(1, 4.0))
    data = xr.Dataset({"u": (("case", "time", "x"), u)}, {"time": n, "Re": ("case", [5.0, 7])})
    found = evenly(open_snapshots(data), 1.0)
    assert found.lengths == (7, 7) or list(found.lengths) == [7, 7]
    np.testing.assert_allclose(found.isel(case=1).read(0, 7)[:, 0, 1], -4.0 * np.arange(7))
    assert found.params.Re.tolist() == [5.0, 7.0]
    monkeypatch.setattr("romae.compare.even.MOST", 3 * 8 * 2 * 7 * 3 - 1)
    with pytest.raises(DataError, match=r"takes 0\.0 GiB\. Expected at most"):
        evenly(open_snapshots(data), 1.0)
    with pytest.raises(DataError, match="one snapshot"):
        evenly(open_snapshots(data.isel(time=[0])), 1.0)


@pytest.fixture(scope="module")
def told_and_blind(pod, parts, force):
    told = ReducedModel(pod, OperatorInference("linear")).fit(parts[0], inputs=series(force))
    return {"told": told, "blind": ReducedModel(pod, romae.DMD()).fit(parts[0])}


def test_long_runs_of_driven_models_have_the_statistics_of_what_drives_them(
    told_and_blind, parts, force
):
    test, first = parts[2], 2
    steps = len(test) - first
    found = romae.compare_statistics(
        told_and_blind, test, steps=steps, starts=[first], inputs=series(force), joint="skip"
    )
    assert found.attrs["inputs"] == "wind: told"
    # the rollout is the test data but for the two snapshots that were seen
    assert float(found.wasserstein.sel(model="told").max()) < 0.05
    assert float(found.wasserstein.sel(model="blind").max()) > 0.3
    own = found.sel(model="told", functional="energy")
    true = np.mean((test.read(first, len(test)) - pod_mean(told_and_blind)) ** 2)
    other = np.mean((test.read(0, len(test)) - pod_mean(told_and_blind)) ** 2)
    whole = found.sel(model="test data", functional="energy")
    ratio = float(own.functional_mean / whole.functional_mean)
    assert ratio == pytest.approx(true / other, rel=1e-3)
    # twins that are told the same winds come together, as fast as the law forgets
    assert float(own.lyapunov) == pytest.approx(np.log(0.9) / 0.1, rel=0.05)


def pod_mean(models):
    return np.asarray(models["told"].reducer.scaling.mean, dtype=float)


def test_inputs_come_round_in_runs_longer_than_the_data(told_and_blind, parts, force):
    models, test = {"told": told_and_blind["told"]}, parts[2]
    options = {"starts": [len(test) - 1], "joint": "skip", "lyapunov": "skip"}
    found = romae.compare_statistics(
        models, test, steps=20 * len(test), inputs=series(force), **options
    )
    assert float(found.stable.sel(model="told")) == 1
    ratio = found.functional_std.sel(model="told") / found.functional_std.sel(model="test data")
    np.testing.assert_allclose(ratio, 1, atol=0.1)
    with pytest.raises(DataError, match=r"inputs are missing from"):
        romae.compare_statistics(models, test, steps=5, inputs=series(force[:200]), **options)


def test_members_of_an_ensemble_are_told_the_inputs_of_their_start(told_and_blind, parts, force):
    found = romae.compare_ensembles(
        told_and_blind, parts[2], 15, 6, members=8, inputs=series(force)
    )
    skill = found.skill.isel(field=0, lead=-1)
    assert float(skill.sel(model="told")) < 0.05 * float(skill.sel(model="blind"))
    late = xr.Dataset({"wind": ("time", np.roll(force, 1))}, {"time": series(force).time})
    wrong = romae.compare_ensembles(told_and_blind, parts[2], 15, 6, members=8, inputs=late)
    assert float(wrong.skill.sel(model="told")[0, -1]) > 5 * float(skill.sel(model="told"))
    with pytest.raises(DataError, match=r"inputs are missing from"):
        romae.compare_ensembles(told_and_blind, parts[2], 5, 2, inputs=series(force[:200]))
