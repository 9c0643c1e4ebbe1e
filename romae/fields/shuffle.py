"""Undoing the shuffle filter.

Shuffle stores byte b of all n items before byte b + 1 of any:

    y[b·n + i] = x[i·size + b]

Numpy gathers that at about 3 GB/s. The kernels inside blosc reach 10 to 16, and blosc is at hand
as numcodecs; it only wants its own header in front of the bytes. A blosc 1 chunk of one block
whose single stream is stored, not compressed, reads (README_CHUNK_FORMAT of c-blosc, F. Alted):

    version 2 | 1 | flags | size | bytes | block = bytes | bytes + 24 | start 20 | bytes | y

so the bytes are decoded 24 behind the start of a frame and unshuffled from there.
"""

from __future__ import annotations

import struct
import threading

import numpy as np

HEADER = 24
SHUFFLED_AT_ONCE = 0x11  # flags: bytes shuffled, block not split
SMALL = 4 << 10  # bytes; less is not worth a frame
LARGE = 1 << 29  # blosc's own limit is a little higher


def unshuffle(frame: np.ndarray, size: int, out: np.ndarray) -> None:
    """Items of ``size`` bytes, shuffled in ``frame[HEADER:]``, put in order into ``out``.

    ``frame``: uint8; its first :data:`HEADER` bytes are free. ``out``: contiguous, as many bytes.
    """
    count = len(frame) - HEADER
    # On the main thread blosc would start threads of its own, shared by the process.
    main = threading.current_thread() is threading.main_thread()
    if main or not SMALL <= count <= LARGE or not 1 < size < 256:
        by_numpy(frame[HEADER:], size, out)
        return
    from numcodecs.blosc import decompress

    head = (2, 1, SHUFFLED_AT_ONCE, size, count, count, HEADER + count, 20, count)
    struct.pack_into("<4B5I", frame.data, 0, *head)
    decompress(frame, out)


def by_numpy(stored: np.ndarray, size: int, out: np.ndarray) -> None:
    """The same without blosc, ``stored`` without a header."""
    target = out.reshape(-1).view("u1")
    n = len(stored) // size
    planes, items = stored[: n * size].reshape(size, n), target[: n * size].reshape(n, size)
    for b in range(size):
        items[:, b] = planes[b]
    target[n * size :] = stored[n * size :]
