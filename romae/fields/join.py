"""Opened datasets to trajectories: times in order, cases apart."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from romae.conventions import TIME
from romae.errors import DataError
from romae.fields.axes import Roles
from romae.fields.segments import Segment, Trajectory, storage_chunk
from romae.fields.state import plain
from romae.fields.times import as_coordinate, check_follows, check_increasing, time_encoding

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Piece:
    """One opened dataset, its label for messages and the roles of its dimensions."""

    label: str
    dataset: xr.Dataset
    roles: Roles

    @cached_property
    def axes(self) -> list[np.ndarray]:
        """Times (T,), one array for all cases or one for each; none where they are numbered."""
        if self.roles.time_coord is None:
            return []
        times = self.dataset.variables[self.roles.time_coord]
        if self.roles.case not in times.dims:
            return [np.atleast_1d(times.values)]
        return list(times.transpose(self.roles.case, self.roles.time).values)

    def times(self, case: int = 0) -> np.ndarray:
        """Times (T,) of one case."""
        return self.axes[case if len(self.axes) > 1 else 0]

    @property
    def length(self) -> int:
        """Snapshots T."""
        return int(self.dataset.sizes[self.roles.time]) if self.roles.time is not None else 1

    @property
    def cases(self) -> int | None:
        """Length of the case dimension, or None without one."""
        case = self.roles.case
        return None if case is None else int(self.dataset.sizes[case])


def join_pieces(pieces: Sequence[Piece], cases: Literal["auto", "file"]) -> list[Trajectory]:
    """One trajectory of all pieces, or one per file, and of each one per case inside it."""
    for piece in pieces:
        if not piece.length:
            raise DataError(f"{piece.label} has no snapshot: its time dimension has length 0")
        for i, axis in enumerate(piece.axes):
            label = f"{piece.label}, case {i}" if len(piece.axes) > 1 else piece.label
            check_increasing(axis, label, str(piece.roles.time_coord))
    groups = [[p] for p in pieces] if cases == "file" else [_in_time_order(pieces)]
    trajectories = []
    for group in groups:
        segments = tuple(_segment(p) for p in group)
        count, different = group[0].cases, any(len(p.axes) > 1 for p in group)
        times = _joined_times(group)
        for i in range(count if count is not None else 1):
            own = segments if count is None else tuple(replace(s, case=i) for s in segments)
            trajectories.append(Trajectory(own, _joined_times(group, i) if different else times))
    return trajectories


def _segment(piece: Piece) -> Segment:
    roles, dataset = piece.roles, piece.dataset
    chunk = storage_chunk(dataset, roles.names, roles.time) if roles.time is not None else 1
    return Segment(dataset, piece.label, range(piece.length), chunk)


def _in_time_order(pieces: Sequence[Piece]) -> list[Piece]:
    timed = [p for p in pieces if p.axes]
    if not timed:
        return list(pieces)
    if len(timed) < len(pieces):
        without = next(p.label for p in pieces if not p.axes)
        raise DataError(
            f"{without} has no time coordinate, {timed[0].label} has one. Expected times in all "
            'files of one trajectory, or in none; separate trajectories open with cases="file"'
        )
    try:
        ordered = sorted(pieces, key=lambda p: p.times()[0])
        for a, b in itertools.pairwise(ordered):
            for i in range(max(len(a.axes), len(b.axes))):
                before, after = (a.label, a.times(i)[-1]), (b.label, b.times(i)[0])
                check_follows(before, after, str(a.roles.time_coord))
    except TypeError as error:
        kinds = ", ".join(sorted({f"{p.times().dtype}" for p in timed}))
        raise DataError(
            f"times of {pieces[0].label} and others cannot be compared ({kinds}): {error}. "
            "Expected one kind of time and one calendar in all files"
        ) from error
    return ordered


def _joined_times(group: Sequence[Piece], case: int = 0) -> xr.DataArray:
    roles = group[0].roles
    dim = roles.time or roles.time_coord or TIME
    if not group[0].axes:
        total = sum(p.length for p in group)
        return as_coordinate(np.arange(total), dim, dim, {}, {})
    name = str(roles.time_coord)
    own = group[0].dataset[name]
    values = np.concatenate([p.times(case) for p in group])
    return as_coordinate(values, name, dim, plain(own.attrs), time_encoding(own.encoding))


def case_parameters(pieces: Sequence[Piece], cases: Literal["auto", "file"]) -> pd.DataFrame | None:
    """One row per trajectory: coordinates over the case dimension, or scalars of each file."""
    import pandas as pd

    first = pieces[0]
    if first.roles.case is not None and cases == "auto":
        return _over_case(first)
    if cases == "auto":
        return None
    rows: dict[str, list[object]] = {}
    for name in _scalars(first):
        if all(name in p.dataset.coords and not p.dataset[name].dims for p in pieces):
            values = [p.dataset[name].values[()] for p in pieces]
            rows[name] = [
                v for v, p in zip(values, pieces, strict=True) for _ in range(p.cases or 1)
            ]
    return pd.DataFrame(rows) if rows else None


def _scalars(piece: Piece) -> list[str]:
    coords = piece.dataset.coords
    return [str(n) for n, c in coords.items() if not c.dims and n != piece.roles.time_coord]


def _over_case(piece: Piece) -> pd.DataFrame | None:
    import pandas as pd

    case, coords = str(piece.roles.case), piece.dataset.coords
    columns = {str(n): c.values for n, c in coords.items() if c.dims == (case,)}
    index = columns.get(case, np.arange(piece.cases or 0))
    if case == "case":
        columns.pop(case, None)
    if not columns:
        return None
    return pd.DataFrame(columns, index=pd.Index(index, name=case))
