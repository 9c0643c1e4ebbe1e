"""Snapshots: one or several trajectories on one layout, read only where asked.

    x(t) in R^(C × space),     t = 0 .. T-1      per trajectory ("case")

Everything is lazy. Reading cuts contiguous runs in time; parts made by ``split`` and ``isel``
share the open files. A pickled object reopens its files by path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from romae.errors import DataError, OptionError
from romae.fields.blocks import BLOCK_BYTES, Block, cut_ranges
from romae.fields.fingerprint import fingerprint
from romae.fields.grid import Target
from romae.fields.layout import Layout
from romae.fields.segments import Trajectory
from romae.fields.split import cut_points, take_cases
from romae.fields.times import common_step
from romae.fields.work import Task, run_tasks

if TYPE_CHECKING:
    import pandas as pd


class Snapshots:
    """Lazy snapshots (T, C, *space); made by :func:`romae.open_snapshots`.

    ``layout`` says what the channels and the grid are; ``source`` where the data come from;
    ``params`` is one row of parameters per case, or None; ``skipped`` says which variables of
    the source were not chosen, and why; ``masked_by_user`` whether the mask was given rather than
    found in the NaN of the first snapshot; ``rounding`` (C,): fluctuations up to it are errors of
    what computes the values when they are read, and mean nothing.
    """

    rounding: np.ndarray | float = 0.0

    def __init__(
        self,
        layout: Layout,
        trajectories: Sequence[Trajectory],
        *,
        source: str,
        params: pd.DataFrame | None = None,
        skipped: dict[str, str] | None = None,
        masked_by_user: bool = False,
    ) -> None:
        self.layout = layout
        self.trajectories = tuple(trajectories)
        self.source = source
        self.params = params
        self.skipped = dict(skipped or {})
        self.masked_by_user = masked_by_user

    def __len__(self) -> int:
        return sum(self.lengths)

    @property
    def cases(self) -> int:
        """Number of trajectories."""
        return len(self.trajectories)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Snapshots of each trajectory."""
        return tuple(len(t) for t in self.trajectories)

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, C, *space), T summed over the trajectories."""
        return (len(self), self.layout.channels, *self.layout.shape)

    @cached_property
    def dtype(self) -> np.dtype:
        """float32 when every field fits into it without loss (small integers too), else float64."""
        exact = {"f": 4, "i": 2, "u": 2}
        dtypes = [np.dtype(f.dtype) for f in self.layout.fields]
        small = all(d.itemsize <= exact.get(d.kind, 0) for d in dtypes)
        return np.dtype(np.float32 if small else np.float64)

    @property
    def nbytes(self) -> int:
        """Bytes of all snapshots as :meth:`read` gives them."""
        return len(self) * self.layout.size * self.dtype.itemsize

    def times(self, case: int = 0) -> xr.DataArray:
        """Time coordinate of one trajectory: attributes and encoding as in the source."""
        return self._trajectory(case).times

    @cached_property
    def dt(self) -> float | None:
        """Time step, seconds for dates and else in the time's own unit; None when uneven."""
        return common_step([t.times.values for t in self.trajectories])

    def require(self, minimum: int, purpose: str) -> None:
        """Raise :class:`DataError` if any trajectory has fewer than ``minimum`` snapshots."""
        for i, n in enumerate(self.lengths):
            if n < minimum:
                where = f"case {i} of {self.source}" if self.cases > 1 else self.source
                raise DataError(
                    f"{where} has {n} snapshot{'' if n == 1 else 's'}; {purpose} needs at least "
                    f"{minimum}. Open more files or a longer time range"
                )

    def read(
        self, start: int, stop: int, case: int = 0, *, out: np.ndarray | None = None
    ) -> np.ndarray:
        """Snapshots ``start`` to ``stop`` of one trajectory.

        Returns (stop - start, C, *space) of :attr:`dtype` in physical units, NaN where masked:
        a new array, or ``out`` of that shape and type.
        Raises :class:`OptionError` outside 0 .. length and
        :class:`~romae.errors.UnreadableFileError` when a file cannot be read.
        """
        values = self.read_raw(start, stop, case, out=out)
        if self.layout.mask is not None:
            np.copyto(values, np.nan, where=~self.layout.mask)
        return values

    def read_raw(
        self, start: int, stop: int, case: int = 0, *, out: np.ndarray | None = None
    ) -> np.ndarray:
        """As :meth:`read`, with whatever the source holds at masked points."""
        shape = (stop - start, self.layout.channels, *self.layout.shape)
        self._check_range(start, stop, case)
        if out is None:
            out = np.empty(shape, self.dtype)
        elif out.shape != shape or out.dtype != self.dtype:
            raise OptionError(
                f"out has shape {out.shape} of {out.dtype}. Expected {shape} of {self.dtype}; "
                "leave it out for a new array"
            )
        run_tasks(self.plan(start, stop, case, out), out.nbytes)
        return out

    def plan(self, start: int, stop: int, case: int, out: Target) -> list[Task]:
        """What :meth:`read_raw` does to fill ``out``: tasks in any order, on any threads.

        ``out`` may be a list of arrays (C, *space), one per snapshot, None for those that are not
        wanted: chunks of which nothing is wanted are not read.
        """
        self._check_range(start, stop, case)
        return [
            task
            for segment, a, b, where in self.trajectories[case].pieces(start, stop)
            for task in segment.plan(out[where : where + b - a], a, b, self.layout)
        ]

    def _check_range(self, start: int, stop: int, case: int) -> None:
        trajectory = self._trajectory(case)
        if not 0 <= start <= stop <= len(trajectory):
            raise OptionError(
                f"cannot read snapshots {start} to {stop}: case {case} has {len(trajectory)}. "
                f"Expected 0 <= start <= stop <= {len(trajectory)}"
            )

    def block_ranges(self, nbytes: int = BLOCK_BYTES) -> list[tuple[int, int, int]]:
        """(case, start, stop) of every block of about ``nbytes``: see :meth:`blocks`."""
        limit = max(1, int(nbytes) // (self.layout.size * self.dtype.itemsize))
        return [
            (case, a, b)
            for case, trajectory in enumerate(self.trajectories)
            for a, b in cut_ranges(trajectory, limit)
        ]

    def blocks(self, nbytes: int = BLOCK_BYTES) -> Iterator[Block]:
        """All snapshots once, in order, by blocks that end where storage chunks end."""
        for case, start, stop in self.block_ranges(nbytes):
            yield Block(case, start, stop, self.read(start, stop, case))

    def split(
        self,
        *fractions: float,
        by: Literal["time", "case"] | None = None,
        gap: int = 0,
    ) -> tuple[Snapshots, ...]:
        """Contiguous parts in time (each trajectory is cut alike), or whole trajectories.

        Snapshots are never shuffled: neighbours in time are nearly equal, and a test set drawn
        at random would be known already. ``gap`` snapshots (or cases) are dropped between parts.
        Raises :class:`OptionError` for fractions that are not positive or exceed 1 in sum, and
        :class:`DataError` when a part would be empty.
        """
        if by not in (None, "time", "case"):
            raise OptionError(f"unknown split by={by!r}. Expected 'time' or 'case'")
        if by == "case":
            cuts = cut_points(self.cases, fractions, gap, "cases")
            return tuple(self.isel(case=slice(a, b)) for a, b in cuts)
        per_case = [cut_points(n, fractions, gap, "snapshots") for n in self.lengths]
        return tuple(
            self._with(
                [
                    t.cut(slice(*cuts[part]))
                    for t, cuts in zip(self.trajectories, per_case, strict=True)
                ]
            )
            for part in range(len(fractions))
        )

    def isel(
        self,
        *,
        time: slice | int | None = None,
        case: slice | int | Sequence[int] | None = None,
    ) -> Snapshots:
        """Part by position: ``time`` cuts every trajectory alike, ``case`` picks trajectories."""
        chosen, params = take_cases(self.trajectories, self.params, case)
        if time is not None:
            if not isinstance(time, slice):
                time = slice(int(time), int(time) + 1 or None)
            if time.step is not None and time.step < 1:
                raise OptionError(f"time step {time.step}: expected 1 or more, time runs forward")
            chosen = [t.cut(time) for t in chosen]
        if not chosen or not all(len(t) for t in chosen):
            raise DataError(
                f"isel(time={time}, case={case}) selects nothing from {self.cases} case(s) of "
                f"{self.lengths} snapshots"
            )
        return self._with(chosen, params)

    def to_dataset(self) -> xr.Dataset:
        """The chosen variables as a lazy Dataset with the source's own names and coordinates."""
        from romae.fields.assemble import assemble

        return assemble(self)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over names, shapes, coordinates, times and a fixed sample of values."""
        return fingerprint(self)

    def close(self) -> None:
        """Close the files, for example to replace them; reading opens them again."""
        for trajectory in self.trajectories:
            for segment in trajectory.segments:
                segment.dataset.close()

    def __repr__(self) -> str:
        from romae.fields.summary import summary

        return summary(self)

    def _trajectory(self, case: int) -> Trajectory:
        if not -self.cases <= case < self.cases:
            raise OptionError(f"case {case} of {self.cases}: expected 0 to {self.cases - 1}")
        return self.trajectories[case]

    def _with(
        self, trajectories: Sequence[Trajectory], params: pd.DataFrame | None = None
    ) -> Snapshots:
        part = Snapshots(
            self.layout,
            trajectories,
            source=self.source,
            params=self.params if params is None else params,
            skipped=self.skipped,
            masked_by_user=self.masked_by_user,
        )
        part.rounding = self.rounding
        return part
