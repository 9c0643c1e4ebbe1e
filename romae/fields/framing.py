"""Stored bytes dressed as a blosc chunk, so that blosc's kernels undo shuffle and codec in one go.

Shuffle stores byte b of all n items before byte b + 1 of any:

    y[b·n + i] = x[i·size + b]

Numpy undoes that at about 3 GB/s, the kernels inside blosc at 10 to 16, and blosc is at hand as
numcodecs. It only wants its own header in front of the bytes. A blosc 1 chunk of one block in one
stream reads (README_CHUNK_FORMAT of c-blosc, F. Alted):

    version 2 | 1 | flags | size | bytes | block = bytes | in all | start 20 | stream's bytes | y

where y is stored as it is when it is as long as the block, and an LZ4 block or Zstandard frame by
the flags otherwise. HDF5's own filters hold the same streams. One call less also matters: two
threads that decode 64 KiB at a time lose more by handing over the interpreter's lock than by work.
"""

from __future__ import annotations

import struct

import numpy as np

HEADER = 24
STORED, LZ4_BLOCK, ZSTD_FRAME = 0 << 5, 1 << 5, 4 << 5  # flags: how the stream is coded
SHUFFLED, WHOLE = 1 << 0, 1 << 4  # flags: bytes shuffled, block not split into streams
SMALL = 4 << 10  # bytes; less is not worth a frame
LARGE = 1 << 29  # blosc's own limit is a little higher


def frames_fit(count: int, size: int) -> bool:
    """Whether :func:`unframe` serves for ``count`` bytes of items of ``size``."""
    return SMALL <= count <= LARGE and 0 < size < 256 and count % size == 0


def unframe(frame: np.ndarray, size: int, out: np.ndarray, *, coding: int, shuffled: bool) -> None:
    """The stream in ``frame[HEADER:]``, decoded and unshuffled, into ``out``.

    ``frame``: uint8; its first :data:`HEADER` bytes are overwritten. ``out``: contiguous, as many
    bytes as the stream holds. Not for the main thread, where blosc would start threads of its own,
    shared by the process. Raises RuntimeError or ValueError where it does not decode.
    """
    from numcodecs.blosc import decompress

    flags = coding | WHOLE | (SHUFFLED if shuffled else 0)
    length = len(frame) - HEADER
    head = (2, 1, flags, size, out.nbytes, out.nbytes, len(frame), 20, length)
    struct.pack_into("<4B5I", frame.data, 0, *head)
    decompress(frame, out)


def unshuffle(stored: np.ndarray, size: int, out: np.ndarray) -> None:
    """Shuffle undone by numpy: items of ``size`` bytes, in order into ``out``, contiguous."""
    target = out.reshape(-1).view("u1")
    n = len(stored) // size
    planes, items = stored[: n * size].reshape(size, n), target[: n * size].reshape(n, size)
    for b in range(size):
        items[:, b] = planes[b]
    target[n * size :] = stored[n * size :]
