"""Rates of dynamic modes: the best of several minima, the same whatever the rounding."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.dynamics import DMD
from romae.dynamics.rates import (
    ROWS,
    best_projection,
    constraint,
    hold_growth,
    pairs,
    partners,
    powers,
    real_product,
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


def test_neutral_growth_keeps_what_loses_less_than_half_over_the_data():
    n = 50
    rates = np.log([1.02, 1.0, 0.51 ** (1 / n), 0.49 ** (1 / n)]) + 0.3j
    found, kept = hold_growth(rates, "neutral", n)
    np.testing.assert_array_equal(kept, [0, 1, 2])
    np.testing.assert_array_equal(found, [0.3j] * 3)
    found, kept = hold_growth(rates, "stable", n)
    np.testing.assert_array_equal(found, [0.3j, 0.3j, *rates[2:]])
    np.testing.assert_array_equal(kept, range(4))
    np.testing.assert_array_equal(hold_growth(rates, "free", n)[0], rates)


@given(st.integers(0, 10**6), st.integers(1, 3), st.sampled_from(["stable", "neutral", "free"]))
@settings(max_examples=30, deadline=None)
def test_rates_that_move_stay_conjugate_with_one_of_the_constant(seed, many, growth):
    rng = np.random.default_rng(seed)
    wave = rng.normal(size=many) + 1j * rng.uniform(0.5, 2, many)
    start = rng.permutation([0.0, *wave, *wave.conj()])
    hold = constraint(start, growth)
    moved = start + 1e-3 * (rng.normal(size=len(start)) + 1j * rng.normal(size=len(start)))
    held = hold(moved)
    np.testing.assert_array_equal(held, held[partners(start)].conj())
    assert held[start == 0] == 0
    limit = {"stable": held.real <= 0, "neutral": held.real == 0, "free": True}[growth]
    assert np.all(limit)
    np.testing.assert_array_equal(hold(held), held)
    if growth == "free":
        np.testing.assert_allclose(held, moved, atol=1e-2)


def test_a_rate_whose_conjugate_has_a_nearer_one_is_its_own():
    rates = np.array([0, 1j, -1j, -1.2j])
    np.testing.assert_array_equal(partners(rates), [0, 2, 1, 3])


@given(
    st.lists(st.integers(0, 5 * ROWS) | st.floats(0, 3 * ROWS), min_size=1, max_size=9),
    st.integers(0, 10**6),
)
@settings(max_examples=40, deadline=None)
def test_powers_by_tables_are_powers_and_each_of_its_own_time_alone(times, seed):
    rng = np.random.default_rng(seed)
    values = np.exp(0.01 * rng.normal(size=4) + 1j * rng.uniform(-3, 3, 4))
    t = np.array(times, float)
    found = powers(values, t)
    np.testing.assert_allclose(found, np.exp(np.outer(t, np.log(values))), rtol=1e-10)
    for i in range(len(t)):
        np.testing.assert_array_equal(powers(values, t[i : i + 1])[0], found[i])


@given(st.integers(1, 3 * ROWS), st.integers(1, 5), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_rows_of_a_real_product_do_not_depend_on_how_many_there_are(n, r, k, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=s) + 1j * rng.normal(size=s) for s in ((n, r), (r, k)))
    found = real_product(a, b)
    np.testing.assert_allclose(found, (a @ b).real, atol=1e-12)
    for m in {1, (n + 1) // 2}:
        np.testing.assert_array_equal(real_product(a[:m], b), found[:m])


def test_modes_that_are_no_pairs_stand_for_themselves():
    values = np.array([0.9 + 0.1j, 0.9 - 0.1j, 1.0])
    modes = np.array([[1 + 2j, 1 - 2j, 3]])
    np.testing.assert_array_equal(pairs(values, modes)[0], [0, 2])
    np.testing.assert_array_equal(pairs(values, modes + np.array([1e-12, 0, 0]))[0], [0, 1, 2])


def test_rates_that_overflow_fit_nothing():
    n = np.arange(2000.0)
    H = np.cos(0.2 * n)[:, None]
    assert residual(H, n, np.array([0.5 + 0.2j, 0.5 - 0.2j])) == np.inf
    assert residual(H, n, np.array([0.2j, -0.2j])) < 1e-8


def test_a_fit_that_ends_in_no_numbers_leaves_the_start(monkeypatch):
    pydmd = pytest.importorskip("pydmd")

    class Lost:
        def __init__(self, **options):
            pass

        def fit(self, *data):
            self.eigs = np.array([0, np.nan])
            return self

    monkeypatch.setattr(pydmd, "BOPDMD", Lost)
    n, rates = np.arange(9.0), np.array([0, -0.1 + 0j])
    hold = constraint(rates, "free")
    np.testing.assert_array_equal(variable_projection(n[:, None], n, rates, hold), rates)
