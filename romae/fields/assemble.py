"""Snapshots back to one xarray Dataset, still lazy where the source is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from romae.errors import DataError, MissingDependencyError
from romae.fields.segments import AS_OPENED

if TYPE_CHECKING:
    from romae.fields.segments import Segment
    from romae.fields.snapshots import Snapshots


def assemble(snapshots: Snapshots) -> xr.Dataset:
    """Join the segments along time and the trajectories along the case dimension.

    One trajectory in one file is given as it was opened, cut in time. Several segments are
    joined through dask, so that nothing is read before it is needed.
    """
    layout = snapshots.layout
    # A given mask is applied by dask too: xarray alone would load the variable to do it.
    several = (
        snapshots.masked_by_user
        or snapshots.cases > 1
        or len(snapshots.trajectories[0].segments) > 1
    )
    if len(set(snapshots.lengths)) > 1:
        raise DataError(
            f"cases of {snapshots.lengths} snapshots make no common Dataset. Expected equal "
            "lengths; take one case, for example snapshots.isel(case=0).to_dataset()"
        )
    case_dim = layout.case or "case"
    joined = []
    for i, trajectory in enumerate(snapshots.trajectories):
        parts = [_part(s, snapshots, lazy=several) for s in trajectory.segments]
        whole = parts[0]
        if len(parts) > 1:
            whole = xr.concat(
                parts,
                dim=layout.time,
                data_vars="minimal",
                coords="minimal",
                compat="override",
                join="override",
                combine_attrs="override",
            )
        times = trajectory.times
        whole = whole.assign_coords({layout.time_name: times.variable})
        whole[layout.time_name].encoding = dict(times.encoding)
        if snapshots.cases > 1 and case_dim not in whole.coords:
            index = i if snapshots.params is None else snapshots.params.index[i]
            whole = whole.assign_coords({case_dim: index})
        joined.append(whole)
        if not np.array_equal(times.values, snapshots.times(0).values):
            raise DataError(
                f"case {i} has other times than case 0, so they make no common Dataset. Take one "
                f"case, for example snapshots.isel(case={i}).to_dataset()"
            )
    if snapshots.cases == 1:
        return joined[0]
    whole = xr.concat(
        joined,
        dim=case_dim,
        data_vars="all",
        coords="different",
        compat="equals",
        join="override",
        combine_attrs="override",
    )
    for f in layout.fields:
        if set(f.dims) == set(whole[f.name].dims):
            whole[f.name] = whole[f.name].transpose(*f.dims)
    return whole


def _part(segment: Segment, snapshots: Snapshots, lazy: bool) -> xr.Dataset:
    layout, steps = snapshots.layout, segment.steps
    part = segment.dataset[list(layout.names)]
    part.encoding.pop(AS_OPENED, None)  # the user's own now: it may be loaded and the file removed
    if lazy:
        part = _chunked(part, {layout.time: segment.chunk} if layout.time in part.dims else {})
    if layout.time not in part.dims:  # one snapshot with a scalar time
        part = part.expand_dims(layout.time)
    part = part.isel({layout.time: slice(steps.start, steps.stop, steps.step)})
    if layout.case is not None and layout.case in part.dims and segment.case is not None:
        part = part.isel({layout.case: segment.case})
    if layout.mask is not None and snapshots.masked_by_user:
        for c, name in enumerate(layout.names):
            mask = xr.DataArray(layout.mask[c], dims=layout.space)
            masked = part[name].where(mask)
            part[name] = masked.transpose(*part[name].dims)
    return part


def _chunked(part: xr.Dataset, chunks: dict[str, int]) -> xr.Dataset:
    try:
        return part.chunk(chunks)
    except ImportError as error:
        raise MissingDependencyError(
            "joining several files or cases to one lazy Dataset needs dask, which is not "
            "installed. Type: pip install dask; or read by snapshots.read(start, stop)"
        ) from error
