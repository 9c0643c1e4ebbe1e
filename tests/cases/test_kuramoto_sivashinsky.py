"""Kuramoto-Sivashinsky against what is known exactly about its equation."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from romae.cases import get_case
from romae.cases.kuramoto_sivashinsky import KuramotoSivashinsky, Spectral
from romae.errors import OptionError

L, N = 22.0, 64
X = L * np.arange(N) / N


def advance(u: np.ndarray, step: float, steps: int) -> np.ndarray:
    return np.fft.irfft(Spectral(L, N, step).advance(np.fft.rfft(u), steps), N)


def on_attractor() -> np.ndarray:
    return advance(KuramotoSivashinsky().initial(), 0.25, 400)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
def test_small_waves_grow_at_the_linear_rate(n):
    q = 2 * np.pi * n / L
    wave = 1e-9 * np.cos(q * X)
    grown = advance(wave, 0.25, 20)
    np.testing.assert_allclose(grown, np.exp((q**2 - q**4) * 5.0) * wave, rtol=0, atol=1e-17)


def test_mean_is_conserved():
    u = on_attractor() + 0.3
    assert advance(u, 0.25, 400).mean() == pytest.approx(u.mean(), abs=1e-13)


def test_moving_frame_changes_nothing():
    """u(x, t) solves it, so does V + u(x - V t, t): this fixes the size of u u_x."""
    u, t = on_attractor(), 2.0
    V = 3 * (L / N) / t  # three grid points in time t
    moving = advance(u + V, 0.001, 2000)
    np.testing.assert_allclose(moving, V + np.roll(advance(u, 0.001, 2000), 3), atol=1e-9)


def test_fourth_order_in_time():
    """On few points, where no wave is stiff at these steps: stiff ones converge more slowly."""
    u_q = np.fft.rfft(KuramotoSivashinsky(points=16).initial())
    exact, coarse, fine = (
        Spectral(L, 16, h).advance(u_q, round(2 / h)) for h in (1 / 512, 1 / 32, 1 / 64)
    )
    ratio = np.abs(coarse - exact).max() / np.abs(fine - exact).max()
    assert np.log2(ratio) == pytest.approx(4, abs=0.15)


def test_agrees_with_an_independent_integrator():
    """Dense differentiation matrix, -u u_x in advective form, explicit Runge-Kutta."""
    n = 32
    case = KuramotoSivashinsky(points=n)
    q = 2 * np.pi / L * np.fft.fftfreq(n, 1 / n)
    waves = np.fft.fft(np.eye(n), axis=0)
    D, D2 = (np.real(np.fft.ifft(f[:, None] * waves, axis=0)) for f in (1j * q, -(q**2)))
    run = solve_ivp(
        lambda _, u: -u * (D @ u) - D2 @ u - D2 @ (D2 @ u),
        (0, 3),
        case.initial(),
        method="Radau",
        rtol=1e-9,
        atol=1e-10,
    )
    ours = np.fft.irfft(Spectral(L, n, 1 / 64).advance(np.fft.rfft(case.initial()), 192), n)
    assert np.abs(ours).max() > 1
    np.testing.assert_allclose(ours, run.y[:, -1], atol=2e-5)


def test_energy_balance():
    """d/dt <u^2>/2 = <u_x^2> - <u_xx^2>."""
    u, h = on_attractor(), 1e-3
    after, before = advance(u, h, 2), u
    rate = (np.mean(after**2) - np.mean(before**2)) / 2 / (2 * h)
    u_q = np.fft.rfft(advance(u, h, 1))
    q = 2 * np.pi / L * np.arange(N // 2 + 1)
    u_x, u_xx = (np.fft.irfft(factor * u_q, N) for factor in (1j * q, -(q**2)))
    assert rate == pytest.approx(np.mean(u_x**2) - np.mean(u_xx**2), rel=1e-4)
    assert abs(rate) > 1e-3


def test_snapshots_continue_across_blocks():
    """Step k of the file is k times ``every`` steps from its first snapshot."""
    case = KuramotoSivashinsky(every=2, discard=10, snapshots=300)
    u = np.concatenate([*next(case.trajectories())])[:, 0]
    assert u.shape == (300, N)
    expected = advance(case.initial(), case.step, 40 + 2 * 299)
    np.testing.assert_array_equal(u[-1], expected.astype(np.float32))


def test_odd_grid_is_refused():
    with pytest.raises(OptionError, match="points = 63"):
        KuramotoSivashinsky(points=63)


@pytest.mark.slow
def test_pod_error_of_the_published_setup():
    """Mean squared error over variance on the last 8000 snapshots, after 20 000."""
    case = get_case("kuramoto-sivashinsky", "full")
    u = np.concatenate([*next(case.trajectories())])[:, 0].astype(float)
    mean = u[:20000].mean(0)
    train, test = u[:20000] - mean, u[20000:] - mean
    U = np.linalg.eigh(train.T @ train)[1][:, ::-1]
    error = [np.sum((test - test @ U[:, :k] @ U[:, :k].T) ** 2) for k in (4, 6, 8, 10, 12)]
    known = [0.240, 0.0884, 0.0305, 7.8e-3, 1.3e-3]
    np.testing.assert_allclose(error / np.sum((test - test.mean(0)) ** 2), known, rtol=0.03)
