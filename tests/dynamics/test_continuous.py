"""Continuous time: forecasts between the steps, and laws learned from uneven times."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from romae.dynamics import (
    DMD,
    GRU,
    Climatology,
    Ensemble,
    Koopman,
    LatentGP,
    NeuralODE,
    OperatorInference,
    Persistence,
    SINDy,
)
from romae.errors import DataError, OptionError
from romae.progress import silent

OMEGA, DECAY = 0.23, 0.001  # per step
CONTINUOUS = {
    "persistence": Persistence,
    "climatology": Climatology,
    "dmd": DMD,
    "dmd-delays": lambda: DMD(3, rank=3),
    "dmd-bagged": lambda: DMD(method="bagged"),
    "koopman": lambda: Koopman(1, degree=1),
    "opinf": lambda: OperatorInference("linear", time="continuous", ridge=0.0),
    "sindy": lambda: SINDy(1, threshold=0.0),
    "ode": lambda: NeuralODE(8, updates=30),
    "ode-adaptive": lambda: NeuralODE(8, updates=10, method="dopri5"),
    "ensemble": lambda: Ensemble(DMD(method="optimised"), 2, how="bagging"),
}
EXACT = ["dmd", "dmd-delays", "dmd-bagged", "koopman", "opinf", "sindy"]
every = pytest.mark.parametrize("kind", CONTINUOUS)
_cache = {}


def oscillator(t):
    """A decaying oscillation about a fixed point, at any times in steps."""
    phase = OMEGA * np.asarray(t, float)
    turned = np.stack([3 * np.cos(phase), 2 * np.sin(phase)], axis=-1)
    return np.exp(-DECAY * np.asarray(t, float))[..., None] * turned + [1.0, -4.0]


def label(t, dt=0.5):
    """The oscillator at times ``t`` in steps, on an axis in steps of ``dt``."""
    coords = {"time": ("time", dt * np.asarray(t, float))}
    return xr.DataArray(oscillator(t), dims=("time", "latent"), coords=coords)


def fitted(kind):
    if kind not in _cache:
        with silent():
            _cache[kind] = CONTINUOUS[kind]().fit(label(np.arange(200)))
    return _cache[kind]


@every
def test_times_on_the_grid_give_what_steps_give(kind):
    model, z = fitted(kind), label(np.arange(100))
    steps = model.forecast(z, 30)
    some = model.forecast(z, times=steps.time.values[[0, 4, 5, 29]])
    xr.testing.assert_identical(some, steps[[0, 4, 5, 29]])


@every
def test_times_between_the_steps_leave_those_on_the_grid_as_they_are(kind):
    model, z = fitted(kind), label(np.arange(100))
    steps = model.forecast(z, 30)
    between = steps.time.values[3] + np.array([0.05, 0.31, 0.5, 1.21])
    asked = np.sort(np.concatenate([steps.time.values[:20], between[[0, 1, 3]]]))
    found = model.forecast(z, times=asked)
    np.testing.assert_array_equal(found.time, asked)
    grid = np.isin(asked, steps.time.values)
    np.testing.assert_allclose(found[grid], steps[:20], rtol=1e-13)
    alone = model.forecast(z, times=between)
    np.testing.assert_allclose(alone[[0, 1, 3]], found[~grid], rtol=1e-12)
    np.testing.assert_allclose(alone[2], steps[4], rtol=1e-12)


@pytest.mark.parametrize("kind", EXACT)
def test_an_oscillator_is_exact_between_its_steps(kind):
    n = np.array([0.25, 1.0, 3.7, 3.8, 41.123, 99.99])
    found = fitted(kind).forecast(label(np.arange(150)), times=0.5 * (149 + n))
    # Runge-Kutta steps of the regressions; rates from differences of sixth order
    tolerance = 1e-3 if kind in ("opinf", "sindy") else 1e-6
    np.testing.assert_allclose(found, oscillator(149 + n), atol=tolerance)
    straight = fitted(kind).forecast(label(np.arange(150)), 4).interp(time=0.5 * (149 + n[2:4]))
    assert float(np.abs(straight - oscillator(149 + n[2:4])).max()) > 3 * tolerance


@every
def test_members_and_cases_between_the_steps(kind):
    model = fitted(kind)
    cases = xr.concat([label(np.arange(100)), label(np.arange(100)) + 0.1], "case")
    times = 49.5 + np.array([0.2, 0.5, 0.9])
    found = model.forecast(cases, times=times, ensemble=4)
    assert found.sizes == {"member": 4, "case": 2, "time": 3, "latent": 2}
    grid = model.forecast(cases, steps=1, ensemble=4)
    np.testing.assert_allclose(found.isel(time=[1]), grid, rtol=1e-12)
    single = model.forecast(cases, times=times)
    np.testing.assert_allclose(single[1], model.forecast(cases[1], times=times), rtol=1e-12)


def test_inputs_and_parameters_between_the_steps():
    """dz/dt = -z + mu u(t), u a ramp: known in closed form."""
    t = np.arange(0, 40, 0.25)
    u = xr.DataArray(0.1 * t, dims="time", coords={"time": t}, name="u")
    mu = np.array([1.0, 2.0, 3.0])

    def truth(t, m):
        return np.exp(-t) + 0.1 * m * (t - 1 + np.exp(-t))

    cases = [
        xr.DataArray(truth(t, m)[:, None], dims=("time", "latent"), coords={"time": t}) for m in mu
    ]
    data = xr.concat(cases, "case")
    forced = [u * m for m in mu]
    model = OperatorInference("linear", time="continuous", ridge=1e-12)
    model.fit(data, inputs=[f.rename("u") for f in forced])
    asked = np.array([20.1, 20.25, 21.0, 30.2])
    found = model.forecast(cases[1][:81], times=asked, inputs=forced[1].rename("u"))
    np.testing.assert_allclose(found[:, 0], truth(asked, 2.0), atol=1e-3)


def test_a_law_of_unseen_parameters_between_the_steps():
    t, rates = 0.1 * np.arange(60), np.array([0.3, 0.5, 0.7, 0.9])
    decay = [np.exp(-r * t)[:, None] + 1 for r in rates]
    data = xr.DataArray(np.stack(decay), dims=("case", "time", "latent"), coords={"time": t})
    model = LatentGP("linear").fit(data, {"rate": rates})
    start = xr.DataArray([[2.0]], dims=("time", "latent"), coords={"time": [0.0]})
    asked = np.array([0.1, 0.15, 0.2, 1.234])
    found = model.forecast(start, times=asked, params={"rate": 0.6})
    np.testing.assert_allclose(found[:, 0], np.exp(-0.6 * asked) + 1, atol=0.02)
    steps = model.forecast(start, 2, params={"rate": 0.6})
    np.testing.assert_allclose(found[[0, 2]], steps, rtol=1e-13)
    several = model.forecast(start, times=asked, params={"rate": 0.6}, ensemble=5)
    assert float(several.std("member").max()) > 0


@pytest.mark.parametrize("unit", ["ns", "s"])
def test_dates_between_the_steps(unit):
    time = pd.date_range("2000-01-01", periods=150, freq="6h", unit=unit)
    model = DMD().fit(label(np.arange(150)).assign_coords(time=time))
    asked = np.array(["2000-02-07T07:30", "2000-02-08T00:00"], f"M8[{unit}]")
    found = model.forecast(label(np.arange(150)).assign_coords(time=time), times=asked)
    n = (asked - time.values[-1]) / np.timedelta64(6, "h")
    np.testing.assert_array_equal(found.time, asked)
    np.testing.assert_allclose(found, oscillator(149 + n), atol=1e-6)


def test_a_rollout_is_watched_at_the_whole_steps_too(monkeypatch):
    model, z = fitted("dmd"), label(np.arange(100))
    times = [float(z.time[-1]) + 0.5 * 20.5]
    inside = model.span.contains

    def contains(zn):
        assert zn.shape[1] == 21  # twenty steps, and the half
        return inside(zn)

    monkeypatch.setattr(type(model.span), "contains", lambda self, zn: contains(zn))
    assert model.forecast(z, times=times).sizes["time"] == 1


@pytest.mark.parametrize(
    "make",
    [lambda: GRU(4, context=2, updates=1), lambda: SINDy(1, time="discrete")],
)
def test_maps_refuse_times_between_their_steps(make):
    with silent():
        model = make().fit(label(np.arange(60)))
    with pytest.raises(OptionError, match=r"30\.1 lies off the grid.*romae\.Koopman\(\)"):
        model.forecast(label(np.arange(60)), times=[30.0, 30.1])


# uneven times


def uneven(n, seed=0, dense=1.0):
    rng = np.random.default_rng(seed)
    return np.concatenate([[0.0], np.cumsum(dense * rng.uniform(0.4, 1.6, n - 1))])


@pytest.mark.parametrize("method", ["optimised", "bagged"])
def test_dmd_learns_an_oscillator_from_uneven_times(method):
    z = label(uneven(200))
    model = DMD(method=method).fit(z)
    rates = np.log(model.eigenvalues) / model.dt.length
    assert np.abs(rates - (-DECAY + 1j * OMEGA) / 0.5).min() < 1e-6
    last = float(z.time[-1])
    for times in (last + np.array([0.13, 7.0, 33.3]), None):
        found = model.forecast(z, 5 if times is None else None, times=times)
        np.testing.assert_allclose(found, oscillator(found.time / 0.5), atol=1e-5)
    assert model.step_error.max() < 1e-3


def test_a_neural_ode_learns_the_same_law_from_uneven_and_from_even_times():
    errors = []
    for t in (uneven(300), np.arange(300.0)):
        with silent():
            model = NeuralODE(16, updates=150).fit(label(t))
        ahead = model.forecast(label(t), times=0.5 * (t[-1] + np.array([0.5, 7.2, 20.0])))
        truth = oscillator(ahead.time / 0.5)
        errors.append(float(np.abs(ahead - truth).max()))
    assert max(errors) < 0.1
    # taken as even, the same states would give a law of the wrong speed
    wrong = label(np.arange(300.0)).copy(data=oscillator(uneven(300)))
    with silent():
        model = NeuralODE(16, updates=150).fit(wrong)
    after = uneven(300)[-1] + np.arange(1, 21)
    assert float(np.abs(model.forecast(wrong, 20) - oscillator(after)).max()) > 0.3


def test_inputs_are_held_over_uneven_steps():
    t = uneven(120)
    u = np.sign(np.sin(0.2 * t))
    z = np.zeros((120, 1))
    for n in range(119):  # dz/dt = - z / 4 + u held
        gap = np.exp(-(t[n + 1] - t[n]) / 4)
        z[n + 1] = z[n] * gap + 4 * u[n] * (1 - gap)
    data = xr.DataArray(z, dims=("time", "latent"), coords={"time": t})
    series = xr.DataArray(u, dims="time", coords={"time": t}, name="u")
    with silent():
        model = NeuralODE(8, updates=200).fit(data, inputs=series)
    assert model.step_error.max() < 0.1


def test_a_fit_to_uneven_times_is_saved_and_starts_after_any_step(tmp_path):
    import romae

    z = label(uneven(200))
    model = DMD(method="optimised").fit(z)
    assert (model.dt.even, DMD().fit(label(np.arange(9))).dt.even) == (False, True)
    opened = romae.load(model.save(tmp_path / "m"))
    xr.testing.assert_identical(opened.forecast(z, 5), model.forecast(z, 5))
    xr.testing.assert_identical(opened.forecast(z[-1:], 5), model.forecast(z, 5))
    assert opened.dt == model.dt


def test_cases_of_different_even_steps_are_uneven_together():
    cases = [label(np.arange(0, 200.0)), label(np.arange(0, 100, 0.5))]
    with pytest.raises(DataError, match="time step"):
        DMD().fit(cases)
    with silent():
        model = NeuralODE(8, updates=20).fit(cases)
    assert not model.dt.even


@pytest.mark.filterwarnings("ignore:.*forecast alike")  # after five updates, each its start
def test_an_ensemble_learns_from_uneven_times_if_its_model_does():
    z = label(uneven(200))
    with silent():
        model = Ensemble(NeuralODE(8, updates=5), 2).fit(z)
        bagged = Ensemble(NeuralODE(8, updates=5), 2, how="bagging").fit(z)
    assert not model.dt.even
    assert np.isfinite(bagged.forecast(z, 3)).all()


@pytest.mark.parametrize(
    "make", [Persistence, DMD, Koopman, lambda: DMD(2, method="optimised"), OperatorInference]
)
def test_others_refuse_uneven_times_with_what_to_type(make):
    with pytest.raises(DataError, match=r"uneven.*romae\.resample\(z\).*romae\.NeuralODE\(\)"):
        make().fit(label(uneven(60)))


def test_a_gap_is_no_uneven_step():
    t = uneven(100)
    t[60:] += 20
    with pytest.raises(DataError, match=r"a gap of .* steps.*index 59.*cut there"):
        NeuralODE(8, updates=5).fit(label(t))
    t[60:] -= 40
    with pytest.raises(DataError, match="does not increase after index 59"):
        NeuralODE(8, updates=5).fit(label(t))
