"""Quadratic least squares against numpy's own, and the greedy choice against trying everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.linalg.quadratic import fit_quadratics, greedy_columns, quadratics

sizes = {"seed": st.integers(0, 99), "k": st.integers(1, 4), "T": st.integers(12, 60)}


def coordinates(seed: int, T: int = 40, m: int = 7) -> np.ndarray:
    """Rows of falling magnitude, of mean zero, whose last columns are products of others."""
    A = np.random.default_rng(seed).standard_normal((T, m)) * 0.6 ** np.arange(m)
    A[:, -1], A[:, -2] = A[:, 1] * A[:, 3], A[:, 0] ** 2 - A[:, 2] ** 2
    return A - A.mean(0)


def minimum(A: np.ndarray, columns: tuple[int, ...], ridge: float) -> tuple[np.ndarray, float]:
    """V and the least value of the objective, by numpy's least squares on the augmented system."""
    z = A[:, list(columns)]
    F = quadratics(z / z.std(0))
    F = F - F.mean(0)
    rest = A.copy()
    rest[:, list(columns)] = 0
    p = F.shape[1]
    rows = np.concatenate([F, np.sqrt(ridge * len(A)) * np.eye(p)])
    target = np.concatenate([rest, np.zeros((p, A.shape[1]))])
    V = np.linalg.lstsq(rows, target, rcond=None)[0]
    return V / quadratics(z.std(0)[None])[0][:, None], np.square(rows @ V - target).sum()


@given(**sizes, ridge=st.sampled_from([1e-8, 1e-3, 1.0]))
@settings(deadline=None, max_examples=40)
def test_coefficients_are_those_of_least_squares(seed, k, T, ridge):
    A = coordinates(seed, T)
    columns = tuple(np.random.default_rng(seed).permutation(7)[:k])
    (fit,) = fit_quadratics(A, columns, [ridge])
    V, _ = minimum(A, columns, ridge)
    np.testing.assert_allclose(fit.coefficients, V, atol=1e-6 * abs(V).max())
    assert not fit.coefficients[:, list(columns)].any()


@given(**sizes)
@settings(deadline=None, max_examples=20)
def test_coefficients_do_not_depend_on_the_blocks(seed, k, T):
    A = coordinates(seed, T)
    (whole,) = fit_quadratics(A, range(k), [1e-2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("romae.linalg.quadratic.CHUNK", 5 * k)
        (parts,) = fit_quadratics(A, range(k), [1e-2])
        assert np.isclose(parts.lost(A), whole.lost(A), rtol=1e-4)
    np.testing.assert_allclose(parts.coefficients, whole.coefficients, atol=1e-9)


@given(seed=st.integers(0, 99), k=st.integers(1, 4), ridge=st.sampled_from([1e-8, 1e-3, 1.0]))
@settings(deadline=None, max_examples=40)
def test_each_greedy_step_takes_the_best_column(seed, k, ridge):
    A = coordinates(seed)
    chosen = greedy_columns(A, k, ridge, 6)
    for step in range(k):
        before = chosen[:step]
        values = {i: minimum(A, (*before, i), ridge)[1] for i in set(range(6)) - set(before)}
        assert values[chosen[step]] <= min(values.values()) * (1 + 1e-6) + 1e-12


def test_a_manifold_that_is_quadratic_is_found_exactly():
    rng = np.random.default_rng(0)
    z = rng.standard_normal((80, 3))
    z -= z.mean(0)
    A = np.concatenate([z, quadratics(z) @ rng.standard_normal((9, 5))], axis=1)
    A -= A.mean(0)
    exact, none = fit_quadratics(A, range(3), [1e-14, np.inf])
    np.testing.assert_allclose(exact.restore(A), A, atol=1e-9)
    assert exact.lost(A) < 1e-10 * none.lost(A)
    assert not none.coefficients.any()


@given(seed=st.integers(0, 99), k=st.integers(1, 4))
@settings(deadline=None, max_examples=20)
def test_the_fit_does_not_depend_on_the_origin(seed, k):
    A = coordinates(seed)
    moved = A.copy()
    moved[:, :k] += 3 * np.random.default_rng(seed).standard_normal(k) * A[:, :k].std(0)
    here, there = (fit_quadratics(B, range(k), [1e-12])[0] for B in (A, moved))
    np.testing.assert_allclose(there.restore(moved)[:, k:], here.restore(A)[:, k:], atol=1e-5)
