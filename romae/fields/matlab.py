"""MATLAB files: v7.3, which is HDF5 with the axes in reverse, and v5 by way of scipy.

MATLAB stores u(y, x, time) by columns, so that HDF5 shows it as (time, x, y). ``dims`` of a layout
table are in MATLAB's order; without one, axes are (y, x, time), (y, x, z, time) or (x, time).
Row and column vectors are one axis. v7.3 is read lazily; a variable of a v5 file, at most 2 GB,
is read whole when first touched.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from romae.errors import UnreadableFileError
from romae.fields.hdf5 import datasets, h5_manager
from romae.fields.stored import Stored, build
from romae.fields.table import Table

MAGIC = b"MATLAB "
HIDDEN = ("MATLAB_class", "MATLAB_int_decode", "MATLAB_empty", "H5PATH", "MATLAB_fields")
NUMBERS = (
    "double",
    "single",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)


class MatArray(BackendArray):
    """One variable of a v5 file, read whole when first indexed; axes reversed."""

    def __init__(self, path: str, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        self.path, self.name, self.shape, self.dtype = path, name, shape, np.dtype(dtype)
        self.values: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "values": None}

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> Any:
        if self.values is None:
            from scipy.io import loadmat

            read = loadmat(self.path, variable_names=[self.name])[self.name]
            self.values = read.astype(self.dtype).T  # doubles may be stored as small integers
        return self.values[key]


def open_matlab(
    path: str, table: Table | None, group: str | None, *, snapshot: bool = False
) -> xr.Dataset:
    """A lazy Dataset of the arrays in a .mat file; ``group`` names a struct (v7.3)."""
    with open(path, "rb") as file:
        v73 = file.read(10).startswith(b"MATLAB 7.3")
    return (_open_v73 if v73 else _open_v5)(path, table, group, snapshot)


def _open_v73(path: str, table: Table | None, group: str | None, snapshot: bool) -> xr.Dataset:
    manager = h5_manager(path)
    try:
        with manager.acquire_context() as file:
            found = datasets(file, manager)
    except OSError as error:
        raise UnreadableFileError(
            f"{path}: HDF5 cannot open it ({error}). Expected a complete file; copy it again"
        ) from error
    kept = {}
    for name, array in found.items():
        if name.startswith("/#") or array.attrs.get("MATLAB_class", "double") not in NUMBERS:
            continue  # references, text, logical and cells
        if group and not name.startswith(f"/{group.strip('/')}/"):
            continue
        attrs = {k: v for k, v in array.attrs.items() if k not in HIDDEN}
        kept[name] = _as_seen(Stored(array.data, attrs, (), array.encoding, array.chunks, True))
    opened = build(kept, table, path, snapshot=snapshot)
    opened.set_close(manager.close)
    return opened


def _open_v5(path: str, table: Table | None, group: str | None, snapshot: bool) -> xr.Dataset:
    from scipy.io import whosmat

    found = {}
    try:
        for name, shape, kind in whosmat(path):
            if kind in NUMBERS:
                data = MatArray(os.path.abspath(path), name, tuple(shape[::-1]), kind)
                found[f"/{name}"] = _as_seen(Stored(indexing.LazilyIndexedArray(data), flip=True))
    except (ValueError, TypeError, EOFError, NotImplementedError) as error:
        raise UnreadableFileError(
            f"{path}: scipy cannot read this MATLAB file ({error}). Save it again in MATLAB with "
            "save(..., '-v7.3')"
        ) from error
    return build(found, table, path, snapshot=snapshot)


def _as_seen(array: Stored) -> Stored:
    """Row and column vectors with one axis, 1 x 1 arrays with none."""
    if len(array.shape) != 2 or 1 not in array.shape:
        return array
    key = tuple(0 if n == 1 else slice(None) for n in array.shape)
    data = array.data[indexing.BasicIndexer(key)]
    return Stored(data, array.attrs, (), array.encoding, None, True)
