"""verify: is every byte what was written, and every value within its bound of the source?

Without a source: the sha256 of every file that the manifest lists, the crc32c, shape and types of
every chunk, the order of the chunks (a digest of their checksums), and the errors in their heads
against those in the manifest. With the source, every chunk is decoded and every value compared:

    e = |x' - x|,    NaN and infinities at the same places,    max e <= eps,
    max e and rms e as recorded,    nrmse: rms e <= bound in every chunk.

Whatever is wrong is named, with the snapshots it concerns; the rest is checked all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from romae.archive.bound import read_fields
from romae.archive.chunk import errors
from romae.archive.finish import Summary
from romae.archive.network import MOST
from romae.archive.plan import Item, chunk_range
from romae.archive.reading import Archive
from romae.archive.report import aligned
from romae.archive.store import MANIFEST, PathLike
from romae.archive.template import make_template, open_group
from romae.archive.times import case_times
from romae.archive.write import held, on_threads, thread_count
from romae.errors import ArchiveError
from romae.fields.opening import Source, open_snapshots
from romae.fields.snapshots import Snapshots
from romae.fields.summary import time_label
from romae.progress import track

ROUNDING = 1e-9  # relative: sums of squares depend on the order of their terms


@dataclass
class Verification:
    """``problems``: one sentence each, empty when all is well; ``damaged``: chunks that cannot be

    decoded; ``worst``: per field the largest error found against the source, and where.
    """

    path: str
    chunks: int
    problems: list[str] = field(default_factory=list)
    damaged: list[dict[str, Any]] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, **vars(self)}

    def __str__(self) -> str:
        lines = [
            f"{self.path}: {'sound' if self.ok else 'NOT SOUND'}, {self.chunks} chunks checked"
        ]
        lines += [f"  {p}" for p in self.problems]
        lines += [f"  note: {n}" for n in self.notes]
        if self.worst:
            header = [
                "field",
                "worst error",
                "bound",
                "of bound",
                "time",
                "place",
                "source",
                "archive",
            ]
            rows = [
                [
                    w["field"],
                    f"{w['error']:.4g}",
                    f"{w['bound']:.4g}",
                    f"{w['error'] / w['bound']:.1%}" if w["bound"] else "exact",
                    w["time"] + (f" of case {w['case']}" if w["cases"] > 1 else ""),
                    w["place"],
                    f"{w['source']:.6g}",
                    f"{w['archive']:.6g}",
                ]
                for w in self.worst
            ]
            lines += ["", aligned(header, rows)]
        return "\n".join(lines)


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
    source = None if against is None else open_source(archive, against)
    found = Verification(archive.path, len(archive.items))
    _check_files(archive, found)
    if source is not None:
        _check_labels(archive, source, found)
        if found.problems and source.lengths != tuple(archive.lengths):
            return found
    _check_chunks(archive, source, found)
    return found


def open_source(archive: Archive, against: Source) -> Snapshots:
    """``against`` as snapshots of the archive's fields on its axes."""
    if isinstance(against, Snapshots):
        return against
    facts = archive.facts
    by_file = len(archive.lengths) > 1 and facts["case_source"] is None
    return open_snapshots(
        against,
        variables=list(archive.names),
        time=facts["time"],
        space=facts["space"],
        case=facts["case_source"],
        cases="file" if by_file else "auto",
    )


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


def _check_labels(archive: Archive, source: Snapshots, found: Verification) -> None:
    """The source has the fields, lengths and coordinates that the archive has."""
    for what, have, want in (
        ("fields", list(archive.names), list(source.layout.names)),
        ("snapshots", archive.lengths, list(source.lengths)),
        ("points", list(archive.shape), list(source.layout.shape)),
    ):
        if have != want:
            found.problems.append(f"the archive has {what} {have}, the source {want}")
            return
    try:
        labels = archive.labels()
    except ArchiveError:  # named already
        return
    for name, dataset in make_template(source).groups:
        stored = open_group(labels, name, {"decode_timedelta": False})
        for key, variable in dataset.variables.items():
            if key not in stored.variables:
                found.problems.append(f"{key!r} of the source is not in the archive")
            elif not _equal(stored.variables[key].values, variable.values):
                found.problems.append(f"{key!r} has other values than in the source")


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return False
    return bool(np.all((a == b) | ((a != a) & (b != b))))


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
            _check_bounds(archive, [seen[i].worst for i in archive.items], found)


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
        worst.append(_compare(have, want, item[0], start))
    return _Found(item, data, worst=worst)


def _compare(have: np.ndarray, want: np.ndarray, case: int, start: int) -> dict[str, Any]:
    """The largest error of one field in one chunk, and whether what is not finite agrees."""
    finite = np.isfinite(want)
    same = np.array_equal(have[~finite], want[~finite], equal_nan=want.dtype.kind == "f")
    with np.errstate(invalid="ignore"):
        error = errors(have, want)
    error = np.where(finite, error, 0.0)
    lost = np.isnan(error)  # not finite in the archive, finite in the source
    error[lost] = np.inf
    at = np.unravel_index(int(np.argmax(error)), error.shape) if error.size else ()
    return {
        "error": float(error[at]) if at else 0.0,
        "squares": float(np.sum(error**2)),
        "count": int(finite.sum()),
        "special": bool(same),
        "case": case,
        "index": start + int(at[0]) if at else start,
        "at": tuple(int(i) for i in at[1:]),
        "source": float(want[at]) if at else 0.0,
        "archive": float(have[at]) if at else 0.0,
    }


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


def _check_bounds(
    archive: Archive, chunks: list[list[dict[str, Any]]], found: Verification
) -> None:
    """Errors against the source within the bound, and as recorded."""
    facts = archive.facts
    rms_bound = facts["bound"] == "nrmse"
    for c, (name, about) in enumerate(facts["variables"].items()):
        mine = [chunk[c] for chunk in chunks]
        top = max(mine, key=lambda w: w["error"])
        rms = math.sqrt(
            math.fsum(w["squares"] for w in mine) / max(1, sum(w["count"] for w in mine))
        )
        each = max(math.sqrt(w["squares"] / max(1, w["count"])) for w in mine)
        where = _where(archive, top)
        found.worst.append(
            {
                "field": name,
                "error": top["error"],
                "bound": about["eps"],
                "rms": rms,
                **where,
                "source": top["source"],
                "archive": top["archive"],
            }
        )
        at = f"at time {where['time']}, {where['place']}"
        if top["error"] > about["eps"]:
            found.problems.append(
                f"{name}: error {top['error']:.6g} exceeds the bound {about['eps']:.6g} {at}"
            )
        if rms_bound and about["eps"] and each > about["target"] * (1 + ROUNDING):
            found.problems.append(
                f"{name}: a chunk has rms error {each:.6g}, above the bound {about['target']:.6g}"
            )
        if not all(w["special"] for w in mine):
            found.problems.append(f"{name}: NaN or infinities are not where the source has them")
        # A network's values may differ by its margin where they are decoded by another machine.
        apart = MOST * about["eps"] if "network" in facts["methods"] else 0.0
        for key, value, tolerance in (
            ("max_error", top["error"], 0.0),
            ("rms_error", rms, ROUNDING),
        ):
            if not math.isclose(value, about[key], rel_tol=tolerance, abs_tol=apart):
                found.problems.append(
                    f"{name}: {key} is {value!r}, the archive recorded {about[key]!r}: not the "
                    "source it was made from, or a decoder that differs"
                )


def _where(archive: Archive, top: Mapping[str, Any]) -> dict[str, Any]:
    times = case_times(archive, top["case"])
    time = str(top["index"]) if times is None else time_label(times[top["index"]])
    place = ", ".join(f"{d}[{i}]" for d, i in zip(archive.facts["space"], top["at"], strict=False))
    return {
        "case": top["case"],
        "cases": len(archive.lengths),
        "index": top["index"],
        "time": time,
        "place": place or "-",
    }
