"""The chunks that a slice touches, read and decoded to where they are wanted.

    bytes  --preadv-->  chunk  --filters undone-->  stored values  --functions-->  values

The chunks are taken in parts of about half a mebibyte, in any order and on any thread; what lies
side by side in the file is read by one call, straight to its place when nothing is to be undone.
Where a chunk holds whole snapshots as they are, :func:`_whole` finds their bytes without looking
at single chunks: at 15 GB/s a snapshot of 64 KiB takes 4 us.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from romae.fields.chunks import Table
from romae.fields.filters import SHUFFLE, Decode, Filter, FilterError, decoders
from romae.fields.grid import Job, Target, is_run, jobs, put, runs_of
from romae.fields.shuffle import HEADER, unshuffle
from romae.fields.work import Scratch

PART_BYTES = 512 << 10
RUN_BYTES = 1 << 20  # of snapshots that are stored as they are
ROWS = 512  # buffers of one preadv; the system takes 1024


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
        self.size = math.prod(table.chunk) * table.dtype.itemsize
        undo = decoders(table.pipeline) or []
        self.undo: list[tuple[Filter, Decode]] = list(zip(table.pipeline, undo, strict=True))

    @property
    def heavy(self) -> bool:
        """Whether bytes are computed with, not only moved."""
        return bool(self.undo) or not self.verbatim

    def parts(self, out: Target, key: Sequence[int | slice]) -> list[Part]:
        """The pieces of work that fill ``out`` with ``key``; see :mod:`romae.fields.grid`."""
        whole = None if self.heavy else _whole(self.table, out, key)
        if whole is not None:
            return [Part(partial(self._run, at, rows), span) for at, rows, span in whole]
        cut = _batches(jobs(self.table, key, out), self.size)
        return [Part(partial(self._fetch, batch), _hull(batch)) for batch in cut]

    def _run(self, at: int, rows: list[np.ndarray], scratch: Scratch) -> None:
        """A run of whole snapshots."""
        self._fill(rows, at)

    def _fetch(self, batch: list[Job], scratch: Scratch) -> None:
        """Read the chunks of ``batch``, neighbours in the file at once, then decode each."""
        room: Iterator[np.ndarray] = iter(())
        if self.undo:
            sizes = [int(self.table.sizes[job.number]) for job in batch]
            stored = scratch.take("stored", sum(sizes))
            room = iter(np.split(stored, np.cumsum(sizes)[:-1]))
        reads = [(job, *self._plan(job, room)) for job in batch]
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

    def _plan(self, job: Job, room: Iterator[np.ndarray]) -> tuple[int, list[np.ndarray], Finish]:
        """(first byte, arrays to read into, what to do then) of one chunk."""
        table = self.table
        if table.start is not None:
            flat = int(np.ravel_multi_index(job.corner, table.shape))
            at = table.start + flat * table.dtype.itemsize
            return self._plan_plain(job, at, table.shape)
        at = int(table.offsets[job.number])
        stored = next(room, None)
        if at < 0:
            return 0, [], self._finish_unwritten
        if stored is not None and self._filters(job):
            return at, [stored], self._finish_filtered
        return self._plan_plain(job, at, table.chunk)

    def _filters(self, job: Job) -> list[tuple[Filter, Decode]]:
        """The filters that this chunk went through, last first, and what undoes them."""
        skipped = int(self.table.masks[job.number])
        return [both for i, both in enumerate(self.undo) if not skipped >> i & 1][::-1]

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
        if self.verbatim and _dtype(job.out) == dtype and is_run(job.wanted, extent):
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

    def _finish_filtered(self, job: Job, own: list[np.ndarray], scratch: Scratch) -> None:
        table, size, undo = self.table, self.size, self._filters(job)
        frame = scratch.take("frame", HEADER + size)
        data: Any = own[0]
        out, straight = job.out, False
        if isinstance(out, Sequence) and len(out) == 1 and out[0] is not None:
            out = out[0]
        if isinstance(out, np.ndarray):  # the whole chunk, to one place
            straight = self.verbatim and out.dtype == table.dtype and out.flags.c_contiguous
            straight = straight and out.nbytes == size
        shuffled = undo[-1][0] == Filter(SHUFFLE, (table.dtype.itemsize,))
        room = frame[HEADER:]
        for _, function in undo[:-1] if shuffled else undo:
            if np.shares_memory(data, room):  # a second one that decompresses
                data = np.array(data)
            data = np.frombuffer(function(data, size, room), "u1")
        if len(data) != size:
            raise FilterError(f"{len(data)} bytes where a chunk has {size}")
        if shuffled:
            if data.ctypes.data != room.ctypes.data:
                room[:] = data
            if not straight:
                data = scratch.take("chunk", size)
            unshuffle(frame, table.dtype.itemsize, out if straight else data)  # type: ignore[arg-type]
            if straight:
                return
        put(job.out, self._decoded(data.view(table.dtype).reshape(table.chunk)[job.wanted]))

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


def _dtype(out: Target) -> np.dtype:
    if isinstance(out, np.ndarray):
        return out.dtype
    return next(r.dtype for r in out if r is not None)


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


def _whole(
    table: Table, out: Target, key: Sequence[int | slice]
) -> list[tuple[int, list[np.ndarray], slice]] | None:
    """(first byte, snapshots that lie there, their span); None where chunks hold parts of some."""
    time, step = key[0], math.prod(table.shape[1:]) * table.dtype.itemsize
    if not isinstance(time, slice) or _dtype_or_none(out) != table.dtype or step < 1:
        return None
    cuts = [(k, n) for k, n in zip(key[1:], table.shape[1:], strict=True) if k != slice(None)]
    if any(k != 0 or n != 1 for k, n in cuts):
        return None
    positions = np.arange(*time.indices(table.shape[0]))
    if table.start is not None:
        at = table.start + positions * step
    elif table.chunk[1:] == table.shape[1:]:
        offsets = table.offsets[positions // table.chunk[0]]
        if (offsets < 0).any():
            return None
        at = offsets + positions % table.chunk[0] * step
    else:
        return None
    wanted = np.array([r is not None for r in out]) if not isinstance(out, np.ndarray) else None
    index = np.arange(len(at)) if wanted is None else np.flatnonzero(wanted)
    most = max(1, min(ROWS, RUN_BYTES // step))
    breaks = np.flatnonzero(np.diff(at[index]) != step) + 1
    found = []
    for a, b in zip([0, *breaks.tolist()], [*breaks.tolist(), len(index)], strict=True):
        for i in range(a, b, most):
            span = slice(int(index[i]), int(index[min(b, i + most) - 1]) + 1)
            rows = runs_of(out[span], ROWS)
            if rows is None:
                return None
            found.append((int(at[index[i]]), rows, span))
    return found


def _dtype_or_none(out: Target) -> np.dtype | None:
    return _dtype(out) if isinstance(out, np.ndarray) or any(r is not None for r in out) else None
