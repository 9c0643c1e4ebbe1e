"""Small flows for the tests of the archive's predictors."""

from functools import cache

import numpy as np

from romae.cases.kolmogorov import Kolmogorov, Spectral
from romae.cases.kuramoto_sivashinsky import KuramotoSivashinsky
from romae.cases.shallow_water import ShallowWater


@cache
def flame(snapshots=200):
    """Kuramoto-Sivashinsky, (T, 1, 96) float64 of float32 values."""
    case = KuramotoSivashinsky(length=40.0, points=96, every=1, discard=100.0, snapshots=snapshots)
    return np.concatenate(list(next(case.trajectories()))).astype(np.float64)


@cache
def vorticity(snapshots=40):
    """Kolmogorov flow, (T, 1, 32, 32)."""
    u = np.fft.fft2(velocity(snapshots))
    k = np.fft.fftfreq(32) * 32
    w = np.fft.ifft2(1j * k * u[:, 1] - 1j * k[:, None] * u[:, 0]).real
    return w[:, None].astype(np.float32).astype(np.float64)


@cache
def velocity(snapshots=40):
    """Kolmogorov flow, u and v, (T, 2, 32, 32)."""
    case = Kolmogorov(points=32)
    flow = Spectral(32, 34.0, 0.02, 4)
    w, found = case.initial(flow), []
    for _ in range(200 + 5 * snapshots):
        w = flow.step(w)
        found.append(w)
    kept = [flow.velocity(w) for w in found[200::5]]
    return np.array(kept).astype(np.float32).astype(np.float64)


@cache
def drop(snapshots=40):
    """Shallow water, (T, 3, 32, 32)."""
    case = ShallowWater(points=32, drops=1, snapshots=snapshots, save_every=2, width=0.1)
    return np.concatenate(list(next(case.trajectories()))).astype(np.float64)


def wave(snapshots=120, noise=0.0, seed=0):
    """A travelling mirror-symmetric wave on a mean flow, (T, 2, 32, 48): rank 2 and noise."""
    t = 0.21 * np.arange(snapshots)[:, None, None, None]
    y, x = np.linspace(-2, 2, 32)[:, None], np.linspace(0, 9, 48)
    u = np.tanh(x - 3) * np.exp(-(y**2)) + np.exp(-(y**2)) * y * np.cos(x - t)[:, :, :1]
    v = 0.1 * x + np.exp(-(y**2) / 2) * np.sin(x - t)[:, :, :1]
    fields = np.concatenate([u, v], axis=1)
    return fields + noise * np.random.default_rng(seed).standard_normal(fields.shape)


def bounds(x, rel):
    """(C,) absolute bounds, relative to the range of each field."""
    axes = (0, *range(2, x.ndim))
    return rel * (x.max(axis=axes) - x.min(axis=axes))


def worst(decoded, x, eps):
    """Largest |x' - x| over eps."""
    return np.max(np.abs(decoded - x) / eps.reshape(-1, *(1,) * (x.ndim - 2)))
