"""One chunk decoded: its filters undone, the last one first, into one place.

The common ways to store floats take one call or two, the rest goes filter by filter:

    shuffle, lz4 or zstd      one frame for blosc (:mod:`romae.fields.framing`)
    shuffle, anything else    that into a frame, unshuffled from there
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from romae.fields.filters import LZ4, SHUFFLE, ZSTD, Decode, Filter, FilterError, decoders
from romae.fields.framing import HEADER, LZ4_BLOCK, STORED, ZSTD_FRAME, frames_fit, unframe
from romae.fields.framing import unshuffle as by_numpy
from romae.fields.work import Scratch

ROOM = HEADER  # bytes to leave free in front of stored ones
BRIEF = 128 << 10  # bytes copied without letting other threads run: that takes longer


class Pipeline:
    """The filters of one dataset, whose chunks have ``size`` bytes in items of ``itemsize``."""

    def __init__(self, filters: Sequence[Filter], itemsize: int, size: int) -> None:
        self.itemsize, self.size = itemsize, size
        self.framed = frames_fit(size, itemsize)
        undo = decoders(filters) or []
        self._all: list[tuple[Filter, Decode]] = list(zip(filters, undo, strict=True))
        self._steps: dict[int, list[tuple[Filter, Decode]]] = {}

    def __bool__(self) -> bool:
        return bool(self._all)

    def steps(self, skipped: int) -> list[tuple[Filter, Decode]]:
        """The filters that a chunk went through, last first; ``skipped``: one bit each."""
        if skipped not in self._steps:
            kept = [both for i, both in enumerate(self._all) if not skipped >> i & 1]
            self._steps[skipped] = kept[::-1]
        return self._steps[skipped]

    def undo(self, framed: np.ndarray, skipped: int, out: np.ndarray, scratch: Scratch) -> None:
        """The chunk stored in ``framed[ROOM:]`` into ``out``, contiguous and of ``size`` bytes.

        Raises :class:`FilterError`. ``framed`` holds anything afterwards.
        """
        steps, size = self.steps(skipped), self.size
        shuffled = bool(steps) and steps[-1][0] == Filter(SHUFFLE, (self.itemsize,))
        frames = self.framed and not scratch.main
        try:
            if frames and len(steps) == 1 + shuffled and self._in_one(framed, steps, out, shuffled):
                return
            frame = scratch.take("frame", HEADER + size)
            data = self._through(framed[ROOM:], steps[:-1] if shuffled else steps, frame[HEADER:])
            if len(data) != size:
                raise FilterError(f"{len(data)} bytes where a chunk has {size}")
            if not shuffled:
                _copy(data, out.reshape(-1).view("u1"))
            elif frames:
                if data.ctypes.data != frame.ctypes.data + HEADER:
                    _copy(data, frame[HEADER:])
                unframe(frame, self.itemsize, out, coding=STORED, shuffled=True)
            else:
                by_numpy(data, self.itemsize, out)
        except (RuntimeError, ValueError) as error:
            if isinstance(error, FilterError):
                raise
            raise FilterError(str(error)) from error

    def _through(
        self, stored: np.ndarray, steps: Sequence[tuple[Filter, Decode]], room: np.ndarray
    ) -> np.ndarray:
        data: Any = stored
        for _, function in steps:
            if np.may_share_memory(data, room):  # a second one that decompresses
                data = np.array(data)
            data = np.frombuffer(function(data, self.size, room), "u1")
        return data

    def _in_one(
        self,
        framed: np.ndarray,
        steps: Sequence[tuple[Filter, Decode]],
        out: np.ndarray,
        shuffled: bool,
    ) -> bool:
        """Codec and shuffle undone by one frame; False where they do not lend themselves to it."""
        code, ahead = steps[0][0].code, 0
        if code == ZSTD:
            coding = ZSTD_FRAME
        elif code == LZ4 and len(framed) > ROOM + 16:
            coding, ahead = LZ4_BLOCK, 16  # the filter's own header of one block
            whole, block, length = struct.unpack_from(">QII", framed.data, ROOM)
            if whole != self.size or block < whole or length != len(framed) - ROOM - ahead:
                return False
        else:
            return False
        unframe(framed[ahead:], self.itemsize, out, coding=coding, shuffled=shuffled)
        return True


def _copy(source: np.ndarray, target: np.ndarray) -> None:
    if len(source) <= BRIEF:
        target.data[:] = source.data
    else:
        target[:] = source
