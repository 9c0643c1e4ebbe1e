"""How the errors of an archive are spread, and what other methods would have needed: for reports.

On some whole chunks, at even distances over the archive, decoded and compared with their source:

    share_b = fraction of finite values with (x' - x) / eps in bin b
    bytes_m = bytes of these chunks when the method m alone codes them, misses and all

The methods are those that the archive uses, the splines that learn nothing, and the lossless coder.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from romae.archive.bound import read_values
from romae.archive.chunk import encode_chunk
from romae.archive.chunk_reading import chunk_facts
from romae.archive.method import Method
from romae.archive.plan import Item, chunk_range
from romae.archive.reading import Archive
from romae.archive.store import CRC_BYTES
from romae.archive.write import on_threads, thread_count
from romae.fields.snapshots import Snapshots
from romae.progress import track

SPREAD_VALUES = 2**25  # values whose errors are counted, about
TRIED_CHUNKS = 2  # chunks that every method codes
BINS = 80
EXACT = "exact"  # the lossless coder, as manifests name it


def examine(archive: Archive, source: Snapshots) -> xr.Dataset:
    """``share`` (field, bin): of errors over the bound, NaN for fields that are stored exactly;

    ``nbytes`` (coder): of the tried chunks by that method alone, their checksums counted, NaN for
    one that cannot code them (what only encoding needs is not in an archive);
    ``side``: bytes of its side file. ``attrs``: how many chunks were counted and tried.
    """
    each = archive.chunk * len(archive.names) * int(np.prod(archive.shape))
    counted = _spread(archive.items, max(1, SPREAD_VALUES // max(1, each)))
    tried = _spread(archive.items, TRIED_CHUNKS)
    with track(len(counted) + len(tried), "examining the archive, chunks") as task:
        counts = np.zeros((len(archive.names), BINS), np.int64)
        for found in on_threads(lambda i: _count(archive, source, i), counted, _threads(archive)):
            counts += found
            task.advance()
        methods, nbytes, own = _methods(archive), [], 0
        for item in tried:
            nbytes.append(_code(archive, source, item, list(methods.values())))
            own += len(archive.payload(item)) + CRC_BYTES
            task.advance()
    total = counts.sum(axis=1, keepdims=True)
    share = np.where(total > 0, counts / np.maximum(total, 1), np.nan)
    edges = np.linspace(-1, 1, BINS + 1)
    by_coder = ("coder", np.sum(nbytes, axis=0), {"units": "byte"})
    side = [0 if m is None else len(m.to_bytes()) for m in methods.values()]
    return xr.Dataset(
        {"share": (("field", "bin"), share), "nbytes": by_coder, "side": ("coder", side)},
        coords={
            "field": list(archive.names),
            "bin": (edges[1:] + edges[:-1]) / 2,
            "coder": list(methods),
        },
        attrs={
            "chunks": len(archive.items),
            "counted_chunks": len(counted),
            "tried_chunks": len(tried),
            "tried_source_bytes": sum(_source_bytes(archive, i) for i in tried),
            "tried_archive_bytes": own,
        },
    )


def _spread(items: list[Item], count: int) -> list[Item]:
    places = np.linspace(0, len(items) - 1, min(count, len(items)))
    return [items[i] for i in np.unique(places.round().astype(int))]


def _threads(archive: Archive) -> int:
    return thread_count(archive.facts)


def _count(archive: Archive, source: Snapshots, item: Item) -> np.ndarray:
    """Values per bin, (C, BINS)."""
    start, stop = chunk_range(item, archive.lengths, archive.chunk)
    values = read_values(source, start, stop, item[0])
    counts = np.zeros((len(archive.names), BINS), np.int64)
    bounds = [v["eps"] for v in archive.facts["variables"].values()]
    for c, (stored, eps) in enumerate(zip(archive.decode(item), bounds, strict=True)):
        if eps:
            want = values[:, c].astype(stored.dtype).astype(np.float64)
            finite = np.isfinite(want)
            error = (stored[finite].astype(np.float64) - want[finite]) / eps
            counts[c] = np.histogram(error, BINS, (-1, 1))[0]
    return counts


def _methods(archive: Archive) -> dict[str, Method | None]:
    """By name; None is the lossless coder."""
    used = [m for m in archive.facts["methods"] if m != EXACT]
    names = [*used, *(["spline"] if "spline" not in used else [])]
    return {n: archive.method(n) for n in names} | {EXACT: None}


def _code(
    archive: Archive, source: Snapshots, item: Item, methods: list[Method | None]
) -> list[float]:
    """Bytes of one chunk by each method."""
    start, stop = chunk_range(item, archive.lengths, archive.chunk)
    x = read_values(source, start, stop, item[0])
    eps = np.array([f.eps for f in chunk_facts(archive.payload(item)).fields])
    sizes = []
    for m in methods:
        data = encode_chunk(x, eps, [] if m is None else [m], archive.dtypes)
        coded = m is None or chunk_facts(data).method == m.name or not eps.any()
        sizes.append(len(data) + CRC_BYTES if coded else np.nan)
    return sizes


def _source_bytes(archive: Archive, item: Item) -> int:
    start, stop = chunk_range(item, archive.lengths, archive.chunk)
    return (stop - start) * int(np.prod(archive.shape)) * sum(d.itemsize for d in archive.dtypes)
