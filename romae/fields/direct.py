"""Values of a variable read chunk by chunk from its file, past the library's serial pipeline.

    file bytes  --preadv-->  chunk  --filters undone-->  stored values  --decode-->  values

Where the chunks lie is learned once by h5py (:mod:`romae.fields.chunks`); each read opens the
file, gathers the chunks it touches on a few threads of its own and ends them, so that nothing is
held between reads: no thread, lock or file that a fork, a pickle or another library could meet.
``decode`` is xarray's own chain of functions for fill values and packing, applied per chunk, so
that the values are xarray's bit for bit. What does not lend itself to this is read by xarray.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from romae.fields.chunks import Table, identity, learn
from romae.fields.filters import BLOSC, SHUFFLE, Decode, Filter, FilterError, decoders, unshuffle

THREADS = 8  # at most; never more than processors
ALONE_BYTES = 512 << 10  # less is read without other threads
ROWS = 512  # buffers of one preadv; the system takes 1024

Key = tuple[int | slice, ...]


class TornError(Exception):
    """The file ends before a chunk does, or has vanished: nobody can read it."""


class ChunkError(Exception):
    """A chunk does not decode here; the library has the last word."""


@dataclass(frozen=True)
class Origin:
    """Where a lazy variable comes from and xarray's functions from stored to decoded values."""

    path: str
    name: str
    functions: tuple[Callable[[np.ndarray], Any], ...]


class Tables(dict[str, Table | None]):
    """Tables by variable, learned when first needed; pickled without them."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Tables, ())

    def read_into(self, out: np.ndarray, variable: xr.Variable, name: str, key: Key) -> bool:
        """Fill ``out`` with ``variable[key]``, False where that has to be left to xarray.

        ``out`` has one axis per slice of ``key``. Raises :class:`TornError` and
        :class:`ChunkError`, after which ``out`` holds anything.
        """
        if self.get(name, ()) is None or not hasattr(os, "preadv"):
            return False
        found = find_origin(variable)
        if found is None:
            self[name] = None
            return False
        try:
            file = os.open(found.path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        except OSError as error:
            raise TornError(f"the file does not open any more: {error}") from error
        try:
            table = self._current(name, found, file, variable.shape)
            if table is None:
                return False
            _Reading(table, found.functions, file).run(out, key)
            return True
        finally:
            os.close(file)

    def _current(
        self, name: str, origin: Origin, file: int, shape: tuple[int, ...]
    ) -> Table | None:
        """The table of the file as it is now."""
        table = self.get(name)
        if table is None or table.identity != identity(os.fstat(file)):
            if table is not None and os.fstat(file).st_size < table.identity[2]:
                raise TornError(
                    f"the file was {table.identity[2]} bytes and is {os.fstat(file).st_size} now"
                )
            try:
                table = learn(origin.path, origin.name)
            except (OSError, KeyError, ImportError, RuntimeError, ValueError):
                table = None
            if table is not None and table.shape != shape:  # an unlimited axis that grew
                table = None
            self[name] = table
        return table


def find_origin(variable: xr.Variable) -> Origin | None:
    """The HDF5 dataset beneath a lazy variable; None for arrays, dask, other stores, parts."""
    try:
        return _origin(variable._data)
    except AttributeError:  # these are inner parts of xarray, and may change
        return None


def _origin(array: Any) -> Origin | None:
    functions: list[Callable[[np.ndarray], Any]] = []
    while True:
        kind = type(array).__name__ if type(array).__module__.startswith("xarray.") else ""
        if kind in ("CopyOnWriteArray", "MemoryCachedArray"):
            pass
        elif kind == "LazilyIndexedArray":
            if any(k != slice(None) for k in array.key.tuple):
                return None
        elif kind == "_ElementwiseFunctionArray":
            functions.append(array.func)
        elif kind == "NativeEndiannessArray":
            functions.append(_native)
        else:
            break
        array = array.array
    where = None
    if kind == "NetCDF4ArrayWrapper":
        where = _in_netcdf(array)
    elif type(array).__name__ == "H5Array":
        where = (array.manager._args[0], array.path)
    if where is None or not isinstance(where[0], str) or not os.path.isabs(where[0]):
        return None
    return Origin(where[0], where[1], tuple(reversed(functions)))


def _in_netcdf(array: Any) -> tuple[str, str] | None:
    store = array.datastore
    if store.is_remote or store._mode != "r":
        return None
    path, group = store._filename, store._group
    return path, "/".join(("", *filter(None, (group or "").split("/")), array.variable_name))


def _native(values: np.ndarray) -> np.ndarray:
    return values.astype(values.dtype.newbyteorder("="), copy=False)


@dataclass(frozen=True)
class _Job:
    """One chunk: its number, first corner, what is wanted of it and where that goes."""

    number: int
    corner: tuple[int, ...]
    wanted: tuple[slice, ...]
    out: np.ndarray


class _Reading:
    """One read of one dataset."""

    def __init__(
        self, table: Table, functions: Sequence[Callable[[np.ndarray], Any]], file: int
    ) -> None:
        self.table, self.functions, self.file = table, functions, file
        self.undo: list[Decode] = decoders(table.pipeline) or []

    def run(self, out: np.ndarray, key: Key) -> None:
        """Read ``key`` into ``out``, on several threads where it is large."""
        whole = tuple(slice(k, k + 1) if isinstance(k, int) else k for k in key)
        spread = tuple(None if isinstance(k, int) else slice(None) for k in key)
        axes = [range(*k.indices(n)) for k, n in zip(whole, self.table.shape, strict=True)]
        jobs = deque(self._jobs(axes, out[spread]))
        # blosc has threads of its own, shared by the process, when called from the main one
        blosc = any(f.code == BLOSC for f in self.table.pipeline)
        threads = 1 if out.nbytes < ALONE_BYTES else min(THREADS, processors(), len(jobs))
        if threads == 1 and not blosc:
            _work(self._fetch, jobs, [])
            return
        errors: list[BaseException] = []
        workers = [
            threading.Thread(target=_work, args=(self._fetch, jobs, errors), name="romae-chunks")
            for _ in range(threads)
        ]
        try:
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
        except BaseException:
            jobs.clear()
            raise
        finally:  # none may outlive the open file
            for worker in workers:
                if worker.ident is not None:
                    worker.join()
        if errors:
            raise errors[0]

    def _jobs(self, axes: Sequence[range], out: np.ndarray) -> Iterator[_Job]:
        table, q = self.table, list(self.table.chunk)
        if table.start is not None:  # a stride over rows reads only the rows it wants
            for axis, r in enumerate(axes):
                if r.step > 1:
                    q[: axis + 1] = [1] * (axis + 1)
        grid = [-(-n // m) for n, m in zip(table.shape, q, strict=True)]
        steps = [math.prod(grid[a + 1 :]) for a in range(len(grid))]
        runs_ = [list(_cut(r, m)) for r, m in zip(axes, q, strict=True)]
        for parts in itertools.product(*runs_):
            number = sum(i * s for (i, _, _), s in zip(parts, steps, strict=True))
            corner = tuple(i * m for (i, _, _), m in zip(parts, q, strict=True))
            yield _Job(number, corner, tuple(p[1] for p in parts), out[tuple(p[2] for p in parts)])

    def _fetch(self, job: _Job) -> None:
        try:
            if self.table.start is not None:
                self._plain(job, self._place(job.corner), self.table.shape)
            elif self.table.offsets[job.number] < 0:
                job.out[...] = self._decoded(np.full(job.out.shape, self.table.fill))
            elif self._undo(job):
                self._filtered(job)
            else:
                self._plain(job, int(self.table.offsets[job.number]), None)
        except TornError as error:
            raise TornError(f"chunk at {list(job.corner)}: {error}") from error
        except FilterError as error:
            raise ChunkError(f"chunk at {list(job.corner)}: {error}") from error

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

    def _plain(self, job: _Job, offset: int, shape: tuple[int, ...] | None) -> None:
        """A chunk that is stored as it is: only the bytes from the first wanted to the last."""
        itemsize = self.table.dtype.itemsize
        # the extent of the elements around it, for a contiguous dataset those of the dataset
        extent = self.table.chunk if shape is None else shape
        first = sum(s.start * math.prod(extent[a + 1 :]) for a, s in enumerate(job.wanted))
        at = offset + first * itemsize
        if self._direct(job.out) and _is_run(job.wanted, extent):
            rows = _rows(job.out)
            if len(rows) <= ROWS:
                self._fill(rows, at)
                return
        last = sum(
            range(s.stop)[s][-1] * math.prod(extent[a + 1 :]) for a, s in enumerate(job.wanted)
        )
        stored = np.empty(last - first + 1, self.table.dtype)
        self._fill([stored], at)
        strides = [math.prod(extent[a + 1 :]) * s.step * itemsize for a, s in enumerate(job.wanted)]
        view = np.lib.stride_tricks.as_strided(stored, job.out.shape, strides, writeable=False)
        job.out[...] = self._decoded(view)

    def _filtered(self, job: _Job) -> None:
        table = self.table
        size = math.prod(table.chunk) * table.dtype.itemsize
        data: Any = np.empty(int(table.sizes[job.number]), "u1")
        self._fill([data], int(table.offsets[job.number]))
        undo = self._undo(job)
        last = undo[-1][0]
        whole = job.out.shape == table.chunk and job.out.flags.c_contiguous
        if last == Filter(SHUFFLE, (table.dtype.itemsize,)) and whole and self._direct(job.out):
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

    def _direct(self, out: np.ndarray) -> bool:
        """Whether stored bytes are the values wanted."""
        return not self.functions and out.dtype == self.table.dtype

    def _fill(self, rows: list[np.ndarray], at: int) -> None:
        """The bytes from ``at`` on, into ``rows`` one after the other."""
        views = [memoryview(r.reshape(-1).view("u1").data) for r in rows]
        while views:
            try:
                got = os.preadv(self.file, views, at)
            except OSError as error:
                raise TornError(str(error)) from error
            if got == 0:
                raise TornError(f"the file ends at byte {os.fstat(self.file).st_size}, before {at}")
            at += got
            while views and got >= len(views[0]):
                got -= len(views.pop(0))
            if views and got:
                views[0] = views[0][got:]


def processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _work(fetch: Callable[[_Job], None], jobs: deque[_Job], errors: list[BaseException]) -> None:
    """Fetch jobs until there are none; the first error ends all workers."""
    alone = threading.current_thread().name != "romae-chunks"
    while True:
        try:
            job = jobs.popleft()
        except IndexError:
            return
        try:
            fetch(job)
        except BaseException as error:
            jobs.clear()
            if alone:
                raise
            errors.append(error)  # raised again by the thread that waits


def _cut(r: range, q: int) -> Iterator[tuple[int, slice, slice]]:
    """(chunk, part of the chunk, part of the result) for the positions ``r`` in chunks of ``q``."""
    done = 0
    while done < len(r):
        number = r[done] // q
        count = min(len(r) - done, -(-((number + 1) * q - r[done]) // r.step))
        first = r[done] - number * q
        last = first + (count - 1) * r.step + 1
        yield number, slice(first, last, r.step), slice(done, done + count)
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
