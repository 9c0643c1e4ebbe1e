"""The chunks that a slice touches, read and decoded to where they are wanted.

    bytes  --preadv-->  chunk  --filters undone-->  stored values  --functions-->  values

The chunks are taken in parts of about half a mebibyte, in any order and on any thread; what lies
side by side in the file is read by one call, straight to its place when nothing is to be undone.
Whole snapshots that are stored as they are take a shorter way (:mod:`romae.fields.runs`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from romae.fields.chunks import Table
from romae.fields.decode import ROOM, Pipeline
from romae.fields.filters import FilterError
from romae.fields.grid import Job, Target, dtype_of, is_run, jobs, put, runs_of
from romae.fields.runs import ROWS, whole_snapshots
from romae.fields.work import Scratch

PART_BYTES = 512 << 10


class TornError(Exception):
    """The file ends before a chunk does, or has vanished: nobody can read it."""


class ChunkError(Exception):
    """A chunk does not decode here; the library has the last word."""


class File:
    """An open descriptor, closed with the last reading that uses it."""

    def __init__(self, path: str) -> None:
        self.number = -1
        self.number = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))

    def __del__(self) -> None:
        if self.number >= 0:
            os.close(self.number)


class Part(NamedTuple):
    """What fills ``span`` of the target along its first axis, or some of it."""

    work: Callable[[Scratch], None]
    span: slice


Finish = Callable[[Job, list[np.ndarray], Scratch], None]


class Reading:
    """One read of one dataset."""

    def __init__(
        self, table: Table, functions: Sequence[Callable[[np.ndarray], Any]], file: File
    ) -> None:
        self.table, self.functions, self.file = table, functions, file
        self.verbatim = not functions  # stored values are the values
        size = math.prod(table.chunk) * table.dtype.itemsize
        self.pipeline = Pipeline(table.pipeline, table.dtype.itemsize, size)

    @property
    def heavy(self) -> bool:
        """Whether bytes are computed with, not only moved."""
        return bool(self.pipeline) or not self.verbatim

    def parts(self, out: Target, key: Sequence[int | slice]) -> list[Part]:
        """The pieces of work that fill ``out`` with ``key``; see :mod:`romae.fields.grid`."""
        whole = None if self.heavy else whole_snapshots(self.table, out, key)
        if whole is not None:
            return [Part(partial(self._run, at, rows), span) for at, rows, span in whole]
        cut = _batches(jobs(self.table, key, out), self.pipeline.size)
        return [Part(partial(self._fetch, batch), _hull(batch)) for batch in cut]

    def _run(self, at: int, rows: list[np.ndarray], scratch: Scratch) -> None:
        """A run of whole snapshots."""
        self._fill(rows, at)

    def _fetch(self, batch: list[Job], scratch: Scratch) -> None:
        """Read the chunks of ``batch``, neighbours in the file at once, then decode each."""
        reads = [(job, *plan) for job, plan in zip(batch, self._plans(batch, scratch), strict=True)]
        rows: list[np.ndarray] = []
        first, begin, end = batch[0], 0, 0
        for job, at, own, _ in reads:
            if rows and (at != end or len(rows) + len(own) > ROWS):
                self._fill(rows, begin, first)
                rows = []
            if not rows:
                first, begin = job, at
            rows.extend(own)
            end = at + sum(r.nbytes for r in own)
        self._fill(rows, begin, first)
        for job, _, own, finish in reads:
            try:
                finish(job, own, scratch)
            except FilterError as error:
                raise ChunkError(f"{_name(job, self.table)}: {error}") from error

    def _plans(
        self, batch: list[Job], scratch: Scratch
    ) -> Iterator[tuple[int, list[np.ndarray], Finish]]:
        """(first byte, arrays to read into, what to do then) of each chunk."""
        table, used = self.table, 0
        sizes = [int(table.sizes[j.number]) + ROOM for j in batch] if self.pipeline else []
        room = scratch.take("stored", sum(sizes))
        for i, job in enumerate(batch):
            if table.start is not None:
                flat = int(np.ravel_multi_index(job.corner, table.shape))
                at = table.start + flat * table.dtype.itemsize
                yield self._plan_plain(job, at, table.shape)
            elif (at := int(table.offsets[job.number])) < 0:
                yield 0, [], self._finish_unwritten
            elif self.pipeline.steps(int(table.masks[job.number])):
                framed = room[used : used + sizes[i]]
                used += sizes[i]
                yield at, [framed[ROOM:]], partial(self._finish_filtered, framed)
            else:
                yield self._plan_plain(job, at, table.chunk)

    def _plan_plain(
        self, job: Job, at: int, extent: tuple[int, ...]
    ) -> tuple[int, list[np.ndarray], Finish]:
        """A chunk that is stored as it is: only the bytes from the first wanted to the last.

        ``extent``: the array, in C order, whose first element lies at ``at``.
        """
        dtype, strides = self.table.dtype, [1]
        for n in extent[:0:-1]:
            strides.insert(0, strides[0] * n)
        first = last = 0
        for s, stride in zip(job.wanted, strides, strict=True):
            first += s.start * stride
            last += (s.stop - 1) * stride  # a slice of a job stops right after its last element
        at += first * dtype.itemsize
        if self.verbatim and dtype_of(job.out) == dtype and is_run(job.wanted, extent):
            rows = runs_of(job.out, ROWS)
            if rows is not None:
                return at, rows, _finish_nothing
        steps = [
            stride * s.step * dtype.itemsize for s, stride in zip(job.wanted, strides, strict=True)
        ]

        def finish(job: Job, own: list[np.ndarray], scratch: Scratch) -> None:
            shape = _shape(job)
            view = np.lib.stride_tricks.as_strided(own[0], shape, steps, writeable=False)
            put(job.out, self._decoded(view))

        return at, [np.empty(last - first + 1, dtype)], finish

    def _finish_unwritten(self, job: Job, own: list[np.ndarray], scratch: Scratch) -> None:
        put(job.out, self._decoded(np.full(_shape(job), self.table.fill)))

    def _finish_filtered(
        self, framed: np.ndarray, job: Job, own: list[np.ndarray], scratch: Scratch
    ) -> None:
        table, out = self.table, job.out
        if not isinstance(out, np.ndarray) and len(out) == 1 and out[0] is not None:
            out = out[0]
        straight = (  # the whole chunk, as it is, to one place
            isinstance(out, np.ndarray)
            and self.verbatim
            and out.dtype == table.dtype
            and out.nbytes == self.pipeline.size
            and out.flags.c_contiguous
        )
        chunk = out if straight else scratch.take("chunk", self.pipeline.size)
        assert isinstance(chunk, np.ndarray)
        self.pipeline.undo(framed, int(table.masks[job.number]), chunk, scratch)
        if not straight:
            values = chunk.view(table.dtype).reshape(table.chunk)
            put(job.out, self._decoded(values[job.wanted]))

    def _decoded(self, values: np.ndarray) -> np.ndarray:
        for function in self.functions:
            values = np.asarray(function(values))
        return values

    def _fill(self, rows: list[np.ndarray], at: int, job: Job | None = None) -> None:
        """The bytes from ``at`` on, into ``rows`` one after the other; ``job`` for messages."""
        views: list[Any] = list(rows)
        while views:
            try:
                got = os.preadv(self.file.number, views, at)
            except OSError as error:
                raise TornError(f"{_name(job, self.table)}: {error}") from error
            if got == 0:
                size = os.fstat(self.file.number).st_size
                raise TornError(
                    f"{_name(job, self.table)}: the file ends at byte {size}, before {at}"
                )
            at += got
            while views and got >= views[0].nbytes:
                got -= views.pop(0).nbytes
            if got:
                views[0] = views[0].reshape(-1).view("u1")[got:]


def _finish_nothing(job: Job, own: list[np.ndarray], scratch: Scratch) -> None:
    """The bytes lie where they should."""


def _name(job: Job | None, table: Table) -> str:
    if job is None:
        return "its snapshots"
    ends = [min(c + q, n) for c, q, n in zip(job.corner, table.chunk, table.shape, strict=True)]
    return f"chunk [{', '.join(f'{a}:{b}' for a, b in zip(job.corner, ends, strict=True))}]"


def _shape(job: Job) -> tuple[int, ...]:
    return tuple([-(-(s.stop - s.start) // s.step) for s in job.wanted])


def _hull(batch: list[Job]) -> slice:
    return slice(min(j.span.start for j in batch), max(j.span.stop for j in batch))


def _batches(found: Iterable[Job], nbytes: int) -> Iterator[list[Job]]:
    """Jobs of ``nbytes`` each, gathered to parts."""
    batch: list[Job] = []
    most = max(1, PART_BYTES // max(nbytes, 1))
    for job in found:
        batch.append(job)
        if len(batch) >= most:
            yield batch
            batch = []
    if batch:
        yield batch
