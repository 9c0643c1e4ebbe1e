"""The first difference between two layouts, as a sentence that says what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from romae.fields.layout import Layout

TOLERANCE = 1e-5  # of a typical step: float32 coordinates of one grid may differ by rounding


def first_difference(a: Layout, b: Layout, what: str) -> str | None:
    """What distinguishes ``b`` from the expected ``a``, or None."""
    if a is b:
        return None
    if a.names != b.names:
        return (
            f"{what} has fields {', '.join(b.names)}; expected {', '.join(a.names)} in this order."
            f" Choose them with variables={list(a.names)!r}"
        )
    if a.space != b.space:
        return (
            f"{what} lies on ({', '.join(b.space)}); expected ({', '.join(a.space)}). "
            f"Name the dimensions with space={list(a.space)!r}, or select one level first, "
            "for example with .isel(z=0)"
        )
    if a.shape != b.shape:
        return (
            f"{what} has {_sizes(b)} points; expected {_sizes(a)}. "
            "Interpolate to the same grid first, or fit anew on this grid"
        )
    for f, g in zip(a.fields, b.fields, strict=True):
        if f.units and g.units and f.units != g.units:
            return (
                f"{what}: {g.name} is in {g.units!r}; expected {f.units!r}. Convert it first and "
                f"set ds[{g.name!r}].attrs['units'] = {f.units!r}"
            )
    if message := coordinate_difference(a.coords, b.coords, what):
        return message
    return _mask_difference(a, b, what)


def coordinate_difference(a: xr.Dataset, b: xr.Dataset, what: str) -> str | None:
    """The first coordinate that both have and that differs, with both values, or None.

    Numbers may differ by ``TOLERANCE`` of a typical step, which is what rounding to float32 does.
    """
    for name, variable in a.variables.items():
        if name not in b.variables or not variable.dims:
            continue
        x, y = variable.values, b.variables[name].values
        if x.shape != y.shape:
            return (
                f"{what}: coordinate {name!r} has shape {y.shape}; expected {x.shape}. "
                "Interpolate to the same grid first"
            )
        differs = _differs(x, y)
        if differs.any():
            i = tuple(int(k) for k in np.argwhere(differs)[0])
            return (
                f"{what}: coordinate {name!r} is {y[i]} at index {_index(i)}; expected {x[i]}. "
                "Interpolate to the same grid first, or fit anew on this grid"
            )
    return None


def _differs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if x.dtype.kind not in "fiu" or y.dtype.kind not in "fiu":
        return np.asarray(x != y)
    x, y = x.astype(float), y.astype(float)
    span = float(np.nanmax(x) - np.nanmin(x)) if np.isfinite(x).any() else 0.0
    largest = float(np.nanmax(np.abs(x))) if np.isfinite(x).any() else 0.0
    step = span / max(max(x.shape, default=1) - 1, 1)
    limit = max(TOLERANCE * step, 4 * np.finfo(np.float32).eps * largest)
    return ~((np.abs(x - y) <= limit) | (np.isnan(x) & np.isnan(y)))


def _mask_difference(a: Layout, b: Layout, what: str) -> str | None:
    if a.mask is None and b.mask is None:
        return None
    differs = a.valid != b.valid
    if not differs.any():
        return None
    c, *i = (int(k) for k in np.argwhere(differs)[0])
    state = {True: "valid", False: "masked"}
    return (
        f"{what}: {a.names[c]} is {state[bool(b.valid[c, *i])]} at index {_index(tuple(i))} of "
        f"({', '.join(a.space)}); expected {state[bool(a.valid[c, *i])]} "
        f"({int(differs.sum())} points differ). Open both with the same mask=..."
    )


def _sizes(layout: Layout) -> str:
    return " x ".join(f"{d}={n}" for d, n in zip(layout.space, layout.shape, strict=True))


def _index(i: tuple[int, ...]) -> str:
    return str(i[0]) if len(i) == 1 else str(i)
