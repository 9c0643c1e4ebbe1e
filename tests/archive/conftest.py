"""Small sources that the tests of archives share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr


def waves(
    snapshots: int = 40, ny: int = 6, nx: int = 8, seed: int = 0, **dtypes: str
) -> xr.Dataset:
    """u and p, smooth and a little noisy; ``dtypes`` by name, float32 otherwise."""
    rng = np.random.default_rng(seed)
    t, y, x = np.meshgrid(*(np.arange(n) for n in (snapshots, ny, nx)), indexing="ij")
    smooth = np.sin(0.2 * t - 0.7 * x) + 0.3 * np.cos(0.1 * t + y)
    values = {"u": smooth, "p": 1e3 * (2 + smooth) + rng.normal(0, 1, smooth.shape)}
    return xr.Dataset(
        {
            name: (("time", "y", "x"), v.astype(dtypes.get(name, "f4")), {"units": "1"})
            for name, v in values.items()
        },
        coords={
            "time": ("time", 2.0 + 0.25 * np.arange(snapshots), {"units": "s"}),
            "y": ("y", np.linspace(0, 1, ny) ** 2, {"units": "m"}),
            "x": ("x", np.arange(nx) / nx, {"units": "m"}),
        },
        attrs={"title": "waves", "Reynolds": 100.0},
    )


@pytest.fixture
def make_waves() -> Callable[..., xr.Dataset]:
    return waves


@pytest.fixture
def source(tmp_path) -> Path:
    """A netCDF file of 40 snapshots."""
    path = tmp_path / "waves.nc"
    waves().to_netcdf(path)
    return path


def tree(path: Path) -> dict[str, bytes]:
    """All files below ``path``."""
    return {
        str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()
    }


@pytest.fixture
def files() -> Callable[[Path], dict[str, bytes]]:
    return tree
