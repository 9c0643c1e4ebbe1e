"""Decoded chunks in memory, each made once however many threads ask; the oldest leave first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import numpy as np

Arrays = tuple[np.ndarray, ...]


class ChunkCache:
    """Decoded chunks, at most ``limit`` bytes of them (and the one just asked for)."""

    def __init__(self, limit: int) -> None:
        self.limit, self.held = limit, 0
        self._lock = threading.Lock()
        self._chunks: OrderedDict[Hashable, Arrays] = OrderedDict()
        self._coming: dict[Hashable, Future[Arrays]] = {}

    def get(self, key: Hashable, make: Callable[[], Arrays]) -> Arrays:
        """The chunk ``key``; made once however many threads ask."""
        with self._lock:
            if key in self._chunks:
                self._chunks.move_to_end(key)
                return self._chunks[key]
            coming = self._coming.get(key)
            mine = coming is None
            if coming is None:
                coming = self._coming[key] = Future()
        if not mine:
            return coming.result()
        try:
            arrays = make()
        except BaseException as error:
            with self._lock:
                del self._coming[key]
            coming.set_exception(error)
            raise
        for a in arrays:
            a.flags.writeable = False
        with self._lock:
            del self._coming[key]
            self._keep(key, arrays)
        coming.set_result(arrays)
        return arrays

    def held_already(self, key: Hashable) -> Arrays | None:
        """The chunk ``key`` if it is in memory."""
        with self._lock:
            return self._chunks.get(key)

    def _keep(self, key: Hashable, arrays: Arrays) -> None:
        size = sum(a.nbytes for a in arrays)
        if size > self.limit:
            return
        self._chunks[key] = arrays
        self.held += size
        while self.held > self.limit:
            _, dropped = self._chunks.popitem(last=False)
            self.held -= sum(a.nbytes for a in dropped)
