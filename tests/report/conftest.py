"""Small studies in one, two and three dimensions, compared once."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from romae.compare import compare, compare_forecasts
from romae.dynamics import DMD
from romae.fields import open_snapshots
from romae.model import ReducedModel
from romae.reducers import POD, PODAutoencoder, TrainConfig

SIZES = {"z": 6, "y": 8, "x": 12}


def moving(dims: tuple[str, ...], *, masked: bool) -> xr.Dataset:
    """A wave along x with a shape along the other axes."""
    t = 0.2 * np.arange(70)
    grids = np.meshgrid(*(np.linspace(0, 1, SIZES[d], endpoint=False) for d in dims), indexing="ij")
    where = dict(zip(dims, grids, strict=True))
    shape = 1 + sum(np.sin(np.pi * where[d]) for d in dims if d != "x")
    angle = 2 * np.pi * where["x"][None] - t.reshape(-1, *([1] * len(dims)))
    data = {}
    for name, wave, units in (("u", np.cos, "m s-1"), ("T <deg>", np.sin, "K")):
        values = shape * wave(angle) + 0.3 * wave(2 * angle) + (300 if units == "K" else 0)
        if masked:
            values[(slice(None), *(slice(2, 5) for _ in dims))] = np.nan
        data[name] = (("time", *dims), values.astype("float32"), {"units": units})
    coords = {d: (d, 10 * np.linspace(0, 1, SIZES[d]), {"units": "m"}) for d in dims}
    return xr.Dataset(data, coords={"time": ("time", t, {"units": "s"}), **coords})


def study(dims: tuple[str, ...], *, masked: bool) -> SimpleNamespace:
    snapshots = open_snapshots(moving(dims, masked=masked))
    train, test = snapshots.isel(time=slice(0, 45)), snapshots.isel(time=slice(45, 70))
    pod = POD(4).fit(train, device="cpu")
    short = TrainConfig(epochs=2)
    dense = PODAutoencoder(2, modes=4, hidden=(8,), train=short).fit(train, device="cpu")
    rom = ReducedModel(dense, DMD()).fit(train)
    models = [pod, dense]
    return SimpleNamespace(
        models=models,
        pod=pod,
        dense=dense,
        rom=rom,
        test=test,
        comparison=compare(models, test),
        forecasts=compare_forecasts(rom, test, 6, 4, train=train),
    )


@pytest.fixture(scope="session", params=["line", "plane", "volume"])
def any_study(request):
    dims = {"line": ("x",), "plane": ("y", "x"), "volume": ("z", "y", "x")}[request.param]
    return study(dims, masked=request.param != "line")


@pytest.fixture(scope="session")
def plane():
    return study(("y", "x"), masked=True)
