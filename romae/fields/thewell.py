"""The HDF5 layout of The Well.

    dimensions/     @spatial_dims; time (T,), one coordinate per dimension
    t0_fields/      scalars  (n, T, *space)       n trajectories
    t1_fields/      vectors  (n, T, *space, D)    -> velocity_x, velocity_y, ...
    t2_fields/      tensors  (n, T, *space, D, D) -> stress_xx, stress_xy, ...
    scalars/        parameters, of the file or of each trajectory
    boundary_conditions/*   @bc_type PERIODIC, @associated_dims

An array lacks the trajectory axis where @sample_varying is false, time where @time_varying is,
and a dimension where @dim_varying is; fields that do not vary in time are left aside.

Source: Ohana et al. 2024, "The Well: a large-scale collection of diverse physics simulations for
machine learning".
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from romae.conventions import CASE, TIME
from romae.errors import DataError
from romae.fields.hdf5 import attributes, stored, time_axes
from romae.fields.stored import Stored

if TYPE_CHECKING:
    import h5py
    from xarray.backends import CachingFileManager

GROUPS = ("t0_fields", "t1_fields", "t2_fields")


def recognise(top: h5py.Group) -> bool:
    """Whether ``top`` holds dimensions and fields as The Well does."""
    return "dimensions/time" in top and any(g in top for g in GROUPS)


def read(top: h5py.Group, label: str, manager: CachingFileManager) -> xr.Dataset:
    """A lazy Dataset over case, time and space."""
    dims = top["dimensions"]
    named = dims.attrs.get("spatial_dims")
    space = [d for d in dims if d != TIME] if named is None else list(map(_name, named))
    periodic = _periodic(top, space)
    variables: dict[str, Any] = _time(dims[TIME], label)
    for d in space:
        values = dims[d][()]
        if values.ndim == 1:
            attrs = {"periodic": 1} if d in periodic else {}
            variables[d] = xr.Variable((d,), values, attrs)
    coords = list(variables)
    for order, group in enumerate(GROUPS):
        for name, dataset in sorted(top[group].items()) if group in top else []:
            variables |= _components(name, stored(dataset, manager), order, space, label)
    cases = int(np.asarray(top.attrs.get("n_trajectories", 1)))
    for name, dataset in top["scalars"].items() if "scalars" in top else []:
        if dataset.size == 1:
            variables[name] = xr.Variable((), dataset[()].reshape(()))
        elif dataset.shape == (cases,) and dataset.attrs.get("sample_varying", True):
            variables[name] = xr.Variable((CASE,), dataset[()])
        else:
            continue
        coords.append(name)
    attrs = {k: v for k, v in attributes(top).items() if not isinstance(v, np.ndarray | list)}
    return xr.Dataset(variables, attrs=attrs).set_coords([c for c in coords if c in variables])


def _name(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _time(dataset: h5py.Dataset, label: str) -> dict[str, xr.Variable]:
    if dataset.ndim not in (1, 2):
        raise DataError(
            f"{label}: dimensions/time has shape {dataset.shape}. Expected times (T,), or one row "
            "for each trajectory"
        )
    return time_axes(dataset[()])


def _periodic(top: h5py.Group, space: list[str]) -> set[str]:
    found: set[str] = set()
    for group in top["boundary_conditions"].values() if "boundary_conditions" in top else []:
        if _name(group.attrs.get("bc_type", "")).upper() == "PERIODIC":
            found |= set(map(_name, np.atleast_1d(group.attrs.get("associated_dims", []))))
    return found & set(space)


def _components(
    name: str, array: Stored, order: int, space: list[str], label: str
) -> dict[str, xr.Variable]:
    attrs = array.attrs
    varying = np.atleast_1d(attrs.get("dim_varying", [True] * len(space)))
    dims = [CASE] if attrs.get("sample_varying", True) else []
    dims += [TIME] if attrs.get("time_varying", True) else []
    dims += [d for d, on in zip(space, varying, strict=False) if on]
    axes = [f"{name}_axis{i}" for i in range(order)]
    if len(dims) + order != len(array.shape):
        raise DataError(
            f"{label}: t{order}_fields/{name} has shape {array.shape}; expected the axes "
            f"({', '.join(dims + axes)}). Check its attributes sample_varying, time_varying and "
            "dim_varying, or describe the file with layout=..."
        )
    flags = ("sample_varying", "time_varying", "dim_varying", "symmetric", "antisymmetric")
    kept = {k: v for k, v in attrs.items() if k not in flags}
    whole = Stored(array.data, kept, array.axes, array.encoding, array.chunks)
    variable = whole.variable((*dims, *axes), {})
    if not order:
        return {name: variable}
    counts = [range(n) for n in array.shape[len(dims) :]]
    parts = {}
    for at in itertools.product(*counts):
        suffix = "".join(space[i] if i < len(space) else str(i) for i in at)
        piece = variable.isel(dict(zip(axes, at, strict=True)))
        piece.encoding = {k: v for k, v in variable.encoding.items() if k != "chunksizes"}
        parts[f"{name}_{suffix}"] = piece
    return parts
