"""Batches of scaled snapshots for training.

Two feeds with one face (``samples``, ``sizes``, ``updates``, ``epoch(number, skip=)``):

* :class:`ResidentFeed` holds all snapshots as one tensor on the device, and gathers
  batches from it: the fastest, when the data fit.
* :class:`StreamFeed` reads groups of blocks of whole storage chunks in a random order, each
  snapshot straight to its row of its batch (:mod:`romae.feed.order`), ahead of the consumer
  (:mod:`romae.feed.reader`).

The order of an epoch depends on (seed, epoch) alone, so that a resumed run sees what the
uninterrupted one saw. With ``world`` ranks each gets a contiguous part of every batch: together
they see what one process sees. ``sizes`` are the rows of whole batches; where they do not divide by
``world``, parts differ by one row, and a mean over a part has the weight len(part)·world / size.
"""

from collections.abc import Generator, Iterator
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from romae.feed.order import (
    Group,
    batch_sizes,
    check_rank,
    generator,
    groups,
    permutation,
    share,
    some,
)
from romae.feed.pool import Memory, Pool
from romae.feed.reader import Load, Reader, Throughput
from romae.feed.scale import TensorScaling
from romae.fields import Scaling, Snapshots

RESIDENT_BYTES = 2 << 30  # snapshots of up to this many bytes are held as one tensor
BLOCK_BYTES = 64 << 20

Batch = tuple[Memory, int]  # of the pool, and its rows that count


class ResidentFeed:
    """Batches gathered from a tensor (T, ...) that is already on the device."""

    def __init__(
        self,
        data: Tensor,
        *,
        batch: int,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_rank(rank, world)
        self.data, self.batch, self.shuffle, self.seed = data, batch, shuffle, seed
        self.rank, self.world = rank, world
        self.samples = len(data)
        self.sizes = batch_sizes(self.samples, batch, world)
        self.updates = len(self.sizes)

    def epoch(self, number: int, *, skip: int = 0) -> Generator[Tensor]:
        """Every snapshot once, in batches of nearly equal size, without the first ``skip``."""
        order = permutation(self.samples, self.seed, number) if self.shuffle else None
        start = sum(self.sizes[:skip])
        for n in self.sizes[skip:]:
            a, b = share(n, self.rank, self.world)
            where = slice(start + a, start + b)
            yield self.data[where if order is None else order[where].to(self.data.device)]
            start += n

    def locate(self, number: int, batch: int) -> str:
        """Which snapshots are in a batch of epoch ``number``, for an error message."""
        start = sum(self.sizes[:batch])
        where = slice(start, start + self.sizes[batch])
        if not self.shuffle:
            return f"snapshots {where.start} to {where.stop - 1}"
        found = permutation(self.samples, self.seed, number)[where]
        return "snapshots " + some(sorted(found.tolist()))


class StreamFeed:
    """Batches read group by group, ahead of the consumer.

    Blocks of about ``block_bytes`` are taken in random order, ``mix`` of them are shuffled
    together. Without ``scaling`` batches come in physical units. Memory: two groups, and
    whatever batches the consumer holds.
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
        rank: int = 0,
        world: int = 1,
    ) -> None:
        check_rank(rank, world)
        self.snapshots, self.batch, self.shuffle, self.seed = snapshots, batch, shuffle, seed
        self.device, self.mix = torch.device(device), mix if shuffle else 1
        self.rank, self.world = rank, world
        self.scaling = None if scaling is None else TensorScaling(scaling, device)
        self.ranges = snapshots.block_ranges(block_bytes)
        self.samples = len(snapshots)
        self.sizes = batch_sizes(self.samples, batch, world)
        self.updates = len(self.sizes)
        self.throughput = Throughput()  # bytes read so far, and seconds
        shape = (-(-max(self.sizes, default=0) // world), *snapshots.shape[1:])
        self._pool = Pool(shape, snapshots.dtype, pinned=self.device.type == "cuda")
        self._shares = [share(n, rank, world) for n in self.sizes]

    def epoch(self, number: int, *, skip: int = 0) -> Generator[Tensor]:
        """Every snapshot once, in batches of nearly equal size.

        ``skip`` batches at the start are left out and not read: an epoch that was interrupted
        goes on where it was. An error of reading comes in the place of the first batch that it
        concerns.
        """
        reader = Reader(self._loads(self._groups(number), skip), self.throughput)
        with closing(reader.results()) as results:  # closed if the consumer stops
            for batches in results:
                batches.reverse()
                while batches:  # each is let go before the next is asked for
                    yield self._tensor(*batches.pop())

    def _groups(self, number: int) -> Iterator[Group]:
        ranges, random = list(self.ranges), None
        if self.shuffle:
            ranges = [ranges[i] for i in permutation(len(ranges), self.seed, number).tolist()]
            random = generator(self.seed + 1, number)
        return groups(ranges, self.mix, self.sizes, random)

    def locate(self, number: int, batch: int) -> str:
        """Which snapshots are in a batch of epoch ``number``, for an error message."""
        found: dict[int, list[int]] = {}
        for group in self._groups(number):
            at = [(case, t) for case, a, b in group.ranges for t in range(a, b)]
            for i in np.flatnonzero(group.batch == batch).tolist():
                found.setdefault(at[i][0], []).append(at[i][1])
            if group.last > batch:
                break
        return ", ".join(f"of case {c} snapshots {some(sorted(t))}" for c, t in found.items())

    def _loads(self, found: Iterator[Group], skip: int) -> Iterator[Load[list[Batch]]]:
        """What to read for each group, with the batches that are complete then."""
        whole: dict[int, Memory] = {}  # batches that are not complete yet
        done = skip
        for group in found:
            rows, read = self._rows(group, skip, whole), 0
            tasks, at = [], 0
            for case, a, b in group.ranges:
                part = rows[at : at + b - a]
                at += b - a
                wanted = [i for i, row in enumerate(part) if row is not None]
                if wanted:
                    tasks += self.snapshots.plan(a, b, case, part)
                    read += len(wanted)
            complete = range(done, max(done, group.last))
            done = complete.stop
            batches = [(whole.pop(b), self._shares[b][1] - self._shares[b][0]) for b in complete]
            self._pool.spare = max(self._pool.spare, 2 * len(batches) + 2)
            if tasks or batches:
                yield Load(tasks, batches, read * self._row_bytes)

    def _rows(self, group: Group, skip: int, whole: dict[int, Memory]) -> list[np.ndarray | None]:
        """The place of each snapshot of the group, None for those of other ranks and before."""
        rows: list[np.ndarray | None] = []
        for b, row in zip(group.batch.tolist(), group.row.tolist(), strict=True):
            first, stop = self._shares[b]
            if b < skip or not first <= row < stop:
                rows.append(None)
                continue
            if b not in whole:
                whole[b] = self._pool.take()
            rows.append(whole[b].rows[row - first])
        return rows

    @property
    def _row_bytes(self) -> int:
        return self.snapshots.layout.size * self.snapshots.dtype.itemsize

    def _tensor(self, memory: Memory, rows: int) -> Tensor:
        """Scaled, on the device."""
        if self.device.type == "cuda":
            x = torch.from_numpy(memory.values[:rows]).to(self.device, non_blocking=True)
            torch.cuda.current_stream(self.device).synchronize()  # the array is used again
            self._pool.give(memory)
        else:
            x = self._pool.lend(memory, rows).to(self.device)
        if self.scaling is not None:
            return self.scaling.forward(x, overwrite=True)
        mask = self.snapshots.layout.mask
        if mask is not None:
            x.masked_fill_(torch.as_tensor(~mask, device=x.device), torch.nan)
        return x.float()


def make_feed(
    snapshots: Snapshots,
    scaling: Scaling,
    *,
    batch: int,
    shuffle: bool = True,
    seed: int = 0,
    device: torch.device | str = "cpu",
    resident_bytes: int = RESIDENT_BYTES,
    rank: int = 0,
    world: int = 1,
) -> ResidentFeed | StreamFeed:
    """A resident feed when the float32 snapshots fit ``resident_bytes``, else a stream.

    ``batch`` counts the snapshots of all ``world`` ranks together. Raises :class:`OptionError`
    where a batch would leave a rank with none.
    """
    options = {"batch": batch, "seed": seed, "rank": rank, "world": world}
    T, C, *space = snapshots.shape
    if 4 * T * C * int(np.prod(space)) > resident_bytes:
        return StreamFeed(snapshots, scaling, shuffle=shuffle, device=device, **options)
    batch_sizes(T, batch, world)  # fails before anything is read
    data, filled = torch.empty((T, C, *space), device=device), 0
    for part in StreamFeed(snapshots, scaling, batch=batch, shuffle=False, device=device).epoch(0):
        data[filled : filled + len(part)] = part
        filled += len(part)
    return ResidentFeed(data, shuffle=shuffle, **options)
