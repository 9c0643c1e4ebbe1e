"""Kolmogorov flow against exact solutions and its energy budget."""

import numpy as np
import pytest

from romae.cases import get_case
from romae.cases.kolmogorov import Kolmogorov, Spectral
from romae.errors import OptionError

N = 48
S = 2 * np.pi * np.arange(N) / N
X, Y = S, S[:, None]


def advance(flow: Spectral, w: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        w = flow.step(w)
    return w


@pytest.fixture(scope="module")
def turbulent():
    """(flow, spectrum) at Re = 34 on the attractor, with a small step."""
    case = Kolmogorov()
    return Spectral(N, 34.0, 0.01, 4), advance(
        coarse := Spectral(N, 34.0, 0.05, 4), case.initial(coarse), 1000
    )


def test_laminar_flow_is_reached_from_rest_exactly():
    """u = Re/16 sin(4 y) (1 - exp(-16 t / Re)), v = 0: diffusion against the forcing."""
    flow = Spectral(N, 20.0, 0.1, 4)
    w = advance(flow, np.zeros_like(flow.forcing), 30)
    u, v = flow.velocity(w)
    exact = 20.0 / 16.0 * np.sin(4 * Y) * (1.0 - np.exp(-16.0 * 3.0 / 20.0))
    np.testing.assert_allclose(u, exact * np.ones(N), atol=1e-13)
    np.testing.assert_allclose(v, 0.0, atol=1e-13)


def test_moving_taylor_green_vortices_decay_exactly():
    """u = sin(3x) cos(3y), v = -cos(3x) sin(3y), times exp(-18 t / Re), without forcing."""
    flow = Spectral(N, 30.0, 0.05, 0)
    u0 = np.stack([np.sin(3 * X) * np.cos(3 * Y), -np.cos(3 * X) * np.sin(3 * Y)])
    w = flow.spectrum(6.0 * np.sin(3 * X) * np.sin(3 * Y))
    np.testing.assert_allclose(flow.velocity(w), u0, atol=1e-13)
    w = advance(flow, w, 40)
    np.testing.assert_allclose(flow.velocity(w), u0 * np.exp(-18.0 * 2.0 / 30.0), atol=1e-13)


def test_advection_conserves_energy_and_enstrophy(turbulent):
    """<psi N> and <w N> vanish without forcing: the truncated equations keep both."""
    _, w = turbulent
    flow = Spectral(N, 34.0, 0.05, 0)
    tendency = flow.field(flow.nonlinear(w))
    vorticity = flow.field(w)
    psi = flow.field(w / np.where(flow.k2 == 0, 1.0, flow.k2))
    scale = np.std(tendency) * np.std(vorticity)
    assert scale > 0.1
    assert abs(np.mean(vorticity * tendency)) < 1e-13 * scale
    assert abs(np.mean(psi * tendency)) < 1e-13 * scale


def test_advection_equals_u_grad_w_of_a_known_field():
    """psi = cos x + cos 2y: u = -2 sin 2y, v = sin x, w = cos x + 4 cos 2y, by hand."""
    flow = Spectral(N, 30.0, 0.05, 0)
    w = flow.spectrum(np.cos(X) + 4 * np.cos(2 * Y))
    by_hand = -(-2 * np.sin(2 * Y) * -np.sin(X) + np.sin(X) * -8 * np.sin(2 * Y))
    np.testing.assert_allclose(flow.field(flow.nonlinear(w)), by_hand, atol=1e-13)


def test_no_divergence_and_vorticity_is_the_curl(turbulent):
    flow, w = turbulent
    u, v = np.fft.fft2(flow.velocity(w))
    k = np.fft.fftfreq(N) * N
    assert np.abs(np.fft.ifft2(k * u + k[:, None] * v)).max() < 1e-13
    curl = np.fft.ifft2(1j * k * v - 1j * k[:, None] * u).real
    np.testing.assert_allclose(curl, flow.field(w), atol=1e-12)


def test_energy_budget(turbulent):
    """d<u^2 + v^2>/dt / 2 = <u sin 4y> - <w^2> / Re."""
    flow, w = turbulent
    energy, power = [], []
    for _ in range(41):
        u, v = flow.velocity(w)
        energy.append(0.5 * np.mean(u**2 + v**2))
        power.append(np.mean(u * np.sin(4 * Y)) - flow.nu * np.mean(flow.field(w) ** 2))
        w = flow.step(w)
    h = 0.01
    gain = h / 3 * (power[0] + power[-1] + 4 * sum(power[1:-1:2]) + 2 * sum(power[2:-1:2]))
    assert abs(gain) > 1e-4
    assert energy[-1] - energy[0] == pytest.approx(gain, rel=1e-6)


def test_time_stepping_is_of_fourth_order(turbulent):
    _, w = turbulent
    ends = [advance(Spectral(N, 34.0, 0.8 / n, 4), w, n) for n in (16, 32, 128)]
    coarse, fine = (np.linalg.norm(e - ends[-1]) for e in ends[:-1])
    assert np.log2(coarse / fine) == pytest.approx(4.0, abs=0.4)


def test_symmetry_of_the_equations(turbulent):
    """Shift by a quarter wave of the forcing pair: (u, v)(x, y) -> (-u, v)(-x, y + pi/4)."""
    flow, w = turbulent
    vorticity = flow.field(w)
    turned = -np.roll(np.roll(vorticity[:, ::-1], 1, axis=1), N // 8, axis=0)
    one, other = (flow.field(advance(flow, flow.spectrum(f), 20)) for f in (vorticity, turned))
    expected = -np.roll(np.roll(one[:, ::-1], 1, axis=1), N // 8, axis=0)
    np.testing.assert_allclose(other, expected, atol=1e-11)


@pytest.mark.slow
def test_quasi_periodic_at_30_chaotic_at_34():
    """Two starts 1e-6 apart: they stay together at Re = 30 and part at Re = 34.

    Growth over 150 time units differs from place to place on the attractor, and rounding decides
    the place: it is the geometric mean of four such stretches.
    """
    growth = {}
    for reynolds in (30.0, 34.0):
        flow = Spectral(N, reynolds, 0.05, 4)
        w = advance(flow, Kolmogorov().initial(flow), 10000)
        logs = []
        for _ in range(4):
            other = w * (1.0 + 1e-6)
            before = np.linalg.norm(other - w)
            for _ in range(3000):
                w, other = flow.step(w), flow.step(other)
            logs.append(np.log(np.linalg.norm(other - w) / before))
        growth[reynolds] = np.exp(np.mean(logs))
    assert growth[30.0] < 30.0
    assert growth[34.0] > 300.0  # exp(0.068 x 150) is 27 000, in the mean


def test_snapshots_repeat_bit_for_bit_and_differ_by_reynolds_number():
    case = get_case("kolmogorov", "tiny", transient=1.0, snapshots=3)
    one, two = ([np.concatenate(list(t)) for t in case.trajectories()] for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one[0].shape == case.shape
    assert one[0].dtype == np.float32
    assert not np.array_equal(one[0], one[1])


def test_grid_too_coarse_for_the_forcing():
    with pytest.raises(OptionError, match="13"):
        Kolmogorov(points=12)
