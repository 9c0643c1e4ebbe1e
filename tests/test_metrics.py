"""Laws of the error measures, and values worked out by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from romae import metrics

numbers = st.floats(-100, 100, allow_nan=False, width=32)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def sums(truth, guess, mean, weights, groups, cuts=()):
    """Errors of ``guess``, accumulated over blocks that end at ``cuts``."""
    fluctuation = metrics.FluctuationSums(weights, mean)
    error = metrics.ErrorSums(weights, groups)
    edges = [0, *cuts, len(truth)]
    for a, b in itertools.pairwise(edges):
        fluctuation.add(truth[a:b])
        error.add(guess[a:b] - truth[a:b])
    return error, fluctuation.energy


def test_units_group_fields():
    assert metrics.unit_groups(["m/s", "Pa", "m/s", "", ""]) == ((0, 2), (1,), (3,), (4,))


def test_known_value():
    truth = np.array([1.0, -1.0, 1.0, -1.0]).reshape(4, 1, 1)
    guess = truth + 0.5
    assert metrics.relative_l2(truth, guess) == pytest.approx(0.5)
    # An offset of the truth does not matter once it is centred, and does when it is not.
    assert metrics.relative_l2(truth + 10, guess + 10, mean=np.full((1, 1), 10.0)) == pytest.approx(
        0.5
    )
    assert metrics.relative_l2(truth + 10, guess + 10) == pytest.approx(0.5 / np.sqrt(101))


def test_reference_mean_has_error_one():
    truth = random(50, 2, 7) + np.arange(7)
    mean = truth.mean(0)
    error, reference = sums(
        truth, np.broadcast_to(mean, truth.shape), mean, np.ones((2, 7)), ((0,), (1,))
    )
    np.testing.assert_allclose(error.relative_l2(reference), 1.0)


def test_weights_are_those_of_the_integral():
    """A stretched grid gives the error of the fine even grid it came from."""
    x = np.linspace(0, 1, 4001)
    fine = np.sin(2 * np.pi * x)[None, None]
    s = np.linspace(0, 1, 401) ** 2
    w = np.gradient(s) * np.where((s == 0) | (s == 1), 0.5, 1)
    stretched = np.sin(2 * np.pi * s)[None, None]
    weighted = metrics.relative_l2(stretched, stretched + s, weights=(w / w.mean())[None])
    plain = metrics.relative_l2(stretched, stretched + s)
    even = metrics.relative_l2(fine, fine + x)
    assert weighted == pytest.approx(even, rel=1e-3)
    assert abs(plain - even) > 0.1 * even


def test_masked_points_do_not_count():
    truth, guess = random(5, 2, 6), random(5, 2, 6, seed=1)
    weights = np.ones((2, 6))
    weights[:, 4:] = 0
    kept = metrics.relative_l2(truth[..., :4], guess[..., :4])
    truth[..., 4:], guess[..., 4:] = np.nan, np.inf
    assert metrics.relative_l2(truth, guess, weights=weights) == pytest.approx(kept)


def test_groups_weigh_the_same_whatever_their_units():
    truth, guess = random(20, 3, 8), random(20, 3, 8, seed=1)
    groups = metrics.unit_groups(["m/s", "m/s", "Pa"])
    scale = np.array([1, 1, 1e5])[:, None]
    plain = metrics.relative_l2(truth, guess, groups=groups)
    assert metrics.relative_l2(truth * scale, guess * scale, groups=groups) == pytest.approx(plain)
    # In one group the large numbers would drown the others.
    assert metrics.relative_l2(truth * scale, guess * scale) == pytest.approx(
        metrics.relative_l2(truth[:, 2:], guess[:, 2:]), rel=1e-6
    )


def test_fields_of_one_group_keep_their_relative_energy():
    truth = random(20, 2, 8) * np.array([10, 1])[:, None]
    guess = truth.copy()
    guess[:, 1] = 0
    small = metrics.relative_l2(truth, guess, groups=((0, 1),))
    assert small == pytest.approx(np.sqrt((truth[:, 1] ** 2).sum() / (truth**2).sum()))


def test_constant_fields_have_no_relative_error_and_do_not_count():
    truth, guess = random(10, 2, 6), random(10, 2, 6, seed=1)
    truth[:, 1] = np.float32(0.1)
    mean = np.zeros((2, 6))
    mean[1] = 0.1  # differs from the stored field by rounding only
    error, reference = sums(truth, guess, mean, np.ones((2, 6)), ((0,), (1,)))
    found = error.relative_l2(reference)
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(found[0])


def test_errors_that_are_not_finite_stay_visible():
    truth = random(4, 2, 3)
    guess = truth.copy()
    guess[1, 1, 1] = np.nan
    error, reference = sums(truth, guess, np.zeros((2, 3)), np.ones((2, 3)), ((0,), (1,)))
    found = error.relative_l2(reference)
    assert found[0] == 0
    assert np.isnan(found[1])
    assert np.isnan(found[2])


@given(arrays(np.float64, (6, 2, 5), elements=numbers), st.sets(st.integers(1, 5)))
def test_blocks_do_not_matter(guess, cuts):
    truth = random(6, 2, 5)
    args = (truth, guess, np.zeros((2, 5)), np.ones((2, 5)), ((0, 1),))
    (whole, a), (parts, b) = sums(*args), sums(*args, cuts=sorted(cuts))
    np.testing.assert_allclose(parts.relative_l2(b), whole.relative_l2(a), rtol=1e-12)
    np.testing.assert_allclose(parts.nrmse(b), whole.nrmse(a), rtol=1e-12)


@given(arrays(np.float64, (6, 2, 5), elements=numbers))
def test_mean_error_worst_are_ordered(guess):
    truth = random(6, 2, 5)
    error, reference = sums(truth, guess, np.zeros((2, 5)), np.ones((2, 5)), ((0,), (1,)))
    n, e = error.nrmse(reference), error.relative_l2(reference)
    np.testing.assert_allclose(np.sqrt((n**2).mean(0)), e)
    assert (n.mean(0) <= e * (1 + 1e-12)).all()
    assert (e <= n.max(0) * (1 + 1e-12)).all()


def test_valid_prediction_time():
    lead = np.array([0.5, 1.0, 1.5, 2.0])
    n = np.array([[0.1, 0.2, 0.9, 0.1], [0.1, 0.1, 0.1, 0.4], [0.5, 0, 0, 0], [0, np.nan, 0, 0]])
    times, censored = metrics.valid_prediction_time(n, lead, 0.4)
    np.testing.assert_array_equal(times, [1.5, 2.0, 0.5, 1.0])
    np.testing.assert_array_equal(censored, [False, True, False, False])


@given(arrays(np.float64, st.integers(1, 9), elements=numbers))
def test_quartiles_are_numpys(x):
    np.testing.assert_allclose(metrics.quartiles(x), np.quantile(x, [0.25, 0.5, 0.75]), atol=1e-12)


def test_quartiles_count_what_is_not_finite_as_large():
    assert metrics.quartiles(np.array([1.0, np.nan, 2.0, 3.0, np.inf])).tolist() == [2, 3, np.inf]
