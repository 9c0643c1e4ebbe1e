"""HDF5 files as lazy Datasets, with no library but h5py.

The Well and PDEBench are known by what they hold. Any other file is read by its layout table
(:mod:`romae.fields.table`), or by guess (:mod:`romae.fields.stored`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, CachingFileManager
from xarray.core import indexing

from romae.conventions import CASE, TIME
from romae.errors import MissingDependencyError, OptionError, UnreadableFileError, nearest
from romae.fields.stored import Stored, build
from romae.fields.table import Table

if TYPE_CHECKING:
    import h5py

HIDDEN = ("DIMENSION_LIST", "DIMENSION_LABELS", "REFERENCE_LIST", "CLASS", "NAME", "_Netcdf4Dimid")
FEW = 9  # components: up to this many it is faster to read all than to pick one in the file


class H5Array(BackendArray):
    """One HDF5 dataset, opened by path when it is indexed, so that it can be pickled."""

    def __init__(self, manager: CachingFileManager, path: str, shape: tuple[int, ...], dtype: Any):
        self.manager, self.path, self.shape, self.dtype = manager, path, shape, np.dtype(dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> Any:
        with self.manager.acquire_context() as file:
            return read_h5(file[self.path], key)


class H5Stack(BackendArray):
    """Datasets of one shape, one per trajectory, as one array with a first axis over them."""

    def __init__(
        self, manager: CachingFileManager, paths: list[str], shape: tuple[int, ...], dtype: Any
    ):
        self.manager, self.paths, self.dtype = manager, paths, np.dtype(dtype)
        self.shape = (len(paths), *shape)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> Any:
        which, rest = key[0], key[1:]
        with self.manager.acquire_context() as file:
            if not isinstance(which, slice):
                return read_h5(file[self.paths[which]], rest)
            return np.stack([read_h5(file[p], rest) for p in self.paths[which]])


def read_h5(dataset: h5py.Dataset, key: tuple[int | slice, ...]) -> Any:
    """``dataset[key]``; one component of the last axis is picked in memory, not in the file."""
    if key and not isinstance(key[-1], slice) and 1 < dataset.shape[-1] <= FEW:
        return np.ascontiguousarray(dataset[*key[:-1], :][..., key[-1]])
    return dataset[key]


def is_netcdf4(path: str, group: str | None = None) -> bool:
    """Whether an HDF5 file was written as netCDF4: it says so, or has dimension scales.

    Raises :class:`OSError` for a file that HDF5 cannot open, as when it is truncated.
    """
    try:
        import h5py
    except ImportError:
        return True
    with h5py.File(path, "r") as file:
        if "_NCProperties" in file.attrs:
            return True
        top = file.get(group, file) if group else file
        datasets = [d for d in top.values() if isinstance(d, h5py.Dataset)]
        return any(
            d.attrs.get("CLASS") in (b"DIMENSION_SCALE", "DIMENSION_SCALE") for d in datasets
        )


def h5_manager(path: str) -> CachingFileManager:
    """A file that opens when it is used, and again by path in another process."""
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is an HDF5 file and h5py is not installed. Type: pip install h5py"
        ) from error
    return CachingFileManager(h5py.File, os.path.abspath(path), mode="r")


def open_hdf5(
    path: str, table: Table | None, group: str | None, *, snapshot: bool = False
) -> xr.Dataset:
    """A lazy Dataset of an HDF5 file that is not netCDF4; errors as :func:`build`."""
    from romae.fields import pdebench, thewell

    manager = h5_manager(path)
    try:
        with manager.acquire_context() as file:
            if group and group not in file:
                raise OptionError(f"{path}: no HDF5 group {group!r}. {nearest(group, file)}")
            top = file[group] if group else file
            known = [k for k in (thewell, pdebench) if table is None and k.recognise(top)]
            if known:
                opened = known[0].read(top, path, manager)
            else:
                attrs = {k: v for k, v in attributes(top).items() if not isinstance(v, np.ndarray)}
                opened = build(datasets(top, manager), table, path, attrs=attrs, snapshot=snapshot)
    except OSError as error:
        raise UnreadableFileError(
            f"{path}: HDF5 cannot open it ({error}). Expected a complete file; copy it again"
        ) from error
    opened.set_close(manager.close)
    return opened


def datasets(top: h5py.Group, manager: CachingFileManager) -> dict[str, Stored]:
    """All datasets below ``top`` by path from it."""
    import h5py

    found: dict[str, Stored] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.shape is not None:
            found["/" + name] = stored(item, manager)

    top.visititems(visit)
    return found


def stored(dataset: h5py.Dataset, manager: CachingFileManager) -> Stored:
    """One HDF5 dataset, unread."""
    array = H5Array(manager, dataset.name, dataset.shape, dataset.dtype)
    encoding = {"source": dataset.file.filename, "original_shape": dataset.shape}
    return Stored(
        indexing.LazilyIndexedArray(array),
        attributes(dataset),
        tuple(_axis_name(dataset, i) for i in range(dataset.ndim)),
        encoding,
        dataset.chunks,
    )


def time_axes(values: np.ndarray) -> dict[str, xr.Variable]:
    """Times (T,), or (cases, T), as the coordinate of time: called ``t`` where cases differ."""
    if values.ndim == 2 and (values == values[:1]).all():
        values = values[0]
    if values.ndim == 2:
        return {"t": xr.Variable((CASE, TIME), values)}
    return {TIME: xr.Variable((TIME,), values)}


def attributes(item: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Attributes that are numbers or text."""
    kept = {}
    for name, value in item.attrs.items():
        if name not in HIDDEN and np.asarray(value).dtype.kind in "fiubUSO":
            kept[str(name)] = _text(value)
    return kept


def _axis_name(dataset: h5py.Dataset, i: int) -> str | None:
    axis = dataset.dims[i]
    if axis.label:
        return str(axis.label)
    return str(axis[0].name).rsplit("/", 1)[-1] if len(axis) else None


def _text(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        return [_text(v) for v in value.ravel().tolist()]
    return value
