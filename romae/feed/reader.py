"""Reading ahead: threads fill the batches of one group while the consumer works on another.

    plan group --> tasks --threads--> batches full --> consumer

All threads take tasks from one list; whoever finds it short plans the next group. Two groups are
in memory: one with the consumer and one ahead, or two ahead while the consumer waits, so that no
thread waits for another where a group ends. Groups are handed over in their order, and which
thread did what leaves no trace in them. Threads start and end with an epoch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from romae.fields.work import Scratch, Task, workers

T = TypeVar("T")


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


@dataclass(eq=False)
class Load(Generic[T]):
    """Tasks, what they give together (``result``), its bytes, and how many are left to do."""

    tasks: list[Task]
    result: T
    nbytes: int
    left: int = 0
    error: BaseException | None = None


class Reader(Generic[T]):
    """Does the tasks of one load after the other, ahead of the consumer of their results.

    ``loads`` are planned by being taken from the iterator, on the reader's threads.
    """

    def __init__(self, loads: Iterator[Load[T]], throughput: Throughput) -> None:
        self._loads, self.throughput = loads, throughput
        self._changed = threading.Condition()  # guards all that follows
        self._tasks: deque[tuple[Load[T], Task]] = deque()
        self._ahead: deque[Load[T]] = deque()  # in order, not yet with the consumer
        self._starving = False  # the consumer waits
        self._planning = False  # one thread takes the next load
        self._ended = False  # there is no other load
        self._stop = False
        self._threads: list[threading.Thread] = []

    def results(self) -> Generator[T]:
        """The results in order; an error comes where its load would have come."""
        self._enlist()
        try:
            while (load := self._take()) is not None:
                if load.error is not None:
                    raise load.error
                self.throughput.nbytes += load.nbytes
                result = load.result
                del load  # or its memory could not be used again before the next one is there
                yield result
                del result
        finally:
            with self._changed:
                self._stop = True
                self._changed.notify_all()
            for thread in self._threads:
                thread.join()

    def _take(self) -> Load[T] | None:
        """The next load when it is ready, None after the last."""
        begun = time.perf_counter()
        with self._changed:
            self._starving = True
            self._changed.notify_all()
            while not (self._ahead and (self._ahead[0].error or not self._ahead[0].left)):
                if self._ended and not self._ahead:
                    return None
                self._changed.wait()
            self._starving = False
            self._changed.notify_all()
            self.throughput.wait_seconds += time.perf_counter() - begun
            return self._ahead.popleft()

    def _enlist(self) -> None:
        thread = threading.Thread(target=self._work, name="romae-reader", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        scratch = Scratch()
        while (found := self._next()) is not None:
            load, task = found
            error, begun = None, time.perf_counter()
            try:
                if load.error is None:
                    task.work(scratch)
            except BaseException as raised:  # raised again in the consumer's thread
                error = raised
            with self._changed:
                self.throughput.read_seconds += (time.perf_counter() - begun) / len(self._threads)
                load.left -= 1
                if error is not None:
                    load.error, self._ended = load.error or error, True
                if error is not None or not load.left:
                    self._changed.notify_all()
            del load, task, found, error

    def _next(self) -> tuple[Load[T], Task] | None:
        """A task to do, after planning the next load where that is due; None at the end."""
        while True:
            with self._changed:
                while not self._due() and not self._tasks:
                    if self._stop or (self._ended and not self._planning):
                        return None
                    self._changed.wait()
                if self._stop:
                    return None
                if not self._due():
                    return self._tasks.popleft()
                self._planning = True
            self._plan()

    def _due(self) -> bool:
        """Whether the next load is to be planned: soon there is nothing to do, and it may begin."""
        if self._planning or self._ended or self._stop:
            return False
        return len(self._tasks) < len(self._threads) and len(self._ahead) < 1 + self._starving

    def _plan(self) -> None:
        try:
            load = next(self._loads, None)
        except BaseException as raised:  # raised again in the consumer's thread
            load = Load([], None, 0, error=raised)  # type: ignore[arg-type]
        with self._changed:
            self._planning = False
            if load is None or load.error is not None:
                self._ended = True
            if load is not None:
                load.left = len(load.tasks)
                self._ahead.append(load)
                self._tasks.extend((load, task) for task in load.tasks)
                load.tasks.clear()
                heavy = any(task.heavy for _, task in self._tasks)
                while len(self._threads) < workers(heavy):
                    self._enlist()
            self._changed.notify_all()
