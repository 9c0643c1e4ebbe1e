"""Values of a variable read chunk by chunk from its file, past the library's serial pipeline.

    file bytes  --preadv-->  chunk  --filters undone-->  stored values  --decode-->  values

Where the chunks lie is learned once by h5py (:mod:`romae.fields.chunks`); each read opens the
file and plans pieces of work that gather the chunks it touches (:mod:`romae.fields.gather`), for
the threads of whoever reads. Nothing is held between reads: no thread, lock or file that a fork, a
pickle or another library could meet.
``decode`` is xarray's own chain of functions for fill values and packing, applied per chunk, so
that the values are xarray's bit for bit. What does not lend itself to this is read by xarray.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from romae.fields.chunks import Table, identity, learn
from romae.fields.gather import ChunkError, File, Part, Reading, TornError
from romae.fields.grid import Target

__all__ = ["ChunkError", "Origin", "Part", "Plan", "Tables", "Target", "TornError", "find_origin"]

Key = tuple[int | slice, ...]


@dataclass(frozen=True)
class Origin:
    """Where a lazy variable comes from and xarray's functions from stored to decoded values."""

    path: str
    name: str
    functions: tuple[Callable[[np.ndarray], Any], ...]


class Plan(NamedTuple):
    """Pieces of work that fill an array; ``heavy``: they compute, threads help."""

    parts: list[Part]
    heavy: bool


class Tables(dict[str, Table | None]):
    """Tables by variable, learned when first needed; pickled without them."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Tables, ())

    def plan(self, out: Target, variable: xr.Variable, name: str, key: Key) -> Plan | None:
        """What fills ``out`` with ``variable[key]``, None where that has to be left to xarray.

        ``out`` has one axis per slice of ``key``. This, and the work, raise :class:`TornError`,
        and the work :class:`ChunkError`, after which ``out`` holds anything.
        """
        if self.get(name, ()) is None or not hasattr(os, "preadv"):
            return None
        found = find_origin(variable)
        if found is None:
            self[name] = None
            return None
        try:
            file = File(found.path)
        except OSError as error:
            raise TornError(f"the file does not open any more: {error}") from error
        table = self._current(name, found, file.number, variable.shape)
        if table is None:
            return None
        reading = Reading(table, found.functions, file)
        return Plan(reading.parts(out, key), reading.heavy)

    def _current(
        self, name: str, origin: Origin, file: int, shape: tuple[int, ...]
    ) -> Table | None:
        """The table of the file as it is now."""
        table = self.get(name)
        if table is None or table.identity != identity(os.fstat(file)):
            if table is not None and os.fstat(file).st_size < table.identity[2]:
                raise TornError(
                    f"the file was {table.identity[2]} bytes and is {os.fstat(file).st_size} now"
                )
            try:
                table = learn(origin.path, origin.name)
            except (OSError, KeyError, ImportError, RuntimeError, ValueError):
                table = None
            if table is not None and table.shape != shape:  # an unlimited axis that grew
                table = None
            self[name] = table
        return table


def find_origin(variable: xr.Variable) -> Origin | None:
    """The HDF5 dataset beneath a lazy variable; None for arrays, dask, other stores, parts."""
    try:
        return _origin(variable._data)
    except AttributeError:  # these are inner parts of xarray, and may change
        return None


def _origin(array: Any) -> Origin | None:
    functions: list[Callable[[np.ndarray], Any]] = []
    while True:
        kind = type(array).__name__ if type(array).__module__.startswith("xarray.") else ""
        if kind in ("CopyOnWriteArray", "MemoryCachedArray"):
            pass
        elif kind == "LazilyIndexedArray":
            if any(k != slice(None) for k in array.key.tuple):
                return None
        elif kind == "_ElementwiseFunctionArray":
            functions.append(array.func)
        elif kind == "NativeEndiannessArray":
            functions.append(_native)
        else:
            break
        array = array.array
    where = None
    if kind == "NetCDF4ArrayWrapper":
        where = _in_netcdf(array)
    elif type(array).__name__ == "H5Array":
        where = (array.manager._args[0], array.path)
    if where is None or not isinstance(where[0], str) or not os.path.isabs(where[0]):
        return None
    return Origin(where[0], where[1], tuple(reversed(functions)))


def _in_netcdf(array: Any) -> tuple[str, str] | None:
    store = array.datastore
    if store.is_remote or store._mode != "r":
        return None
    path, group = store._filename, store._group
    return path, "/".join(("", *filter(None, (group or "").split("/")), array.variable_name))


def _native(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("="), copy=False)
