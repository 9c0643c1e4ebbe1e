"""Torch on one thread for a while, without changing what other threads of the program see."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch computes on the calling thread alone: chunks run side by side, sums in one order."""
    import torch

    if getattr(_threads.own, "alone", False):  # one within another
        yield
        return
    with _threads.lock:
        if _threads.inside == 0:
            _threads.usual = torch.get_num_threads()
        _threads.inside += 1
    _threads.own.alone = True
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _threads.own.alone = False
        with _threads.lock:
            _threads.inside -= 1
            torch.set_num_threads(_threads.usual)


class _Threads:
    """The number is each thread's own, but new threads begin with the one set last by any."""

    def __init__(self) -> None:
        self.lock, self.inside, self.usual = threading.Lock(), 0, 1
        self.own = threading.local()


_threads = _Threads()
