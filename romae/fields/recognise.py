"""Datasets on a layout that is known: a history on the grid of the model that continues it.

What the dimensions mean, weights and masks need not be found again where fields, units, types and
coordinates are those of the layout, bit by bit, and the first snapshot is NaN where it is masked.
Of a short history that finding costs more than all numbers of a long forecast. Whatever else the
source is goes the way of :func:`open_snapshots`, which says what is wrong with it.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from romae.errors import DataError
from romae.fields.layout import Layout
from romae.fields.opening import Source, open_snapshots
from romae.fields.segments import Segment, Trajectory, storage_chunk
from romae.fields.snapshots import Snapshots
from romae.fields.state import plain
from romae.fields.times import as_coordinate, check_increasing, time_encoding

LABEL, TEXT = "dataset", "in-memory dataset"  # as open_snapshots names a Dataset


def open_like(source: Source, layout: Layout | None) -> Snapshots:
    """As :func:`open_snapshots`, sooner where ``source`` is a Dataset on ``layout``.

    Raises what that raises.
    """
    if layout is None or not isinstance(source, xr.Dataset) or not _alike(source, layout):
        return open_snapshots(source)
    name = layout.time_name
    own = source.variables[name]
    try:
        check_increasing(own.values, LABEL, name)
    except DataError:
        return open_snapshots(source)
    times = as_coordinate(
        own.values, name, layout.time, plain(own.attrs), time_encoding(own.encoding)
    )
    chunk = storage_chunk(source, layout.names, layout.time)
    segment = Segment(source, LABEL, range(len(own)), chunk)
    found = Snapshots(layout, [Trajectory((segment,), times)], source=TEXT)
    missing = np.isnan(found.read_raw(0, 1)[0])
    expected = np.False_ if layout.mask is None else ~layout.mask
    return found if np.all(missing == expected) else open_snapshots(source)


def _alike(source: xr.Dataset, layout: Layout) -> bool:
    """Whether ``source`` holds the fields of ``layout`` over one time axis, and nothing else."""
    variables, coords = source.variables, layout.coords.variables
    name = layout.time_name
    if layout.case is not None or tuple(source.data_vars) != layout.names or name not in variables:
        return False
    if variables[name].dims != (layout.time,) or not len(variables[name]):
        return False
    if set(source.coords) != {*coords, name}:
        return False
    for f in layout.fields:
        v = variables[f.name]
        if v.dims != f.dims or v.dtype != f.dtype or str(v.attrs.get("units", "")) != f.units:
            return False
    space = tuple(source.sizes[d] for d in layout.space)
    return space == layout.shape and all(
        v.dims == coords[n].dims and np.array_equal(v.values, coords[n].values)
        for n, v in variables.items()
        if n in coords
    )
