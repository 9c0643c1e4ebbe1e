"""Undoing HDF5 filters outside the HDF5 library, whose own pipeline runs on one thread.

A stored chunk is  f_n(... f_2(f_1(x)))  for the filters f_1 .. f_n of its dataset; bit i of the
chunk's mask says that f_{i+1} was skipped. Known here, by registered number:

    1 deflate   2 shuffle   3 fletcher32   32001 blosc   32004 lz4   32015 zstd

Shuffle: see :mod:`romae.fields.framing`. LZ4 holds big-endian the bytes in all (8) and per block
(4), then per block its length (4) and data, stored plainly where they did not shrink.

Sources: HDF5 file format specification 3.0, IV.A.2.l; registered filter plugins of The HDF
Group (docs/RegisteredFilterPlugins). Deflate goes through libdeflate where its package `deflate`
is installed.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from romae.fields.framing import unshuffle

DEFLATE, SHUFFLE, FLETCHER32, BLOSC, LZ4, ZSTD = 1, 2, 3, 32001, 32004, 32015

SPARE = 16  # bytes that filters before deflate may have added: a checksum

Bytes = Any  # bytes, memoryview or a uint8 array
# (stored, bytes of a whole chunk, room for them) -> one filter undone, in ``room`` or elsewhere
Decode = Callable[[Bytes, int, np.ndarray], Bytes]


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


def _deflate(_: Filter) -> Decode:
    inflate: Callable[[Bytes, int], Bytes]
    failure: type[Exception]
    try:
        from deflate import DeflateError, zlib_decompress

        inflate, failure = zlib_decompress, DeflateError
    except ImportError:
        import zlib

        inflate, failure = lambda stored, size: zlib.decompress(stored, 15, size), zlib.error

    def decode(stored: Bytes, size: int, room: np.ndarray) -> Bytes:
        try:
            return inflate(stored, size + SPARE)
        except failure as error:
            raise FilterError(f"deflate: {error}") from error

    return decode


def _shuffle(f: Filter) -> Decode:
    def decode(stored: Bytes, size: int, room: np.ndarray) -> Bytes:
        if not f.values or f.values[0] < 2:
            return stored
        out = np.empty(len(stored), "u1")
        unshuffle(np.frombuffer(stored, "u1"), f.values[0], out)
        return out

    return decode


def _fletcher32(_: Filter) -> Decode:
    from numcodecs.fletcher32 import Fletcher32

    codec = Fletcher32()

    def decode(stored: Bytes, size: int, room: np.ndarray) -> Bytes:
        try:
            codec.decode(np.frombuffer(stored, "u1"))
        except (RuntimeError, IndexError) as error:  # IndexError: fewer than two bytes of data
            raise FilterError("the fletcher32 checksum differs") from error
        return memoryview(stored)[:-4]

    return decode


def _zstd(_: Filter) -> Decode:
    from numcodecs.zstd import decompress

    def decode(stored: Bytes, size: int, room: np.ndarray) -> Bytes:
        # What it decompresses into may be too long without an error: the header has to agree.
        where = room[:size] if _zstd_size(bytes(stored[:18])) == size else None
        try:
            return decompress(stored, where)
        except (RuntimeError, ValueError) as error:
            raise FilterError(f"zstd: {error}") from error

    return decode


def _zstd_size(head: bytes) -> int | None:
    """Bytes of the content, from the header of a frame (RFC 8878, 3.1.1.1); None: not said."""
    if len(head) < 18 or head[:4] != b"\x28\xb5\x2f\xfd":
        return None
    flags = head[4]
    alone = flags >> 5 & 1
    at = 5 + (not alone) + (0, 1, 2, 4)[flags & 3]
    width = (alone, 2, 4, 8)[flags >> 6]
    if width == 0:
        return None
    return int.from_bytes(head[at : at + width], "little") + (256 if width == 2 else 0)


def _blosc(_: Filter) -> Decode:
    from numcodecs.blosc import decompress

    def decode(stored: Bytes, size: int, room: np.ndarray) -> Bytes:
        # The lengths in the header are checked first: blosc trusts them.
        if len(stored) < 16 or struct.unpack_from("<4xI4xI", stored) != (size, len(stored)):
            raise FilterError("blosc: the header has other lengths than the chunk")
        try:
            return _aside(decompress, stored, room[:size])
        except (RuntimeError, ValueError) as error:
            raise FilterError(f"blosc: {error}") from error

    return decode


def _aside(decompress: Callable[..., Bytes], stored: Bytes, room: np.ndarray) -> Bytes:
    """Not on the main thread, where blosc has threads of its own, shared by the process."""
    if threading.current_thread() is not threading.main_thread():
        return decompress(stored, room)
    with ThreadPoolExecutor(1) as other:
        return other.submit(decompress, stored, room).result()


def _lz4(_: Filter) -> Decode:
    from numcodecs.lz4 import decompress

    def decode(stored: Bytes, size: int, room: np.ndarray) -> Bytes:
        source = np.frombuffer(stored, "u1")
        if not source.flags.writeable:
            source = source.copy()
        view = source.data
        if len(source) < 12 or (total := struct.unpack_from(">Q", view)[0]) != size:
            raise FilterError("lz4: the header has another length than the chunk")
        block, out, at, done = struct.unpack_from(">I", view, 8)[0], room[:size], 12, 0
        while done < total:
            want = min(block, total - done)
            if want == 0 or at + 4 > len(source):
                raise FilterError("lz4: a block is missing")
            length = struct.unpack_from(">I", view, at)[0]
            if at + 4 + length > len(source):
                raise FilterError("lz4: a block is cut")
            if length == want:
                out[done : done + want] = source[at + 4 : at + 4 + want]
            else:
                # numcodecs wants the length of the result, little-endian, before the block
                struct.pack_into("<I", view, at, want)
                try:
                    decompress(source[at : at + 4 + length], out[done : done + want])
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
