"""Whether several files go together: the same fields in the same units on the same grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from romae.errors import DataError, GridMismatchError
from romae.fields.compare import coordinate_difference
from romae.fields.join import Piece


def check_fields(first: Piece, other: str, dataset: xr.Dataset) -> None:
    """Raise :class:`DataError` unless the file ``other`` has the fields and axes of ``first``."""
    names = first.roles.names
    missing = [n for n in names if n not in dataset.data_vars]
    if missing:
        held = ", ".join(map(str, dataset.data_vars)) or "no variables"
        rest = [n for n in names if n not in missing]
        raise DataError(
            f"{other} has no variable {missing[0]!r}, which {first.label} has; it holds {held}. "
            "Expected the same fields in all files. Leave the file out"
            + (f", or open those that all have with variables={rest!r}" if rest else "")
        )
    for d in first.roles.space:
        if d not in dataset.dims:
            sizes = ", ".join(f"{k}={n}" for k, n in dataset.sizes.items())
            raise GridMismatchError(
                f"{other} has no dimension {d!r}, which {first.label} has; it has ({sizes}). "
                "Expected the same names in all files; rename it first, or leave the file out"
            )


def check_alike(first: Piece, other: Piece) -> None:
    """Raise :class:`GridMismatchError` unless both pieces lie on one grid."""
    for d in first.roles.space:
        a, b = first.dataset.sizes[d], other.dataset.sizes[d]
        if a != b:
            raise GridMismatchError(
                f"{other.label}: {d} has {b} points; expected {a} as in {first.label}. "
                "Interpolate to one grid first, or leave the file out"
            )
    if first.cases != other.cases:
        raise GridMismatchError(
            f"{other.label} has {other.cases} cases; expected {first.cases} as in {first.label}"
        )
    for name in (*first.roles.names, first.roles.time_coord):
        if name is None or name not in other.dataset.variables:
            continue
        want, got = (str(p.dataset[name].attrs.get("units", "")) for p in (first, other))
        if want and got and want != got:
            raise GridMismatchError(
                f"{other.label}: {name} is in {got!r}; expected {want!r} as in {first.label}. "
                "Convert it first, or leave the file out"
            )
    message = coordinate_difference(_grid(first), _grid(other), other.label)
    if message:
        raise GridMismatchError(f"{message} (as in {first.label})")


def _grid(piece: Piece) -> xr.Dataset:
    used = set(piece.roles.space)
    keep = {
        n: c.variable for n, c in piece.dataset.coords.items() if c.dims and set(c.dims) <= used
    }
    return xr.Dataset(coords=keep)


def common_types(pieces: Sequence[Piece]) -> dict[str, np.dtype]:
    """Type of each field that holds what every file has, float64 where one of them has it."""
    return {
        name: np.result_type(*(p.dataset[name].dtype for p in pieces))
        for name in pieces[0].roles.names
    }
