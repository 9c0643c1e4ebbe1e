"""Arrays for batches that are used again when nobody holds them any more.

A batch is lent as a tensor over pooled memory. The memory comes back when the tensor, its views
and its arrays are gone, so a batch stays as it is for as long as somebody looks at it, and yet
after the first few batches nothing is allocated and no page is touched for the first time.
"""

from __future__ import annotations

import math
import weakref
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

SLAB_BYTES = 16 << 20  # allocated at once: the system copies half as fast into small pages


class Memory(NamedTuple):
    """An array, and its rows: views that are made once."""

    values: np.ndarray
    rows: list[np.ndarray]


class Pool:
    """Arrays (rows, ...) of one type; at most ``spare`` of them are kept for later."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype, *, pinned: bool = False) -> None:
        self.shape, self.dtype, self.pinned = shape, dtype, pinned
        self.spare = 2
        self._free: list[Memory] = []

    def take(self) -> Memory:
        """An array with any contents."""
        try:
            return self._free.pop()
        except IndexError:
            self._free.extend(self._slab())
            return self._free.pop()

    def _slab(self) -> list[Memory]:
        """Arrays cut from one allocation."""
        nbytes = max(1, math.prod(self.shape) * self.dtype.itemsize)
        count = max(1, min(SLAB_BYTES // nbytes, 32))
        if self.pinned:
            dtype = torch.float32 if self.dtype.itemsize == 4 else torch.float64
            slab = torch.empty((count, *self.shape), dtype=dtype, pin_memory=True).numpy()
        else:  # numpy asks for huge pages
            slab = np.empty((count, *self.shape), self.dtype)
        return [Memory(values, list(values)) for values in slab]

    def give(self, memory: Memory) -> None:
        """What :meth:`take` gave and nobody uses any more."""
        if len(self._free) < self.spare:
            self._free.append(memory)

    def lend(self, memory: Memory, rows: int) -> Tensor:
        """Its first ``rows`` as a tensor, after which it comes back."""
        view = memory.values[:rows]
        weakref.finalize(view, self.give, memory).atexit = False
        return torch.from_numpy(view)
