"""Bare arrays of a file as a lazy Dataset: names, axes and coordinates by table, or by guess.

Without a table, fields are all numeric arrays of two to four axes. Axes take the names that the
file gives them; else the first is time and the last ones z, y, x (MATLAB: y, x, z, time).
Arrays with one axis that are named like it (or t) and as long are its coordinate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from romae.errors import DataError, OptionError, nearest
from romae.fields.table import COMPONENT, Table, axis_values

TIME_LIKE = ("time", "t", "times")
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
        fields = _guess_fields(found, table, snapshot)
    if not fields:
        shapes = ", ".join(f"{p} {s.seen}" for p, s in found.items()) or "(no arrays)"
        raise DataError(
            f"{label}: no dataset looks like a field over time and space among {shapes}. Name "
            'them, for example layout={"fields": {"u": "/u"}, "dims": ["time", "y", "x"]}'
        )
    arrays = {n: find(found, p, label) for n, p in fields.items()}
    dims = {n: _dims(s, n, table, label, snapshot) for n, s in arrays.items()}
    dims = _without_conflicts(dims, arrays)
    sizes = {d: n for k, s in arrays.items() for d, n in zip(dims[k], s.shape, strict=True)}
    variables: dict[str, xr.Variable] = {}
    for name, array in arrays.items():
        variables |= _fields(name, array, dims[name], table, label)
    coords = dict(table.coords)
    for d in sizes:
        if d not in coords and (path := _guess_coordinate(found, d, sizes[d])):
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


def _guess_fields(found: Mapping[str, Stored], table: Table, snapshot: bool) -> dict[str, str]:
    common = table.dims if isinstance(table.dims, list) else None
    least, most = (1, 3) if snapshot else (2, 4)
    numeric = {p: s for p, s in found.items() if s.data.dtype.kind in "fiu"}
    if common is not None:
        paths = [p for p, s in numeric.items() if len(s.shape) == len(common)]
    elif isinstance(table.dims, dict):
        paths = [p for p, s in numeric.items() if p.rsplit("/", 1)[-1] in table.dims]
    else:
        paths = [p for p, s in numeric.items() if least <= len(s.shape) <= most]
        if any(len(numeric[p].shape) > 1 for p in paths):  # of one snapshot: not its axes
            paths = [p for p in paths if len(numeric[p].shape) > 1]
    short = [p.rsplit("/", 1)[-1] for p in paths]
    return {
        name if short.count(name) == 1 else path.strip("/").replace("/", "_"): path
        for name, path in zip(short, paths, strict=True)
    }


def _dims(
    array: Stored, name: str, table: Table, label: str, snapshot: bool = False
) -> tuple[str, ...]:
    dims, n = table.dims_of(name), len(array.shape)
    if dims is not None:
        if len(dims) != n:
            raise OptionError(
                f"{label}: {name!r} has {n} axes {array.seen}, dims={list(dims)!r} "
                f"names {len(dims)}. Expected one name per axis"
            )
        return tuple(map(str, reversed(dims) if array.flip else dims))
    if n - (not snapshot) > 3:
        raise OptionError(
            f"{label}: {name!r} has {n} axes {array.seen}, too many to guess their names. Name "
            'them, for example layout={"dims": ["case", "time", "component", "y", "x"]}'
        )
    lead = () if snapshot else ("time",)
    if array.flip:  # MATLAB: rows are y, columns x, time is the last axis
        space = {0: (), 1: ("x",), 2: ("y", "x"), 3: ("y", "x", "z")}[n - len(lead)]
        guessed = (*space, *lead)[::-1]
    else:
        guessed = (*lead, *("z", "y", "x")[3 - (n - len(lead)) :])
    axes = array.axes or (None,) * n
    return tuple(axes[i] or guessed[i] for i in range(n))


def _without_conflicts(
    dims: Mapping[str, tuple[str, ...]], arrays: Mapping[str, Stored]
) -> dict[str, tuple[str, ...]]:
    """Guessed names made different where arrays of other lengths use the same one."""
    sizes: dict[str, int] = {}
    result = {}
    for name, own in dims.items():
        named = []
        for d, size in zip(own, arrays[name].shape, strict=True):
            unique = d if d == COMPONENT or sizes.setdefault(d, size) == size else f"{d}_{size}"
            sizes.setdefault(unique, size)
            named.append(unique)
        result[name] = tuple(named)
    return result


def _guess_coordinate(found: Mapping[str, Stored], dim: str, size: int) -> str | None:
    names = TIME_LIKE if dim in TIME_LIKE else (dim,)
    for path, array in found.items():
        numeric = array.data.dtype.kind in "fiu"
        if numeric and array.shape == (size,) and path.rsplit("/", 1)[-1].lower() in names:
            return path
    return None


def _coord_dims(
    array: Stored, name: str, table: Table, sizes: Mapping[str, int], label: str
) -> tuple[str, ...]:
    if isinstance(table.dims, dict) and name in table.dims:
        return _dims(array, name, table, label)
    if not array.shape:
        return ()
    if len(array.shape) == 1 and sizes.get(name, array.shape[0]) == array.shape[0]:
        return (name,)
    raise OptionError(
        f"{label}: coordinate {name!r} has shape {array.seen}; expected "
        f"({sizes.get(name, 'n')},). Name its dims with layout dims = {{{name!r}: [...]}}"
    )
