"""Plain HDF5 as a lazy Dataset: datasets are named by path, and no library but h5py is needed.

A layout mapping (in TOML a table) says what the file does not say itself:

    fields = { u = "/flow/u", p = "/flow/p" }     # name = path of the dataset
    dims   = ["time", "y", "x"]                   # of every field, or a table: name = [...]
    coords = { time = "/flow/t", x = "/mesh/x" }  # 1-D (or 2-D with its own entry in dims)
    attrs  = { u = { units = "m/s" } }            # added to those in the file

Each part may be left out. Then fields are all numeric datasets of two to four axes; the axes are
named by HDF5 dimension scales or labels, else the first is time and the last ones z, y, x; 1-D
datasets named like an axis (or t) and as long as it are its coordinate.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, CachingFileManager
from xarray.core import indexing

from romae.errors import (
    DataError,
    MissingDependencyError,
    OptionError,
    UnreadableFileError,
    nearest,
)

if TYPE_CHECKING:
    import h5py

SPACE_NAMES = ("z", "y", "x")
TIME_LIKE = ("time", "t", "times")
HIDDEN = ("DIMENSION_LIST", "DIMENSION_LABELS", "REFERENCE_LIST", "CLASS", "NAME", "_Netcdf4Dimid")
PARTS = ("fields", "dims", "coords", "attrs")


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
            return file[self.path][key]


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


def open_hdf5(path: str, layout: Mapping[str, Any] | None, group: str | None) -> xr.Dataset:
    """A lazy Dataset of the datasets that ``layout`` names, or of all that look like fields.

    Raises :class:`OptionError` for an unknown part, path or number of dims, and
    :class:`DataError` where no field is found.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is an HDF5 file and h5py is not installed. Type: pip install h5py"
        ) from error
    layout = dict(layout or {})
    for part in layout:
        if part not in PARTS:
            raise OptionError(f"unknown part {part!r} of an HDF5 layout. {nearest(part, PARTS)}")
    # h5py.File is looked up by path again in another process, so the Dataset can be pickled.
    manager = CachingFileManager(h5py.File, os.path.abspath(path), mode="r")
    try:
        with manager.acquire_context() as file:
            if group and group not in file:
                raise OptionError(f"{path}: no HDF5 group {group!r}. {nearest(group, file)}")
            return _build(file[group] if group else file, path, layout, manager)
    except OSError as error:
        raise UnreadableFileError(f"{path}: HDF5 cannot open it ({error})") from error


def _build(
    top: h5py.Group, label: str, layout: Mapping[str, Any], manager: CachingFileManager
) -> xr.Dataset:
    found = _datasets(top)
    fields = layout.get("fields")
    if fields is None:
        fields = _guess_fields(found)
    elif not isinstance(fields, Mapping):
        fields = {str(p).rstrip("/").rsplit("/", 1)[-1]: str(p) for p in fields}
    if not fields:
        raise DataError(
            f"{label}: no dataset looks like a field over time and space among "
            f"{', '.join(f'{p} {d.shape}' for p, d in found.items()) or '(no datasets)'}. Name "
            'them, for example hdf5={"fields": {"u": "/u"}, "dims": ["time", "y", "x"]}'
        )
    dims = {
        n: _dims(_find(found, str(p), label), n, layout.get("dims"), label)
        for n, p in fields.items()
    }
    dims = _without_conflicts(
        dims, {n: _find(found, str(p), label).shape for n, p in fields.items()}
    )
    sizes = {
        d: size
        for n, p in fields.items()
        for d, size in zip(dims[n], _find(found, str(p), label).shape, strict=True)
    }
    coords = dict(layout.get("coords") or {})
    for d in sizes:
        if d not in coords and (path := _guess_coordinate(found, d, sizes[d])):
            coords[d] = path
    extra = layout.get("attrs") or {}
    variables = {
        n: _variable(_find(found, str(p), label), dims[n], manager, extra.get(n, {}))
        for n, p in fields.items()
    }
    for name, path in coords.items():
        dataset = _find(found, str(path), label)
        own = _coord_dims(dataset, name, layout.get("dims"), sizes, label)
        variables[name] = _variable(dataset, own, manager, extra.get(name, {}))
    attrs = {k: _text(v) for k, v in top.attrs.items() if np.asarray(v).dtype.kind in "fiubUSO"}
    raw = xr.Dataset(variables, attrs=attrs).set_coords(list(coords))
    decoded = xr.decode_cf(raw, decode_timedelta=False)
    decoded.set_close(manager.close)
    return decoded


def _datasets(top: h5py.Group) -> dict[str, h5py.Dataset]:
    """All numeric datasets below ``top`` by path from it."""
    import h5py

    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
            found["/" + name] = item

    top.visititems(visit)
    return found


def _find(found: Mapping[str, h5py.Dataset], path: str, label: str) -> h5py.Dataset:
    key = "/" + path.strip("/")
    if key not in found:
        raise OptionError(f"{label}: no numeric HDF5 dataset {path!r}. {nearest(key, found)}")
    return found[key]


def _guess_fields(found: Mapping[str, h5py.Dataset]) -> dict[str, str]:
    paths = [p for p, d in found.items() if 2 <= d.ndim <= 4]
    short = [p.rsplit("/", 1)[-1] for p in paths]
    return {
        name if short.count(name) == 1 else path.strip("/").replace("/", "_"): path
        for name, path in zip(short, paths, strict=True)
    }


def _dims(dataset: h5py.Dataset, name: str, given: Any, label: str) -> tuple[str, ...]:
    dims = given.get(name) if isinstance(given, Mapping) else given
    if dims is not None:
        if len(dims) != dataset.ndim:
            raise OptionError(
                f"{label}: {name!r} has {dataset.ndim} axes {dataset.shape}, dims={list(dims)!r} "
                f"names {len(dims)}. Expected one name per axis"
            )
        return tuple(map(str, dims))
    space = SPACE_NAMES[-(dataset.ndim - 1) :] if dataset.ndim > 1 else ()
    guessed = ("time", *space)
    return tuple(_axis_name(dataset, i) or guessed[i] for i in range(dataset.ndim))


def _axis_name(dataset: h5py.Dataset, i: int) -> str | None:
    axis = dataset.dims[i]
    if axis.label:
        return str(axis.label)
    if len(axis):
        return str(axis[0].name).rsplit("/", 1)[-1]
    return None


def _without_conflicts(
    dims: Mapping[str, tuple[str, ...]], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[str, ...]]:
    """Guessed names made different where datasets of other lengths use the same one."""
    sizes: dict[str, int] = {}
    result = {}
    for name, own in dims.items():
        named = []
        for d, size in zip(own, shapes[name], strict=True):
            unique = d if sizes.setdefault(d, size) == size else f"{d}_{size}"
            sizes.setdefault(unique, size)
            named.append(unique)
        result[name] = tuple(named)
    return result


def _guess_coordinate(found: Mapping[str, h5py.Dataset], dim: str, size: int) -> str | None:
    names = TIME_LIKE if dim in TIME_LIKE else (dim,)
    for path, dataset in found.items():
        if dataset.shape == (size,) and path.rsplit("/", 1)[-1].lower() in names:
            return path
    return None


def _coord_dims(
    dataset: h5py.Dataset, name: str, given: Any, sizes: Mapping[str, int], label: str
) -> tuple[str, ...]:
    if isinstance(given, Mapping) and name in given:
        return _dims(dataset, name, given, label)
    if dataset.ndim == 0:
        return ()
    if dataset.ndim == 1 and sizes.get(name, dataset.shape[0]) == dataset.shape[0]:
        return (name,)
    raise OptionError(
        f"{label}: coordinate {name!r} has shape {dataset.shape}; expected "
        f"({sizes.get(name, 'n')},). Name its dims with hdf5 dims = {{{name!r}: [...]}}"
    )


def _variable(
    dataset: h5py.Dataset,
    dims: tuple[str, ...],
    manager: CachingFileManager,
    extra: Mapping[str, Any],
) -> xr.Variable:
    array = H5Array(manager, dataset.name, dataset.shape, dataset.dtype)
    attrs = {k: _text(v) for k, v in dataset.attrs.items() if k not in HIDDEN}
    encoding: dict[str, Any] = {"source": dataset.file.filename, "original_shape": dataset.shape}
    if dataset.chunks:
        encoding["chunksizes"] = dataset.chunks
        encoding["preferred_chunks"] = dict(zip(dims, dataset.chunks, strict=True))
    data = indexing.LazilyIndexedArray(array)
    return xr.Variable(dims, data, {**attrs, **extra}, encoding)


def _text(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.ravel()[0]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        return [_text(v) for v in value.ravel().tolist()]
    return value
