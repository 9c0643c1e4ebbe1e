"""Quadrature weights from coordinates: what part of the domain a grid point stands for.

    bounded axis     w_i = (x_{i+1} - x_{i-1}) / 2, half a cell at both ends: the trapezoid rule,
                     for points of which the first and the last lie on the boundary
    or, by "cells"   w_i = x_{i+1/2} - x_{i-1/2}, edges between points, the outer ones half a step
                     beyond: for values in cells, which coordinates alone cannot tell apart
    periodic axis    the same with x_{n} = x_0 + L; exact for every harmonic on an even grid
    latitude         w_i = sin φ_{i+1/2} - sin φ_{i-1/2}, edges between points, clipped to ±90°
    longitude        w_i = λ_{i+1/2} - λ_{i-1/2}, whole cells
    cell bounds      w_i = |b_{i,1} - b_{i,0}| where the coordinate names its CF bounds
    curvilinear      |area| of the quadrilateral between cell corners, the means of four centres
    unstructured     the variable that the CF attribute ``cell_measures`` names, where it is there

The weights of a grid are the product over its axes, divided by their mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import xarray as xr

from romae.errors import DataError, GridMismatchError
from romae.fields.axes import numeric_coordinate
from romae.fields.curvilinear import corner_areas, horizontal_pair

Rule = Literal["trapezoid", "cells"]
RULES: tuple[Rule, ...] = get_args(Rule)
DEGREES_NORTH = {"degrees_north", "degree_north", "degrees_n", "degree_n", "degreesn"}
DEGREES_EAST = {"degrees_east", "degree_east", "degrees_e", "degree_e", "degreese"}


def quadrature(
    coords: xr.Dataset,
    space: tuple[str, ...],
    shape: tuple[int, ...],
    periods: Mapping[str, float | None],
    bounds: Mapping[str, np.ndarray] | None = None,
    *,
    rule: Rule = "trapezoid",
) -> np.ndarray:
    """Weights (*space), float64, mean 1.

    ``periods``: for each periodic dimension its length L, or None when it follows from the
    coordinate; ``bounds``: cell edges (n, 2) of dimensions that have them. A dimension without a
    numeric coordinate is taken as even. Raises :class:`DataError` for a coordinate that is not
    strictly monotonic.
    """
    weights = np.ones(shape)
    covered: set[str] = set()
    if pair := horizontal_pair(coords, space):
        x, y, dims, geographic = pair
        area = corner_areas(x, y, geographic)
        weights = weights * _along(area, dims, space)
        covered |= set(dims)
    for d, n in zip(space, shape, strict=True):
        if d in covered or n == 1:
            continue
        at = numeric_coordinate(coords, d)
        if at is None:
            continue
        attrs = coords.variables[d].attrs
        edges = (bounds or {}).get(d)
        w = axis_weights(at, d, attrs, d in periods, periods.get(d), edges, rule=rule)
        weights = weights * _along(w, (d,), space)
    return weights / weights.mean()


def tells_sizes(coords: xr.Dataset, space: tuple[str, ...]) -> bool:
    """Whether the coordinates say how large the cells are, along any axis."""
    if horizontal_pair(coords, space):
        return True
    return any(numeric_coordinate(coords, d) is not None for d in space)


def axis_weights(
    x: np.ndarray,
    name: str,
    attrs: Mapping[str, object],
    periodic: bool,
    period: float | None = None,
    bounds: np.ndarray | None = None,
    *,
    rule: Rule = "trapezoid",
) -> np.ndarray:
    """Weights (n,) of one axis with coordinate ``x``, by the rules in the module's head."""
    if not np.isfinite(x).all():
        raise DataError(f"coordinate {name!r} holds {x[~np.isfinite(x)][0]}; expected numbers")
    steps = np.diff(x)
    if not ((steps > 0).all() or (steps < 0).all()):
        i = int(np.flatnonzero(np.sign(steps) != np.sign(steps[0]))[0]) if steps[0] else 0
        raise DataError(
            f"coordinate {name!r} is not strictly monotonic: {x[i]} at index {i} is followed by "
            f"{x[i + 1]}. Sort it first, for example ds.sortby({name!r}), or drop the coordinate"
        )
    if bounds is not None and bounds.shape == (x.size, 2):
        edges = np.sin(np.deg2rad(bounds)) if is_latitude(attrs) else bounds
        widths = np.abs(edges[:, 1] - edges[:, 0])
        if not (np.isfinite(widths).all() and widths.any()):
            raise DataError(
                f"the bounds of coordinate {name!r} give no cell sizes: the first is from "
                f"{bounds[0, 0]} to {bounds[0, 1]}. Expected edges of every cell; repair them, or "
                f"drop them: del ds[{name!r}].attrs['bounds']"
            )
        return widths
    if is_latitude(attrs):
        return np.abs(np.diff(np.sin(np.deg2rad(cell_edges(x).clip(-90, 90)))))
    if periodic:
        return _periodic_weights(x, name, period)
    if is_longitude(attrs) or rule == "cells":
        return np.abs(np.diff(cell_edges(x)))
    steps = np.abs(steps)
    return 0.5 * (np.append(steps, 0.0) + np.append(0.0, steps))


def cell_edges(x: np.ndarray) -> np.ndarray:
    """Edges (n + 1,) midway between the points of ``x`` (n,), the outer ones half a step away."""
    middle = 0.5 * (x[1:] + x[:-1])
    return np.concatenate(([1.5 * x[0] - 0.5 * x[1]], middle, [1.5 * x[-1] - 0.5 * x[-2]]))


def is_latitude(attrs: Mapping[str, object]) -> bool:
    """Whether CF attributes say latitude in degrees."""
    return _degrees(attrs, "latitude", DEGREES_NORTH)


def is_longitude(attrs: Mapping[str, object]) -> bool:
    """Whether CF attributes say longitude in degrees."""
    return _degrees(attrs, "longitude", DEGREES_EAST)


def _degrees(attrs: Mapping[str, object], standard_name: str, units: set[str]) -> bool:
    unit = str(attrs.get("units", "")).lower()
    if unit in units:
        return True
    return attrs.get("standard_name") == standard_name and unit in ("", "degree", "degrees")


def _periodic_weights(x: np.ndarray, name: str, period: float | None) -> np.ndarray:
    steps = np.abs(np.diff(x))
    span = float(steps.sum())
    # Without a stated length the closing step is the mean of its two neighbours.
    gap = 0.5 * float(steps[0] + steps[-1]) if period is None else period - span
    if gap < -1e-6 * span:
        raise DataError(
            f"coordinate {name!r} spans {span:g}, more than its period {period:g}. "
            f"Expected at most one period; give its length with periodic={{{name!r}: ...}}"
        )
    steps = np.append(steps, max(gap, 0.0))
    return 0.5 * (steps + np.roll(steps, 1))


def _along(values: np.ndarray, dims: tuple[str, ...], space: tuple[str, ...]) -> np.ndarray:
    """``values`` over ``dims`` with axes of length 1 for the other dimensions of ``space``."""
    order = [d for d in space if d in dims]
    values = values.transpose([dims.index(d) for d in order])
    sizes = dict(zip(order, values.shape, strict=True))
    return values.reshape([sizes.get(d, 1) for d in space])


def given_weights(
    weights: xr.DataArray | np.ndarray,
    space: tuple[str, ...],
    shape: tuple[int, ...],
    used: np.ndarray,
    name: str,
) -> np.ndarray:
    """A user's weights over some or all of ``space`` as (*space), mean 1.

    ``used``: points (*space) valid in any channel; there weights must be positive. Raises
    :class:`GridMismatchError` for wrong dimensions and :class:`DataError` for wrong values.
    """
    values = on_grid(weights, space, shape, f"weights {name!r}").astype(np.float64)
    bad = used & ~(np.isfinite(values) & (values > 0))
    if bad.any():
        i = tuple(int(k) for k in np.argwhere(bad)[0])
        raise DataError(
            f"weights {name!r} are {values[i]} at index {i}. Expected positive numbers wherever "
            "the fields are valid, for example cell areas; mask other points with mask=..."
        )
    values = np.where(used, values, values[used].mean() if used.any() else 1.0)
    return values / values.mean()


def on_grid(
    array: xr.DataArray | np.ndarray, space: tuple[str, ...], shape: tuple[int, ...], what: str
) -> np.ndarray:
    """``array`` as an array (*space), repeated along the dimensions that it lacks."""
    if not isinstance(array, xr.DataArray):
        values = np.asarray(array)
        if values.shape != shape:
            raise GridMismatchError(
                f"{what}: shape {values.shape}; expected {shape} over ({', '.join(space)})"
            )
        return values
    extra = [d for d in array.dims if d not in space]
    array = array.isel({d: 0 for d in extra if array.sizes[d] == 1}, drop=True)
    sizes = dict(zip(space, shape, strict=True))
    if any(d not in sizes or array.sizes[d] != sizes[str(d)] for d in array.dims):
        expected = ", ".join(f"{d}={n}" for d, n in sizes.items())
        got = ", ".join(f"{d}={n}" for d, n in array.sizes.items())
        raise GridMismatchError(
            f"{what}: dims ({got}); expected some of ({expected}). Select one time first, "
            "for example .isel(time=0)"
        )
    dims = tuple(map(str, array.dims))
    return np.broadcast_to(_along(array.values, dims, space), shape).copy()
