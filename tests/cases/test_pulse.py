"""The pulse only moves; and it is as hard for POD as published."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from romae.cases import get_case
from romae.cases.pulse import Pulse


def states(case: Pulse) -> np.ndarray:
    return np.concatenate([*next(case.trajectories())])[:, 0]


@given(m=st.integers(0, 200), start=st.floats(-0.5, 0.5))
def test_translation(m, start):
    """s(x + c d, t + d) = s(x, t) for a shift of m grid points."""
    case = Pulse(points=257, snapshots=33, end=0.1, speed=10.0, start=start, width=1e-2)
    x, t, dt = np.linspace(0, 1, 257), np.array(0.01), m / 256 / case.speed
    moved = case.state(x + m / 256, t + dt)
    np.testing.assert_allclose(moved, case.state(x, t), rtol=1e-9, atol=1e-12)


def test_rows_of_the_file_are_shifted_copies():
    case = Pulse(points=257, snapshots=257, end=0.1, speed=10.0, start=0.2, width=1e-3)
    s = states(case)  # one grid point a step
    np.testing.assert_allclose(s[100, 100:], s[0, :-100], atol=1e-5)
    assert s[0].argmax() == 51
    assert s[100].argmax() == 151


def test_unit_area_while_inside():
    s = states(Pulse(points=2001, snapshots=11, start=0.1))[1:9]
    np.testing.assert_allclose(s.sum(1) / 2000, 1, rtol=1e-5)


@pytest.mark.slow
def test_pod_error_of_the_published_setup():
    """Even snapshots train, odd ones test; basis of the centred data, error over ||S||."""
    s = states(get_case("pulse", "full")).astype(float)
    mean = s[::2].mean(0)
    train, test = s[::2] - mean, s[1::2] - mean
    V = np.linalg.eigh(train @ train.T)[1][:, ::-1][:, :100]
    U = np.linalg.qr(train.T @ V)[0]
    error = [np.linalg.norm(test - test @ U[:, :r] @ U[:, :r].T) for r in (10, 20, 60, 100)]
    known = [0.770, 0.555, 0.060, 0.0012]
    np.testing.assert_allclose(error / np.linalg.norm(s[1::2]), known, rtol=0.03)
