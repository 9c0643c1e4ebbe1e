"""Batches of scaled snapshots for training.

Two feeds with one face (``samples``, ``updates``, ``epoch(number)``):

* :class:`ResidentFeed` holds all snapshots as one tensor on the device, and gathers
  batches from it: the fastest, when the data fit.
* :class:`StreamFeed` reads blocks of whole storage chunks in a random order on one thread,
  into two buffers of several blocks each, that are reused; batches are gathered from one
  and scaled while the other is filled.

The order of an epoch depends on (seed, epoch) alone, so that a resumed run sees what the
uninterrupted one saw.
"""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from romae.feed.reader import Reader, Throughput
from romae.feed.scale import TensorScaling
from romae.fields import Scaling, Snapshots

RESIDENT_BYTES = 2 << 30  # snapshots of up to this many bytes are held as one tensor
BLOCK_BYTES = 64 << 20


class ResidentFeed:
    """Batches gathered from a tensor (T, ...) that is already on the device."""

    def __init__(self, data: Tensor, *, batch: int, shuffle: bool = True, seed: int = 0) -> None:
        self.data, self.batch, self.shuffle, self.seed = data, batch, shuffle, seed
        self.samples = len(data)
        self.updates = -(-self.samples // batch)

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Every snapshot once, in batches of nearly equal size."""
        order = _order(self.samples, self.seed, number) if self.shuffle else None
        for part in np.array_split(np.arange(self.samples), self.updates):
            if order is None:
                yield self.data[part[0] : part[-1] + 1]
            else:
                yield self.data[order[part[0] : part[-1] + 1].to(self.data.device)]


class StreamFeed:
    """Batches read block by block into two buffers, in which they are shuffled.

    Without ``scaling`` they come in physical units.

    Blocks are taken in random order, ``mix`` of them are shuffled together.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        scaling: Scaling | None,
        *,
        batch: int,
        shuffle: bool = True,
        seed: int = 0,
        device: torch.device | str = "cpu",
        block_bytes: int = BLOCK_BYTES,
        mix: int = 4,
    ) -> None:
        self.batch, self.shuffle, self.seed = batch, shuffle, seed
        self.device, self.mix = torch.device(device), mix if shuffle else 1
        self.scaling = None if scaling is None else TensorScaling(scaling, device)
        self.ranges = snapshots.block_ranges(block_bytes)
        self.samples = len(snapshots)
        self.updates = -(-self.samples // batch)
        self._reader = Reader(snapshots, pinned=self.device.type == "cuda")

    @property
    def throughput(self) -> Throughput:
        """Bytes read so far, the seconds that took and the seconds the consumer waited."""
        return self._reader.throughput

    def epoch(self, number: int, *, skip: int = 0) -> Iterator[Tensor]:
        """Every snapshot once, in batches of ``batch`` and a last smaller one.

        ``skip`` batches at the start are left out, and as far as possible not read: an epoch
        that was interrupted goes on where it was.
        """
        ranges = list(self.ranges)
        if self.shuffle:
            ranges = [ranges[i] for i in _order(len(ranges), self.seed, number).tolist()]
        groups = [ranges[i : i + self.mix] for i in range(0, len(ranges), self.mix)]
        left, first = skip * self.batch, 0  # snapshots still to leave out
        while first < len(groups) and (n := sum(b - a for _, a, b in groups[first])) <= left:
            left, first = left - n, first + 1
        parts: list[Tensor] = []  # of the next batch
        with closing(self._reader.groups(groups[first:])) as read:  # closed if the consumer stops
            for i, raw in enumerate(read, first):
                for part in self._parts(raw, self.seed + 1 + i, number, left, parts):
                    parts.append(part)
                    if sum(map(len, parts)) == self.batch:
                        yield torch.cat(parts) if len(parts) > 1 else part
                        parts.clear()
                left = 0
        if parts:
            yield torch.cat(parts)

    def _parts(
        self, raw: Tensor, seed: int, number: int, start: int, open_batch: list[Tensor]
    ) -> Iterator[Tensor]:
        """Scaled pieces of one buffer, each as long as the open batch lacks."""
        order = _order(len(raw), seed, number) if self.shuffle else None
        if self.device.type != "cpu":
            raw = raw.to(self.device, non_blocking=True)
            order = order if order is None else order.to(self.device)
            if self.device.type == "cuda":
                torch.cuda.current_stream(self.device).synchronize()  # the buffer is reused
        while start < len(raw):
            stop = min(len(raw), start + self.batch - sum(map(len, open_batch)))
            where = slice(start, stop) if order is None else order[start:stop]
            part = _copy(raw, where) if self.device.type == "cpu" else raw[where]
            if self.scaling is None:
                yield part.float()
            else:
                yield self.scaling.forward(part, overwrite=True)
            start = stop


def make_feed(
    snapshots: Snapshots,
    scaling: Scaling,
    *,
    batch: int,
    shuffle: bool = True,
    seed: int = 0,
    device: torch.device | str = "cpu",
    resident_bytes: int = RESIDENT_BYTES,
) -> ResidentFeed | StreamFeed:
    """A resident feed when the float32 snapshots fit ``resident_bytes``, else a stream."""
    stream = StreamFeed(snapshots, scaling, batch=batch, shuffle=shuffle, seed=seed, device=device)
    T, C, *space = snapshots.shape
    if 4 * T * C * int(np.prod(space)) > resident_bytes:
        return stream
    data, filled = torch.empty((T, C, *space), device=device), 0
    ordered = StreamFeed(snapshots, scaling, batch=batch, shuffle=False, device=device)
    for part in ordered.epoch(0):
        data[filled : filled + len(part)] = part
        filled += len(part)
    return ResidentFeed(data, batch=batch, shuffle=shuffle, seed=seed)


def _copy(raw: Tensor, where: slice | Tensor) -> Tensor:
    """Rows of ``raw``, copied by numpy on this thread.

    The parallel loops of torch wait for all their threads, a thousand times an epoch, while the
    reader wants the processors: on two busy ones this cost more than it gave.
    """
    index = where if isinstance(where, slice) else where.numpy()
    return torch.from_numpy(np.array(raw.numpy()[index], copy=isinstance(where, slice)))


def _order(n: int, seed: int, epoch: int) -> Tensor:
    """Permutation of n that depends on (seed, epoch) alone."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
