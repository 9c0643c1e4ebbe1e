"""Cell areas of curvilinear grids from the coordinates of the cell centres.

Cell corners are the means of the four centres around them; beyond the edge, centres are
continued linearly. With corners P_0 .. P_3 in order, the area of a cell is

    A = 1/2 |(P_2 - P_0) × (P_3 - P_1)|

in the plane, or with P on the unit sphere (longitude and latitude in degrees).
"""

from __future__ import annotations

import numpy as np
import xarray as xr

Pair = tuple[np.ndarray, np.ndarray, tuple[str, str], bool]

PLANE_NAMES = (("x", "y"), ("X", "Y"), ("xc", "yc"), ("x_coordinate", "y_coordinate"))
PLANE_STANDARD = ("projection_x_coordinate", "projection_y_coordinate")


def horizontal_pair(coords: xr.Dataset, space: tuple[str, ...]) -> Pair | None:
    """The two 2-D coordinates of a curvilinear grid: (x, y, dims, geographic), or None.

    Longitude and latitude by CF attributes or name; else a pair of 2-D coordinates named x and y.
    """
    from romae.fields.weights import is_latitude, is_longitude

    flat: dict[str, xr.Variable] = {
        str(n): v
        for n, v in coords.variables.items()
        if v.ndim == 2 and v.dtype.kind in "fiu" and set(v.dims) <= set(space)
    }
    lat = [n for n, v in flat.items() if is_latitude(v.attrs) or n.lower() in ("lat", "latitude")]
    lon = [n for n, v in flat.items() if is_longitude(v.attrs) or n.lower() in ("lon", "longitude")]
    if lat and lon:
        return _pair(flat[lon[0]], flat[lat[0]], geographic=True)
    for x, y in PLANE_NAMES:
        if x in flat and y in flat:
            return _pair(flat[x], flat[y], geographic=False)
    by_name = {str(v.attrs.get("standard_name")): v for v in flat.values()}
    if all(s in by_name for s in PLANE_STANDARD):
        return _pair(by_name[PLANE_STANDARD[0]], by_name[PLANE_STANDARD[1]], geographic=False)
    return None


def _pair(x: xr.Variable, y: xr.Variable, *, geographic: bool) -> Pair | None:
    if set(x.dims) != set(y.dims) or min(x.shape) < 2:
        return None
    dims = (str(x.dims[0]), str(x.dims[1]))
    a, b = x.values.astype(np.float64), y.transpose(*dims).values.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None  # centres missing over land: no corners there, so no areas
    return a, b, dims, geographic


def corner_areas(x: np.ndarray, y: np.ndarray, geographic: bool) -> np.ndarray:
    """Areas (n, m) of the cells around centres ``x``, ``y`` (n, m)."""
    if geographic:
        lon, lat = np.deg2rad(x), np.deg2rad(y)
        points = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    else:
        points = np.stack([x, y, np.zeros_like(x)])
    corners = _corners(points)
    if geographic:
        corners = corners / np.linalg.norm(corners, axis=0)
    first = corners[:, 1:, 1:] - corners[:, :-1, :-1]
    second = corners[:, :-1, 1:] - corners[:, 1:, :-1]
    return 0.5 * np.linalg.norm(np.cross(first, second, axis=0), axis=0)


def _corners(points: np.ndarray) -> np.ndarray:
    """Corners (3, n + 1, m + 1) around centres (3, n, m)."""
    for axis in (1, 2):
        p = np.moveaxis(points, axis, 1)
        p = np.concatenate([2 * p[:, :1] - p[:, 1:2], p, 2 * p[:, -1:] - p[:, -2:-1]], axis=1)
        points = np.moveaxis(0.5 * (p[:, 1:] + p[:, :-1]), 1, axis)
    return points
