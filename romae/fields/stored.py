"""Bare arrays of a file as a lazy Dataset.

Names, axes and coordinates come from a layout table (:mod:`romae.fields.table`); what it does not
say is guessed (:mod:`romae.fields.guess`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from romae.errors import DataError, OptionError, nearest
from romae.fields.guess import guess_coordinate, guess_fields, name_dims, without_conflicts
from romae.fields.table import COMPONENT, Table, axis_values

NUMERIC = "fiuc"  # complex ones are refused by name later


@dataclass(frozen=True)
class Stored:
    """One array in a file: lazy ``data`` with shape and dtype, names of its ``axes`` if any.

    ``flip``: the file's own order of the axes is the reverse of the storage (MATLAB).
    """

    data: Any
    attrs: dict[str, Any] = field(default_factory=dict)
    axes: tuple[str | None, ...] = ()
    encoding: dict[str, Any] = field(default_factory=dict)
    chunks: tuple[int, ...] | None = None
    flip: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes in storage order."""
        return tuple(map(int, self.data.shape))

    @property
    def seen(self) -> tuple[int, ...]:
        """Lengths of the axes in the order the user knows."""
        return self.shape[::-1] if self.flip else self.shape

    def variable(self, dims: tuple[str, ...], extra: Mapping[str, Any]) -> xr.Variable:
        """The array with named axes, still lazy."""
        encoding = dict(self.encoding)
        if self.chunks:
            encoding["chunksizes"] = self.chunks
            encoding["preferred_chunks"] = dict(zip(dims, self.chunks, strict=True))
        return xr.Variable(dims, self.data, {**self.attrs, **extra}, encoding)


def build(
    found: Mapping[str, Stored],
    table: Table | None,
    label: str,
    *,
    attrs: Mapping[str, Any] | None = None,
    snapshot: bool = False,
) -> xr.Dataset:
    """A lazy Dataset of the arrays that ``table`` names, or of all that look like fields.

    ``found``: arrays by path; ``snapshot``: each file is one snapshot, so no axis is time.
    Raises :class:`OptionError` for an unknown path or number of dims, :class:`DataError` where
    no field is found.
    """
    table = table or Table()
    fields = table.paths()
    if fields is None:
        fields = guess_fields(found, table, snapshot)
    if not fields:
        shapes = ", ".join(f"{p} {s.seen} {s.data.dtype}" for p, s in found.items()) or "(none)"
        raise DataError(
            f"{label}: no dataset looks like a field over time and space among {shapes}. "
            "Expected real numbers with two to four axes; name them, for example "
            'layout={"fields": {"u": "/u"}, "dims": ["time", "y", "x"]}'
        )
    arrays = {n: find(found, p, label) for n, p in fields.items()}
    dims = {n: name_dims(s, n, table, label, snapshot) for n, s in arrays.items()}
    dims = without_conflicts(dims, arrays)
    sizes = {d: n for k, s in arrays.items() for d, n in zip(dims[k], s.shape, strict=True)}
    variables: dict[str, xr.Variable] = {}
    for name, array in arrays.items():
        variables |= _fields(name, array, dims[name], table, label)
    coords = dict(table.coords)
    for d in sizes:
        if d not in coords and (path := guess_coordinate(found, d, sizes[d])):
            coords[d] = path
    for name, given in coords.items():
        extra = table.attrs.get(name, {})
        if isinstance(given, str):
            array = find(found, given, label)
            variables[name] = array.variable(_coord_dims(array, name, table, sizes, label), extra)
        elif name in sizes:
            variables[name] = xr.Variable((name,), axis_values(given, sizes[name], name, label))
            variables[name].attrs.update(extra)
        else:
            raise OptionError(f"{label}: coordinate {name!r}: no such axis. {nearest(name, sizes)}")
    raw = xr.Dataset(variables, attrs=dict(attrs or {})).set_coords(list(coords))
    return xr.decode_cf(raw, decode_timedelta=False)


def find(found: Mapping[str, Stored], path: str, label: str) -> Stored:
    """The array at ``path``, with or without a slash in front."""
    key = "/" + str(path).strip("/")
    if key not in found:
        raise OptionError(f"{label}: no numeric HDF5 dataset {path!r}. {nearest(key, found)}")
    kind = found[key].data.dtype
    if kind.kind not in NUMERIC:
        raise DataError(
            f"{label}: {path!r} has type {kind}. Expected real numbers; leave it out of fields, "
            "or convert it first, for example with .astype('float32')"
        )
    return found[key]


def _fields(
    name: str, array: Stored, dims: tuple[str, ...], table: Table, label: str
) -> dict[str, xr.Variable]:
    """One field, or one for each position along the component axis."""
    if COMPONENT not in dims:
        return {name: array.variable(dims, table.attrs.get(name, {}))}
    whole = array.variable(dims, table.attrs.get(name, {}))
    count = array.shape[dims.index(COMPONENT)]
    split = {}
    for i, part in enumerate(table.components_of(name, count, label)):
        piece = whole.isel({COMPONENT: i})
        piece.attrs.update(table.attrs.get(part, {}))
        piece.encoding = {k: v for k, v in whole.encoding.items() if k != "chunksizes"}
        split[part] = piece
    return split


def _coord_dims(
    array: Stored, name: str, table: Table, sizes: Mapping[str, int], label: str
) -> tuple[str, ...]:
    if isinstance(table.dims, dict) and name in table.dims:
        return name_dims(array, name, table, label)
    if not array.shape:
        return ()
    if len(array.shape) == 1 and sizes.get(name, array.shape[0]) == array.shape[0]:
        return (name,)
    raise OptionError(
        f"{label}: coordinate {name!r} has shape {array.seen}; expected "
        f"({sizes.get(name, 'n')},). Name its dims with layout dims = {{{name!r}: [...]}}"
    )
