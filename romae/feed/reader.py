"""Reading ahead: one thread fills reused buffers while the consumer works on another.

Two buffers go round between two queues, free -> (thread reads) -> full -> (consumer) -> free, so
that memory is fixed and no page is touched for the first time twice. They are pinned when they
are copied to a CUDA device.
"""

import queue
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from romae.fields import Snapshots

BUFFERS = 2

Range = tuple[int, int, int]  # (case, start, stop)


@dataclass
class Throughput:
    """What a feed has read so far: bytes, seconds of reading, seconds the consumer waited."""

    nbytes: int = 0
    read_seconds: float = 0.0
    wait_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Bytes per second of reading; 0 before anything was read."""
        return self.nbytes / self.read_seconds if self.read_seconds else 0.0

    def __str__(self) -> str:
        return (
            f"{self.nbytes / 1e6:.0f} MB read at {self.rate / 1e6:.0f} MB/s, "
            f"the consumer waited {self.wait_seconds:.2f} s"
        )


class Reader:
    """Groups of blocks of ``snapshots`` as tensors (n, C, *space), in physical units."""

    def __init__(self, snapshots: Snapshots, *, pinned: bool = False) -> None:
        self.snapshots, self.pinned = snapshots, pinned
        self.throughput = Throughput()
        self._spare: list[Tensor] = []  # buffers of finished passes, taken up by the next

    def groups(self, groups: Sequence[Sequence[Range]]) -> Generator[Tensor]:
        """The snapshots of each group in turn; each tensor is valid until the next is asked for."""
        free: queue.SimpleQueue[Tensor | None] = queue.SimpleQueue()
        full: queue.SimpleQueue[tuple[Tensor, int] | BaseException | None] = queue.SimpleQueue()
        largest = max((_count(g) for g in groups), default=0)
        buffers = [self._buffer(largest) for _ in range(min(BUFFERS, len(groups)))]
        for buffer in buffers:
            free.put(buffer)
        stop = threading.Event()

        def read() -> None:
            try:
                for group in groups:
                    buffer = free.get()
                    if buffer is None or stop.is_set():
                        return
                    full.put((buffer, self._fill(buffer, group, stop)))
                full.put(None)
            except BaseException as error:  # raised again in the consumer's thread
                full.put(error)

        thread = threading.Thread(target=read, name="romae-reader", daemon=True)
        thread.start()
        try:
            while True:
                begun = time.perf_counter()
                item = full.get()
                self.throughput.wait_seconds += time.perf_counter() - begun
                if item is None:
                    break
                if isinstance(item, BaseException):
                    raise item
                yield item[0][: item[1]]
                free.put(item[0])
        finally:
            stop.set()
            free.put(None)
            thread.join()
            self._spare.extend(buffers)

    def _fill(self, buffer: Tensor, group: Sequence[Range], stop: threading.Event) -> int:
        begun, filled, values = time.perf_counter(), 0, buffer.numpy()
        for case, a, b in group:
            if stop.is_set():
                break
            self.snapshots.read(a, b, case, out=values[filled : filled + b - a])
            filled += b - a
        self.throughput.nbytes += values[:filled].nbytes
        self.throughput.read_seconds += time.perf_counter() - begun
        return filled

    def _buffer(self, n: int) -> Tensor:
        for i, spare in enumerate(self._spare):
            if len(spare) >= n:
                return self._spare.pop(i)
        dtype = torch.float32 if self.snapshots.dtype.itemsize == 4 else torch.float64
        return torch.empty((n, *self.snapshots.shape[1:]), dtype=dtype, pin_memory=self.pinned)


def _count(group: Sequence[Range]) -> int:
    return sum(b - a for _, a, b in group)
