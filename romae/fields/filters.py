"""Undoing HDF5 filters outside the HDF5 library, whose own pipeline runs on one thread.

A stored chunk is  f_n(... f_2(f_1(x)))  for the filters f_1 .. f_n of its dataset; bit i of the
chunk's mask says that f_{i+1} was skipped. Known here, by registered number:

    1 deflate   2 shuffle   3 fletcher32   32001 blosc   32004 lz4   32015 zstd

Shuffle stores byte b of all items before byte b + 1 of any:  y[b·n + i] = x[i·size + b].
LZ4 holds big-endian the bytes in all (8) and per block (4), then per block its length (4) and
data, stored plainly where they did not shrink.

Sources: HDF5 file format specification 3.0, IV.A.2.l; registered filter plugins of The HDF
Group (docs/RegisteredFilterPlugins). Deflate goes through isal where it is installed.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

DEFLATE, SHUFFLE, FLETCHER32, BLOSC, LZ4, ZSTD = 1, 2, 3, 32001, 32004, 32015

Bytes = Any  # bytes, memoryview or a uint8 array
Decode = Callable[[Bytes, int], Bytes]  # (stored, bytes of a whole chunk) -> one filter undone


@dataclass(frozen=True)
class Filter:
    """One filter of a dataset: its registered number and parameters."""

    code: int
    values: tuple[int, ...] = ()


class FilterError(ValueError):
    """A chunk does not decode: damaged, or written in a way that is not known here."""


def decoders(pipeline: Sequence[Filter]) -> list[Decode] | None:
    """One function per filter; None where one is unknown or its library not installed."""
    try:
        return [_MAKERS[f.code](f) for f in pipeline]
    except (KeyError, ImportError):
        return None


def unshuffle(stored: Bytes, size: int, out: np.ndarray) -> None:
    """Shuffle undone into ``out``, contiguous, as many bytes as ``stored``."""
    source, target = np.frombuffer(stored, "u1"), out.reshape(-1).view("u1")
    if len(source) != len(target):
        raise FilterError(f"{len(source)} bytes for {len(target)}")
    n = len(source) // size
    planes, items = source[: n * size].reshape(size, n), target[: n * size].reshape(n, size)
    for b in range(size):
        items[:, b] = planes[b]
    target[n * size :] = source[n * size :]


def _deflate(_: Filter) -> Decode:
    inflate: Any
    try:
        from isal import isal_zlib as inflate
    except ImportError:
        import zlib as inflate

    def decode(stored: Bytes, size: int) -> Bytes:
        try:
            return inflate.decompress(stored, 15, max(size, 1))
        except inflate.error as error:
            raise FilterError(f"deflate: {error}") from error

    return decode


def _shuffle(f: Filter) -> Decode:
    def decode(stored: Bytes, size: int) -> Bytes:
        if not f.values or f.values[0] < 2:
            return stored
        out = np.empty(len(stored), "u1")
        unshuffle(stored, f.values[0], out)
        return out

    return decode


def _fletcher32(_: Filter) -> Decode:
    from numcodecs.fletcher32 import Fletcher32

    codec = Fletcher32()

    def decode(stored: Bytes, size: int) -> Bytes:
        try:
            codec.decode(np.frombuffer(stored, "u1"))
        except (RuntimeError, IndexError) as error:  # IndexError: fewer than two bytes of data
            raise FilterError("the fletcher32 checksum differs") from error
        return memoryview(stored)[:-4]

    return decode


def _zstd(_: Filter) -> Decode:
    from numcodecs.zstd import decompress

    def decode(stored: Bytes, size: int) -> Bytes:
        try:
            return decompress(stored)
        except (RuntimeError, ValueError) as error:
            raise FilterError(f"zstd: {error}") from error

    return decode


def _blosc(_: Filter) -> Decode:
    from numcodecs.blosc import decompress

    def decode(stored: Bytes, size: int) -> Bytes:
        # The lengths in the header are checked first: blosc trusts them.
        if len(stored) < 16 or struct.unpack_from("<4xI4xI", stored) != (size, len(stored)):
            raise FilterError("blosc: the header has other lengths than the chunk")
        try:
            return decompress(stored)
        except (RuntimeError, ValueError) as error:
            raise FilterError(f"blosc: {error}") from error

    return decode


def _lz4(_: Filter) -> Decode:
    from numcodecs.lz4 import decompress

    def decode(stored: Bytes, size: int) -> Bytes:
        source = bytearray(stored)
        if len(source) < 12 or (total := struct.unpack_from(">Q", source)[0]) != size:
            raise FilterError("lz4: the header has another length than the chunk")
        block, out, at, done = struct.unpack_from(">I", source, 8)[0], np.empty(size, "u1"), 12, 0
        while done < total:
            want = min(block, total - done)
            if want == 0 or at + 4 > len(source):
                raise FilterError("lz4: a block is missing")
            length = struct.unpack_from(">I", source, at)[0]
            if at + 4 + length > len(source):
                raise FilterError("lz4: a block is cut")
            if length == want:
                out[done : done + want] = np.frombuffer(source, "u1", want, at + 4)
            else:
                # numcodecs wants the length of the result, little-endian, before the block
                struct.pack_into("<I", source, at, want)
                try:
                    decompress(memoryview(source)[at : at + 4 + length], out[done : done + want])
                except (RuntimeError, ValueError) as error:
                    raise FilterError(f"lz4: {error}") from error
            at, done = at + 4 + length, done + want
        return out

    return decode


_MAKERS: dict[int, Callable[[Filter], Decode]] = {
    DEFLATE: _deflate,
    SHUFFLE: _shuffle,
    FLETCHER32: _fletcher32,
    BLOSC: _blosc,
    LZ4: _lz4,
    ZSTD: _zstd,
}
