"""Quadratic manifolds: never worse than POD, what they find, what they store."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae import POD, QuadraticManifold, compare, open_snapshots
from romae.errors import OptionError
from romae.linalg.quadratic import quadratics
from romae.progress import silent


def error(model, data) -> float:
    return float(compare([model], data, rates="skip", on_leak="flag").error.sel(field="all")[-1])


@given(
    seed=st.integers(0, 999),
    k=st.integers(1, 5),
    T=st.integers(10, 40),
    columns=st.sampled_from(["greedy", "leading"]),
    ridge=st.sampled_from([None, 1e-9, 1e-2]),
)
@settings(deadline=None, max_examples=25)
def test_training_data_are_restored_no_worse_than_by_pod(seed, k, T, columns, ridge):
    """Noise has nothing quadratic to find: here a greedy choice of modes alone would lose."""
    u = np.random.default_rng(seed).standard_normal((T, 12)) * 0.8 ** np.arange(12)
    data = xr.Dataset({"u": (("time", "x"), u)}, {"time": np.arange(T) * 1.0})
    with silent():
        manifold = QuadraticManifold(k, columns=columns, ridge=ridge).fit(data)
        pod = POD(k).fit(data)
        assert error(manifold, data) <= error(pod, data) * (1 + 1e-5)


def harmonic(T: int = 200) -> xr.Dataset:
    """A wave of period 20 with its second harmonic: two latents hold it, POD needs four."""
    t, x = 2 * np.pi * np.arange(T)[:, None] / 20, 2 * np.pi * np.arange(32) / 32
    u = np.cos(x - t) + 0.3 * np.cos(2 * (x - t))
    u += 1e-5 * np.random.default_rng(0).standard_normal(u.shape)
    return xr.Dataset({"u": (("time", "x"), u)}, {"time": np.arange(T) * 1.0})


def test_products_give_the_harmonic_on_unseen_snapshots():
    train, test = open_snapshots(harmonic()).split(0.7, 0.3)
    manifold, pod = QuadraticManifold(2).fit(train), POD(2).fit(train)
    assert error(manifold, test) < 1e-3 < 0.1 < error(pod, test)
    assert manifold.chosen == [0, 1]
    assert manifold.nbytes < 3 * POD(4).fit(train).nbytes
    np.testing.assert_allclose(manifold.encode(test), pod.encode(test), rtol=1e-5, atol=1e-6)


def test_greedy_skips_a_mode_that_products_give():
    """a_1 is a product of a_0, and weak a_2 is not: greedy takes (0, 2), POD's order is (0, 1)."""
    a, b = (v.ravel() for v in np.meshgrid(np.linspace(-1, 1, 15), np.linspace(-1, 1, 20)))
    u = np.stack([3 * a, 2 * a**2, 0.3 * b, 0.05 * a * b], axis=1)
    data = xr.Dataset({"u": (("time", "x"), u)}, {"time": np.arange(300) * 1.0})
    greedy, leading = (QuadraticManifold(2, columns=c).fit(data) for c in ("greedy", "leading"))
    assert greedy.chosen == [0, 2]
    assert leading.chosen == [0, 1]
    assert error(greedy, data) < 0.3 * error(leading, data)


def test_decode_is_the_formula():
    data = harmonic(60)
    manifold = QuadraticManifold(3).fit(data)
    z = manifold.encode(data).values.astype(float)
    m = manifold.module
    h = quadratics(z) - m.mean.numpy()
    rest = h @ m.coefficients.numpy() @ m.further.modes.numpy()
    expected = manifold.scaling.inverse((z @ m.basis.modes.numpy() + rest)[:, None])[:, 0]
    np.testing.assert_allclose(manifold.reconstruct(data).u, expected, atol=1e-5)
    every = np.concatenate([m.basis.modes, m.further.modes])
    np.testing.assert_allclose(every @ every.T, np.eye(len(every)), atol=1e-5)


def test_what_the_data_do_not_support_is_not_used():
    """White noise: on held-out snapshots POD is best, and nothing else is stored."""
    u = np.random.default_rng(3).standard_normal((60, 8))
    data = xr.Dataset({"u": (("time", "x"), u)}, {"time": np.arange(60) * 1.0})
    manifold = QuadraticManifold(3, columns="leading").fit(data)
    assert manifold.chosen_ridge is None or manifold.chosen_ridge >= 1
    assert error(manifold, data) <= error(POD(3).fit(data), data) * (1 + 1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": "greddy"}, "Did you mean 'greedy'"),
        ({"ridge": 0.0}, "ridge is 0.0. Expected a positive"),
        ({"candidates": 2}, "4 or more"),
        ({"modes": 3}, "4 or more"),
        ({"scale": "unit"}, "'units'"),
    ],
)
def test_wrong_use(options, words):
    with pytest.raises(OptionError, match=words):
        QuadraticManifold(4, **options)
