"""Integers to bytes: adaptive coding in the context of neighbours.

q (n, *space) are lattice steps, mostly small, whose size varies smoothly in time and space. Each q
is coded (:mod:`romae.archive.rangecoder`) in the context of two quantised sums of magnitudes,

    here  = 2 |left| + 2 |up| + |up left| + |up right| + 2 |above|       in the frame itself
    there = 2 |same place| + |left| + |right| + |up| + |down|            in the frame before,

so that the coder learns how q is distributed where its surroundings are calm, and where they
are not. A frame of zeros costs one decision.
"""

import numpy as np

from romae.archive.compiled import inlined, tight
from romae.archive.rangecoder import (
    PACES,
    PER,
    TAIL,
    check_end,
    code_bit,
    code_value,
    fresh,
    reader,
    writer,
    written,
)
from romae.errors import DataError

LEVELS = 12  # of a quantised sum
SAMPLE = 16384  # values on which the pace of learning is chosen


@inlined
def level(m):
    """Level 0 .. 11 of a sum of magnitudes: 0, 1, 2, 3-4, 5-6, 7-9, 10-14, 15-23, 24-47, ..."""
    if m < 3:
        return m
    if m < 5:
        return 3
    if m < 7:
        return 4
    if m < 10:
        return 5
    if m < 15:
        return 6
    if m < 24:
        return 7
    if m < 48:
        return 8
    if m < 128:
        return 9
    if m < 1024:
        return 10
    return 11


@inlined
def _context(M, now, was, i, j, k):
    """Context of place (i, j, k) from |q| of this frame so far, and of the frame before."""
    here = 2 * int(M[now, i, j, k - 1]) + 2 * int(M[now, i, j - 1, k])
    here += int(M[now, i, j - 1, k - 1]) + int(M[now, i, j - 1, k + 1])
    here += 2 * int(M[now, i - 1, j, k])
    there = 2 * int(M[was, i, j, k]) + int(M[was, i, j, k + 1]) + int(M[was, i, j, k - 1])
    there += int(M[was, i, j + 1, k]) + int(M[was, i, j - 1, k])
    return level(here) * 12 + level(there)


@tight
def _code(buffer, state, q, P, Z, M):
    """Code q (n, a, b, c) in place; 0 if the buffer is too small or ends too early."""
    n, na, nb, nc = q.shape
    slack = 256 + 64 * nc  # of bytes: no row needs more
    for t in range(n):
        now = t & 1
        was = 1 - now
        empty = 1
        if int(state[3]) == 0:
            for i in range(na):
                for j in range(nb):
                    for k in range(nc):
                        if q[t, i, j, k] != 0:
                            empty = 0
        empty = code_bit(buffer, state, Z, 312, empty)
        if empty == 1:
            for i in range(na):
                for j in range(nb):
                    for k in range(nc):
                        M[now, i + 1, j + 1, k + 1] = 0
            continue
        for i in range(na):
            for j in range(nb):
                if int(state[3]) == 0:
                    if int(state[2]) + slack > buffer.shape[0]:
                        return 0
                elif int(state[2]) > buffer.shape[0] + 16:
                    return 0
                for k in range(nc):
                    base = _context(M, now, was, i + 1, j + 1, k + 1) * 20
                    v = code_value(buffer, state, P, Z, base, int(q[t, i, j, k]))
                    q[t, i, j, k] = v
                    M[now, i + 1, j + 1, k + 1] = min(abs(v), 1048576)
    return 1


def _tables(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Contexts, shared decisions, and magnitudes of two frames with a margin of zeros."""
    M = np.zeros((2, shape[1] + 1, shape[2] + 2, shape[3] + 2), np.int32)
    return fresh(LEVELS * LEVELS * PER), fresh(TAIL), M


def fourfold(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(n, *space) as four sizes; of more than three axes of space the first are joined."""
    n, *space = shape if shape else (1,)
    while len(space) > 3:
        space[:2] = [space[0] * space[1]]
    a, b, c = [1] * (3 - len(space)) + space
    return n, a, b, c


def encode_integers(q: np.ndarray) -> bytes:
    """Bytes of integers ``q`` (n, *space), magnitudes below 2^62; small ones are cheap.

    Raises :class:`romae.errors.DataError` for larger ones.
    """
    if q.size and max(int(q.max()), -int(q.min())) >= 2**62:
        raise DataError(
            f"Integers up to {int(q.max())} and down to {int(q.min())} cannot be coded. Expected "
            "magnitudes below 2^62: store them exactly, by encode_exact."
        )
    q4 = np.array(q, np.int64).reshape(fourfold(q.shape))
    if q4.size == 0:
        return b""
    frames = max(1, SAMPLE * len(q4) // q4.size)
    middle = (len(q4) - frames) // 2
    sample = q4[middle : middle + frames]
    pace = int(len(_encoded(sample, 1)) < len(_encoded(sample, 0)))
    data = _encoded(q4, pace)
    return bytes([pace]) + data if pace or data else b""


def _encoded(q: np.ndarray, pace: int) -> bytes:
    capacity = q.size + 64 * q.shape[3] + 4096
    while True:
        buffer, state = writer(capacity, pace)
        if _code(buffer, state, q, *_tables(q.shape)):
            return written(buffer, state)
        capacity *= 4


def decode_integers(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The integers, int64 of ``shape``, that :func:`encode_integers` wrote.

    Raises :class:`romae.errors.ArchiveError` where the bytes end long before the integers do.
    """
    q = np.zeros(fourfold(shape), np.int64)
    if q.size:
        pace = data[0] % len(PACES) if data else 0
        buffer, state = reader(data[1:], pace)
        check_end(data, state, bool(_code(buffer, state, q, *_tables(q.shape))))
    return q.reshape(shape)
