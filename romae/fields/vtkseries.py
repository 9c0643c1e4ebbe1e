"""A series of VTK files as one lazy Dataset.

A file is one snapshot, so a glob, a list or a collection is one lazy series; each file is read
when its time is asked for, and its mesh compared with the first. Times are those of the
collection, else the ``TimeValue`` in the files, else 0 .. T-1. Vectors become one field per
component, U_x, U_y, U_z. Arrays at points or at cells are fields, whichever are more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import indexing

from romae.conventions import TIME
from romae.errors import DataError, GridMismatchError
from romae.fields.meshes import Place, arrays_of, geometry, grid_of
from romae.fields.steps import StepArray, Steps
from romae.fields.vtkfiles import kind_of, load, need_vtk, read_collection, stamps

PLACES: tuple[Place, Place] = ("point", "cell")
SUFFIXES = {3: ("x", "y", "z"), 6: ("xx", "yy", "zz", "xy", "yz", "xz")}


class VtkFiles:
    """Reads file t of a series: its arrays by "place:name", on the mesh of the first file."""

    def __init__(self, paths: Sequence[str], names: Sequence[str], mesh: np.ndarray) -> None:
        self.paths, self.names, self.mesh = list(paths), list(names), mesh

    def __call__(self, t: int) -> dict[str, np.ndarray]:
        data, path = load(self.paths[t]), os.path.basename(self.paths[t])
        check_mesh(self.mesh, geometry(data), path, os.path.basename(self.paths[0]))
        return pick(data, self.names, path, os.path.basename(self.paths[0]))


def check_mesh(mesh: np.ndarray, other: np.ndarray, label: str, first: str) -> None:
    """Raise :class:`GridMismatchError` unless two meshes are equal to float32 rounding."""
    if mesh.shape != other.shape:
        raise GridMismatchError(
            f"{label}: the mesh has {len(other)} points; expected {len(mesh)} as in {first}. "
            "Resample all steps to one mesh first, or leave the file out"
        )
    limit = 1e-6 * float(np.ptp(mesh, axis=0).max()) if mesh.size else 0.0
    moved = np.abs(mesh - other) > limit
    if moved.any():
        i = tuple(int(k) for k in np.argwhere(moved)[0])
        raise GridMismatchError(
            f"{label}: mesh point {i[0]} is at {other[i[0]]}; expected {mesh[i[0]]} as in "
            f"{first}. Meshes that move cannot be used; resample all steps to one mesh first"
        )


def pick(data: Any, names: Sequence[str], label: str, first: str) -> dict[str, np.ndarray]:
    """Components of the arrays of ``data`` that ``names`` ("place:field") lists."""
    found = placed_fields(data)
    for name in names:
        if name not in found:
            place, short = name.split(":", 1)
            raise DataError(
                f"{label}: has no {place} array for {short!r}, which {first} has. Expected the "
                "same arrays at every step; leave the file out, or name others in variables=[...]"
            )
    return {n: found[n] for n in names}


def placed_fields(data: Any) -> dict[str, np.ndarray]:
    """All components of all arrays of ``data``, by "place:field"."""
    return {
        f"{place}:{name}": values
        for place in PLACES
        for array, whole in arrays_of(data, place).items()
        for name, values in components(array, whole).items()
    }


def components(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """One array per component: U_x, U_y, U_z for vectors, numbered where there are others."""
    if values.ndim == 1:
        return {name: values}
    n = values.shape[1]
    suffixes = SUFFIXES.get(n, tuple(map(str, range(n))))
    return {f"{name}_{s}": np.ascontiguousarray(values[:, i]) for i, s in enumerate(suffixes)}


def open_vtk(paths: Sequence[str]) -> xr.Dataset:
    """One lazy Dataset (time, *grid) of a series of files, or of one .pvd collection."""
    need_vtk(paths[0])
    times: np.ndarray | None = None
    if kind_of(paths[0]) == "Collection":
        if len(paths) > 1:
            raise DataError(
                f"{len(paths)} .pvd collections make no one series. Expected one; open several "
                'as trajectories with cases="file"'
            )
        paths, times = read_collection(paths[0])
    first = load(paths[0])
    if times is None:
        times = stamps(paths, first)
    fields = placed_fields(first)
    steps = Steps(VtkFiles(paths, list(fields), geometry(first)), len(paths))
    return as_dataset(first, fields, steps, times)


def as_dataset(
    data: Any, fields: dict[str, np.ndarray], steps: Steps, times: np.ndarray | None
) -> xr.Dataset:
    """Lazy fields over time on the grid of the first data set."""
    variables: dict[str, xr.Variable] = {}
    coords: dict[str, xr.Variable] = {}
    both = len({n.split(":", 1)[0] for n in fields}) > 1
    for place in PLACES:
        own = {n: v for n, v in fields.items() if n.startswith(f"{place}:")}
        if not own:
            continue
        grid = grid_of(data, place, suffix="_cell" if both and place == "cell" else "")
        coords |= grid.coords
        attrs = {"cell_measures": grid.measure} if grid.measure else {}
        for name, values in own.items():
            short = name.split(":", 1)[1]
            array = StepArray(steps, name, grid.shape, values.dtype)
            variable = xr.Variable(
                (TIME, *grid.dims), indexing.LazilyIndexedArray(array), dict(attrs)
            )
            variables[f"{short}_cell" if short in variables else short] = variable
    if times is not None:
        coords[TIME] = xr.Variable((TIME,), times)
    return xr.Dataset(variables, coords=coords)
