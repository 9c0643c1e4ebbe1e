"""One field drawn on its grid: a line, a map, or mid slices; masked points grey.

A *view* says which two axes of an array (n, *space) a picture shows: time and space in 1-D, the
plane in 2-D, one of three mid planes in 3-D.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize

from romae.fields import Layout
from romae.report.figures.style import DIVERGING, MASKED, SEQUENTIAL, label

MOST = 600  # points along one side of a picture; more cannot be seen and takes long


@dataclass(frozen=True)
class View:
    """A picture of part of an array: ``cut`` picks (rows, columns) from values (n, *space).

    ``x`` and ``y`` are coordinates, 1-D or 2-D; ``names`` the labels of both axes; ``equal``
    says that both are lengths of one unit.
    """

    title: str
    cut: tuple[Any, ...]
    transpose: bool
    x: np.ndarray
    y: np.ndarray
    names: tuple[str, str]
    equal: bool

    def of(self, values: np.ndarray) -> np.ndarray:
        """The rows and columns of ``values`` (n, *space) that this picture shows."""
        plane = values[self.cut]
        return plane.T if self.transpose else plane

    @property
    def aspect(self) -> float:
        """Height over width of the picture."""
        if not self.equal:
            return 0.6
        width, height = np.ptp(self.x), np.ptp(self.y)
        return float(np.clip(height / width, 0.2, 2.5)) if width > 0 and height > 0 else 1.0


def views(layout: Layout, times: np.ndarray, time_units: str = "") -> list[View]:
    """The pictures of a field on ``layout``: space over time, one map, or three mid slices."""
    axes = [_axis(layout, d) for d in layout.space]
    if len(layout.space) == 1:
        x, name, _ = axes[0]
        return [
            View("", (slice(None), slice(None)), True, times, x, (label("time", time_units), name),
                 False)
        ]  # fmt: skip
    if len(layout.space) == 2:
        (y, y_name, y_unit), (x, x_name, x_unit) = axes
        x2, y2 = _curvilinear(layout)
        if x2 is not None and y2 is not None:
            x, y = x2, y2
        return [
            View("", (0, slice(None), slice(None)), False, x, y, (x_name, y_name), x_unit == y_unit)
        ]
    found = []
    for across in range(3):
        row, column = (i for i in range(3) if i != across)
        (y, y_name, y_unit), (x, x_name, x_unit) = axes[row], axes[column]
        middle = layout.shape[across] // 2
        cut: list[Any] = [0, slice(None), slice(None), slice(None)]
        cut[1 + across] = middle
        title = f"{layout.space[across]} = {axes[across][0][middle]:.3g}"
        found.append(View(title, tuple(cut), False, x, y, (x_name, y_name), x_unit == y_unit))
    return found


def draw(ax: Axes, view: View, values: np.ndarray, norm: Normalize, cmap: str) -> Any:
    """Picture of ``values`` (n, *space), NaN grey and outlined; returns what a colour bar needs."""
    plane = view.of(values)
    step = tuple(max(1, -(-n // MOST)) for n in plane.shape)
    plane = plane[:: step[0], :: step[1]]
    if view.x.ndim == 2:
        x, y = view.x[:: step[0], :: step[1]], view.y[:: step[0], :: step[1]]
    else:
        x, y = view.x[:: step[1]], view.y[:: step[0]]
    colours = colormaps[cmap].with_extremes(bad=MASKED)
    drawn = ax.pcolormesh(
        x, y, np.ma.masked_invalid(plane), norm=norm, cmap=colours, shading="nearest",
        rasterized=True,
    )  # fmt: skip
    hidden = np.isnan(plane)
    if hidden.any() and not hidden.all():
        ax.contour(x, y, hidden.astype(float), levels=[0.5], colors="0.2", linewidths=0.7)
    if view.equal:
        ax.set_aspect("equal")
    for spine in ax.spines.values():
        spine.set_visible(False)
    return drawn


def field_norm(values: np.ndarray) -> tuple[Normalize, str]:
    """Scale and colour map of a field: symmetric about zero when it takes both signs."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low < 0 < high and min(-low, high) > 0.2 * max(-low, high):
        return symmetric_norm(values)
    if low == high:
        high = low + (abs(low) or 1.0) * 1e-6
    return Normalize(low, high), SEQUENTIAL


def symmetric_norm(values: np.ndarray) -> tuple[Normalize, str]:
    """Scale and colour map of a fluctuation or an error: zero is white."""
    most = float(np.nanmax(np.abs(values))) or 1e-12
    return Normalize(-most, most), DIVERGING


def _axis(layout: Layout, dim: str) -> tuple[np.ndarray, str, str]:
    """(values, label, units) of one space dimension; indices without a coordinate."""
    if dim not in layout.coords.variables or layout.coords[dim].dtype.kind not in "fiu":
        n = layout.shape[layout.space.index(dim)]
        return np.arange(n, dtype=float), f"{dim} [index]", "index"
    coordinate = layout.coords[dim]
    units = str(coordinate.attrs.get("units", ""))
    return coordinate.values.astype(float), label(dim, units), units


def _curvilinear(layout: Layout) -> tuple[np.ndarray | None, np.ndarray | None]:
    """2-D coordinates of the plane (x, y), where the layout has them and they are complete."""
    if any(d in layout.coords.variables for d in layout.space):
        return None, None
    found: dict[str, np.ndarray] = {}
    for name, variable in layout.coords.variables.items():
        if tuple(variable.dims) != layout.space or variable.dtype.kind != "f":
            continue
        hint = f"{name} {variable.attrs.get('standard_name', '')} {variable.attrs.get('axis', '')}"
        for key, words in (("x", ("longitude", "lon", "X")), ("y", ("latitude", "lat", "Y"))):
            if any(w in hint for w in words) and np.isfinite(variable.values).all():
                found.setdefault(key, variable.values)
    return found.get("x"), found.get("y")
