"""Latents that depend on each other, and too few snapshots for any law: refused by name."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.dynamics import (
    DMD,
    EchoState,
    Ensemble,
    Koopman,
    LatentGP,
    OperatorInference,
    Persistence,
    PolynomialMap,
    SINDy,
)
from romae.dynamics.singular import own_parts
from romae.errors import DataError
from romae.progress import silent

REGRESSED = {
    "dmd": DMD,
    "dmd-delays": lambda: DMD(4),
    "koopman": Koopman,
    "opinf": OperatorInference,
    "opinf-continuous": lambda: OperatorInference(time="continuous"),
    "sindy": SINDy,
    "polynomial": lambda: PolynomialMap(2, ridge=1e-6, noise=0.0),
    "bagged": lambda: Ensemble("DMD", 3, how="bagging"),
}
every = pytest.mark.parametrize("kind", REGRESSED)


def oscillator(steps, *rest):
    """cos and 2 sin + 4, and further columns made of them."""
    n = np.arange(steps)
    a, b = np.cos(0.15 * n), 2 * np.sin(0.15 * n) + 4
    values = np.stack([a, b, *(f(a, b) for f in rest)], axis=1)
    return xr.DataArray(values, dims=("time", "latent"), coords={"time": 0.5 * n})


def copied(a, b):
    return -3 * a + 7


def mixed(a, b):
    return a + 2 * b


@every
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rest", [(copied,), (mixed,), (copied, mixed)])
def test_a_dependent_latent_is_named_and_what_is_typed_then_works(kind, dtype, rest):
    z = oscillator(120, *rest).astype(dtype)
    gone = list(range(2, 2 + len(rest)))
    with pytest.raises(DataError, match="copies or linear combinations") as error:
        REGRESSED[kind]().fit(z)
    text = str(error.value)
    assert f"those at {gone} are" in text
    assert "z.isel(latent=[0, 1])" in text
    assert "latent=2" in text
    with silent():
        model = REGRESSED[kind]().fit(z.isel(latent=[0, 1]))
    assert np.isfinite(model.forecast(z.isel(latent=[0, 1]), 20)).all()


@every
def test_latents_at_rest_delays_and_small_latents_are_no_dependence(kind):
    rest = [
        lambda a, b: 0 * a + 5,
        lambda a, b: 0 * a,
        lambda a, b: 1e-6 * np.cos(2 * np.arccos(a)),
    ]
    with silent():
        model = REGRESSED[kind]().fit(oscillator(150, *rest))
    assert model.latent == 5


def test_a_rank_below_that_of_the_latents_asks_for_no_more():
    z = oscillator(120, mixed)
    n, truth = 120, oscillator(160, mixed)[120:]
    for model in (DMD(rank=3), Koopman(1, degree=1, rank=3)):
        np.testing.assert_allclose(model.fit(z).forecast(z, 40), truth, atol=1e-6 * n)
    with pytest.raises(DataError, match="copies or linear"):
        DMD(rank=4).fit(z)


def test_what_does_not_regress_takes_them():
    z = oscillator(300, mixed)
    Persistence().fit(z)
    with silent():
        EchoState(60, radius=0.5, input_scale=0.3, leak=1.0, noise=1e-3, ridge=1e-6).fit(z)


def test_a_family_of_cases_is_looked_at_together():
    cases = [oscillator(40 + i, copied) * (1 + i) for i in range(4)]
    with pytest.raises(DataError, match=r"those at \[2\] are"):
        LatentGP("linear").fit([z * 1.0 for z in map(_same, cases)], params=np.arange(4.0)[:, None])


def _same(z):
    """The third latent again a copy of the first, in every case the same one."""
    z = z.copy()
    z[:, 2] = 2 * z[:, 0]
    return z


@every
def test_too_few_snapshots_say_how_many_are_there_and_needed(kind):
    model = REGRESSED[kind]()
    context = model.context
    z = oscillator(60, lambda a, b: a**2, lambda a, b: a**3, lambda a, b: a * b)
    needed = 5 + 1 + context
    with pytest.raises(DataError) as error:
        model.fit(z[: needed - 1])
    text = str(error.value)
    assert f"{needed - 1} snapshots give 5 pairs" in text
    assert "has 6 unknowns" in text
    assert f"at least {needed} snapshots" in text
    assert "isel(latent=slice(4))" in text
    if kind not in ("bagged", "sindy", "opinf-continuous"):
        with silent():
            REGRESSED[kind]().fit(z[:needed])


def test_two_snapshots_of_one_latent_are_for_persistence():
    with pytest.raises(DataError, match=r"2 snapshots give 1 pair of .*romae\.Persistence\(\)"):
        DMD().fit(oscillator(2)[:, :1])


@given(st.integers(1, 8), st.integers(0, 7), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_the_rank_found_is_that_of_the_data(k, extra, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(60, k))
    z = np.concatenate([z, z @ rng.normal(size=(k, extra))], axis=1)
    z = (z - z.mean(0)) / z.std(0)
    order = rng.permutation(k + extra)
    own = own_parts(z[:, order], np.full(k + extra, 1e-9))
    assert int((own > 1e-9).sum()) == k == np.linalg.matrix_rank(z - z.mean(0), tol=1e-6)
    kept = z[:, order][:, own > 1e-9]
    np.testing.assert_allclose(kept @ np.linalg.lstsq(kept, z, rcond=None)[0], z, atol=1e-6)
