"""The layout of an opened dataset: fields, coordinates, periodic axes, mask and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from romae.conventions import TIME
from romae.errors import OptionError, nearest
from romae.fields.join import Piece
from romae.fields.layout import Field, Layout
from romae.fields.mask import given_mask
from romae.fields.state import plain
from romae.fields.weights import RULES, given_weights, quadrature, tells_sizes

PERIODIC_ATTRS = ("periodic", "axis_periodic")


@dataclass(frozen=True)
class Extras:
    """What a user adds to the data: periodic axes, a mask, weights."""

    periodic: str | Sequence[str] | Mapping[str, bool | float] | None = None
    mask: str | xr.DataArray | np.ndarray | None = None
    weights: str | xr.DataArray | np.ndarray | None = None


def describe(
    piece: Piece,
    extras: Extras,
    *,
    scalars: bool,
    types: Mapping[str, np.dtype],
    valid: np.ndarray | None = None,
) -> Layout:
    """The layout of ``piece``; ``valid`` is the mask (C, *space) where none was given.

    ``scalars``: keep scalar coordinates, which are parameters when each file is a case;
    ``types``: of each field over all files.
    """
    dataset, roles = piece.dataset, piece.roles
    space = roles.space
    shape = tuple(int(dataset.sizes[d]) for d in space)
    coords = space_coordinates(piece, scalars=scalars)
    periods = find_periods(coords, space, extras.periodic)
    mask = valid
    if extras.mask is not None:
        array, name = _array(dataset, extras.mask, "mask", piece.label)
        mask = given_mask(array, len(roles.names), space, shape, name)
    measure = extras.weights
    rules = [r for r in RULES if isinstance(measure, str) and r == measure]
    rule, measure = (rules[0], None) if rules else (RULES[0], measure)
    if measure is None and not tells_sizes(coords, space):
        measure = _cell_measure(dataset, roles.names[0], space)
    if measure is None:
        weights = quadrature(coords, space, shape, periods, _bounds(dataset, space), rule=rule)
    else:
        used = np.ones(shape, bool) if mask is None else np.asarray(mask.any(axis=0))
        array, name = _array(dataset, measure, "weights", piece.label)
        weights = given_weights(array, space, shape, used, name)
    time = roles.time or roles.time_coord or TIME
    return Layout(
        fields=tuple(_field(n, dataset[n], types[n]) for n in roles.names),
        time=time,
        space=space,
        shape=shape,
        case=roles.case,
        periodic=tuple(d in periods for d in space),
        coords=coords,
        mask=mask,
        weights=weights,
        attrs=plain(dataset.attrs),
        time_coord=roles.time_coord if roles.time_coord not in (None, time) else None,
    )


def space_coordinates(piece: Piece, *, scalars: bool = True) -> xr.Dataset:
    """Coordinates over space (and levels set aside), loaded, with plain attributes."""
    dataset, roles = piece.dataset, piece.roles
    used = {d for n in roles.names for d in dataset[n].dims} - {roles.time, roles.case}
    coords = {
        name: xr.Variable(c.dims, c.values, plain(c.attrs))
        for name, c in dataset.coords.items()
        if set(c.dims) <= used and name != roles.time_coord and (c.dims or scalars)
    }
    return xr.Dataset(coords=coords)


def find_periods(
    coords: xr.Dataset,
    space: tuple[str, ...],
    periodic: str | Sequence[str] | Mapping[str, bool | float] | None,
) -> dict[str, float | None]:
    """Periodic dimensions and their lengths (None: take it from the coordinate)."""
    attrs = {d: coords.variables[d].attrs if d in coords.variables else {} for d in space}
    flags: Mapping[str, Any]
    if periodic is None:
        flags = {d: any(_flag(a.get(key)) for key in PERIODIC_ATTRS) for d, a in attrs.items()}
    elif isinstance(periodic, Mapping):
        flags = periodic
    else:
        flags = dict.fromkeys([periodic] if isinstance(periodic, str) else periodic, True)
    periods: dict[str, float | None] = {}
    for d, flag in flags.items():
        if d not in space:
            raise OptionError(f"periodic={d!r} is no space dimension. {nearest(d, space)}")
        if flag is False or flag is None or flag == 0:
            continue
        length = attrs[d].get("period") if flag is True else flag
        periods[d] = None if length is None else float(length)
    return periods


def _flag(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in ("1", "true", "yes", "periodic")
    return bool(value)


def _field(name: str, array: xr.DataArray, dtype: np.dtype) -> Field:
    same = dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    return Field(
        name=name,
        attrs=plain(array.attrs),
        dtype=dtype.newbyteorder("=").name,
        encoding=_float_encoding(array.encoding) if same else {},
        dims=tuple(map(str, array.dims)),
    )


def _float_encoding(encoding: Mapping[Any, Any]) -> dict[str, Any]:
    """``dtype`` and ``_FillValue`` of floating storage. Packed integers are not repeated: a

    reconstruction may leave their range, and would then wrap around.
    """
    dtype = encoding.get("dtype")
    packed = "scale_factor" in encoding or "add_offset" in encoding
    if dtype is None or packed or np.dtype(dtype).kind != "f":
        return {}
    kept: dict[str, Any] = {"dtype": np.dtype(dtype).newbyteorder("=").name}
    if "_FillValue" in encoding:
        kept["_FillValue"] = plain(encoding["_FillValue"])
    return kept


def _bounds(dataset: xr.Dataset, space: tuple[str, ...]) -> dict[str, np.ndarray]:
    found = {}
    for d in space:
        if d not in dataset.coords:
            continue
        coordinate = dataset[d]
        name = coordinate.attrs.get("bounds", coordinate.encoding.get("bounds"))
        if name in dataset.variables and dataset[name].shape == (dataset.sizes[d], 2):
            found[d] = dataset[name].values.astype(np.float64)
    return found


def _cell_measure(dataset: xr.Dataset, name: str, space: tuple[str, ...]) -> str | None:
    """The variable over space that the CF attribute ``cell_measures`` of a field names."""
    words = str(dataset[name].attrs.get("cell_measures", "")).replace(":", " ").split()
    for word in words[1::2]:
        if word in dataset.variables and set(dataset[word].dims) <= set(space):
            return word
    return None


def _array(
    dataset: xr.Dataset, given: str | xr.DataArray | np.ndarray, what: str, label: str
) -> tuple[xr.DataArray | np.ndarray, str]:
    if not isinstance(given, str):
        return given, str(getattr(given, "name", None) or what)
    if given not in dataset.variables:
        known = nearest(given, map(str, dataset.variables))
        raise OptionError(f"{label}: unknown {what} variable {given!r}. {known}")
    return dataset[given], given
