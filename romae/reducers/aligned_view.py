"""Snapshots as they would be at the phase zero, for the fit of a reducer behind an alignment.

The phases of all snapshots are known (a few numbers each), and every field is moved by itself as
it is read: nothing is held but what is asked for, and splits, blocks and feeds work as ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
import torch

from romae.fields import Snapshots
from romae.fields.direct import Plan
from romae.fields.grid import Target, dtype_of, put
from romae.fields.layout import Layout
from romae.fields.segments import Segment, Trajectory
from romae.reducers.phases import moved

PIECE_BYTES = 8 << 20  # moved at once: spectra take as much again


@dataclass(frozen=True)
class AlignedSegment(Segment):
    """A segment whose snapshots are moved to the phase zero.

    ``phi``: (n, axes), float64, of the positions ``known`` along the time dimension; ``axes``:
    positions in (*space).
    """

    as_stored: ClassVar[bool] = False

    known: range = range(0)
    phi: np.ndarray = None  # type: ignore[assignment]
    axes: tuple[int, ...] = ()

    def _plan_direct(self, out: Target, name: str, steps: range, layout: Layout) -> Plan | None:
        return None  # bytes of the file are not what is asked for

    def _fill(self, out: Target, name: str, steps: range, layout: Layout, why: str) -> None:
        phi = self.phi[[self.known.index(s) for s in steps]]
        if isinstance(out, np.ndarray):  # in its place: a block is not held twice
            super()._fill(out, name, steps, layout, why)
            self._move(out, phi)
            return
        values = np.empty((len(steps), *layout.shape), dtype_of(out))
        super()._fill(values, name, steps, layout, why)
        self._move(values, phi)
        put(out, values)

    def _move(self, values: np.ndarray, phi: np.ndarray) -> None:
        """``values`` (n, *space) moved by -``phi`` (n, axes), in their place."""
        # Moved is the difference to a number near all of them: a pressure of 1e5 that fluctuates by
        # 40 has its digits there.
        sound = values[0][np.isfinite(values[0])]
        level = sound[0] if sound.size else values.dtype.type(0)
        rows = max(1, PIECE_BYTES // max(values[0].nbytes, 1))
        for start in range(0, len(values), rows):
            part = values[start : start + rows]
            x = torch.from_numpy(part - level)
            for i, axis in enumerate(self.axes):
                x = moved(x, torch.from_numpy(-phi[start : start + rows, i]), 1 + axis)
            np.add(x.numpy(), level, out=part)


def aligned_view(
    snapshots: Snapshots, phi: Sequence[np.ndarray], axes: tuple[int, ...], *, rounding: np.ndarray
) -> Snapshots:
    """``snapshots``, each moved by its ``phi``: (T, axes), in radians, of each trajectory.

    ``rounding``: as of :class:`Snapshots`.
    """
    found = []
    for trajectory, own in zip(snapshots.trajectories, phi, strict=True):
        segments, start = [], 0
        for segment in trajectory.segments:
            part = own[start : start + len(segment)]
            start += len(segment)
            given = {f.name: getattr(segment, f.name) for f in fields(Segment)}
            segments.append(AlignedSegment(**given, known=segment.steps, phi=part, axes=axes))
        found.append(Trajectory(tuple(segments), trajectory.times))
    view = Snapshots(
        snapshots.layout,
        found,
        source=snapshots.source,
        params=snapshots.params,
        skipped=snapshots.skipped,
        masked_by_user=snapshots.masked_by_user,
    )
    view.rounding = rounding
    return view
