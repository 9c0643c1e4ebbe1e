"""Where the chunks of an HDF5 dataset lie in their file, learned once.

The dataset is a grid of chunks; chunk (i_0, i_1, ...) holds x[i_0·q_0 : (i_0 + 1)·q_0, ...] and
lies in ``sizes[i]`` bytes from ``offsets[i]``. A contiguous dataset is cut into chunks of its own
here: ones along the leading axes, n along one axis, all along the others, so that each is one
run of bytes.

:func:`learn` gives None wherever reading bytes could differ from what the HDF5 library reads:
unknown filters, types without a fixed standard form, virtual, compact or external storage, a
file that is open for writing.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from romae.fields.filters import Filter, decoders

RUN_BYTES = 2 << 20  # of a contiguous dataset, read at once
MAX_CHUNKS = 1 << 23  # a table of more would cost more than it saves


@dataclass(frozen=True)
class Table:
    """The chunks of one dataset.

    ``offsets``, ``sizes`` and ``masks`` (skipped filters, one bit each) have one entry per chunk
    in C order, offset -1 where a chunk was never written and holds ``fill``. They are empty for a
    contiguous dataset, which starts at ``start``. ``identity`` is the file's at that time.
    """

    path: str
    identity: tuple[int, int, int, int]
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...]
    pipeline: tuple[Filter, ...]
    fill: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    masks: np.ndarray
    start: int | None = None


def identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """What tells that a file is still the same."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def learn(path: str, name: str) -> Table | None:
    """The table of dataset ``name`` of the HDF5 file at ``path``, None where it is not readable so.

    Raises :class:`OSError` and :class:`KeyError` when the file or dataset does not open.
    """
    import h5py
    from xarray.backends.locks import HDF5_LOCK

    # One lock with xarray's readers: netCDF4 and h5py may share one library without threads.
    with HDF5_LOCK, h5py.File(path, "r") as file:
        before = identity(os.stat(path))
        if file.mode != "r" or file.userblock_size:  # open for writing elsewhere in this process
            return None
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset):
            return None
        table = _table(dataset, path, before)
    return table if identity(os.stat(path)) == before else None


def _table(dataset: Any, path: str, seen: tuple[int, int, int, int]) -> Table | None:
    import h5py

    dtype, shape = dataset.dtype, dataset.shape
    if dtype.kind not in "fiu" or not shape or 0 in shape:
        return None
    # Odd precisions, offsets and paddings of bits map to numpy types that do not lie so on disk.
    if not dataset.id.get_type().equal(h5py.h5t.py_create(dtype)):
        return None
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i) for i in range(plist.get_nfilters())]
    pipeline = tuple(Filter(code, tuple(values)) for code, _, values, _ in filters)
    if decoders(pipeline) is None or plist.get_external_count():
        return None
    common = {"path": path, "identity": seen, "shape": shape, "dtype": dtype, "pipeline": pipeline}
    none = np.empty(0, np.int64)
    fill = np.asarray(dataset.fillvalue, dtype)
    layout = plist.get_layout()
    if layout == h5py.h5d.CONTIGUOUS:
        start = dataset.id.get_offset()
        if start is None:
            return None
        q = _runs(shape, dtype.itemsize)
        return Table(
            **common, chunk=q, fill=fill, offsets=none, sizes=none, masks=none, start=start
        )
    if layout != h5py.h5d.CHUNKED:
        return None
    q = dataset.chunks
    grid = tuple(-(-n // m) for n, m in zip(shape, q, strict=True))
    count = math.prod(grid)
    if count > MAX_CHUNKS:
        return None
    offsets, sizes = np.full(count, -1, np.int64), np.zeros(count, np.int64)
    masks = np.zeros(count, np.uint32)
    steps = [math.prod(grid[a + 1 :]) for a in range(len(grid))]

    def take(info: Any) -> None:
        i = sum(o // m * s for o, m, s in zip(info.chunk_offset, q, steps, strict=True))
        offsets[i], sizes[i], masks[i] = info.byte_offset, info.size, info.filter_mask

    dataset.id.chunk_iter(take)
    # What the library gives for a chunk that was never written is then left to the library.
    written = bool((offsets >= 0).all())
    undefined = plist.fill_value_defined() == h5py.h5d.FILL_VALUE_UNDEFINED
    if not written and (undefined or plist.get_fill_time() == h5py.h5d.FILL_TIME_NEVER):
        return None
    return Table(**common, chunk=q, fill=fill, offsets=offsets, sizes=sizes, masks=masks)


def _runs(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Chunks of about ``RUN_BYTES`` that are runs of bytes of a contiguous dataset."""
    q = [1] * len(shape)
    left = max(1, RUN_BYTES // itemsize)
    for axis in reversed(range(len(shape))):
        q[axis] = min(shape[axis], left)
        left //= shape[axis]
        if left < 1:
            break
    return tuple(q)
