"""A trajectory as a list of files, joined along time without ever being one array.

A segment is one lazy dataset and the positions along its time that count. A trajectory is the
list of its segments in time order; snapshot t lies in segment j where

    offset_j ≤ t < offset_{j+1},        offset_j = Σ_{i<j} length_i
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from romae.errors import UnreadableFileError
from romae.fields.direct import ChunkError, Tables, TornError

if TYPE_CHECKING:
    from romae.fields.layout import Layout

STRIDE_LIMIT = 8  # up to this step it is faster to read all and drop than to read with gaps


@dataclass(frozen=True)
class Segment:
    """Snapshots of one lazy dataset: ``steps`` are positions along its time dimension.

    ``chunk``: snapshots per storage chunk; ``case``: position along the case dimension, if the
    dataset has one; ``label``: the file's name, for messages; ``tables``: where the chunks
    lie, shared by all parts of one dataset.
    """

    dataset: xr.Dataset
    label: str
    steps: range
    chunk: int = 1
    case: int | None = None
    tables: Tables = field(default_factory=Tables, compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.steps)

    def read_into(self, out: np.ndarray, start: int, stop: int, layout: Layout) -> None:
        """Fill ``out`` (stop - start, C, *space) with snapshots ``start`` to ``stop``.

        By byte ranges where the file lends itself to it (:mod:`romae.fields.direct`), else by
        the library; the values are the same.
        """
        steps = self.steps[start:stop]
        for c, f in enumerate(layout.fields):
            chunk = ""
            try:
                try:
                    if self._read_direct(out[:, c], f.name, steps, layout):
                        continue
                except ChunkError as error:  # the library may know better, or says why not
                    self.tables[f.name] = None
                    chunk = f" ({error})"
                stride = steps.step if steps.step > STRIDE_LIMIT else 1
                piece = self._read(f.name, slice(steps[0], steps[-1] + 1, stride), layout)
                out[:, c] = piece[:: steps.step // stride]
            except (OSError, RuntimeError, TornError) as error:
                raise UnreadableFileError(
                    f"{self.label}: cannot read {f.name!r} at time indices {steps[0]} to "
                    f"{steps[-1]}: {error}{chunk}. The file may be damaged or incomplete; copy it "
                    "again, or leave it out"
                ) from error

    def _read_direct(self, out: np.ndarray, name: str, steps: range, layout: Layout) -> bool:
        """Fill ``out`` (time, *space); False where the library has to do it."""
        variable = self.dataset.variables[name]
        dims = list(map(str, variable.dims))
        if not set(layout.space) <= set(dims):
            return False
        index: dict[str, int | slice] = {d: slice(None) for d in layout.space}
        index[layout.time] = slice(steps[0], steps[-1] + 1, steps.step)
        if layout.case is not None and self.case is not None:
            index[layout.case] = self.case
        have = [layout.time, *layout.space]
        if layout.time not in dims:
            out, have = out[0], list(layout.space)
        kept = [d for d in dims if d in have]
        turned = out.transpose([have.index(d) for d in kept])
        key = tuple(index.get(d, 0) for d in dims)
        return self.tables.read_into(turned, variable, name, key)

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
