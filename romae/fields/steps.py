"""A series whose steps are read one at a time: all fields of step t come from one file (or folder).

    x(t) = read(t),     kept until ``KEPT`` bytes of later steps have been read

A block is asked for field by field, so the steps of a block are kept: each file is read once
per pass although every field asks for it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

KEPT = 128 * 2**20  # bytes of steps held, twice a block


class Steps:
    """Steps 0 .. count - 1 by ``read(t)``, a picklable function that gives arrays by name."""

    def __init__(self, read: Callable[[int], Mapping[str, np.ndarray]], count: int) -> None:
        self.read, self.count = read, count
        self.lock = threading.Lock()
        self.held: OrderedDict[int, Mapping[str, np.ndarray]] = OrderedDict()

    def __getstate__(self) -> tuple[Any, int]:
        return self.read, self.count

    def __setstate__(self, state: tuple[Any, int]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def step(self, t: int) -> Mapping[str, np.ndarray]:
        """Arrays of step ``t``."""
        with self.lock:
            if t not in self.held:
                self.held[t] = self.read(t)
                while len(self.held) > 1 and self._bytes() > KEPT:
                    self.held.popitem(last=False)
            return self.held[t]

    def _bytes(self) -> int:
        return sum(a.nbytes for arrays in self.held.values() for a in arrays.values())


class StepArray(BackendArray):
    """One field of all steps, shape (T, *grid)."""

    def __init__(self, steps: Steps, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        self.steps, self.name, self.dtype = steps, name, np.dtype(dtype)
        self.shape = (steps.count, *shape)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> Any:
        at, rest = key[0], key[1:]
        if not isinstance(at, slice):
            return self._one(at)[rest]
        chosen = range(self.shape[0])[at]
        out = np.empty((len(chosen), *np.empty(self.shape[1:], bool)[rest].shape), self.dtype)
        for i, t in enumerate(chosen):
            out[i] = self._one(t)[rest]
        return out

    def _one(self, t: int) -> np.ndarray:
        return self.steps.step(t)[self.name].reshape(self.shape[1:])
