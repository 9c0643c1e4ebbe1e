"""Rates of dynamic modes: the best of several minima, the same whatever the rounding."""

import numpy as np
import pytest
import xarray as xr

from romae.dynamics import DMD
from romae.dynamics.rates import (
    best_projection,
    constraint,
    pairs,
    residual,
    starts,
    variable_projection,
)
from romae.errors import TrainingError


def noisy_oscillator(noise, steps=400, start=0):
    n = start + np.arange(steps)
    z = np.stack([np.cos(0.15 * n), 2 * np.sin(0.15 * n) + 4], axis=1)
    z = z + noise * np.random.default_rng(start).normal(size=z.shape)
    time = ("time", 0.5 * n, {"units": "s"})
    return xr.DataArray(z, dims=("time", "latent"), coords={"time": time})


def lasting(model):
    """The mode of largest size that is not the mean."""
    table = model.spectrum()
    return table.isel(mode=table.frequency > 0).isel(mode=0)


@pytest.mark.slow
def test_optimised_dmd_ends_in_one_minimum_whatever_the_rounding():
    """From the exact rates alone, sums in another order end in growths of 0 or -0.003."""
    threadpool_limits = pytest.importorskip("threadpoolctl").threadpool_limits
    z = noisy_oscillator(0.3)
    rng = np.random.default_rng(0)
    found = []
    for threads in (1, 2):
        moved = z * (1 + 1e-13 * rng.standard_normal(z.shape))
        with threadpool_limits(threads, user_api="blas"):
            found.append(lasting(DMD(4, method="optimised").fit(moved)).growth.item())
    assert np.ptp(found) < 1e-8


@pytest.mark.parametrize("r", [3, 4, 5])
def test_the_projection_kept_is_the_best_of_its_starts(r):
    n = np.arange(200.0)
    waves = [np.cos(0.2 * n), np.sin(0.2 * n), 0.4 * np.cos(0.61 * n + 1)] * 2
    H = np.stack(waves, axis=1) + 0.1 * np.random.default_rng(r).normal(size=(200, 6))
    damped = np.array([0, -0.3, -0.1 + 1j, -0.1 - 1j, -0.1 + 2j, -0.1 - 2j])
    damped = damped[[0, *range(1 + r % 2, r + r % 2)]]
    assert [len(start) for start in starts(H, n, damped)] == [r] * 3
    best = best_projection(H, n, damped, "stable")
    for start in starts(H, n, damped):
        alone = variable_projection(H, n, start, constraint(start, "stable"))
        assert residual(H, n, best) <= residual(H, n, alone) * (1 + 1e-8)
    assert np.abs(best - 0.2j).min() < 2e-3  # which those that are damped do not lead to
    uneven = n + 0.1 * np.sin(n)
    assert [len(start) for start in starts(H, uneven, damped)] == [r] * 2


def test_a_start_that_fails_leaves_the_others(monkeypatch):
    n = np.arange(100.0)
    H = np.stack([np.cos(0.2 * n), np.sin(0.2 * n)], axis=1)
    rates = np.array([0, -0.01 + 0.2j, -0.01 - 0.2j])
    met = []

    def fails(H, times, start, hold):
        met.append(start)
        if len(met) != 2:
            raise TrainingError("numbers that are not finite")
        return start

    monkeypatch.setattr("romae.dynamics.rates.variable_projection", fails)
    np.testing.assert_array_equal(best_projection(H, n, rates, "stable"), 1j * rates.imag)
    with pytest.raises(TrainingError, match="not finite"):
        best_projection(H, n, rates, "stable")


def test_half_of_a_pair_gives_the_forecast_of_both():
    n = np.arange(120.0)
    z = np.stack([np.cos(0.3 * n), np.sin(0.3 * n), 0.99**n * np.cos(0.8 * n)], axis=1)
    model = DMD(3).fit(xr.DataArray(z, dims=("time", "latent"), coords={"time": n}))
    values, modes = model.eigenvalues, model.modes
    one, other = pairs(values, modes)
    assert len(one) < len(values)
    np.testing.assert_array_equal(np.sort(np.union1d(one, other)), np.arange(len(values)))
    np.testing.assert_array_equal(values[other], values[one].conj())
    start = model.span.normalise(z[None, -3:])
    found = model._rollout(start, 150)
    b = model._inverse(values) @ np.concatenate([start[0], np.ones((3, 1))], axis=1).reshape(-1)
    whole = (values ** (np.arange(1, 151)[:, None] + 2) * b) @ modes[:-1].T
    np.testing.assert_allclose(found[0], whole.real, atol=1e-9)
    moved = values + 1e-12j * (values.imag > 0)  # no pairs, bit by bit: each stands for itself
    np.testing.assert_array_equal(pairs(moved, modes)[0], np.arange(len(values)))
    assert np.array_equal(*pairs(moved, modes))
