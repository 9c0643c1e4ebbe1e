"""Which snapshot goes to which place of which batch.

The N snapshots of an epoch fill the batches b = 0 .. U - 1 of n_b rows, nearly equal, one after
the other. They come in groups of a few blocks (what is shuffled together), and the m_b places of
batch b that fall to one group get

    key(b, k) = (k + u_bk) / m_b,     k = 0 .. m_b - 1,     u_bk uniform in [0, 1)

The snapshot at position i of the group, in storage order, goes to the place with the i-th
smallest key. So each batch takes one snapshot of every 1/m_b of the group, at random within it: a
stratified sample, whose rows lie in storage order. Rank r of R ranks takes the contiguous part

    n_b·r // R .. n_b·(r + 1) // R - 1

of every batch. The parts together are the batches of one process, bit for bit, and a rank needs
one contiguous share of each group, so that it does not read what the others read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from romae.errors import OptionError

Range = tuple[int, int, int]  # (case, start, stop)


class Group(NamedTuple):
    """Blocks that are shuffled together, and the batch and row of each snapshot in them.

    ``last``: the batch after the last one that is complete with this group.
    """

    ranges: list[Range]
    batch: np.ndarray
    row: np.ndarray
    last: int


def permutation(n: int, seed: int, epoch: int) -> Tensor:
    """Permutation of n that depends on (seed, epoch) alone."""
    return torch.randperm(n, generator=generator(seed, epoch))


def generator(seed: int, epoch: int) -> torch.Generator:
    """Random numbers that depend on (seed, epoch) alone."""
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)


def batch_sizes(samples: int, batch: int, world: int) -> list[int]:
    """Rows of each batch: as few batches as it takes, nearly equal.

    Raises :class:`OptionError` where a rank would get no row of some batch.
    """
    updates = -(-samples // batch)
    least, more = divmod(samples, updates) if samples else (0, 0)
    sizes = [least + 1] * more + [least] * (updates - more)
    if sizes and min(sizes) < world:
        raise OptionError(
            f"a batch of {min(sizes)} snapshots for {world} ranks leaves some with none. Expected "
            f"at least {world} a batch, of {samples} snapshots: a larger batch, or fewer ranks"
        )
    return sizes


def check_rank(rank: int, world: int) -> None:
    """Raise :class:`OptionError` unless 0 <= rank < world."""
    if not 0 <= rank < world:
        raise OptionError(f"rank {rank} of {world}: expected 0 to {world - 1}")


def share(n: int, rank: int, world: int) -> tuple[int, int]:
    """First and last row, exclusive, of a batch of ``n`` that ``rank`` takes."""
    return n * rank // world, n * (rank + 1) // world


def some(numbers: Sequence[int], shown: int = 8) -> str:
    """The first of ``numbers``, and how many there are.

    >>> some(range(20), 3)
    '0, 1, 2, ... (20 in all)'
    """
    text = ", ".join(map(str, numbers[:shown]))
    return text if len(numbers) <= shown else f"{text}, ... ({len(numbers)} in all)"


def groups(
    ranges: Sequence[Range], mix: int, sizes: Sequence[int], random: torch.Generator | None
) -> Iterator[Group]:
    """``mix`` blocks at a time, in order; ``random``: shuffled within the group."""
    ends = np.cumsum(sizes)
    begins = ends - np.asarray(sizes)
    done = 0
    for i in range(0, len(ranges), mix):
        chosen = list(ranges[i : i + mix])
        place = np.arange(done, done + sum(b - a for _, a, b in chosen))
        batch = np.searchsorted(ends, place, side="right")
        if random is not None:
            # Places of one batch in this group: the k-th of m.
            first = np.maximum(begins[batch], done)
            m = np.minimum(ends[batch], done + len(place)) - first
            u = torch.rand(len(place), generator=random, dtype=torch.float64).numpy()
            order = np.argsort((place - first + u) / m, kind="stable")
            place, batch = place[order], batch[order]
        done += len(place)
        complete = int(np.searchsorted(ends, done, side="right"))
        yield Group(chosen, batch, place - begins[batch], complete)
