"""Ensemble Kalman updates: the Kalman filter where it holds, and errors that shrink elsewhere."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae import DMD, POD, OperatorInference, Perturbed, ReducedModel
from romae.assimilation import assimilate, etkf, follow
from romae.errors import DataError, OptionError


def waves(T=200, start=0, n=24, shift=0.0):
    """Two waves of other speed and size: four modes that DMD continues exactly."""
    t, x = 0.1 * (start + np.arange(T)), 2 * np.pi * np.arange(n) / n
    u = np.cos(x - 2 * t[:, None] - shift) + 0.4 * np.sin(2 * x - 3.1 * t[:, None] + 2 * shift) + 2
    coords = {"time": ("time", t, {"units": "s"}), "x": ("x", x, {"units": "m", "periodic": 1})}
    return xr.Dataset({"u": (("time", "x"), u, {"units": "m/s"})}, coords)


@pytest.fixture(scope="module")
def model():
    return ReducedModel(POD(4), DMD()).fit(waves(), validation=waves(100, start=200))


def kalman(mean, P, H, y, R):
    K = P @ H.T @ np.linalg.inv(H @ P @ H.T + np.diag(R))
    return mean + K @ (y - H @ mean), (np.eye(len(P)) - K @ H) @ P


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 6), st.floats(1.0, 3.0))
def test_a_linear_update_is_that_of_the_kalman_filter(seed, k, m, inflation):
    rng = np.random.default_rng(seed)
    Z, H = rng.normal(size=(12, k)) @ rng.normal(size=(k, k)), rng.normal(size=(m, k))
    y, R = rng.normal(size=m), rng.uniform(0.1, 2, m)
    P = inflation * np.atleast_2d(np.cov(Z.T))
    mean, after = kalman(Z.mean(0), P, H, y, R)
    found = etkf(Z, Z @ H.T, y, R, inflation=inflation)
    np.testing.assert_allclose(found.mean(0), mean, atol=1e-8 * (1 + np.abs(mean).max()))
    np.testing.assert_allclose(np.atleast_2d(np.cov(found.T)), after, atol=1e-8 * np.abs(P).max())


def test_more_members_come_nearer_to_the_exact_filter():
    rng, H = np.random.default_rng(0), np.array([[1.0, 0.5, 0.0]])
    P = np.diag([1.0, 0.5, 0.2])
    exact = kalman(np.zeros(3), P, H, np.array([1.0]), np.array([0.3]))
    errors = []
    for N in (10, 1000):
        Z = rng.normal(size=(N, 3)) * np.sqrt(np.diag(P))
        found = etkf(Z, Z @ H.T, np.array([1.0]), np.array([0.3]))
        errors.append(
            np.abs(found.mean(0) - exact[0]).max() + np.abs(np.cov(found.T) - exact[1]).max()
        )
    assert errors[1] < 0.3 * errors[0]
    assert errors[1] < 0.1


def test_a_whole_window_is_corrected_alike():
    """Times before an observation get what their covariance with it allows."""
    rng = np.random.default_rng(1)
    last = rng.normal(size=(30, 2))
    window = np.stack([0.5 * last, last], axis=1)
    found = etkf(window, last, np.array([1.0, -1.0]), np.array([0.1, 0.1]))
    np.testing.assert_allclose(found[:, 0], 0.5 * found[:, 1], atol=1e-12)


def sensors(fields, at, noise=0.0, seed=0):
    chosen = fields.u.isel(x=at).rename(x="sensor").drop_vars("sensor")
    chosen = chosen + noise * np.random.default_rng(seed).normal(size=chosen.shape)
    return chosen.to_dataset(name="u").assign_coords(x=("sensor", fields.x.values[at]))


@pytest.mark.parametrize("whole", [False, True])
def test_a_wrong_forecast_is_corrected(model, whole):
    truth = waves(30, start=200)
    wrong = model.forecast_latents(waves(200, shift=0.7), 10, ensemble=40, seed=1)
    spread = np.random.default_rng(3).normal(size=(40, 1, 4)) * model.dynamics.span.scale
    wrong = wrong + 0.7 * spread.astype(np.float32)  # as unsure as it is wrong
    seen = truth.isel(time=[9]) if whole else sensors(truth.isel(time=[9]), [2, 9, 15, 20])
    right = assimilate(model, wrong, seen, noise=0.05)
    assert right.dims == wrong.dims
    before, after = (
        np.abs(model.decode(z.mean("member")).u[-1] - truth.u[9]).max() for z in (wrong, right)
    )
    assert float(after) < 0.15 < 0.5 < float(before)
    assert float(right[:, -1].std("member").mean()) < 0.3 * float(wrong[:, -1].std("member").mean())


def test_following_sensors_ends_nearer_than_the_forecast_alone(model):
    truth = waves(60, start=200)
    history = waves(5, start=195, shift=0.15)  # a wrong start
    at = np.arange(5, 60, 6)
    found = follow(
        model,
        history,
        sensors(truth.isel(time=at), [3, 11], 0.02),
        noise=0.1,
        members=Perturbed(30, 0.2, "spread"),
        inflation=1.2,
    )
    assert found.dims == ("member", "time", "latent")
    np.testing.assert_allclose(found.time, truth.time[: at[-1] + 1], rtol=1e-12)
    alone = model.forecast(history, len(found.time))
    error = [
        float(np.sqrt(((u[-6:] - truth.u[: len(found.time)][-6:]) ** 2).mean()))
        for u in (model.decode(found.mean("member")).u, alone.u)
    ]
    assert error[0] < 0.5 * error[1]
    on = model.dynamics.forecast(found, 4)
    assert on.sizes == {"member": 30, "time": 4, "latent": 4}


def test_a_sensor_without_a_number_tells_nothing(model):
    ensemble = model.forecast_latents(waves(), 3, ensemble=10)
    seen = sensors(waves(1, start=202), [1, 5, 9])
    torn = seen.copy(deep=True)
    torn.u[0, 1] = np.nan
    fewer = assimilate(model, ensemble, seen.isel(sensor=[0, 2]), noise=0.1)
    xr.testing.assert_allclose(assimilate(model, ensemble, torn, noise=0.1), fewer)
    with pytest.raises(DataError, match="all observations are NaN"):
        assimilate(model, ensemble, seen * np.nan, noise=0.1)


def test_what_cannot_be_observed(model):
    ensemble = model.forecast_latents(waves(), 3, ensemble=10)
    seen = sensors(waves(1, start=202), [1, 5])
    for change, words in [
        (lambda s: s.rename(u="v"), r"Expected some of the fields u, at coordinates x"),
        (lambda s: s.drop_vars("x"), "at coordinates x"),
        (lambda s: s.assign_coords(x=("sensor", [1.0, 50.0])), "x = 50 lies outside the grid"),
        (lambda s: s.assign_coords(time=[99.0]), "an observation at 99.0 is at no time of"),
    ]:
        with pytest.raises(DataError, match=words):
            assimilate(model, ensemble, change(seen), noise=0.1)
    with pytest.raises(OptionError, match="noise of u is 0"):
        assimilate(model, ensemble, seen, noise=0)
    with pytest.raises(OptionError, match="noise of u is None"):
        assimilate(model, ensemble, seen, noise={"p": 1.0})
    with pytest.raises(OptionError, match=r"inflation is 0\.5"):
        assimilate(model, ensemble, seen, noise=1, inflation=0.5)
    with pytest.raises(DataError, match=r"got \('time', 'latent'\)"):
        assimilate(model, ensemble[0], seen, noise=1)


def test_sensors_of_one_field_and_a_case_with_its_parameter():
    """A DataArray will do; parameters come with the history, and units are looked at."""
    omega = [1.0, 1.5, 2.0, 2.5]
    t = 0.1 * np.arange(80)
    family = xr.concat([waves(80).assign_coords(omega=w) for w in omega], "case")
    for i, w in enumerate(omega):
        family.u[i] = np.cos(family.x.values - w * t[:, None])
    rom = ReducedModel(POD(2), OperatorInference("linear")).fit(family.isel(time=slice(60)))
    truth = family.isel(case=2, time=slice(60, None))
    at = xr.DataArray([3, 11, 20], dims="sensor")
    seen = truth.u.isel(x=at, time=slice(4, 20, 5))
    options = {"noise": 0.05, "members": Perturbed(20, 0.3, of="spread")}
    found = []
    for history in (family.isel(case=[2]), family.isel(case=2)):
        found.append(follow(rom, history.isel(time=slice(60)), seen, **options))
    xr.testing.assert_allclose(found[0].drop_vars("omega", errors="ignore"), found[1])
    error = rom.decode(found[1].mean("member")).u - truth.u[: found[1].sizes["time"]]
    assert float(np.abs(error[-1]).max()) < 0.1
    z = rom.forecast_latents(family.isel(case=2, time=slice(60)), 5, ensemble=9)
    with pytest.raises(DataError, match=r"'u' are in 'cm/s', the field is in 'm/s'.*convert"):
        assimilate(rom, z, seen[:1].assign_attrs(units="cm/s"), noise=0.1)
    with pytest.raises(DataError, match=r"without a name.*rename\('u'\)"):
        assimilate(rom, z, seen[:1].rename(None), noise=0.1)
    with pytest.raises(DataError, match="the history has 4 cases"):
        follow(rom, family.isel(time=slice(60)), seen, noise=0.1)


def test_following_from_an_uneven_history_on_the_step_of_the_model(model):
    truth = waves(60, start=200)
    late = waves(40, start=160)
    uneven = late.isel(time=[i for i in range(40) if i not in (34, 38)])
    seen = sensors(truth.isel(time=[5, 11]), [3, 11], 0.02)
    with pytest.raises(DataError, match="resample=True"):
        follow(model, uneven, seen, noise=0.1)
    found = follow(model, uneven, seen, noise=0.1, resample=True)
    expected = follow(model, late, seen, noise=0.1)
    np.testing.assert_allclose(found.time, expected.time, rtol=1e-9)
    apart = np.abs(found.mean("member") - expected.mean("member")).max()
    assert float(apart) < 0.2 * float(expected.std())
