"""An archive against its source: the same fields and axes, every value within its bound.

    e = |x' - x|,    NaN and infinities at the same places,    max e <= eps,
    max e and rms e as recorded,    nrmse: rms e <= bound in every chunk.

Data that cannot be compared value by value, for their fields, times or points are others, are told
apart first: what differs is named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from romae.archive.network import MOST
from romae.archive.reading import Archive
from romae.archive.rounding import errors
from romae.archive.template import make_template
from romae.archive.template_zarr import open_group
from romae.archive.times import case_times
from romae.archive.verification import Verification
from romae.errors import ArchiveError, DataError, OptionError
from romae.fields.opening import Source, open_as_stored
from romae.fields.snapshots import Snapshots
from romae.fields.summary import counted, time_label

ROUNDING = 1e-9  # relative: sums of squares depend on the order of their terms


def open_source(archive: Archive, against: Source, found: Verification) -> Snapshots | None:
    """``against`` as snapshots of the archive's fields on its axes; None, and why, for others."""
    try:
        source = against if isinstance(against, Snapshots) else _open_alike(archive, against)
    except (OptionError, DataError):
        source = open_as_stored(against)
        if not _differences(archive, source):
            raise
    if differences := _differences(archive, source):
        found.problems.append(f"not compared, the source is another: {'; '.join(differences)}")
        return None
    return source


def _open_alike(archive: Archive, against: Source) -> Snapshots:
    facts = archive.facts
    by_file = len(archive.lengths) > 1 and facts["case_source"] is None
    return open_as_stored(
        against,
        variables=list(archive.names),
        time=facts["time"],
        space=facts["space"],
        case=facts["case_source"],
        cases="file" if by_file else "auto",
    )


def _differences(archive: Archive, source: Snapshots) -> list[str]:
    """Why the values of archive and source cannot be compared."""
    layout, facts = source.layout, archive.facts
    axes = dict(zip(facts["space"], archive.shape, strict=True))
    found = []
    for what, have, want in (
        ("fields", _listed(archive.names), _listed(layout.names)),
        ("time axis", facts["time"], layout.time),
        ("points", _axes(axes), _axes(dict(zip(layout.space, layout.shape, strict=True)))),
    ):
        if have != want:
            found.append(f"{what} {have} in the archive, {want} in the source")
    if archive.lengths != list(source.lengths):
        have = _span(archive.lengths, case_times(archive, 0))
        want = _span(list(source.lengths), source.times(0).values)
        found.append(f"{have} in the archive, {want} in the source")
    return found


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _axes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{d}={n}" for d, n in sizes.items())


def _span(lengths: list[int], times: np.ndarray | None) -> str:
    """ "40 snapshots (0.0 to 19.5)"."""
    if len(lengths) > 1:
        shown = ", ".join(map(str, lengths[:8])) + (", ..." if len(lengths) > 8 else "")
        return f"{len(lengths)} cases of {shown} snapshots"
    text = counted(lengths[0], "snapshot")
    if times is None or not len(times):
        return text
    return f"{text} ({time_label(times[0])} to {time_label(times[-1])})"


def check_labels(archive: Archive, source: Snapshots, found: Verification) -> None:
    """Coordinates and further variables are those of the source."""
    try:
        labels = archive.labels()
    except ArchiveError:  # named already
        return
    for name, dataset in make_template(source).groups:
        stored = open_group(labels, name, {"decode_timedelta": False})
        for key, variable in dataset.variables.items():
            if key not in stored.variables:
                found.problems.append(f"{key!r} of the source is not in the archive")
            elif why := _unequal(stored.variables[key].values, variable.values):
                found.problems.append(f"{key!r} has other values than in the source: {why}")


def _unequal(a: np.ndarray, b: np.ndarray) -> str:
    """The first difference of archive and source, in words; "" without one."""
    if a.shape != b.shape:
        return f"shape {a.shape} in the archive, {b.shape} there"
    differs = ~((a == b) | ((a != a) & (b != b)))
    if not np.any(differs):
        return ""
    at = tuple(int(i) for i in np.argwhere(differs)[0])
    return f"{a[at]} in the archive, {b[at]} there, at {list(at)}"


def compare(have: np.ndarray, want: np.ndarray, case: int, start: int) -> dict[str, Any]:
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


def check_bounds(
    archive: Archive, source: Snapshots, chunks: list[list[dict[str, Any]]], found: Verification
) -> None:
    """Errors of ``chunks`` (one :func:`compare` per field) within the bound, and as recorded."""
    facts = archive.facts
    before = len(found.problems)
    for c, name in enumerate(facts["variables"]):
        _check_field(archive, name, [chunk[c] for chunk in chunks], found)
    if len(found.problems) > before:
        recorded = facts["source"]["fingerprint"]
        now = source.fingerprint
        found.problems.append(
            f"the archive was made from other data: fingerprint {recorded[:12]}..., the source has "
            f"{now[:12]}..."
            if now != recorded
            else "grid, times and a sample of the source are what the archive was made from: "
            "values elsewhere were changed, or this machine decodes others"
        )


def _check_field(
    archive: Archive, name: str, chunks: list[dict[str, Any]], found: Verification
) -> None:
    facts, about = archive.facts, archive.facts["variables"][name]
    top = max(chunks, key=lambda w: w["error"])
    count = sum(w["count"] for w in chunks)
    rms = math.sqrt(math.fsum(w["squares"] for w in chunks) / max(1, count))
    each = max(math.sqrt(w["squares"] / max(1, w["count"])) for w in chunks)
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
    if not all(w["special"] for w in chunks):
        found.problems.append(f"{name}: NaN or infinities are not where the source has them")
    if top["error"] > about["eps"]:
        found.problems.append(
            f"{name}: error {top['error']:.6g} exceeds the bound {about['eps']:.6g} at time "
            f"{where['time']}, {where['place']}"
        )
        return
    if facts["bound"] == "nrmse" and about["eps"] and each > about["target"] * (1 + ROUNDING):
        found.problems.append(
            f"{name}: a chunk has rms error {each:.6g}, above the bound {about['target']:.6g}"
        )
    # A network's values may differ by its margin where they are decoded by another machine.
    apart = MOST * about["eps"] if "network" in facts["methods"] else 0.0
    for key, value, tolerance in (
        ("max_error", top["error"], 0.0),
        ("rms_error", rms, ROUNDING),
    ):
        if not math.isclose(value, about[key], rel_tol=tolerance, abs_tol=apart):
            found.problems.append(
                f"{name}: {key} is {value:.9g}, the archive recorded {about[key]:.9g}"
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
