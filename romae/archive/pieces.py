"""Numbers and blocks of bytes, one after the other: how a chunk is written.

Unsigned integers are LEB128 (seven bits a byte, low first), blocks carry their length before them,
float64 are little endian. Reading is bounded: what is not there raises :class:`ArchiveError`.
"""

import struct

from romae.errors import ArchiveError


class Writer:
    """Appends pieces; ``bytes(writer.data)`` is the result."""

    def __init__(self) -> None:
        self.data = bytearray()

    def number(self, value: int) -> None:
        """A whole number >= 0."""
        value = int(value)
        while value > 127:
            self.data.append(value & 127 | 128)
            value >>= 7
        self.data.append(value)

    def real(self, value: float) -> None:
        """A float64."""
        self.data += struct.pack("<d", value)

    def block(self, data: bytes) -> None:
        """Bytes of any length."""
        self.number(len(data))
        self.data += data


class Reader:
    """Reads pieces in the order in which they were written."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        piece = self.data[self.at : self.at + count]
        if len(piece) < count:
            raise ArchiveError(
                f"A chunk ends after {len(self.data)} bytes; expected {count} more from byte "
                f"{self.at}. It is cut or damaged: restore it from a copy."
            )
        self.at += count
        return piece

    def number(self) -> int:
        """A whole number."""
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
            if shift > 63:
                raise ArchiveError(
                    f"A number at byte {self.at} of a chunk has more than 63 bits. Expected fewer: "
                    "the chunk is damaged, restore it from a copy."
                )

    def real(self) -> float:
        """A float64."""
        value: float = struct.unpack("<d", self.take(8))[0]
        return value

    def block(self) -> bytes:
        """Bytes whose length stands before them."""
        return self.take(self.number())
