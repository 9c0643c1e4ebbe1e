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
    started,
    writer,
    written,
)
from romae.errors import DataError

LEVELS = 12  # of a quantised sum
SAMPLE = 16384  # values on which the pace of learning is chosen


def _levels() -> np.ndarray:
    """Level 0 .. 11 of sums of magnitudes below 1025; of larger ones as of 1024."""
    bounds = np.array([1, 2, 3, 5, 7, 10, 15, 24, 48, 128, 1024])
    return np.searchsorted(bounds, np.arange(1025), side="right").astype(np.int32)


@inlined
def _sums(M, now, was, i, j, levels, here, there):
    """Of row (i, j): sums ``here`` but for |left|, and levels of the sums ``there``.

    ``M``: magnitudes of both frames with a margin of zeros. Rows are views, so that the compiler
    sees that no index is negative, and loops have no branches: they become vector instructions.
    """
    up = M[now, i, j - 1]
    above = M[now, i - 1, j]
    same = M[was, i, j]
    below = M[was, i, j + 1]
    over = M[was, i, j - 1]
    for k in range(here.shape[0]):
        here[k] = 2 * up[k + 1] + up[k] + up[k + 2] + 2 * above[k + 1]
        there[k] = 2 * same[k + 1] + same[k + 2] + same[k] + below[k + 1] + over[k + 1]
    for k in range(here.shape[0]):
        there[k] = levels[min(there[k], 1024)]


@inlined
def _code(buffer, state, q, P, Z, M, levels, here, there, reading):
    """Code q (n, a, b, c) in place; 0 if the buffer is too small or ends too early."""
    n, na, nb, nc = q.shape
    slack = 256 + 64 * nc  # of bytes: no row needs more
    at, how = started(state, reading)
    for t in range(n):
        now = t & 1
        was = 1 - now
        empty = 1
        if reading == 0:
            for i in range(na):
                for j in range(nb):
                    for k in range(nc):
                        if q[t, i, j, k] != 0:
                            empty = 0
        empty, at = code_bit(buffer, at, how, Z, 312, empty)
        if empty == 1:
            for i in range(na):
                for j in range(nb):
                    for k in range(nc):
                        M[now, i + 1, j + 1, k + 1] = 0
            continue
        for i in range(na):
            for j in range(nb):
                if at[2] + slack > buffer.shape[0] and (
                    reading == 0 or at[2] > buffer.shape[0] + 16
                ):
                    return 0
                _sums(M, now, was, i + 1, j + 1, levels, here, there)
                row = q[t, i, j]
                left = 0
                for k in range(nc):
                    level = int(levels[min(int(here[k]) + 2 * left, 1024)])
                    base = (level * 12 + int(there[k])) * 20
                    v, at = code_value(buffer, at, how, P, Z, base, int(row[k]))
                    row[k] = v
                    left = min(abs(v), 1048576)
                    M[now, i + 1, j + 1, k + 1] = left
    state[0], state[1], state[2] = at
    return 1


@tight
def _read(buffer, state, q, P, Z, M, levels, here, there):
    return _code(buffer, state, q, P, Z, M, levels, here, there, 1)


@tight
def _write(buffer, state, q, P, Z, M, levels, here, there):
    return _code(buffer, state, q, P, Z, M, levels, here, there, 0)


def _tables(shape: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Contexts, shared decisions, magnitudes of two frames with a margin of zeros, and space."""
    M = np.zeros((2, shape[1] + 1, shape[2] + 2, shape[3] + 2), np.int32)
    here, there = np.empty((2, shape[3]), np.int32)
    return fresh(LEVELS * LEVELS * PER), fresh(TAIL), M, _levels(), here, there


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
        if _write(buffer, state, q, *_tables(q.shape)):
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
        check_end(data, state, bool(_read(buffer, state, q, *_tables(q.shape))))
    return q.reshape(shape)
