"""The source without its fields: coordinates, attributes, times and other variables, lossless.

What stands here is written by xarray as a Zarr v3 group and read back by it
(:mod:`romae.archive.template_zarr`), so that time axes, calendars and text are xarray's own
business; the fields are put in when the archive is opened.

One group, ``labels``, holds all where the cases share their times; where each case has its own
(files of different lengths), ``labels/<i>`` holds those of case i.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from romae.fields.segments import AS_OPENED, Trajectory
from romae.fields.snapshots import Snapshots
from romae.fields.summary import human_bytes

SMALL = 2**20  # bytes of a further variable that is stored whatever the size of the fields
SHARE = 0.01  # of the fields' bytes: up to here too


@dataclass(frozen=True)
class Template:
    """``groups``: name and Dataset; ``left_out``: variables that are not in the archive, and why;

    ``dims``: dimensions of each field when opened; ``case_dim``: the one over cases, if any;
    ``order``: names of all variables as the source has them; ``types``: {variable or "":
    {attribute: numpy type}} of those whose type JSON does not keep (flag_values, valid_range).
    """

    groups: list[tuple[str, xr.Dataset]]
    left_out: dict[str, str]
    dims: dict[str, list[str]]
    case_dim: str | None
    unlimited: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    types: dict[str, dict[str, str]] = field(default_factory=dict)


def make_template(snapshots: Snapshots) -> Template:
    """Everything of the source but the values of the fields."""
    layout, cases = snapshots.layout, snapshots.cases
    first = snapshots.trajectories[0].segments[0].dataset
    left_out = _left_out(snapshots, first)
    keep_case = layout.case in first.dims and (cases > 1 or first.sizes[layout.case] == 1)
    dims = {f.name: _dims(f.dims, layout.time, layout.space) for f in layout.fields}
    groups = [("", _of_case(snapshots, 0, left_out))]
    case_dim = layout.case if keep_case else None
    if not keep_case:  # of a case dimension that was picked from
        dims = {n: [d for d in ds if d != layout.case] for n, ds in dims.items()}
    if cases > 1 and layout.case is None:
        each = [_of_case(snapshots, i, left_out) for i in range(cases)]
        if _share_times(snapshots):
            case_dim = "case"
            groups = [("", _stack(each, snapshots, case_dim))]
            dims = {n: [case_dim, *ds] for n, ds in dims.items()}
        else:
            groups = [(str(i), part) for i, part in enumerate(each)]
    unlimited = sorted(map(str, first.encoding.get("unlimited_dims") or ()))
    order = [str(n) for n in first.variables if n not in left_out]
    return Template(groups, left_out, dims, case_dim, unlimited, order, _attribute_types(first))


def _attribute_types(dataset: xr.Dataset) -> dict[str, dict[str, str]]:
    attrs = {"": dataset.attrs} | {str(n): v.attrs for n, v in dataset.variables.items()}
    found = {name: {str(k): _type_lost(v) for k, v in each.items()} for name, each in attrs.items()}
    return {
        n: kept for n, types in found.items() if (kept := {k: t for k, t in types.items() if t})
    }


def _type_lost(value: Any) -> str:
    """The numpy type of an attribute that would come back from JSON as another; "" otherwise."""
    if not isinstance(value, np.ndarray | np.generic) or value.dtype.kind not in "fiub":
        return ""
    whole = isinstance(value, np.generic) and np.asarray(value.item()).dtype == value.dtype
    return "" if whole else value.dtype.str


def typed_attributes(attrs: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """``attrs`` with the numpy types of the source: [0, 1] as the int8 that the flags have."""
    return {k: np.asarray(v).astype(types[k])[()] if k in types else v for k, v in attrs.items()}


def _dims(source: Sequence[str], time: str, space: Sequence[str]) -> list[str]:
    """Dimensions in the source's order, with time in front where each file is one snapshot."""
    dims = list(source) or [time, *space]
    return dims if time in dims else [time, *dims]


def _share_times(snapshots: Snapshots) -> bool:
    first = snapshots.times(0).values
    return all(np.array_equal(snapshots.times(i).values, first) for i in range(snapshots.cases))


def _left_out(snapshots: Snapshots, dataset: xr.Dataset) -> dict[str, str]:
    """Variables that are fields themselves or too large to store as they are, and why."""
    layout, limit = snapshots.layout, max(SMALL, SHARE * snapshots.nbytes)
    found = {}
    for key, array in dataset.data_vars.items():
        name = str(key)
        if name in layout.names:
            continue
        further = [d for d in array.dims if d not in (layout.time, layout.case)]
        spatial = any(dataset.sizes[d] > 1 for d in further)
        if layout.time in array.dims and spatial and array.dtype.kind in "fiu":
            where = ", ".join(map(str, array.dims))
            found[name] = f"is a field on ({where}) that was not chosen"
        elif array.nbytes > limit:
            found[name] = f"has {human_bytes(array.nbytes)} and is no field"
    return found


def _of_case(snapshots: Snapshots, case: int, left_out: Mapping[str, str]) -> xr.Dataset:
    """The template of one trajectory, or of all where the data have a case dimension."""
    layout, trajectory = snapshots.layout, snapshots.trajectories[case]
    parts = [_of_segment(snapshots, trajectory, i, left_out) for i in _range(trajectory)]
    whole = parts[0]
    if len(parts) > 1 and any(layout.time in v.dims for v in whole.variables.values()):
        whole = xr.concat(
            parts,
            dim=layout.time,
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="override",
            combine_attrs="override",
        )
    source = trajectory.segments[0].dataset
    name = layout.time_name
    if name in source.variables and layout.case not in source.variables[name].dims:
        times = trajectory.times
        whole = whole.assign_coords({name: times.variable})
        whole[name].encoding = dict(times.encoding)
    return whole


def _range(trajectory: Trajectory) -> range:
    return range(len(trajectory.segments))


def _of_segment(
    snapshots: Snapshots, trajectory: Trajectory, index: int, left_out: Mapping[str, str]
) -> xr.Dataset:
    layout, segment = snapshots.layout, trajectory.segments[index]
    steps = segment.steps
    drop = [n for n in (*layout.names, *left_out) if n in segment.dataset.variables]
    if layout.time not in segment.dataset.dims and layout.time_name in segment.dataset.variables:
        drop.append(layout.time_name)  # a scalar: the trajectory's times take its place
    part = segment.dataset.drop_vars(drop)
    part.encoding.pop(AS_OPENED, None)
    if layout.time in part.dims:
        part = part.isel({layout.time: slice(steps.start, steps.stop, steps.step)})
    if layout.case is not None and layout.case in part.dims:
        chosen = [t.segments[index].case for t in snapshots.trajectories]
        if snapshots.cases > 1:
            part = part.isel({layout.case: chosen})
        elif part.sizes[layout.case] > 1:
            part = part.isel({layout.case: chosen[0]})
    return part


def _stack(each: Sequence[xr.Dataset], snapshots: Snapshots, dim: str) -> xr.Dataset:
    """Templates of several files side by side over the new dimension ``dim``."""
    labels = np.arange(len(each)) if snapshots.params is None else snapshots.params.index.values
    return xr.concat(
        [part.assign_coords({dim: label}) for part, label in zip(each, labels, strict=True)],
        dim=dim,
        data_vars="different",
        coords="different",
        compat="equals",
        join="override",
        combine_attrs="override",
    )
