"""What a VTK data set says about space: axes, coordinates, weights, and its arrays.

    image, rectilinear    axes (z, y, x) with their coordinates
    structured            axes (k, j, i), coordinates x, y (and z) over them
    unstructured, poly    one axis ``point`` or ``cell``, coordinates x, y (and z) over it

The weight of a cell is its volume V_c (area, length); of a point, its share of the cells around,

    w_i = Σ_{c ∋ i} V_c / (points of c)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr

Place = Literal["point", "cell"]
AXES = ("z", "y", "x")


@dataclass(frozen=True)
class Grid:
    """Where the values of one place lie: ``dims``, ``shape``, coordinates, measure of each."""

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: dict[str, xr.Variable] = field(default_factory=dict)
    measure: str = ""


def arrays_of(data: Any, place: Place) -> dict[str, np.ndarray]:
    """Numeric arrays (n,) or (n, components) at points or cells, by name; copied."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    holder = data.GetPointData() if place == "point" else data.GetCellData()
    found = {}
    for i in range(holder.GetNumberOfArrays()):
        array = holder.GetArray(i)  # None for text
        if array is not None and array.GetName() and not array.GetName().startswith("vtk"):
            found[array.GetName()] = np.array(vtk_to_numpy(array))
    return found


def geometry(data: Any) -> np.ndarray:
    """What two data sets on one mesh have in common: points (n, 3), or the axes end to end."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    if hasattr(data, "GetPoints") and data.IsA("vtkPointSet"):
        points = data.GetPoints()
        return np.array(vtk_to_numpy(points.GetData())) if points else np.zeros((0, 3))
    return np.concatenate(_axes(data))


def _axes(data: Any) -> list[np.ndarray]:
    """x, y and z of the points of an image or a rectilinear grid."""
    from vtkmodules.util.numpy_support import vtk_to_numpy

    if data.IsA("vtkRectilinearGrid"):
        got = (data.GetXCoordinates(), data.GetYCoordinates(), data.GetZCoordinates())
        return [np.array(vtk_to_numpy(a)) for a in got]
    first, step, extent = data.GetOrigin(), data.GetSpacing(), data.GetExtent()
    return [
        first[i] + step[i] * np.arange(extent[2 * i], extent[2 * i + 1] + 1.0) for i in range(3)
    ]


def grid_of(data: Any, place: Place, *, suffix: str = "") -> Grid:
    """Axes and coordinates at ``place``; ``suffix`` keeps names of cells and points apart."""
    if data.IsA("vtkImageData") or data.IsA("vtkRectilinearGrid"):
        axes = _axes(data)
        if place == "cell":
            axes = [0.5 * (a[1:] + a[:-1]) if a.size > 1 else a for a in axes]
        dims = tuple(f"{d}{suffix}" for d in AXES)
        coords = {d: xr.Variable((d,), a) for d, a in zip(dims, axes[::-1], strict=True)}
        return Grid(dims, tuple(a.size for a in axes[::-1]), coords)
    at = geometry(data) if place == "point" else _centres(data)
    if data.IsA("vtkStructuredGrid"):
        n = [0, 0, 0]
        data.GetDimensions(n)
        shape = tuple(max(k - (place == "cell"), 1) for k in n[::-1])
        dims = tuple(f"{d}{suffix}" for d in ("k", "j", "i"))
    else:
        shape, dims = (len(at),), (place,)
    over = tuple(d for d, k in zip(dims, shape, strict=True) if k > 1 or len(dims) == 1)
    used = [i for i in range(3) if i < 2 or np.ptp(at[:, i]) > 0]  # z only where it varies
    kept = tuple(k for k in shape if k > 1) if len(dims) > 1 else shape
    coords = {f"{'xyz'[i]}{suffix}": xr.Variable(over, at[:, i].reshape(kept)) for i in used}
    sizes, name = measures(data, place)
    if sizes is None:
        return Grid(dims, shape, coords)
    label = f"{place}_{name}"
    coords[label] = xr.Variable(over, sizes.reshape(kept))
    return Grid(dims, shape, coords, f"{name}: {label}")


def _centres(data: Any) -> np.ndarray:
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersCore import vtkCellCenters

    centres = vtkCellCenters()
    centres.SetInputData(data)
    centres.Update()
    points = centres.GetOutput().GetPoints()
    return np.array(vtk_to_numpy(points.GetData())) if points else np.zeros((0, 3))


def measures(data: Any, place: Place) -> tuple[np.ndarray | None, str]:
    """Volume, area or length that each point or cell stands for, and which of them it is.

    None where some would be zero: a mesh that mixes cells of different dimension.
    """
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkFiltersCore import vtkAppendFilter
    from vtkmodules.vtkFiltersVerdict import vtkCellSizeFilter

    whole = vtkAppendFilter()  # to an unstructured grid, whatever it was
    whole.AddInputData(data)
    sized = vtkCellSizeFilter()
    sized.SetInputConnection(whole.GetOutputPort())
    sized.Update()
    out, name = sized.GetOutput(), ""
    sizes: np.ndarray = np.zeros(0)
    for name in ("volume", "area", "length"):
        array = out.GetCellData().GetArray(name.title())
        sizes = np.zeros(0) if array is None else np.abs(vtk_to_numpy(array).astype(np.float64))
        if sizes.any():
            break
    if place == "point" and sizes.any():
        cells = out.GetCells()
        counts = np.diff(vtk_to_numpy(cells.GetOffsetsArray()))
        of = vtk_to_numpy(cells.GetConnectivityArray())
        share = np.repeat(sizes / np.maximum(counts, 1), counts)
        sizes = np.bincount(of, share, minlength=data.GetNumberOfPoints()).astype(np.float64)
    return (sizes, name) if sizes.size and (sizes > 0).all() else (None, "")
