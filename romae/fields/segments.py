"""A trajectory as a list of files, joined along time without ever being one array.

A segment is one lazy dataset and the positions along its time that count. A trajectory is the
list of its segments in time order; snapshot t lies in segment j where

    offset_j ≤ t < offset_{j+1},        offset_j = Σ_{i<j} length_i
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import xarray as xr

from romae.errors import UnreadableFileError
from romae.fields.direct import ChunkError, Part, Plan, Tables, Target, TornError
from romae.fields.grid import put, wanted
from romae.fields.work import Scratch, Task

if TYPE_CHECKING:
    from romae.fields.layout import Layout

AS_OPENED = "romae_as_opened"  # in the encoding of a Dataset: its path, and bytes of a file then
STRIDE_LIMIT = 8  # up to this step it is faster to read all and drop than to read with gaps


@dataclass(frozen=True)
class Segment:
    """Snapshots of one lazy dataset: ``steps`` are positions along its time dimension.

    ``chunk``: snapshots per storage chunk; ``case``: position along the case dimension, if the
    dataset has one; ``label``: the file's name, for messages; ``tables``: where the chunks
    lie, shared by all parts of one dataset. ``as_stored``: reading gives what the dataset holds.
    """

    as_stored: ClassVar[bool] = True

    dataset: xr.Dataset
    label: str
    steps: range
    chunk: int = 1
    case: int | None = None
    tables: Tables = field(default_factory=Tables, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.steps)

    def plan(self, out: Target, start: int, stop: int, layout: Layout) -> list[Task]:
        """What fills ``out`` with snapshots ``start`` to ``stop``, in any order.

        ``out``: an array (stop - start, C, *space) or a list of arrays (C, *space), None for
        snapshots that are not wanted. By byte ranges where the file lends itself to it
        (:mod:`romae.fields.direct`), else by the library; the values are the same.
        """
        steps, tasks = self.steps[start:stop], list[Task]()
        for c, f in enumerate(layout.fields):
            channel = _channel(out, c)
            with self._named(f.name, steps):
                plan = self._plan_direct(channel, f.name, steps, layout)
            if plan is None:
                work = partial(self._by_library, channel, f.name, steps, layout)
                tasks.append(Task(work, heavy=False))
                continue
            for part in plan.parts:
                inner = channel[part.span], f.name, steps[part.span]
                work = partial(self._by_part, part, *inner, layout)
                tasks.append(Task(work, plan.heavy))
        return tasks

    def _by_part(
        self, part: Part, out: Target, name: str, steps: range, layout: Layout, scratch: Scratch
    ) -> None:
        with self._named(name, steps):
            try:
                part.work(scratch)
                return
            except ChunkError as error:  # the library may know better, or says why not
                self.tables[name] = None
                why = str(error)
        self._by_library(out, name, steps, layout, scratch, why)

    def _by_library(
        self,
        out: Target,
        name: str,
        steps: range,
        layout: Layout,
        scratch: Scratch,
        why: str = "",
    ) -> None:
        """Fill what is wanted of ``out`` (time, *space)."""
        first, last = wanted(out)
        if first < last:
            self._fill(out[first:last], name, steps[first:last], layout, why)

    def _fill(self, out: Target, name: str, steps: range, layout: Layout, why: str) -> None:
        """Fill ``out`` (time, *space) as xarray reads."""
        stride = steps.step if steps.step > STRIDE_LIMIT else 1
        with self._named(name, steps, why):
            piece = self._read(name, slice(steps[0], steps[-1] + 1, stride), layout)
            self._check_whole()
        put(out, piece[:: steps.step // stride])

    @contextmanager
    def _named(self, name: str, steps: range, why: str = "") -> Iterator[None]:
        """Errors of reading with the file, the variable and the times that they concern."""
        try:
            yield
        except (OSError, RuntimeError, TornError) as error:
            more = f" ({why})" if why else ""
            raise UnreadableFileError(
                f"{self.label}: cannot read {name!r} at time indices {steps[0]} to {steps[-1]}: "
                f"{error}{more}. The file may be damaged or incomplete; copy it again, or leave "
                "it out"
            ) from error

    def _plan_direct(self, out: Target, name: str, steps: range, layout: Layout) -> Plan | None:
        """Pieces of work that fill ``out`` (time, *space); None where the library has to do it."""
        variable = self.dataset.variables[name]
        dims = list(map(str, variable.dims))
        if not set(layout.space) <= set(dims):
            return None
        index: dict[str, int | slice] = {d: slice(None) for d in layout.space}
        index[layout.time] = slice(steps[0], steps[-1] + 1, steps.step)
        if layout.case is not None and self.case is not None:
            index[layout.case] = self.case
        have = [layout.time, *layout.space]
        key = tuple(index.get(d, 0) for d in dims)
        if layout.time not in dims:
            if out[0] is None:
                return Plan([], heavy=False)
            out, have = out[0], list(layout.space)
        kept = [d for d in dims if d in have]
        order = [have.index(d) for d in kept]
        if isinstance(out, np.ndarray):
            plan = self.tables.plan(out.transpose(order), variable, name, key)
        elif order[0] != 0:
            return None
        else:
            inner = [o - 1 for o in order[1:]]
            if inner != sorted(inner):
                out = [None if r is None else r.transpose(inner) for r in out]
            plan = self.tables.plan(out, variable, name, key)
        if plan is not None and (not order or order[0] != 0 or layout.time not in dims):
            whole = slice(0, len(steps))  # time is not the first axis: a part is of all times
            plan = Plan([Part(p.work, whole) for p in plan.parts], plan.heavy)
        return plan

    def _check_whole(self) -> None:
        """Raise :class:`OSError` when the file is gone or shorter than when it was opened.

        Libraries give zeros beyond the end of a file, and fill values for what a store lacks.
        """
        path, size = self.dataset.encoding.get(AS_OPENED, ("", 0))
        if path and (now := os.stat(path).st_size) < size:
            raise OSError(f"the file had {size} bytes when it was opened and has {now} now")

    def _read(self, name: str, span: slice, layout: Layout) -> np.ndarray:
        variable = self.dataset.variables[name]
        index: dict[str, int | slice] = {}
        for d in map(str, variable.dims):
            if d == layout.time:
                index[d] = span
            elif d == layout.case and self.case is not None:
                index[d] = self.case
            elif d not in layout.space:
                index[d] = 0  # of length 1, checked when opened
        piece = variable.isel(index)
        values = np.asarray(piece.values)
        # Transposed after reading: a lazy transpose would make xarray read point by point.
        order = [d for d in (layout.time, *layout.space) if d in piece.dims]
        values = values.transpose([piece.dims.index(d) for d in order])
        return values if layout.time in piece.dims else values[None]


@dataclass(frozen=True)
class Trajectory:
    """One case: its segments in time order and its time coordinate (length T)."""

    segments: tuple[Segment, ...]
    times: xr.DataArray

    def __len__(self) -> int:
        return sum(len(s) for s in self.segments)

    def pieces(self, start: int, stop: int) -> Iterator[tuple[Segment, int, int, int]]:
        """Segments that hold ``start`` to ``stop``: (segment, local start, local stop, where)."""
        offsets = accumulate((len(s) for s in self.segments), initial=0)
        for segment, offset in zip(self.segments, offsets, strict=False):
            a, b = max(start, offset), min(stop, offset + len(segment))
            if a < b:
                yield segment, a - offset, b - offset, a - start

    def read_own(self, start: int, stop: int, field: int, layout: Layout) -> np.ndarray:
        """Snapshots ``start`` to ``stop`` of one field (n, *space) in the type of the source."""
        name = layout.fields[field].name
        parts = []
        for segment, a, b, _ in self.pieces(start, stop):
            steps = segment.steps[a:b]
            with segment._named(name, steps):
                parts.append(
                    segment._read(name, slice(steps[0], steps[-1] + 1, steps.step), layout)
                )
        return np.concatenate(parts)

    def locate(self, t: int) -> tuple[str, int]:
        """Label of the file that holds snapshot ``t`` and its position in that file."""
        segment, local, _, _ = next(self.pieces(t, t + 1))
        return segment.label, segment.steps[local]

    def cut(self, where: slice) -> Trajectory:
        """The snapshots that ``where`` selects (a positive step); nothing is read."""
        chosen = range(len(self))[where]
        kept = []
        offsets = accumulate((len(s) for s in self.segments), initial=0)
        for segment, offset in zip(self.segments, offsets, strict=False):
            # first chosen position at or after this segment, and the end of both
            skip = max(0, -(-(offset - chosen.start) // chosen.step))
            first = chosen.start + skip * chosen.step - offset
            last = min(chosen.stop - offset, len(segment))
            if first < last:
                steps = segment.steps[first : last : chosen.step]
                kept.append(replace(segment, steps=steps))
        dim = self.times.dims[0]
        return Trajectory(tuple(kept), self.times.isel({dim: where}))


def storage_chunk(dataset: xr.Dataset, names: tuple[str, ...], time: str) -> int:
    """Snapshots per storage chunk along ``time``: the largest of the variables, at least 1."""
    largest = 1
    for name in names:
        variable = dataset.variables[name]
        if time not in variable.dims:
            continue
        preferred = variable.encoding.get("preferred_chunks") or {}
        size = preferred.get(time, 1)
        if variable.chunks is not None:  # dask
            size = variable.chunksizes[time]
        if isinstance(size, tuple):
            size = max(size, default=1)
        largest = max(largest, int(size))
    return largest


def _channel(out: Target, c: int) -> Target:
    if isinstance(out, np.ndarray):
        return out[:, c]
    return [None if row is None else row[c] for row in out]
