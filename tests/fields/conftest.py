"""Small flows that the tests of romae.fields share."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr


def flow(snapshots: int = 24, ny: int = 5, nx: int = 6, seed: int = 0) -> xr.Dataset:
    """u, v in m/s and p in Pa, float32, on a stretched, partly periodic grid; times in seconds."""
    rng = np.random.default_rng(seed)
    dims, shape = ("time", "y", "x"), (snapshots, ny, nx)
    return xr.Dataset(
        {
            "u": (dims, rng.normal(3, 1, shape).astype("f4"), {"units": "m/s", "long_name": "u!"}),
            "v": (dims, rng.normal(0, 0.2, shape).astype("f4"), {"units": "m/s"}),
            "p": (dims, rng.normal(1e5, 50, shape).astype("f4"), {"units": "Pa"}),
        },
        coords={
            "time": ("time", 2.0 + 0.25 * np.arange(snapshots), {"units": "s"}),
            "y": ("y", np.linspace(0, 1, ny) ** 2, {"units": "m"}),
            "x": ("x", np.arange(nx) / nx, {"units": "m", "periodic": 1}),
        },
        attrs={"title": "a small flow", "Reynolds": 100.0},
    )


@pytest.fixture
def make_flow() -> Callable[..., xr.Dataset]:
    return flow


@pytest.fixture
def small() -> xr.Dataset:
    return flow()
