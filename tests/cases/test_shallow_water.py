"""Shallow water against conservation, symmetry, linear waves and the exact dam break."""

import numpy as np
import pytest
from scipy.optimize import brentq

from romae.cases import get_case
from romae.cases.shallow_water import ShallowWater, reconstruct, step
from romae.errors import OptionError

G = 9.8
TINY = get_case("shallow-water", "tiny")


def advance(q: np.ndarray, dt: float, steps: int) -> np.ndarray:
    for _ in range(steps):
        q = step(q, dt, 1.0 / q.shape[-1], G)
    return q


def test_mass_and_momentum_are_conserved_to_rounding():
    start = TINY.initial(0.13, -0.21)
    end = advance(start, 2e-3, 100)
    assert np.abs(end - start).max() > 0.1
    drift = (end - start).sum(axis=(1, 2)) / start[0].sum()
    assert np.abs(drift).max() < 1e-14 * 100


def test_transposed_drop_gives_the_transposed_flow_bit_for_bit():
    one = advance(TINY.initial(0.13, -0.21), 2e-3, 40)
    other = advance(TINY.initial(-0.21, 0.13), 2e-3, 40)
    np.testing.assert_array_equal(one, other[[0, 2, 1]].swapaxes(1, 2))


@pytest.mark.parametrize("dim", ["x", "y"])
def test_mirror_symmetry(dim):
    """A drop in the middle: the flow equals its reflection, the momentum across changes sign."""
    q = advance(TINY.initial(0.0, 0.0), 2e-3, 60)
    number, space = {"x": (1, 2), "y": (2, 1)}[dim]
    mirrored = np.flip(q, axis=space).copy()
    mirrored[number] *= -1.0
    np.testing.assert_allclose(q, mirrored, atol=1e-12)


def test_shifted_drop_gives_the_shifted_flow():
    one = advance(TINY.initial(0.0, 0.0), 2e-3, 40)
    other = advance(TINY.initial(0.5, 0.25), 2e-3, 40)
    np.testing.assert_allclose(np.roll(one, (8, 16), axis=(1, 2)), other, atol=1e-12)


def test_energy_is_lost_never_gained():
    """Entropy condition: bores dissipate g h^2 / 2 + (q2^2 + q3^2) / (2 h)."""
    q, energies = TINY.initial(0.1, 0.2), []
    for _ in range(30):
        energies.append(np.mean(0.5 * G * q[0] ** 2 + 0.5 * (q[1] ** 2 + q[2] ** 2) / q[0]))
        q = advance(q, 2e-3, 5)
    assert np.all(np.diff(energies) < 0)
    assert energies[-1] > 0.5 * G * q[0].mean() ** 2  # not below water at rest


@pytest.mark.parametrize("wave", [(1, 0), (0, 1)])
def test_small_standing_wave_at_fifth_order(wave):
    """h = 1 + a cos(k . x) cos(sqrt(g) |k| t) solves the linear equations."""

    def error(n: int) -> float:
        s = (np.arange(n) + 0.5) / n - 0.5
        kx, ky = (2 * np.pi * w for w in wave)
        shape = 1e-7 * np.cos(kx * s + ky * s[:, None])
        q = np.zeros((3, n, n))
        q[0] = 1.0 + shape
        steps = n * n // 16  # time error is of third order: make it small beside the fifth
        t = 0.1
        q = advance(q, t / steps, steps)
        exact = shape * np.cos(2 * np.pi * np.sqrt(G) * t)
        return float(np.abs(q[0] - 1.0 - exact).max() / 1e-7)

    coarse, fine = error(12), error(24)
    assert fine < 2e-3
    assert np.log2(coarse / fine) > 4.5


def test_dam_break_has_the_exact_plateau():
    """Stoker 1957: 2 m of water beside 1 m; the states between rarefaction and bore."""
    left, right = 2.0, 1.0

    def mismatch(h: float) -> float:
        rarefaction = 2 * (np.sqrt(G * left) - np.sqrt(G * h))
        bore = (h - right) * np.sqrt(0.5 * G * (1 / h + 1 / right))
        return rarefaction - bore

    h = brentq(mismatch, right, left)
    u = 2 * (np.sqrt(G * left) - np.sqrt(G * h))
    n, t = 256, 0.03
    x = (np.arange(n) + 0.5) / n - 0.5
    q = np.zeros((3, 4, n))
    q[0] = np.where(np.abs(x) < 0.25, left, right)  # the second dam, at -1/4, is the mirror image
    q = advance(q, t / 60, 60)
    front = 0.25 + h * u / (h - right) * t  # speed of the bore from its mass balance
    tail = 0.25 + (u - np.sqrt(G * h)) * t
    inside = (x > tail + 0.02) & (x < front - 0.02)
    assert inside.sum() > 20
    np.testing.assert_allclose(q[0][:, inside], h, rtol=2e-3)
    np.testing.assert_allclose((q[1] / q[0])[:, inside], u, rtol=5e-3)
    crossing = x[(x > 0.2)][np.argmax(q[0, 0, x > 0.2] < 0.5 * (h + right))]
    assert crossing == pytest.approx(front, abs=1.5 / n)


def test_reconstruction_is_exact_for_parabolas():
    """Every stencil holds three cell means, so the weights do not matter."""
    i = np.arange(9.0)
    means = 0.7 * (i**2 + 1 / 12) - 2.0 * i + 3.0
    left, right = reconstruct(means)
    edge = np.arange(2, 7) + 0.5
    np.testing.assert_allclose(right, 0.7 * edge**2 - 2.0 * edge + 3.0, rtol=1e-13)
    np.testing.assert_allclose(left, 0.7 * (edge - 1) ** 2 - 2.0 * (edge - 1) + 3.0, rtol=1e-13)


def test_drops_are_a_seeded_latin_hypercube():
    case = ShallowWater(drops=40)
    for name, values in case.parameters().items():
        strips = np.floor((values.values + 0.5) * 40).astype(int)
        assert sorted(strips) == list(range(40))
        np.testing.assert_array_equal(values.values, ShallowWater(drops=40).parameters()[name][0])
        assert not np.array_equal(
            values.values, ShallowWater(drops=40, seed=1).parameters()[name][0]
        )


def test_snapshots_start_with_the_drop_and_repeat_bit_for_bit():
    case = get_case("shallow-water", "tiny", drops=2, snapshots=3)
    one, two = ([np.concatenate(list(t)) for t in case.trajectories()] for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one[0].shape == case.shape
    x0, y0 = (p.values[1] for p in case.parameters().values())
    np.testing.assert_array_equal(one[1][0], case.initial(x0, y0).astype(np.float32))


def test_unstable_step_is_refused():
    with pytest.raises(OptionError, match="dt"):
        ShallowWater(points=128)
