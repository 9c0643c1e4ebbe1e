"""How long a classic netCDF file must be, from its header.

The netCDF library reads zeros beyond the end of a truncated classic file without a word, so the
length is checked first. The header lists for each variable its first byte, and

    end = begin + bytes                                         fixed size
    end = begin + (records - 1) · record bytes + bytes          over the unlimited dimension

Format: "The NetCDF Classic Format Specification" (Unidata), versions 1, 2 and 5.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import BinaryIO

from romae.errors import UnreadableFileError

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}  # bytes per type
STREAMING = 0xFFFFFFFF  # number of records unknown: written by a stream


@dataclass
class _Header:
    file: BinaryIO
    count: int = 4  # bytes of a count; 8 in version 5
    offset: int = 4  # bytes of a position in the file
    dims: list[int] = field(default_factory=list)

    def number(self, width: int) -> int:
        data = self.file.read(width)
        if len(data) < width:
            raise EOFError
        return int.from_bytes(data, "big")

    def skip(self, n: int) -> None:
        self.file.seek(-(-n // 4) * 4, os.SEEK_CUR)  # padded to 4 bytes

    def name(self) -> None:
        self.skip(self.number(self.count))

    def entries(self) -> int:
        self.number(4)  # tag of the list
        return self.number(self.count)

    def attributes(self) -> None:
        for _ in range(self.entries()):
            self.name()
            size = SIZES[self.number(4)]
            self.skip(size * self.number(self.count))

    def variable(self) -> tuple[bool, int, int]:
        """(over the unlimited dimension, first byte, bytes per record or in all)."""
        self.name()
        ids = [self.number(self.count) for _ in range(self.number(self.count))]
        self.attributes()
        size = SIZES[self.number(4)]
        self.number(self.count)  # padded size, wrong for large variables
        begin = self.number(self.offset)
        shape = [self.dims[i] for i in ids]
        record = bool(shape) and shape[0] == 0
        return record, begin, size * math.prod(shape[1:] if record else shape)


def expected_bytes(path: str) -> int:
    """Smallest length in bytes that the classic netCDF file at ``path`` must have.

    Raises :class:`EOFError` when the header itself is cut.
    """
    with open(path, "rb") as file:
        version = file.read(4)[3]
        wide = version == 5
        header = _Header(file, 8 if wide else 4, 4 if version == 1 else 8)
        records = header.number(header.count)
        for _ in range(header.entries()):
            header.name()
            header.dims.append(header.number(header.count))
        header.attributes()
        variables = [header.variable() for _ in range(header.entries())]
        end = file.tell()
    if records in (STREAMING, 2**64 - 1):
        records = 0
    per_record = [size for record, _, size in variables if record]
    # Each variable's part of a record is padded to 4 bytes, unless it is the only one.
    length = sum(-(-s // 4) * 4 for s in per_record) if len(per_record) > 1 else sum(per_record)
    for record, begin, size in variables:
        if not record:
            end = max(end, begin + size)
        elif records:
            end = max(end, begin + (records - 1) * length + size)
    return end


def check_length(path: str) -> None:
    """Raise :class:`UnreadableFileError` when a classic netCDF file is truncated."""
    size = os.path.getsize(path)
    try:
        expected = expected_bytes(path)
    except (EOFError, IndexError, KeyError):
        raise UnreadableFileError(
            f"{path}: truncated or damaged within its header ({size} bytes). Expected a whole "
            "netCDF file; copy it again"
        ) from None
    if size < expected:
        raise UnreadableFileError(
            f"{path}: truncated, {size} bytes of {expected}. Expected a whole netCDF file; copy it "
            "again, or wait until it is written"
        )
