"""What :mod:`romae.archive.chunk` wrote: its head, and the values of all or some snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from romae.archive import scattered
from romae.archive.exact import decode_exact
from romae.archive.method import Method
from romae.archive.pieces import Reader
from romae.archive.rounding import cast
from romae.errors import ArchiveError

MAGIC, VERSION = b"rmc", 1
DTYPES = [
    np.dtype(c) for c in ("f2", "f4", "f8", *(f"{k}{w}" for k in "iu" for w in (1, 2, 4, 8)), "?")
]
LARGEST = 2**40  # values in a chunk; more is taken for damage


@dataclass(frozen=True)
class FieldFacts:
    """What a chunk says about one of its fields."""

    dtype: np.dtype
    lossy: bool
    eps: float
    max_error: float
    square_error: float  # sum over the values of (x' - x)^2, finite values only
    misses: int  # finite values stored by their bits


@dataclass(frozen=True)
class ChunkFacts:
    """What the head of a chunk says: shape (n, C, *space), method ("" if none), fields."""

    method: str
    shape: tuple[int, ...]
    fields: tuple[FieldFacts, ...]


def _head(reader: Reader) -> tuple[ChunkFacts, list[float]]:
    if reader.take(3) != MAGIC or (version := reader.number()) > VERSION:
        raise ArchiveError(
            f"A chunk begins with {reader.data[:4]!r}. Expected {MAGIC!r} and a version up to "
            f"{VERSION}: damaged, or written by a newer romae; upgrade romae or restore a copy."
        )
    del version
    n, count, rank = reader.number(), reader.number(), reader.number()
    if rank > 32 or count > len(reader.data):
        raise _damaged(f"{count} fields of {rank} axes")
    space = tuple(reader.number() for _ in range(rank))
    if int(np.prod((n, count, *space), dtype=object)) > LARGEST:
        raise _damaged(f"shape {(n, count, *space)}")
    method = reader.block().decode("ascii", "replace")
    facts, inner = [], []
    for _ in range(count):
        code, lossy, eps = reader.number(), reader.number(), reader.real()
        if code >= len(DTYPES):
            raise _damaged(f"dtype number {code}")
        inner.append(reader.real() if lossy else 0.0)
        worst, squares = (reader.real(), reader.real()) if lossy else (0.0, 0.0)
        misses = reader.number() if lossy else 0
        facts.append(FieldFacts(DTYPES[code], bool(lossy), eps, worst, squares, misses))
    return ChunkFacts(method, (n, count, *space), tuple(facts)), inner


def _damaged(seen: str) -> ArchiveError:
    return ArchiveError(
        f"A chunk's head says {seen}. Expected what romae writes: the chunk is damaged, restore "
        "it from a copy."
    )


def chunk_facts(data: bytes) -> ChunkFacts:
    """Method, shape and errors of a chunk, from its head alone.

    Raises :class:`ArchiveError` for bytes that are no chunk.
    """
    return _head(Reader(data))[0]


def decode_chunk(
    data: bytes, methods: Mapping[str, Method], first: int | None = None, start: int = 0
) -> tuple[np.ndarray, ...]:
    """The C arrays (n, *space) of a chunk, in their stored dtypes.

    Only snapshots ``start`` to ``first`` if these are given: the same bits as in the whole.
    Methods that are causal decode none after them, and some none before.

    Raises :class:`ArchiveError` for bytes that are no chunk, are damaged (where that shows; the
    container's checksum sees all of it), or need a method that is not in ``methods``.
    """
    reader = Reader(data)
    facts, inner = _head(reader)
    n, _, *space = facts.shape
    shape, m = (n, *space), n if first is None else min(n, first)
    payload = reader.block()
    lossy = [c for c, f in enumerate(facts.fields) if f.lossy]
    decoded = None
    if lossy:
        if facts.method not in methods:
            raise ArchiveError(
                f"A chunk was coded by the method {facts.method!r}, whose side information is not "
                f"here. Expected one of {sorted(methods)}: restore the archive's side folder."
            )
        bounds = np.array([inner[c] for c in lossy])
        method = methods[facts.method]
        steps = m if method.causal else n
        decoded = method.decode_from(start, payload, (steps, len(lossy), *space), bounds)
        decoded = decoded[: m - start]
    result = []
    for c, field in enumerate(facts.fields):
        if decoded is None or c not in lossy:
            result.append(decode_exact(reader.block(), field.dtype, shape)[start:m])
            continue
        values = cast(decoded[:, lossy.index(c)], field.dtype)
        _put_back(values, reader, shape, start)
        result.append(values)
    return tuple(result)


def _put_back(values: np.ndarray, reader: Reader, shape: tuple[int, ...], start: int) -> None:
    """The values that are stored by their bits, into those of the snapshots from ``start`` on."""
    mask, m = reader.block(), start + len(values)
    if mask:
        odd = scattered.decode_mask(mask, shape)
        special = decode_exact(reader.block(), values.dtype, (int(odd.sum()),))
        before = int(odd[:start].sum())
        values[odd[start:m]] = special[before : before + int(odd[start:m].sum())]
    else:
        reader.block()
    places = scattered.decode_places(reader.block(), int(np.prod(shape)))
    missed = decode_exact(reader.block(), values.dtype, (places.size,))
    places = places - start * int(np.prod(shape[1:]))
    here = (places >= 0) & (places < values.size)
    values.reshape(-1)[places[here]] = missed[here]
