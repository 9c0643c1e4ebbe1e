"""The closed form solves the Burgers equation; checked by complex steps, not by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from romae.cases.burgers import Burgers, velocity

H = 1e-30  # complex step: derivatives to rounding


def derivative_x(x, t, re):
    return np.imag(velocity(x + 1j * H, t, re)) / H


@given(
    re=st.floats(50, 2450),
    t=st.floats(0.0, 2.0),
    seed=st.integers(0, 2**32 - 1),
)
def test_solves_the_equation(re, t, seed):
    x = np.random.default_rng(seed).uniform(0.01, 0.99, 200)
    t = np.array(t)
    u, u_x = velocity(x, t, re), derivative_x(x, t, re)
    u_t = np.imag(velocity(x, t + 1j * H, re)) / H
    h = 1e-3 / np.sqrt(re)  # far below the width of the front, fourth-order difference
    u_xx = (
        8 * (derivative_x(x + h, t, re) - derivative_x(x - h, t, re))
        - (derivative_x(x + 2 * h, t, re) - derivative_x(x - 2 * h, t, re))
    ) / (12 * h)
    scale = np.abs(u_t).max() + np.abs(u * u_x).max()
    np.testing.assert_allclose(u_t + u * u_x - u_xx / re, 0, atol=1e-6 * scale)


def test_matches_the_published_formula():
    x, t, re = np.linspace(0, 1, 50), np.array(0.7), 300.0
    published = (
        x / (t + 1) / (1 + np.sqrt((t + 1) / np.exp(re / 8)) * np.exp(re * x**2 / (4 * t + 4)))
    )
    np.testing.assert_allclose(velocity(x, t, re), published, rtol=1e-12)


def test_boundaries_and_both_sides_of_the_front():
    t = np.linspace(0, 2, 40)
    for re in (50.0, 1000.0, 1e6):  # the published form overflows at the last
        assert np.all(velocity(np.array(0.0), t, re) == 0)
        assert np.all(velocity(np.array(1.0), t, re) < 0.06)
        front = np.sqrt((t + 1) / 4)  # where Re x^2 / (4 t + 4) = Re / 16, for large Re
        behind = velocity(front / 2, t, re)
        if re > 100:
            np.testing.assert_allclose(behind, front / 2 / (t + 1), rtol=1e-10)


def test_file_order_is_that_of_the_reynolds_numbers():
    case = Burgers(reynolds=(200.0, 50.0), points=16, snapshots=5)
    low = [np.concatenate([*blocks]) for blocks in case.trajectories()][1]
    x, t = np.linspace(0, 1, 16), np.linspace(0, 2, 5)
    np.testing.assert_array_equal(low[:, 0], velocity(x, t[:, None], 50.0).astype(np.float32))
    assert case.parameters()["Re"].values.tolist() == [200.0, 50.0]


def test_pod_error_of_the_published_setup():
    """k = 2, Frobenius over all test trajectories, over ||u||: 28 %, centred basis 21.5 %."""
    train, test = (
        np.concatenate([np.concatenate([*b])[:, 0] for b in Burgers(re).trajectories()])
        for re in (tuple(range(100, 2000, 100)), tuple(range(50, 2500, 200)))
    )
    for mean, known in ((0, 0.28), (train.mean(0, dtype=float), 0.215)):
        A, B = train.astype(float) - mean, test.astype(float) - mean
        U = np.linalg.eigh(A.T @ A)[1][:, -2:]
        error = np.linalg.norm(B - B @ U @ U.T) / np.linalg.norm(test)
        assert error == pytest.approx(known, abs=5e-3)
