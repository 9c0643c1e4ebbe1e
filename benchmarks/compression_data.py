"""Data of the compression benchmark, with the sizes of the published comparison.

cylinder      romae's case in full: u, v of 600 snapshots, 96 x 256
ks            Kuramoto-Sivashinsky, L = 200, 512 points, 4000 snapshots 0.25 apart
decaying      vorticity of free two-dimensional turbulence, 400 snapshots, 128 x 128
forced        the same, driven by cos(4 y) and damped at large scales
shallow       romae's case: 4 drops of 96 snapshots, 3 fields, 64 x 64
noise         white noise, which nobody can compress

Each is float32 (T, C, *space); `load` makes it once and keeps it in benchmarks/data/compression.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data" / "compression"


def cylinder() -> np.ndarray:
    """(600, 2, 96, 256)."""
    from romae.cases.cylinder import Cylinder

    return np.concatenate(list(next(Cylinder().trajectories())))


def ks() -> np.ndarray:
    """(4000, 1, 512)."""
    from romae.cases.kuramoto_sivashinsky import KuramotoSivashinsky

    case = KuramotoSivashinsky(length=200.0, points=512, every=1, discard=200.0, snapshots=4000)
    return np.concatenate(list(next(case.trajectories())))


def shallow() -> np.ndarray:
    """(384, 3, 64, 64): four drops one after the other."""
    from romae.cases.shallow_water import ShallowWater

    return np.concatenate([np.concatenate(list(t)) for t in ShallowWater(drops=4).trajectories()])


def noise() -> np.ndarray:
    """(64, 1, 128, 128)."""
    return np.random.default_rng(0).standard_normal((64, 1, 128, 128)).astype(np.float32)


def decaying() -> np.ndarray:
    """(400, 1, 128, 128)."""
    return turbulence(viscosity=5e-4, forcing=0.0, drag=0.0, spin_up=2.0, every=8)


def forced() -> np.ndarray:
    """(400, 1, 128, 128)."""
    return turbulence(viscosity=1e-3, forcing=4.0, drag=0.1, spin_up=30.0, every=8)


def turbulence(
    viscosity: float, forcing: float, drag: float, spin_up: float, every: int
) -> np.ndarray:
    """w_t + u . grad w = nu lap w - mu w + f cos(4 y) on [0, 2 pi]^2, dealiased Fourier series.

    Classical Runge-Kutta steps of 0.005, `every` of them between snapshots.
    """
    from scipy import fft

    n, dt = 128, 5e-3
    kx, ky = np.arange(n // 2 + 1.0), (np.fft.fftfreq(n) * n)[:, None]
    k2 = kx**2 + ky**2
    keep = (kx < n / 3) & (np.abs(ky) < n / 3)
    inverse = 1.0 / np.where(k2 == 0, 1.0, k2)
    y = 2 * np.pi * np.arange(n) / n
    force = fft.rfft2(forcing * np.cos(4 * y)[:, None] * np.ones(n))

    def rate(w: np.ndarray) -> np.ndarray:
        u, v, wx, wy = fft.irfft2(
            np.stack([1j * ky * inverse * w, -1j * kx * inverse * w, 1j * kx * w, 1j * ky * w])
        )
        return keep * (force - fft.rfft2(u * wx + v * wy)) - (viscosity * k2 + drag) * w

    rng = np.random.default_rng(0)
    w = fft.rfft2(rng.standard_normal((n, n))) * keep * k2 * np.exp(-k2 / 36.0)
    w *= 6.0 / np.std(fft.irfft2(w))
    snapshots = np.empty((400, 1, n, n), np.float32)
    start = round(spin_up / dt)
    for i in range(start + every * (len(snapshots) - 1) + 1):
        if i >= start and (i - start) % every == 0:
            snapshots[(i - start) // every, 0] = fft.irfft2(w)
        a = rate(w)
        b = rate(w + dt / 2 * a)
        c = rate(w + dt / 2 * b)
        w = w + dt / 6 * (a + 2 * b + 2 * c + rate(w + dt * c))
    return snapshots


MAKERS: dict[str, Callable[[], np.ndarray]] = {
    f.__name__: f for f in (cylinder, ks, decaying, forced, shallow, noise)
}
PERIODIC = {"ks", "decaying", "forced", "shallow"}


def load(name: str) -> np.ndarray:
    """The array (T, C, *space), float32, made on first use."""
    path = DATA / f"{name}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, MAKERS[name]())
    return np.load(path)
