"""Values apart from the rest: what is not finite, and what missed the bound.

A mask (n, *space) that is constant in time costs its first frame; one that moves is coded as
the change from frame to frame. The values themselves are the lossless coder's.
"""

import numpy as np

from romae.archive.entropy import decode_integers, encode_integers
from romae.archive.pieces import Reader, Writer
from romae.errors import ArchiveError


def encode_mask(mask: np.ndarray) -> bytes:
    """Bytes of a boolean mask (n, *space); none for a mask without a true value."""
    if not mask.any():
        return b""
    first = encode_integers(mask[:1].astype(np.int64))
    changes = mask[1:] ^ mask[:-1]
    rest = encode_integers(changes.astype(np.int64)) if changes.any() else b""
    out = Writer()
    out.block(first)
    return bytes(out.data) + rest


def decode_mask(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """The mask of ``shape`` that :func:`encode_mask` wrote; ArchiveError where it is damaged."""
    mask = np.zeros(shape, bool)
    if not data or not mask.size:
        return mask
    reader = Reader(data)
    mask[:1] = decode_integers(reader.block(), (1, *shape[1:])) != 0
    rest = data[reader.at :]
    if rest:
        mask[1:] = decode_integers(rest, (shape[0] - 1, *shape[1:])) != 0
        return np.logical_xor.accumulate(mask, axis=0)
    mask[1:] = mask[0]
    return mask


def encode_places(missed: np.ndarray) -> bytes:
    """Flat indices of the true values of ``missed``, as gaps."""
    places = np.flatnonzero(missed)
    if not places.size:
        return b""
    out = Writer()
    out.number(places.size)
    return bytes(out.data) + encode_integers(np.diff(places, prepend=0))


def decode_places(data: bytes, size: int) -> np.ndarray:
    """Flat indices below ``size``; ArchiveError where the bytes say others."""
    if not data:
        return np.zeros(0, np.int64)
    reader = Reader(data)
    count = reader.number()
    if count > size:
        raise ArchiveError(
            f"A chunk says that {count} of its {size} values are stored one by one. Expected "
            "fewer: it is damaged, restore it from a copy."
        )
    places = np.cumsum(decode_integers(data[reader.at :], (count,)))
    if count and not (places.min() >= 0 and places.max() < size):
        raise ArchiveError(
            f"A chunk stores values at places up to {places.max()}. Expected places below {size}: "
            "it is damaged, restore it from a copy."
        )
    return places
