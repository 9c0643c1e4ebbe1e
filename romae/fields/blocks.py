"""Cutting trajectories into blocks that respect the storage.

A storage chunk that is read is read (and decompressed) whole, so a block ends where a chunk
ends. Chunks are gathered until the next would exceed the wanted bytes; files of one snapshot
each are gathered in the same way. Only a chunk larger than the limit is cut.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from romae.fields.segments import Segment, Trajectory

BLOCK_BYTES = 64 * 2**20
Read = TypeVar("Read")


@dataclass(frozen=True)
class Block:
    """Snapshots ``start`` to ``stop`` of trajectory ``case``; ``values``: (b, C, *space)."""

    case: int
    start: int
    stop: int
    values: np.ndarray


def cut_ranges(trajectory: Trajectory, limit: int) -> list[tuple[int, int]]:
    """Contiguous (start, stop) that cover the trajectory once, ``limit`` snapshots at most."""
    ranges: list[tuple[int, int]] = []
    start = end = 0
    for a, b in _atoms(trajectory):
        if end > start and b - start > limit:
            ranges.append((start, end))
            start = a
        if b - a > limit:  # one chunk alone is too large: equal parts of it
            ranges.extend(_parts(a, b, limit))
            start = b
        end = b
    if end > start:
        ranges.append((start, end))
    return ranges


def _atoms(trajectory: Trajectory) -> Iterator[tuple[int, int]]:
    """Runs of snapshots that share a storage chunk, in order."""
    offset = 0
    for segment in trajectory.segments:
        for a, b in _chunk_runs(segment):
            yield offset + a, offset + b
        offset += len(segment)


def _chunk_runs(segment: Segment) -> Iterator[tuple[int, int]]:
    steps, start = segment.steps, 0
    while start < len(steps):
        chunk_end = (steps[start] // segment.chunk + 1) * segment.chunk
        stop = min(len(steps), -(-(chunk_end - steps.start) // steps.step))
        yield start, stop
        start = stop


def _parts(a: int, b: int, limit: int) -> Iterator[tuple[int, int]]:
    edges = np.linspace(a, b, -(-(b - a) // limit) + 1).round().astype(int).tolist()
    yield from itertools.pairwise(edges)


def read_ahead(reads: Iterable[Callable[[], Read]]) -> Iterator[Read]:
    """Results of ``reads`` in order, the next one read on a thread meanwhile: two are held."""
    with ThreadPoolExecutor(1, "romae-reader") as pool:
        waiting: deque[Future[Read]] = deque()
        for read in reads:
            waiting.append(pool.submit(read))
            if len(waiting) == 2:
                yield waiting.popleft().result()  # no name here keeps the block
        while waiting:
            yield waiting.popleft().result()
