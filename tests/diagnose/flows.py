"""Small flows with known spectra."""

import numpy as np
import xarray as xr


def broadband(T=96, shape=(5, 7), *, seed=0, units="m/s"):
    """Noise with a mean, an obstacle, a stretched axis, two fields of one unit, dates or not."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((T + 8, 2, *shape))
    smooth = sum(noise[i : T + i] for i in range(8))
    values = (3 + smooth + np.arange(2)[:, None, None]).astype("f4")
    values[..., 1:3, 2:4] = np.nan
    dims = ("time", "y", "x")
    data = {n: (dims, values[:, i], {"units": units}) for i, n in enumerate("uv")}
    coords = {
        "time": ("time", 2 + 0.25 * np.arange(T), {"units": "s"}),
        "y": ("y", np.linspace(0, 1, shape[0]) ** 2, {"units": "m"}),
        "x": ("x", np.linspace(0, 2, shape[1]), {"units": "m"}),
    }
    return xr.Dataset(data, coords)


def wave(T=128, n=32, *, cycles=8, time=None, noise=0.0):
    """cos(2 x - omega t) with ``cycles`` periods in all, over a mean."""
    t, x = np.arange(T), 2 * np.pi * np.arange(n) / n
    u = 5 + np.cos(2 * x - 2 * np.pi * cycles / T * t[:, None])
    u = u + noise * np.random.default_rng(0).standard_normal(u.shape)
    axis = ("time", 0.5 * t, {"units": "s"}) if time is None else ("time", time)
    coords = {"time": axis, "x": ("x", x, {"periodic": 1})}
    return xr.Dataset({"u": (("time", "x"), u.astype("f4"), {"units": "m/s"})}, coords)


def dense(data, block, overlap, window):
    """Spectral POD of a Dataset as the formulas say it, on the fields, in float64.

    Returns frequencies, the eigenvalues (F, blocks) of the domain average, and for each
    frequency the modes (blocks, C, *space), of norm 1 in ``weights``.
    """
    import romae

    layout = romae.open_snapshots(data).layout
    x = np.stack([data[n].values for n in layout.names], axis=1).astype(float)
    w = layout.quadrature
    x = np.where(layout.valid, x - x.mean(0), 0).reshape(len(x), -1)
    h = {
        "boxcar": np.ones(block),
        "hann": np.sin(np.pi * np.arange(block) / block) ** 2,
    }[window]
    step = block - round(overlap * block)
    Q = []
    for a in range(0, len(x) - block + 1, step):
        q = np.fft.rfft(h[:, None] * x[a : a + block], axis=0) / np.sqrt(block * np.sum(h**2))
        q[1 : (block + 1) // 2] *= np.sqrt(2)
        Q.append(q)
    Q = np.stack(Q, axis=1) / np.sqrt(len(Q))  # (F, blocks, n)
    root = np.sqrt(w.reshape(-1))
    energies, modes = [], []
    for q in Q:
        _, s, psi = np.linalg.svd(q * root, full_matrices=False)
        energies.append(s**2)
        modes.append(np.divide(psi, root, out=np.zeros_like(psi), where=root > 0))
    average = w.sum() / layout.channels
    shape = (layout.channels, *layout.shape)
    return (
        np.fft.rfftfreq(block, 0.25),
        np.array(energies) / average,
        np.array(modes).reshape(len(Q), -1, *shape),
        w,
    )
