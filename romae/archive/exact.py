"""Lossless: the bits of numbers of any dtype, in any pattern.

Values near one another in time share their leading bits. So the bits are taken as unsigned
integers, either as they are or as differences of successive snapshots (modulo 2^w), the bytes are
shuffled (all first bytes, all second bytes, ...) and packed by zstd, whichever form is smaller.
Equal values are stored once.
"""

import numpy as np
from numcodecs.zstd import Zstd

from romae.errors import ArchiveError

LEVEL = 9


def shuffled(x: np.ndarray) -> np.ndarray:
    """Bytes of ``x``, all first bytes first (little endian)."""
    x = np.ascontiguousarray(x, x.dtype.newbyteorder("<"))
    return np.ascontiguousarray(x.reshape(-1).view(np.uint8).reshape(-1, x.itemsize).T)


def unshuffled(data: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Inverse of :func:`shuffled`, flat, in native byte order."""
    little = dtype.newbyteorder("<")
    rows = np.ascontiguousarray(data.reshape(little.itemsize, -1).T)
    return rows.view(little).reshape(-1).astype(dtype, copy=False)


def unsigned(x: np.ndarray) -> np.ndarray:
    """Bits of ``x`` as unsigned integers of the same width and shape."""
    x = np.ascontiguousarray(x)
    return x.view(np.dtype(f"u{x.itemsize}")).reshape(x.shape)


def encode_exact(x: np.ndarray) -> bytes:
    """Bytes of ``x`` (n, *space), any real dtype; decoded they give the same bits."""
    if x.size == 0:
        return b""
    bits = unsigned(x)
    if (bits == bits.flat[0]).all():
        return b"\2" + bits.flat[0].astype(bits.dtype.newbyteorder("<")).tobytes()
    steps = bits.copy()
    steps[1:] -= bits[:-1]
    packed = [Zstd(level=LEVEL).encode(shuffled(form)) for form in (bits, steps)]
    best = int(len(packed[1]) < len(packed[0]))
    return bytes([best]) + bytes(packed[best])


def decode_exact(data: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """What :func:`encode_exact` wrote, of ``dtype`` and ``shape``.

    Raises :class:`ArchiveError` where the bytes do not hold so many values.
    """
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size == 0:
        return np.zeros(shape, dtype)
    if data[:1] == b"\2" and len(data) == 1 + dtype.itemsize:
        one = np.frombuffer(data[1:], np.dtype(f"<u{dtype.itemsize}"))
        return np.full(shape, one[0], f"u{dtype.itemsize}").view(dtype)
    try:
        out = np.empty(size, np.uint8)
        flat = Zstd().decode(data[1:], out)
        if len(flat) != size:
            raise ValueError(f"{len(flat)} bytes instead of {size}")
    except (ValueError, RuntimeError) as error:
        raise ArchiveError(
            f"Lossless block is damaged: {error}. Expected {size} bytes of {dtype} for shape "
            f"{shape}; restore the archive from a copy."
        ) from error
    bits = unshuffled(out, np.dtype(f"u{dtype.itemsize}")).reshape(shape)
    if data[0] == 1:
        bits = np.cumsum(bits, axis=0, dtype=bits.dtype)
    return bits.view(dtype)
