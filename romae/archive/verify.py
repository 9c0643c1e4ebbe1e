"""verify: is every byte what was written, and every value within its bound of the source?

Without a source: the sha256 of every file that the manifest lists, the crc32c, shape and types of
every chunk, the order of the chunks (a digest of their checksums), and the errors in their heads
against those in the manifest. With the source, every chunk is decoded and every value compared
(:mod:`romae.archive.against`).

Whatever is wrong is named, with the snapshots it concerns; the rest is checked all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from romae.archive.against import ROUNDING, check_bounds, check_labels, compare, open_source
from romae.archive.bound import read_fields
from romae.archive.finish import Summary
from romae.archive.plan import Item, chunk_range
from romae.archive.reading import Archive
from romae.archive.store import MANIFEST, PathLike
from romae.archive.verification import Verification
from romae.archive.write import held, on_threads, thread_count
from romae.errors import ArchiveError
from romae.fields.opening import Source
from romae.fields.snapshots import Snapshots
from romae.progress import track


def verify(path: PathLike, against: Source | None = None) -> Verification:
    """Check the archive ``path``, and every value ``against`` its source if that is given.

    Raises :class:`~romae.errors.MissingFileError` without an archive there,
    :class:`ArchiveError` for a manifest that cannot be read, and what ``open_snapshots`` raises
    for the source.

    Examples
    --------
    >>> import numpy as np, tempfile, romae, xarray as xr
    >>> data = xr.Dataset({"u": (("time", "x"), np.random.default_rng(0).normal(size=(9, 32)))})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = romae.compress(data, f"{folder}/noise.romae", abs=0.01)
    ...     verify(f"{folder}/noise.romae", against=data).ok
    True
    """
    archive = Archive(path)
    found = Verification(archive.path, len(archive.items))
    source = None if against is None else open_source(archive, against, found)
    _check_files(archive, found)
    if source is not None:
        check_labels(archive, source, found)
    _check_chunks(archive, source, found)
    return found


def _check_files(archive: Archive, found: Verification) -> None:
    for name in archive.facts["files"]:
        try:
            archive.checked(name)
        except ArchiveError as error:
            found.problems.append(str(error))
    expected = {archive.chunk_file(i) for i in archive.items} | {MANIFEST, *archive.facts["files"]}
    found.notes += [
        f"{name!r} is not of this archive" for name in archive.store.names() if name not in expected
    ]


@dataclass
class _Found:
    """What one chunk gave: its head and file, or why it cannot be decoded; the worst by field."""

    item: Item
    data: bytes = b""
    why: str = ""
    worst: list[dict[str, Any]] = field(default_factory=list)


def _check_chunks(archive: Archive, source: Snapshots | None, found: Verification) -> None:
    facts, summary = archive.facts, Summary(archive.facts)

    def work(item: Item) -> _Found:
        return _check_chunk(archive, source, item)

    seen: dict[Item, _Found] = {}
    label = "verifying, chunks" if source is None else "comparing with the source, chunks"
    with track(len(archive.items), label) as task:
        for one in on_threads(work, archive.items, thread_count(facts)):
            seen[one.item] = one
            if not one.why:
                summary.add(held(one.data, one.item, facts), b"")
                one.data = one.data[-4:]
            task.advance()
    for item in archive.items:
        if why := seen[item].why:
            start, stop = chunk_range(item, archive.lengths, archive.chunk)
            about = {"case": item[0], "chunk": item[1], "start": start, "stop": stop, "why": why}
            found.damaged.append(about)
            found.problems.append(why)
        else:
            summary.digest.update(seen[item].data)
    if not found.damaged:
        _check_summary(facts, summary, found)
        if source is not None:
            check_bounds(archive, source, [seen[i].worst for i in archive.items], found)


def _check_chunk(archive: Archive, source: Snapshots | None, item: Item) -> _Found:
    try:
        archive.payload(item)
        data = archive.store.read(archive.chunk_file(item))
        arrays = None if source is None else archive.decode(item)
    except ArchiveError as error:
        return _Found(item, why=str(error))
    if source is None or arrays is None:
        return _Found(item, data)
    start, stop = chunk_range(item, archive.lengths, archive.chunk)
    about = archive.facts["variables"].values()
    values = read_fields(source, start, stop, item[0], about)
    worst = []
    for c, (have, dtype) in enumerate(zip(arrays, archive.dtypes, strict=True)):
        want = values[c].astype(dtype)
        worst.append(compare(have, want, item[0], start))
    return _Found(item, data, worst=worst)


def _check_summary(facts: Mapping[str, Any], summary: Summary, found: Verification) -> None:
    """The heads of the chunks say what the manifest says."""
    if summary.digest.hexdigest() != facts["chunks"]:
        found.problems.append(
            "every chunk is sound but they are not the chunks of this archive, or in another order "
            "(their digest differs): chunks were exchanged; copy the archive again"
        )
    for name, about in summary.errors(dict(facts)).items():
        recorded = facts["variables"][name]
        for key in ("max_error", "rms_error"):
            if not math.isclose(about[key], recorded[key], rel_tol=ROUNDING):
                found.problems.append(
                    f"{name}: the chunks say {key} {about[key]!r}, the manifest {recorded[key]!r}"
                )
