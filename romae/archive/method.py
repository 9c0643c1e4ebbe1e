"""What a way of coding a chunk must do.

A **chunk** x (n, C, *space) is n consecutive snapshots of C fields. A method gives bytes and
the values that these bytes decode to,

    encode:  x, eps -> payload, x'         decode:  payload, shape, eps -> x'  (bit for bit),

and aims at |x' - x| <= eps in each field. It may miss: :mod:`romae.archive.chunk` compares
every value and stores what missed. So a method need not be careful, only good, and bit-exact in
decoding.
"""

import os
from abc import ABC, abstractmethod
from typing import ClassVar, Self

import numpy as np

from romae.errors import RomaeError


class UnsuitableError(RomaeError, ValueError):
    """A method cannot code this chunk (other fields, other grid, too few snapshots).

    :func:`romae.archive.chunk.encode_chunk` catches it and goes on to the next method.
    """


class Method(ABC):
    """One way to code a chunk; ``name`` (ASCII, up to 32 characters) is written in the chunk."""

    name: ClassVar[str]
    gaps: ClassVar[bool] = False  # takes NaN in x, and may decode anything there
    causal: ClassVar[bool] = False  # decodes the first snapshots alone, if asked for fewer than n
    floor: float = 0.0  # fewest bytes a snapshot took on a sample of chunks; 0: not known

    @abstractmethod
    def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
        """Payload and decoded values.

        ``x``: (n, C, *space) finite float64, not to be written to. ``eps``: (C,) float64 > 0,
        already reduced for the cast to the stored dtype. The second result must equal, bit for
        bit, what :meth:`decode` gives; not-a-number in it counts as a miss.

        Raises :class:`UnsuitableError` where the method does not apply.
        """

    @abstractmethod
    def decode(self, payload: bytes, shape: tuple[int, ...], eps: np.ndarray) -> np.ndarray:
        """The values (n, C, *space) float64 of ``payload``.

        Raises :class:`romae.errors.ArchiveError` for a payload that was not made by
        :meth:`encode`; may also return wrong values then (checksums are the container's), but
        never hangs.
        """

    def decode_from(
        self, start: int, payload: bytes, shape: tuple[int, ...], eps: np.ndarray
    ) -> np.ndarray:
        """:meth:`decode`'s values from snapshot ``start`` on, the same bits."""
        return self.decode(payload, shape, eps)[start:]

    def tools(self) -> bytes:
        """What :meth:`encode` needs beyond :meth:`to_bytes`; gone when the archive is finished."""
        return b""

    def take_tools(self, data: bytes) -> None:  # noqa: B027  most methods need none
        """Take what :meth:`tools` gave."""

    def settle(  # noqa: B027
        self, folder: str, model: str | os.PathLike[str] | None = None
    ) -> None:
        """Told, before it decodes, the folder an archive lies in and a model that a user names."""

    def to_bytes(self) -> bytes:
        """Side information that all chunks share, counted in the archive's size."""
        return b""

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The method that wrote ``data`` by :meth:`to_bytes`."""
        return cls()
