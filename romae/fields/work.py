"""Work in pieces, on a few threads that end with it.

A :class:`Task` does its part when it is called with the :class:`Scratch` of the thread it runs
on. Nothing outlives a call of :func:`run_tasks`: no thread, lock or pool that a fork, a pickle or
another library could meet.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

THREADS = 8  # at most; never more than processors
ALONE_BYTES = 512 << 10  # less is read without other threads


class Scratch:
    """Arrays of one thread, used again and again: fresh memory costs a page fault per 4 KiB.

    ``main``: that is the main thread of the process.
    """

    def __init__(self) -> None:
        self.main = threading.current_thread() is threading.main_thread()
        self._held: dict[str, np.ndarray] = {}

    def take(self, name: str, nbytes: int) -> np.ndarray:
        """``nbytes`` bytes, valid until the same name is taken again."""
        held = self._held.get(name)
        if held is None or len(held) < nbytes:
            held = self._held[name] = np.empty(nbytes, "u1")
        return held[:nbytes]


class Task(NamedTuple):
    """A piece of work; ``heavy``: it computes, so that threads help.

    Bytes that only move gain nothing by threads: one alone fills the memory's bandwidth.
    """

    work: Callable[[Scratch], None]
    heavy: bool


def processors() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def workers(heavy: bool) -> int:
    """Threads that serve: several where there is something to compute."""
    return min(THREADS, processors()) if heavy else 1


def run_tasks(tasks: Sequence[Task], nbytes: int) -> None:
    """Do ``tasks``, which give ``nbytes`` together; the first error ends all and is raised."""
    heavy = nbytes >= ALONE_BYTES and any(t.heavy for t in tasks)
    count = min(workers(heavy), len(tasks))
    if count < 2:
        scratch = Scratch()
        for task in tasks:
            task.work(scratch)
        return
    left, errors = deque(tasks), list[BaseException]()
    threads = [
        threading.Thread(target=_work, args=(left, errors), name="romae-chunks")
        for _ in range(count)
    ]
    try:
        for worker in threads:
            worker.start()
        for worker in threads:
            worker.join()
    except BaseException:
        left.clear()
        raise
    finally:
        for worker in threads:
            if worker.ident is not None:
                worker.join()
    if errors:
        raise errors[0]


def _work(left: deque[Task], errors: list[BaseException]) -> None:
    scratch = Scratch()
    try:
        while True:
            try:
                task = left.popleft()
            except IndexError:
                return
            task.work(scratch)
    except BaseException as error:  # raised again by the thread that waits
        left.clear()
        errors.append(error)
