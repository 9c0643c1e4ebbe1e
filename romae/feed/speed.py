"""How fast the feed delivers, beside a bare read of the files.

    first    MB/s of batches, the first time the snapshots are read
    again    the same afterwards: files of up to the size of the memory come from the page cache
    bare     MB/s of the bytes of the files, read in their order and thrown away

Where ``again`` is far above ``first``, the disk sets the pace; where both are below ``bare`` times
the ratio of compression, decompression does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from romae.feed.feed import StreamFeed
from romae.fields import Snapshots
from romae.fields.segments import AS_OPENED

AT_ONCE = 4 << 20  # bytes of one bare read
BATCH = 32


@dataclass(frozen=True)
class Speed:
    """MB/s ``first``, ``again`` and ``bare`` (None: no local files), and snapshots/s ``again``.

    ``ratio``: bytes of the snapshots over bytes of the files that hold them.
    """

    first: float
    again: float
    bare: float | None
    snapshots: float
    ratio: float | None

    def __str__(self) -> str:
        text = (
            f"batches come at {self.first:.0f} MB/s the first time, {self.again:.0f} MB/s "
            f"({self.snapshots:.0f} snapshots/s) once the files are in memory"
        )
        if self.bare is None or self.ratio is None:
            return text
        return text + (
            f"; the bytes of the files alone come at {self.bare:.0f} MB/s, and 1 MB of them holds "
            f"{self.ratio:.2f} MB of these snapshots"
        )


def measure_speed(snapshots: Snapshots, *, seconds: float = 3.0) -> Speed:
    """Read ``snapshots`` for up to ``seconds`` in each of the three ways.

    Raises :class:`~romae.errors.UnreadableFileError` when a file cannot be read.
    """
    feed = StreamFeed(snapshots, None, batch=BATCH, block_bytes=8 << 20)
    first = _delivered(feed, 0, seconds)
    again = _delivered(feed, min(0.5, seconds), seconds)
    paths = sorted(set(_files(snapshots)))
    sizes = sum(map(os.path.getsize, paths))
    one = snapshots.layout.size * snapshots.dtype.itemsize
    return Speed(
        first / 1e6,
        again / 1e6,
        _bare(paths, seconds) / 1e6 if sizes else None,
        again / one,
        snapshots.nbytes / sizes if sizes else None,
    )


def _delivered(feed: StreamFeed, least: float, most: float) -> float:
    """Bytes per second of as many epochs as take ``least`` seconds, at most ``most``."""
    begun, nbytes, taken, number = time.perf_counter(), 0, 0.0, 0
    while nbytes == 0 or taken < least:
        with closing(feed.epoch(number)) as epoch:
            for batch in epoch:
                nbytes += batch.nbytes
                taken = time.perf_counter() - begun
                if taken > most:
                    return nbytes / taken
        number += 1
    return nbytes / taken


def _bare(paths: list[str], seconds: float) -> float:
    """Bytes per second of reading the files."""
    begun, nbytes, room = time.perf_counter(), 0, bytearray(AT_ONCE)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while (got := file.readinto(room)) and time.perf_counter() - begun < seconds:
                nbytes += got
    return nbytes / (time.perf_counter() - begun)


def _files(snapshots: Snapshots) -> Iterator[str]:
    """The local files that hold the snapshots, those of folders (Zarr) one by one."""
    for trajectory in snapshots.trajectories:
        for segment in trajectory.segments:
            source, _ = segment.dataset.encoding.get(AS_OPENED, ("", 0))
            if os.path.isdir(source):
                for folder, _, names in os.walk(source):
                    yield from (os.path.join(folder, name) for name in names)
            elif os.path.isfile(source):
                yield source
