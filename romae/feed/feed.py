"""Batches of scaled snapshots for training.

Two feeds with one face (``samples``, ``updates``, ``epoch(number)``):

* :class:`ResidentFeed` holds all snapshots as one tensor on the device, and gathers
  batches from it: the fastest, when the data fit.
* :class:`StreamFeed` reads blocks of whole storage chunks in a random order on one thread,
  shuffles within a buffer of several blocks and keeps a bounded number of bytes.

The order of an epoch depends on (seed, epoch) alone, so that a resumed run sees what the
uninterrupted one saw.
"""

import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

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
    """Batches read block by block; memory is bounded by about four buffers.

    Blocks are taken in random order, ``mix`` of them are shuffled together.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        scaling: Scaling,
        *,
        batch: int,
        shuffle: bool = True,
        seed: int = 0,
        device: torch.device | str = "cpu",
        block_bytes: int = BLOCK_BYTES,
        mix: int = 4,
    ) -> None:
        self.snapshots, self.batch, self.shuffle, self.seed = snapshots, batch, shuffle, seed
        self.device, self.mix = torch.device(device), mix if shuffle else 1
        self.scaling = TensorScaling(scaling, device)
        self.ranges = snapshots.block_ranges(block_bytes)
        self.samples = len(snapshots)
        self.updates = -(-self.samples // batch)

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Every snapshot once, in batches of ``batch`` and a last smaller one."""
        ranges = list(self.ranges)
        if self.shuffle:
            ranges = [ranges[i] for i in _order(len(ranges), self.seed, number).tolist()]
        rest: list[Tensor] = []  # less than a batch
        with closing(self.buffers(ranges)) as buffers:  # closed too where the consumer stops early
            for i, data in enumerate(buffers):
                if self.shuffle:
                    data = data[_order(len(data), self.seed + 1 + i, number).to(data.device)]
                *whole, last = torch.cat([*rest, data]).split(self.batch)
                yield from whole
                rest = [last]
                if len(last) == self.batch:
                    yield last
                    rest = []
        yield from rest

    def buffers(self, ranges: list[tuple[int, int, int]]) -> Generator[Tensor]:
        """The scaled snapshots of ``ranges`` (case, start, stop), ``mix`` of them at a time."""
        with closing(self._read_ahead(ranges)) as read:
            for values in read:
                yield self.scaling.forward(torch.from_numpy(values).to(self.device))

    def _read_ahead(self, ranges: list[tuple[int, int, int]]) -> Generator[np.ndarray]:
        """Buffers of ``mix`` blocks, read by one thread at most one buffer ahead."""
        full: queue.Queue[np.ndarray | BaseException | None] = queue.Queue(maxsize=1)
        stop = threading.Event()

        def put(item: np.ndarray | BaseException | None) -> bool:
            while not stop.is_set():
                try:
                    full.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def read() -> None:
            try:
                for i in range(0, len(ranges), self.mix):
                    parts = [
                        self.snapshots.read(start, stop_, case)
                        for case, start, stop_ in ranges[i : i + self.mix]
                    ]
                    if not put(np.concatenate(parts) if len(parts) > 1 else parts[0]):
                        return
                put(None)
            except BaseException as error:  # raised again in the consumer's thread
                put(error)

        thread = threading.Thread(target=read, name="romae-reader", daemon=True)
        thread.start()
        try:
            while (item := full.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()


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
    for part in ordered.buffers(ordered.ranges):
        data[filled : filled + len(part)] = part
        filled += len(part)
    return ResidentFeed(data, batch=batch, shuffle=shuffle, seed=seed)


def _order(n: int, seed: int, epoch: int) -> Tensor:
    """Permutation of n that depends on (seed, epoch) alone."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))
