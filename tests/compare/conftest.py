"""A small flow with everything in it: two units, an obstacle, a stretched grid, known modes."""

import numpy as np
import pytest
import torch
import xarray as xr

from romae.fields import open_snapshots
from romae.reducers import Coder, Reducer

STEP = 0.1


def travelling(times: int = 80, start: int = 0, seed: int = 3) -> xr.Dataset:
    """Two travelling waves (four modes) and a little noise; u, v in m/s, p in Pa."""
    t = STEP * np.arange(start, start + times)
    y = np.linspace(0, 1, 9) ** 1.5
    x = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    phase = x[None, None] - t[:, None, None]
    shape = np.sin(np.pi * y)[None, :, None]
    noise = np.random.default_rng(seed + start).standard_normal((3, times, 9, 14))
    waves = {
        "u": 1 + shape * np.cos(phase) + 0.3 * np.cos(2 * phase),
        "v": 0.5 * shape * np.sin(phase),
        "p": 1e5 + 50 * shape * np.sin(2 * phase),
    }
    units = {"u": "m s-1", "v": "m s-1", "p": "Pa"}
    size = {"u": 1e-2, "v": 1e-2, "p": 1.0}
    data = {}
    for i, (name, values) in enumerate(waves.items()):
        values = values + size[name] * noise[i]
        values[:, 3:5, 4:7] = np.nan
        dims = ("time", "y", "x")
        data[name] = (dims, values.astype("float64"), {"units": units[name]})
    coords = {
        "time": ("time", t, {"units": "s"}),
        "y": ("y", y, {"units": "m"}),
        "x": ("x", x, {"units": "m", "periodic": 1}),
    }
    return xr.Dataset(data, coords=coords)


class Pooling(Coder):
    """Averages over ``size`` neighbours along x, and repeats them."""

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size, self.shape = size, shape
        self.register_buffer("nothing", torch.zeros(1))

    def encode(self, x):
        return x.unfold(-1, self.size, self.size).mean(-1).flatten(1)

    def decode(self, z):
        coarse = z.reshape(len(z), *self.shape[:-1], self.shape[-1] // self.size)
        return coarse.repeat_interleave(self.size, -1)


class CoarseGrid(Reducer):
    """A third party's reducer: only what the base class asks for."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.size = size
        self.latent = 0

    def _fit(self, data):
        self.latent = self.layout.size // self.size
        return self._build()

    def _build(self):
        return Pooling(self.size, (self.layout.channels, *self.layout.shape))


@pytest.fixture(scope="session")
def flow():
    return open_snapshots(travelling())


@pytest.fixture(scope="session")
def train(flow):
    return flow.isel(time=slice(0, 50))


@pytest.fixture(scope="session")
def test_set(flow):
    return flow.isel(time=slice(50, 80))


@pytest.fixture(scope="session")
def pod(train):
    from romae.reducers import POD

    return POD(8).fit(train, device="cpu")


@pytest.fixture(scope="session")
def coarse(train):
    return CoarseGrid(2).fit(train, device="cpu")


@pytest.fixture(scope="session")
def make_flow():
    return travelling
