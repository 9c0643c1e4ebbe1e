"""The chunks that a slice touches, read and decoded into one array on a few threads.

For each axis with positions r (first, first + step, ...) and chunks of q:

    chunk i   holds   i·q .. (i + 1)·q - 1,     so   i = r[0] // q .. r[-1] // q

and the chunks of the slice are the product over the axes. They are taken in batches; what lies
side by side in the file is read by one call, straight to its place when nothing is to be undone.
Threads start with a read and end with it; the file is an open descriptor, read by position.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from romae.fields.chunks import Table
from romae.fields.filters import BLOSC, SHUFFLE, Decode, Filter, FilterError, decoders, unshuffle

THREADS = 8  # at most; never more than processors
ALONE_BYTES = 512 << 10  # less is read without other threads
ROWS = 512  # buffers of one preadv; the system takes 1024


class TornError(Exception):
    """The file ends before a chunk does, or has vanished: nobody can read it."""


class ChunkError(Exception):
    """A chunk does not decode here; the library has the last word."""


class _Job(NamedTuple):
    """One chunk: its number, first position, what is wanted of it and where that goes."""

    number: int
    corner: tuple[int, ...]
    wanted: tuple[slice, ...]
    out: np.ndarray


Finish = Callable[[_Job, list[np.ndarray]], None]


class Reading:
    """One read of one dataset."""

    def __init__(
        self, table: Table, functions: Sequence[Callable[[np.ndarray], Any]], file: int
    ) -> None:
        self.table, self.functions, self.file = table, functions, file
        self.verbatim = not functions  # stored values are the values
        self.undo: list[Decode] = decoders(table.pipeline) or []

    def run(self, out: np.ndarray, key: Sequence[int | slice]) -> None:
        """Read ``key`` into ``out``, which has one axis per slice, on threads where it is large."""
        whole = tuple(slice(k, k + 1) if isinstance(k, int) else k for k in key)
        spread = tuple(None if isinstance(k, int) else slice(None) for k in key)
        axes = [range(*k.indices(n)) for k, n in zip(whole, self.table.shape, strict=True)]
        # blosc has threads of its own, shared by the process, when called from the main one
        blosc = any(f.code == BLOSC for f in self.table.pipeline)
        # Bytes that only move gain nothing by threads: one alone fills the memory's bandwidth.
        alone = out.nbytes < ALONE_BYTES or (self.verbatim and not self.table.pipeline)
        threads = 1 if alone else min(THREADS, processors())
        parts = max(64 << 10, min(1 << 20, out.nbytes // (4 * threads)))
        batches = deque(_batches(self._jobs(axes, out[spread]), parts))
        errors: list[BaseException] = []
        if threads == 1 and not blosc:
            _work(self._fetch, batches, errors)
        else:
            _in_threads(min(threads, len(batches)), _work, self._fetch, batches, errors)
        if errors:
            raise errors[0]

    def _jobs(self, axes: Sequence[range], out: np.ndarray) -> Iterator[_Job]:
        table, q = self.table, list(self.table.chunk)
        if table.start is not None:  # a stride over rows reads only the rows it wants
            for axis, r in enumerate(axes):
                if r.step > 1:
                    q[: axis + 1] = [1] * (axis + 1)
        grid = [-(-n // m) for n, m in zip(table.shape, q, strict=True)]
        cuts = [list(_cut(r, m)) for r, m in zip(axes, q, strict=True)]
        for parts in itertools.product(*cuts):
            number = 0
            for n, part in zip(grid, parts, strict=True):
                number = number * n + part[0]
            corner = tuple([p[1] for p in parts])
            yield _Job(number, corner, tuple([p[2] for p in parts]), out[*[p[3] for p in parts]])

    def _fetch(self, batch: list[_Job]) -> None:
        """Read the chunks of ``batch``, neighbours in the file at once, then decode each."""
        reads = [(job, *self._plan(job)) for job in batch]
        rows: list[np.ndarray] = []
        first, begin, end = batch[0], 0, 0
        for job, at, own, _ in reads:
            if rows and (at != end or len(rows) + len(own) > ROWS):
                self._fill(first, rows, begin)
                rows = []
            if not rows:
                first, begin = job, at
            rows.extend(own)
            end = at + sum(r.nbytes for r in own)
        self._fill(first, rows, begin)
        for job, _, own, finish in reads:
            try:
                finish(job, own)
            except FilterError as error:
                raise ChunkError(f"chunk at {list(job.corner)}: {error}") from error

    def _plan(self, job: _Job) -> tuple[int, list[np.ndarray], Finish]:
        """(first byte, arrays to read into, what to do then) of one chunk."""
        table = self.table
        if table.start is not None:
            return self._plan_plain(job, self._place(job.corner), table.shape)
        at = int(table.offsets[job.number])
        if at < 0:
            return 0, [], self._finish_unwritten
        if self._undo(job):
            return at, [np.empty(int(table.sizes[job.number]), "u1")], self._finish_filtered
        return self._plan_plain(job, at, table.chunk)

    def _place(self, corner: tuple[int, ...]) -> int:
        """First byte of the element at ``corner`` of a contiguous dataset."""
        assert self.table.start is not None
        flat = int(np.ravel_multi_index(corner, self.table.shape))
        return self.table.start + flat * self.table.dtype.itemsize

    def _undo(self, job: _Job) -> list[tuple[Filter, Decode]]:
        """The filters that this chunk went through, last first, and what undoes them."""
        skipped = int(self.table.masks[job.number])
        named = enumerate(zip(self.table.pipeline, self.undo, strict=True))
        return [both for i, both in named if not skipped >> i & 1][::-1]

    def _plan_plain(
        self, job: _Job, at: int, extent: tuple[int, ...]
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
            last += (s.stop - 1) * stride  # a slice of _cut stops right after its last element
        at += first * dtype.itemsize
        if self.verbatim and job.out.dtype == dtype and _is_run(job.wanted, extent):
            rows = _rows(job.out)
            if len(rows) <= ROWS:
                return at, rows, _finish_nothing
        steps = [
            stride * s.step * dtype.itemsize for s, stride in zip(job.wanted, strides, strict=True)
        ]

        def finish(job: _Job, own: list[np.ndarray]) -> None:
            view = np.lib.stride_tricks.as_strided(own[0], job.out.shape, steps, writeable=False)
            job.out[...] = self._decoded(view)

        return at, [np.empty(last - first + 1, dtype)], finish

    def _finish_unwritten(self, job: _Job, own: list[np.ndarray]) -> None:
        job.out[...] = self._decoded(np.full(job.out.shape, self.table.fill))

    def _finish_filtered(self, job: _Job, own: list[np.ndarray]) -> None:
        table, data = self.table, own[0]
        size = math.prod(table.chunk) * table.dtype.itemsize
        undo = self._undo(job)
        whole = job.out.shape == table.chunk and job.out.flags.c_contiguous
        same = self.verbatim and job.out.dtype == table.dtype
        if undo[-1][0] == Filter(SHUFFLE, (table.dtype.itemsize,)) and whole and same:
            for _, function in undo[:-1]:
                data = function(data, size)
            unshuffle(data, table.dtype.itemsize, job.out)
            return
        for _, function in undo:
            data = function(data, size)
        if len(data) != size:
            raise FilterError(f"{len(data)} bytes where a chunk has {size}")
        chunk = np.frombuffer(data, table.dtype).reshape(table.chunk)
        job.out[...] = self._decoded(chunk[job.wanted])

    def _decoded(self, values: np.ndarray) -> np.ndarray:
        for function in self.functions:
            values = np.asarray(function(values))
        return values

    def _fill(self, job: _Job, rows: list[np.ndarray], at: int) -> None:
        """The bytes from ``at`` on, into ``rows`` one after the other; ``job`` for messages."""
        views: list[Any] = list(rows)
        while views:
            try:
                got = os.preadv(self.file, views, at)
            except OSError as error:
                raise TornError(f"chunk at {list(job.corner)}: {error}") from error
            if got == 0:
                size = os.fstat(self.file).st_size
                raise TornError(
                    f"chunk at {list(job.corner)}: the file ends at byte {size}, before {at}"
                )
            at += got
            while views and got >= views[0].nbytes:
                got -= views.pop(0).nbytes
            if got:
                views[0] = views[0].reshape(-1).view("u1")[got:]


def _finish_nothing(job: _Job, own: list[np.ndarray]) -> None:
    """The bytes lie where they should."""


def processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _batches(jobs: Iterable[_Job], nbytes: int) -> Iterator[list[_Job]]:
    """Jobs gathered until they fill ``nbytes``."""
    batch: list[_Job] = []
    size = 0
    for job in jobs:
        batch.append(job)
        size += job.out.nbytes
        if size >= nbytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _work(
    fetch: Callable[[list[_Job]], None], batches: deque[list[_Job]], errors: list[BaseException]
) -> None:
    """Fetch batches until there are none; the first error ends all workers."""
    try:
        while True:
            try:
                batch = batches.popleft()
            except IndexError:
                return
            fetch(batch)
    except BaseException as error:  # raised again by the thread that waits
        batches.clear()
        errors.append(error)


def _in_threads(
    count: int, work: Callable[..., None], fetch: Any, batches: deque, errors: list
) -> None:
    """``work`` on ``count`` threads; none outlives the call."""
    workers = [
        threading.Thread(target=work, args=(fetch, batches, errors), name="romae-chunks")
        for _ in range(count)
    ]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except BaseException:
        batches.clear()
        raise
    finally:
        for worker in workers:
            if worker.ident is not None:
                worker.join()


def _cut(r: range, q: int) -> Iterator[tuple[int, int, slice, slice]]:
    """(chunk, its first position, part of it, part of the result) for positions ``r``."""
    done = 0
    while done < len(r):
        number = r[done] // q
        count = min(len(r) - done, -(-((number + 1) * q - r[done]) // r.step))
        first = r[done] - number * q
        last = first + (count - 1) * r.step + 1
        yield number, number * q, slice(first, last, r.step), slice(done, done + count)
        done += count


def _is_run(wanted: Sequence[slice], extent: Sequence[int]) -> bool:
    """Whether the wanted elements follow each other without a gap."""
    inner = True  # all axes behind are taken whole
    for s, n in zip(reversed(wanted), reversed(extent), strict=True):
        if s.stop - s.start > 1 and (s.step != 1 or not inner):
            return False
        inner = inner and s.start == 0 and s.stop == n and (s.step == 1 or n == 1)
    return True


def _rows(out: np.ndarray) -> list[np.ndarray]:
    """``out`` as contiguous arrays in C order, as few as it takes (or more than ``ROWS``)."""
    if out.flags.c_contiguous:
        return [out]
    if out.ndim <= 1 or len(out) > ROWS:
        return [out] * (ROWS + 1)
    rows: list[np.ndarray] = []
    for part in out:
        rows.extend(_rows(part))
        if len(rows) > ROWS:
            break
    return rows
