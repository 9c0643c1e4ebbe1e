"""Integers to bytes: a context-modelled adaptive binary range coder.

q (n, *space) are lattice steps, mostly small, whose size varies smoothly in time and space.
Each q is split into decisions (is it zero? negative? which octave? ...), each decision is coded
at -log2 p bits with the probability p learned so far in its **context**: the quantised size of
the neighbours already coded (left, up, the same place and its surroundings in the frame before).
A frame of zeros costs one decision.

Range coder: the interval [low, low + range) of 40 bits, carries are rippled through the bytes
written (Martin 1979, "Range encoding"; Subbotin's and Pavlov's variants differ in the carry only).
Probabilities are means of a fast and a slow average (22 bits), whose rates begin at 1/2.
"""

import numpy as np

from romae.archive.compiled import compiled
from romae.errors import ArchiveError

TOP = 1 << 40
LOW32 = (1 << 32) - 1
ONE = 1 << 22
CLASSES = 66
LEVELS = 12  # of quantised neighbour magnitude
CONTEXTS = LEVELS * LEVELS
PER = 3 * 8  # decisions kept per context: classes up to 20, and sign
FAST, SLOW = 4, 7


@compiled
def _put(out, state, P, i, bit):
    f = int(P[i, 0])
    s = int(P[i, 1])
    c = int(P[i, 2])
    p = (f + s) >> 7
    p = min(max(p, 24), 65536 - 24)
    low = state[0]
    size = state[1]
    bound = (size >> 16) * p
    if c < 255:
        P[i, 2] = c + 1
    rf = min(FAST, 1 + (c >> 1))
    rs = min(SLOW, 1 + (c >> 1) if c < 6 else 4 + (c >> 5))
    if bit == 0:
        size = bound
        P[i, 0] = f + ((4194303 - f) >> rf)
        P[i, 1] = s + ((4194303 - s) >> rs)
    else:
        low += bound
        size -= bound
        P[i, 0] = f - (f >> rf)
        P[i, 1] = s - (s >> rs)
    _settle(out, state, low, size)


@compiled
def _settle(out, state, low, size):
    pos = state[2]
    if low >= 1099511627776:
        low -= 1099511627776
        k = pos - 1
        while out[k] == 255:
            out[k] = 0
            k -= 1
        out[k] += 1
    while size < 4294967296:
        out[pos] = low >> 32
        pos += 1
        low = (low & 4294967295) << 8
        size <<= 8
    state[0] = low
    state[1] = size
    state[2] = pos


@compiled
def _put_raw(out, state, value, bits):
    """``bits`` equiprobable bits of ``value``, at most 16 at a time."""
    while bits > 0:
        k = min(bits, 16)
        bits -= k
        part = (value >> bits) & ((1 << k) - 1)
        size = state[1] >> k
        _settle(out, state, state[0] + size * part, size)


@compiled
def _get(data, state, P, i):
    f = int(P[i, 0])
    s = int(P[i, 1])
    c = int(P[i, 2])
    p = (f + s) >> 7
    p = min(max(p, 24), 65536 - 24)
    value = state[0]
    size = state[1]
    bound = (size >> 16) * p
    if c < 255:
        P[i, 2] = c + 1
    rf = min(FAST, 1 + (c >> 1))
    rs = min(SLOW, 1 + (c >> 1) if c < 6 else 4 + (c >> 5))
    if value < bound:
        bit = 0
        size = bound
        P[i, 0] = f + ((4194303 - f) >> rf)
        P[i, 1] = s + ((4194303 - s) >> rs)
    else:
        bit = 1
        value -= bound
        size -= bound
        P[i, 0] = f - (f >> rf)
        P[i, 1] = s - (s >> rs)
    _refill(data, state, value, size)
    return bit


@compiled
def _refill(data, state, value, size):
    pos = state[2]
    while size < 4294967296:
        value <<= 8
        if pos < data.shape[0]:
            value |= int(data[pos])
        pos += 1
        size <<= 8
    state[0] = value
    state[1] = size
    state[2] = pos


@compiled
def _get_raw(data, state, bits):
    value = 0
    while bits > 0:
        k = min(bits, 16)
        bits -= k
        size = state[1] >> k
        part = min(state[0] // size, (1 << k) - 1)
        value = (value << k) | part
        _refill(data, state, state[0] - size * part, size)
    return value


@compiled
def _quantised(m):
    """Level 0 .. 11 of a weighted magnitude m >= 0: 0, 1, 2, 3-4, 5-6, 7-9, 10-14, then octaves."""
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


@compiled
def _context(M, now, was, i, j, k):
    """Context of place (i, j, k), given |q| of this frame so far and of the frame before."""
    space = 2 * int(M[now, i, j, k - 1]) + 2 * int(M[now, i, j - 1, k])
    space += int(M[now, i, j - 1, k - 1]) + int(M[now, i, j - 1, k + 1])
    space += 2 * int(M[now, i - 1, j, k])
    time = 2 * int(M[was, i, j, k]) + int(M[was, i, j, k + 1]) + int(M[was, i, j, k - 1])
    time += int(M[was, i, j + 1, k]) + int(M[was, i, j - 1, k])
    return _quantised(space) * 12 + _quantised(time)


@compiled
def _encode(q, out, P, Z, M, state):
    n, na, nb, nc = q.shape
    limit = out.shape[0] - 160
    for t in range(n):
        now = t & 1
        was = 1 - now
        empty = 1
        for i in range(na):
            for j in range(nb):
                for k in range(nc):
                    if q[t, i, j, k] != 0:
                        empty = 0
        _put(out, state, Z, 0, empty)
        for i in range(na):
            for j in range(nb):
                for k in range(nc):
                    if empty == 1:
                        M[now, i + 1, j + 1, k + 1] = 0
                        continue
                    if state[2] > limit:
                        return 0
                    v = int(q[t, i, j, k])
                    base = _context(M, now, was, i + 1, j + 1, k + 1) * 24
                    m = abs(v)
                    M[now, i + 1, j + 1, k + 1] = min(m, 1 << 20)
                    if m == 0:
                        _put(out, state, P, base, 0)
                        continue
                    _put(out, state, P, base, 1)
                    _put(out, state, P, base + 1, 1 if v < 0 else 0)
                    octave = 0  # m in [2^octave, 2^(octave + 1))
                    while m >> (octave + 1) != 0:
                        octave += 1
                    for c in range(octave):
                        _put(out, state, P, base + 2 + min(c, 20), 1)
                    if octave < 62:
                        _put(out, state, P, base + 2 + min(octave, 20), 0)
                    if octave > 0:
                        top = (m >> (octave - 1)) & 1
                        _put(out, state, Z, 1 + octave, top)
                        _put_raw(out, state, m & ((1 << (octave - 1)) - 1), octave - 1)
    return 1


@compiled
def _decode(data, q, P, Z, M, state):
    n, na, nb, nc = q.shape
    for t in range(n):
        now = t & 1
        was = 1 - now
        empty = _get(data, state, Z, 0)
        if state[2] > data.shape[0] + 8:
            return 0  # far past the end: damaged
        for i in range(na):
            for j in range(nb):
                for k in range(nc):
                    if empty == 1:
                        M[now, i + 1, j + 1, k + 1] = 0
                        continue
                    base = _context(M, now, was, i + 1, j + 1, k + 1) * 24
                    if _get(data, state, P, base) == 0:
                        M[now, i + 1, j + 1, k + 1] = 0
                        continue
                    negative = _get(data, state, P, base + 1)
                    octave = 0
                    while octave < 62 and _get(data, state, P, base + 2 + min(octave, 20)) == 1:
                        octave += 1
                    m = 1
                    if octave > 0:
                        m = 2 + _get(data, state, Z, 1 + octave)
                        m = (m << (octave - 1)) | _get_raw(data, state, octave - 1)
                    M[now, i + 1, j + 1, k + 1] = min(m, 1 << 20)
                    q[t, i, j, k] = -m if negative == 1 else m
    return 1


def _tables(shape):
    P = np.full((CONTEXTS * PER, 3), ONE // 2, np.int32)
    Z = np.full((72, 3), ONE // 2, np.int32)
    P[:, 2] = Z[:, 2] = 0
    M = np.zeros((2, shape[1] + 1, shape[2] + 2, shape[3] + 2), np.int32)
    return P, Z, M


def _fourfold(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(n, *space) as four sizes; more than three axes of space are joined from the left."""
    n, *space = shape if shape else (1,)
    while len(space) > 3:
        space[:2] = [space[0] * space[1]]
    a, b, c = [1] * (3 - len(space)) + space
    return n, a, b, c


def encode_integers(q: np.ndarray) -> bytes:
    """Bytes of integers ``q`` (n, *space), any magnitude below 2^62; small ones are cheap."""
    q4 = np.ascontiguousarray(q, np.int64).reshape(_fourfold(q.shape))
    if q4.size == 0:
        return b""
    capacity = q4.size + 4096
    while True:
        out = np.zeros(capacity, np.uint8)
        state = np.array([0, TOP - 1, 0], np.int64)
        if _encode(q4, out, *_tables(q4.shape), state):
            break
        capacity *= 4
    low, size, pos = (int(s) for s in state)
    keep = 40  # the roundest number of [low, low + size): trailing zeros are not written
    while ((low + size - 1) >> keep) << keep < low:
        keep -= 1
    low = ((low + size - 1) >> keep) << keep
    data = int.from_bytes(out[:pos].tobytes(), "big") * TOP + low  # a last carry included
    return data.to_bytes(pos + 5, "big").rstrip(b"\0")


def decode_integers(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The integers, int64 of ``shape``, that :func:`encode_integers` wrote.

    Raises :class:`ArchiveError` where the bytes end long before the integers do.
    """
    q = np.zeros(_fourfold(shape), np.int64)
    if q.size:
        padded = np.frombuffer(data, np.uint8)
        first = int.from_bytes(data[:5].ljust(5, b"\0"), "big")
        state = np.array([first, TOP - 1, 5], np.int64)
        if not _decode(padded, q, *_tables(q.shape), state):
            raise ArchiveError(
                f"Coded integers end too early: {len(data)} bytes for shape {shape}. "
                "Expected the bytes that romae wrote; restore the archive from a copy."
            )
    return q.reshape(shape)
