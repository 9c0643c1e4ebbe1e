"""The HDF5 layouts of PDEBench.

    one array per variable      tensor, or Vx, density, pressure, ...: (b, t, x[, y[, z]])
                                with t-coordinate, x-coordinate, ... beside them
    one group per seed          0000/data (t, x[, y], v), 0000/grid/t, 0000/grid/x, ...
    incompressible flow         velocity (b, t, x, y, 2), particles (b, t, x, y, 1), t (b, t)

Trajectories b (or seeds) become the dimension ``case``. Some files have one more value in
t-coordinate than times; the last is left out. The variables v along the last axis of grouped
files are unnamed: data_0, data_1, ... (``data`` where there is one). Files of incompressible flow
have no coordinates in space; arrays without time, such as force (b, x, y, 2), are left out.

Source: Takamoto et al. 2022, "PDEBench: an extensive benchmark for scientific machine learning".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from xarray.core import indexing

from romae.conventions import CASE, TIME
from romae.errors import DataError
from romae.fields.hdf5 import H5Stack, attributes, stored, time_axes
from romae.fields.stored import Stored

if TYPE_CHECKING:
    import h5py
    from xarray.backends import CachingFileManager

AXES = ("x", "y", "z")
SEED = re.compile(r"^\d{4,}$")


def recognise(top: h5py.Group) -> bool:
    """Whether ``top`` is one of the layouts above."""
    grouped = any(SEED.match(k) and "data" in top[k] for k in top)
    return "x-coordinate" in top or grouped or _is_flow(top)


def _is_flow(top: h5py.Group) -> bool:
    shapes = [getattr(top.get(name), "shape", None) or () for name in ("t", "velocity")]
    return len(shapes[0]) == 2 and len(shapes[1]) in (4, 5, 6) and shapes[1][:2] == shapes[0]


def read(top: h5py.Group, label: str, manager: CachingFileManager) -> xr.Dataset:
    """A lazy Dataset over case, time and space."""
    if "x-coordinate" in top:
        variables = _arrays(top, manager)
    elif _is_flow(top):
        variables = _flow(top, manager)
    else:
        variables = _seeds(top, label, manager)
    dataset = xr.Dataset(variables)
    attrs = {k: v for k, v in attributes(top).items() if isinstance(v, str | int | float)}
    names = [n for n in variables if n in (TIME, "t", *AXES)]
    return dataset.set_coords(names).assign_attrs(attrs)


def _arrays(top: h5py.Group, manager: CachingFileManager) -> dict[str, xr.Variable]:
    variables: dict[str, xr.Variable] = {}
    arrays = {k: d for k, d in top.items() if not k.endswith("-coordinate")}
    most = max((getattr(d, "ndim", 0) for d in arrays.values()), default=0)
    for name, dataset in arrays.items():
        space = AXES[: most - 2]
        # Those with fewer axes lack time: coefficients such as nu (b, x, y).
        if getattr(dataset, "ndim", 0) == most and 3 <= most <= 5:
            variables[name] = stored(dataset, manager).variable((CASE, TIME, *space), {})
    sizes = {d: n for v in variables.values() for d, n in zip(v.dims, v.shape, strict=True)}
    for key, d in (("t", TIME), *zip(AXES, AXES, strict=True)):
        path = f"{key}-coordinate"
        if path in top and d in sizes:
            variables |= _coordinate(top[path], d, sizes[d])
    return variables


def _coordinate(dataset: h5py.Dataset, d: str, size: int) -> dict[str, xr.Variable]:
    values = dataset[()]
    if d == TIME and values.shape == (size + 1,):  # the end of the last interval
        values = values[:size]
    return {d: xr.Variable((d,), values)} if values.shape == (size,) else {}


def _flow(top: h5py.Group, manager: CachingFileManager) -> dict[str, xr.Variable]:
    lead, axes = top["t"].shape, top["velocity"].ndim
    space = AXES[: axes - 3]
    variables = time_axes(top["t"][()])
    for name, dataset in top.items():
        if getattr(dataset, "ndim", 0) == axes and dataset.shape[:2] == lead:
            whole = stored(dataset, manager).variable((CASE, TIME, *space, "component"), {})
            count = dataset.shape[-1]
            suffixes = space if count == len(space) else tuple(map(str, range(count)))
            names = [name] if count == 1 else [f"{name}_{s}" for s in suffixes]
            variables |= _components(whole, names)
    return variables


def _components(whole: xr.Variable, names: list[str]) -> dict[str, xr.Variable]:
    """One field for each position along the axis ``component``."""
    variables = {}
    for i, name in enumerate(names):
        variables[name] = whole.isel(component=i)
        variables[name].encoding = {k: v for k, v in whole.encoding.items() if k != "chunksizes"}
    return variables


def _seeds(top: h5py.Group, label: str, manager: CachingFileManager) -> dict[str, xr.Variable]:
    seeds = sorted(k for k in top if SEED.match(k) and "data" in top[k])
    first = top[seeds[0]]["data"]
    for seed in seeds:
        shape = top[seed]["data"].shape
        if shape != first.shape:
            raise DataError(
                f"{label}: {seed}/data has shape {shape}; expected {first.shape} as in "
                f"{seeds[0]}/data. Open one seed with group={seed!r}, or describe it with "
                "layout=..."
            )
    paths = [top[seed]["data"].name for seed in seeds]
    stack = H5Stack(manager, paths, first.shape, first.dtype)
    chunks = (1, *first.chunks) if first.chunks else None
    encoding = {"source": first.file.filename, "original_shape": stack.shape}
    array = Stored(indexing.LazilyIndexedArray(stack), {}, (), encoding, chunks)
    space = AXES[: first.ndim - 2]
    whole = array.variable((CASE, TIME, *space, "component"), {})
    names = ["data"] if first.shape[-1] == 1 else [f"data_{i}" for i in range(first.shape[-1])]
    variables = _components(whole, names)
    grid = top[seeds[0]].get("grid", {})
    for key, d, size in zip(("t", *AXES), (TIME, *AXES), first.shape[:-1], strict=False):
        if key in grid:
            variables |= _coordinate(grid[key], d, size)
    variables[CASE] = xr.Variable((CASE,), np.array([int(s) for s in seeds]))
    return variables
