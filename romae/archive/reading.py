"""Reading an archive: only the chunks that are touched, each decoded once while it is in memory.

Snapshot t of a case lies in chunk i = t // K, and a chunk stands on its own (given the side files,
which are read once): one snapshot costs one chunk, and less where the method decodes in the order
of time: there the first snapshot of a chunk that is asked for is decoded without those after it,
the key frame alone, and whoever comes for a second one gets the whole chunk. Decoded chunks stay in
a cache of at most ``CACHE_BYTES`` per process, the least recently used leaves first; a chunk that
several threads ask for is decoded by one of them. Every byte that is decoded was checked against
its checksum.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np

from romae.archive import choose
from romae.archive.cache import Arrays, ChunkCache
from romae.archive.chunk_reading import ChunkFacts, chunk_facts, decode_chunk
from romae.archive.finish import read_manifest
from romae.archive.method import Method
from romae.archive.parent import Parent
from romae.archive.plan import Item, chunk_items, chunk_range
from romae.archive.store import (
    LABELS,
    LABELS_FILE,
    MANIFEST,
    SIDE,
    PathLike,
    Store,
    chunk_name,
    sha256,
    unseal,
)
from romae.archive.times import case_times
from romae.errors import ArchiveError, OptionError

CACHE_BYTES = 256 * 2**20


_CACHE = ChunkCache(CACHE_BYTES)  # of this process; archives share it


class Archive:
    """An archive that is open for reading, a folder or a packed file.

    ``facts``: the manifest, as a dict; ``names``: of the fields; ``lengths``: snapshots of each
    case; ``chunk``: snapshots that are decoded together. Safe to use from several threads; a copy
    that was pickled opens the path again. ``model``: where the model lies that an archive shares
    with others, if neither at its recorded place nor beside the archive.

    Raises :class:`~romae.errors.MissingFileError` without an archive at ``path``, and
    :class:`ArchiveError` when its manifest is damaged or it is of a newer version.
    """

    def __init__(
        self, path: PathLike, *, cache_bytes: int | None = None, model: PathLike | None = None
    ) -> None:
        self.store = Store(path)
        self.cache_bytes, self.model = cache_bytes, model
        self.facts = read_manifest(self._manifest(), self.store.path)
        self.cache = _CACHE if cache_bytes is None else ChunkCache(cache_bytes)
        self._methods: dict[str, Method] = {}
        self._alone: dict[Item, int] = {}  # the snapshot of a chunk that was decoded alone
        self._lock = threading.Lock()
        if "parent" in self.facts:  # found now, or not at all
            Parent(**self.facts["parent"]).found(os.path.dirname(self.path), model)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.store.path, self.cache_bytes, self.model)

    @property
    def path(self) -> str:
        """Absolute path."""
        return self.store.path

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields, in the order of the channels."""
        return tuple(self.facts["variables"])

    @property
    def lengths(self) -> list[int]:
        """Snapshots of each case."""
        return self.facts["lengths"]

    @property
    def chunk(self) -> int:
        """Snapshots per chunk."""
        return self.facts["chunk"]

    @property
    def shape(self) -> tuple[int, ...]:
        """Points of the grid."""
        return tuple(self.facts["shape"])

    @property
    def dtypes(self) -> tuple[np.dtype, ...]:
        """Types of the fields."""
        return tuple(np.dtype(v["dtype"]) for v in self.facts["variables"].values())

    @property
    def items(self) -> list[Item]:
        """All chunks: (case, position)."""
        return list(chunk_items(self.lengths, self.chunk))

    def read(self, start: int, stop: int, case: int = 0) -> list[np.ndarray]:
        """Snapshots ``start`` to ``stop`` of ``case``: one array (n, *space) per field.

        Raises :class:`OptionError` outside the case and :class:`ArchiveError` for a damaged chunk.
        """
        if not 0 <= case < len(self.lengths) or not 0 <= start <= stop <= self.lengths[case]:
            raise OptionError(
                f"cannot read snapshots {start} to {stop} of case {case}: the cases have "
                f"{self.lengths} snapshots. Expected 0 <= start <= stop <= length"
            )
        out = [np.empty((stop - start, *self.shape), d) for d in self.dtypes]
        for i in range(start // self.chunk, -(-stop // self.chunk)):
            a, b = chunk_range((case, i), self.lengths, self.chunk)
            low, high = max(a, start), min(b, stop)
            for target, values in zip(out, self.decoded((case, i)), strict=True):
                target[low - start : high - start] = values[low - a : high - a]
        return out

    def decoded(self, item: Item) -> Arrays:
        """The arrays (n, *space) of one chunk, not to be written to, from the cache if there."""
        key = (self.store.path, *self.store.identity, item)
        return self.cache.get(key, lambda: self.decode(item))

    def frame(self, item: Item, t: int) -> Arrays:
        """Snapshot ``t`` of one chunk, arrays (1, *space); not to be written to.

        Key frames (``t`` = 0) and the first other one that is asked for are decoded alone.
        """
        key = (self.store.path, *self.store.identity, item)
        if (whole := self.cache.held_already(key)) is None:
            with self._lock:
                alone = self._alone.setdefault(item, t)
            if t == 0 or (t == alone and self._in_order):
                return self.cache.get((*key, t), lambda: self.decode(item, t + 1, t))
            whole = self.decoded(item)
        return tuple(x[t : t + 1] for x in whole)

    @property
    def _in_order(self) -> bool:
        """Whether every chunk is decoded in the order of time."""
        known = choose.classes()
        return all(known[m].causal for m in self.facts["methods"] if m in known)

    def decode(self, item: Item, first: int | None = None, start: int = 0) -> Arrays:
        """The arrays (n, *space) of one chunk, or of snapshots ``start`` to ``first``, anew."""
        try:
            payload = self.payload(item)
        finally:
            self.store.check_same()  # after reading: it may be replaced meanwhile
        method = chunk_facts(payload).method
        if method:
            self.method(method)
        try:
            arrays = decode_chunk(payload, self._methods, first, start)
        except ArchiveError as error:
            raise self._damaged(item, str(error)) from error
        return arrays

    def payload(self, item: Item) -> bytes:
        """The bytes of one chunk, checked."""
        try:
            payload = unseal(self.store.read(self.chunk_file(item)))
            self._check_shape(chunk_facts(payload), item)
        except FileNotFoundError as error:
            raise self._damaged(item, "its file is missing") from error
        except (ArchiveError, OSError) as error:
            raise self._damaged(item, str(error)) from error
        return payload

    def chunk_file(self, item: Item) -> str:
        """Name of the file of a chunk."""
        return chunk_name(*item, len(self.shape))

    def checked(self, name: str) -> bytes:
        """Bytes of a file that the manifest lists; :class:`ArchiveError` if they are others."""
        try:
            data = self.store.read(name)
        except (OSError, ArchiveError) as error:
            raise ArchiveError(
                f"{self.path}: cannot read {name!r} ({error}). Expected the files that the "
                "manifest lists; copy the archive again"
            ) from error
        if sha256(data) != self.facts["files"].get(name):
            raise ArchiveError(
                f"{self.path}: {name!r} is damaged, its sha256 is not the manifest's ({len(data)} "
                "bytes). Copy this file again from where the archive came from"
            )
        return data

    def labels(self) -> Any:
        """Coordinates and other variables as a Zarr store in memory, every byte checked."""
        from zarr.core.buffer import default_buffer_prototype
        from zarr.storage import MemoryStore

        from romae.archive.labels import unpack_files

        prefix, make = f"{LABELS}/", default_buffer_prototype().buffer.from_bytes
        names = [n for n in self.facts["files"] if n.startswith(prefix)]
        files = {n.removeprefix(prefix): self.checked(n) for n in names}
        if LABELS_FILE in self.facts["files"]:
            files = unpack_files(self.checked(LABELS_FILE))
        return MemoryStore({n: make(data) for n, data in files.items()})

    def place(self, item: Item) -> str:
        """Which chunk that is, in words: ``chunk 3 of case 0, snapshots 192 to 255``."""
        start, stop = chunk_range(item, self.lengths, self.chunk)
        case = f" of case {item[0]}" if len(self.lengths) > 1 else ""
        times = case_times(self, item[0])
        span = "" if times is None else f" (time {times[start]} to {times[stop - 1]})"
        return f"chunk {item[1]}{case}, snapshots {start} to {stop - 1}{span}"

    def _damaged(self, item: Item, why: str) -> ArchiveError:
        return ArchiveError(
            f"{self.path}: {self.place(item)} cannot be decoded: {why}. The other chunks can be "
            f"read; copy {self.chunk_file(item)!r} again from where the archive came from, or "
            "`romae verify` lists everything that is damaged"
        )

    def _check_shape(self, found: ChunkFacts, item: Item) -> None:
        start, stop = chunk_range(item, self.lengths, self.chunk)
        shape = (stop - start, len(self.names), *self.shape)
        types = tuple(f.dtype for f in found.fields)
        if found.shape != shape or types != tuple(d.newbyteorder("=") for d in self.dtypes):
            raise ArchiveError(f"it holds {found.shape} and should hold {shape}")

    def method(self, name: str) -> Method:
        """The method ``name`` with its side information, read once."""
        with self._lock:
            if name not in self._methods:
                side = f"{SIDE}/{name}.bin"
                data = self.checked(side) if side in self.facts["files"] else b""
                method = choose.load_method(name, data)
                method.settle(os.path.dirname(self.path), self.model)
                self._methods[name] = method
            return self._methods[name]

    def _manifest(self) -> bytes:
        try:
            return self.store.read(MANIFEST)
        except OSError as error:
            raise ArchiveError(f"{self.store.path}: cannot read {MANIFEST}: {error}") from error

    def __repr__(self) -> str:
        fields, cases = ", ".join(self.names), self.lengths
        return (
            f"<romae.Archive {self.path}: {fields}, {sum(cases)} snapshots in {len(cases)} "
            f"case{'' if len(cases) == 1 else 's'}, {self.facts['ratio']:.4g} times smaller>"
        )


def _reopen(path: str, cache_bytes: int | None, model: PathLike | None) -> Archive:
    return Archive(path, cache_bytes=cache_bytes, model=model)
