"""Arrays for batches that are used again when nobody holds them any more.

A batch is lent as a tensor over pooled memory. The memory comes back when the tensor, its views
and its arrays are gone, so a batch stays as it is for as long as somebody looks at it, and yet
after the first few batches nothing is allocated and no page is touched for the first time.
"""

import weakref

import numpy as np
import torch
from torch import Tensor


class Pool:
    """Arrays (rows, ...) of one type; at most ``spare`` of them are kept for later."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, *, pinned: bool = False) -> None:
        self.shape, self.dtype, self.pinned = shape, dtype, pinned
        self.spare = 2
        self._free: list[np.ndarray] = []

    def take(self) -> np.ndarray:
        """An array with any contents."""
        try:
            return self._free.pop()
        except IndexError:
            return torch.empty(self.shape, dtype=self.dtype, pin_memory=self.pinned).numpy()

    def give(self, values: np.ndarray) -> None:
        """An array of :meth:`take` that nobody uses any more."""
        if len(self._free) < self.spare:
            self._free.append(values)

    def lend(self, values: np.ndarray, rows: int) -> Tensor:
        """The first ``rows`` of an array of :meth:`take` as a tensor, after which it comes back."""
        view = values[:rows]
        weakref.finalize(view, self.give, values).atexit = False
        return torch.from_numpy(view)
