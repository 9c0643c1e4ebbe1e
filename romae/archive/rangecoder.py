"""Adaptive binary range coder: decisions to bytes and back.

A decision of probability p costs -log2 p bits. The coder holds an interval of 40-bit numbers,

    [low, low + size),   0 -> [low, low + size p),   1 -> [low + size p, low + size),

and hands out a byte whenever size falls below 2^32; a carry is rippled through the bytes written
(Martin 1979, "Range encoding: an algorithm for removing redundancy from a digitised message").
p, the probability of 0, is the mean of a fast and a slow running average in the decision's
**context** i: P[i] = (fast, slow, count), 22 bits each; both start as plain averages (rate 1/n).

One function codes both ways, so that encoder and decoder cannot differ: with reading = 0 it writes
`bit` to `buffer`, with reading = 1 it ignores `bit` and reads. All numbers stay within int64.

    state = low (writing) or number - low (reading), size, position in the buffer, the two paces

Loops keep at = (low, size, position) and how = (reading, the two paces) as tuples and hand them on:
in an array they would be loaded and stored at every decision, which takes as long as the decision.

Integers v are split into decisions in context `base`: zero? negative? then the octave of |v| in
unary, the two highest of its lower bits in contexts of their own, and the rest at one bit each.
"""

import numpy as np

from romae.archive.compiled import inlined
from romae.errors import ArchiveError

TOP = 1 << 40
HALF = 1 << 21  # probability one half
PACES = ((4096, 512), (512, 64))  # lowest rates of the two averages, in 2^-16
PER = 20  # decisions of a context: zero, sign, 18 octaves
BEYOND = 16  # bytes that a reader may read behind the end, zeros
TAIL = 64 * 4 + 64  # decisions shared by all contexts: octaves' lower bits, high octaves


@inlined
def started(state, reading):
    """``at`` and ``how`` of a loop."""
    at = (int(state[0]), int(state[1]), int(state[2]))
    return at, (reading, int(state[3]), int(state[4]))


@inlined
def _expected(P, i, size, how):
    """Averages in context i, bound between 0 and 1 for an interval of ``size``, rates."""
    fast = int(P[i, 0])
    slow = int(P[i, 1])
    count = int(P[i, 2])
    _, quick, steady = how
    p = min(max((fast + slow) >> 7, 24), 65536 - 24)
    if count < 1023:
        P[i, 2] = count + 1
        rate = 131072 // (2 * count + 3)
        quick = max(rate, quick)
        steady = max(rate, steady)
    return fast, slow, (size >> 16) * p, quick, steady


@inlined
def code_bit(buffer, at, how, P, i, bit):
    """Code one decision in context i; returns it, and ``at``."""
    low, size, place = at
    fast, slow, bound, quick, steady = _expected(P, i, size, how)
    if how[0] == 1:
        bit = 0 if low < bound else 1
    if bit == 0:
        size = bound
        P[i, 0] = fast + (((4194303 - fast) * quick) >> 16)
        P[i, 1] = slow + (((4194303 - slow) * steady) >> 16)
    else:
        size -= bound
        low = low - bound if how[0] == 1 else low + bound
        P[i, 0] = fast - ((fast * quick) >> 16)
        P[i, 1] = slow - ((slow * steady) >> 16)
    return bit, _renewed(buffer, low, size, place, how)


@inlined
def code_even_bit(buffer, at, how, P, i, bit):
    """The same for decisions that are hard to foresee: masks instead of a jump.

    Processors guess jumps; a wrong guess takes longer than all of this.
    """
    low, size, place = at
    fast, slow, bound, quick, steady = _expected(P, i, size, how)
    if how[0] == 1:
        bit = 0 if low < bound else 1
    one = 0 - bit  # all bits set if bit is 1
    zero = ~one
    low = low - (bound & one) if how[0] == 1 else low + (bound & one)
    size = (bound & zero) | ((size - bound) & one)
    top = 4194303 & zero
    part = ((((top - fast) ^ one) - one) * quick) >> 16  # (v ^ one) - one: v, or -v if bit is 1
    P[i, 0] = fast + ((part ^ one) - one)
    part = ((((top - slow) ^ one) - one) * steady) >> 16
    P[i, 1] = slow + ((part ^ one) - one)
    return bit, _renewed(buffer, low, size, place, how)


@inlined
def _renewed(buffer, low, size, place, how):
    """``at`` after carry, and bytes out or in until size has 33 bits again."""
    if how[0] == 1:
        while size < 4294967296:
            low <<= 8
            size <<= 8
            if place < buffer.shape[0]:
                low |= int(buffer[place])
            place += 1
    else:
        if low >= 1099511627776:
            low -= 1099511627776
            k = place - 1
            while buffer[k] == 255:
                buffer[k] = 0
                k -= 1
            buffer[k] += 1
        while size < 4294967296:
            buffer[place] = low >> 32
            place += 1
            low = (low & 4294967295) << 8
            size <<= 8
    return low, size, place


@inlined
def code_raw(buffer, at, how, value, bits):
    """Code ``bits`` bits of ``value`` at one bit each; returns them, and ``at``."""
    result = 0
    while bits > 0:
        low, size, place = at
        k = min(bits, 16)
        bits -= k
        size >>= k
        if how[0] == 1:
            part = min(low // size, (1 << k) - 1)
            low -= size * part
        else:
            part = (value >> bits) & ((1 << k) - 1)
            low += size * part
        result = (result << k) | part
        at = _renewed(buffer, low, size, place, how)
    return result, at


@inlined
def code_value(buffer, at, how, P, Z, base, v):
    """Code v, |v| < 2^62, in the context of decisions from P[base] on; returns v, and ``at``."""
    m = abs(v)
    some, at = code_bit(buffer, at, how, P, base, 1 if m != 0 else 0)
    if some == 0:
        return 0, at
    negative, at = code_even_bit(buffer, at, how, P, base + 1, 1 if v < 0 else 0)
    octave = 0  # |v| in [2^octave, 2^(octave + 1))
    while octave < 61:
        more = 1 if (m >> (octave + 1)) != 0 else 0
        if octave < 18:
            more, at = code_bit(buffer, at, how, P, base + 2 + octave, more)
        else:
            more, at = code_bit(buffer, at, how, Z, 256 + octave, more)
        if more == 0:
            break
        octave += 1
    rest = m - (1 << octave)
    read = 1
    if octave > 0:
        bit, at = code_even_bit(buffer, at, how, Z, octave * 4, (rest >> (octave - 1)) & 1)
        read = 2 | bit
        if octave > 1:
            i = octave * 4 + 1 + bit
            second, at = code_even_bit(buffer, at, how, Z, i, (rest >> (octave - 2)) & 1)
            read = (read << 1) | second
            if octave > 2:
                raw, at = code_raw(buffer, at, how, rest, octave - 2)
                read = (read << (octave - 2)) | raw
    return (-read if negative == 1 else read), at


def fresh(contexts: int) -> np.ndarray:
    """Probabilities of ``contexts`` decisions, not yet learned."""
    P = np.full((contexts, 3), HALF, np.int32)
    P[:, 2] = 0
    return P


def writer(capacity: int, pace: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Buffer and state to write; a caller watches state[2] against the capacity."""
    return np.zeros(capacity, np.uint8), np.array([0, TOP - 1, 0, *PACES[pace]], np.int64)


def reader(data: bytes, pace: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Buffer and state to read ``data``; beyond its end there are zeros."""
    first = int.from_bytes(data[:5].ljust(5, b"\0"), "big")
    return np.frombuffer(bytearray(data), np.uint8), np.array(
        [first, TOP - 1, 5, *PACES[pace]], np.int64
    )


def written(buffer: np.ndarray, state: np.ndarray) -> bytes:
    """The bytes: of the numbers in the last interval the roundest, without trailing zeros.

    Zeros further than :data:`BEYOND` from the end stay: a reader takes what ends earlier for cut.
    """
    low, size, place = (int(s) for s in state[:3])
    keep = 40
    while ((low + size - 1) >> keep) << keep < low:
        keep -= 1
    low = ((low + size - 1) >> keep) << keep
    number = int.from_bytes(buffer[:place].tobytes(), "big") * TOP + low  # with a last carry
    data = number.to_bytes(place + 5, "big")
    return data[: max(len(data.rstrip(b"\0")), len(data) - BEYOND)]


def check_end(data: bytes, state: np.ndarray, finished: bool) -> None:
    """Raise :class:`ArchiveError` if a decoder gave up or read far beyond the end of ``data``."""
    if not finished or int(state[2]) > len(data) + BEYOND:
        raise ArchiveError(
            f"Coded integers end too early: {len(data)} bytes, and more were asked for. "
            "Expected the bytes that romae wrote: damaged, restore the archive from a copy."
        )
