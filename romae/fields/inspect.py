"""What `romae info` says: how romae reads a source, and what is wrong with it.

Nothing is raised for bad data here: what would be an error elsewhere becomes a finding, with the
same words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from romae.errors import OptionError, RomaeError, check_option
from romae.fields.axes import numeric_coordinate
from romae.fields.curvilinear import horizontal_pair
from romae.fields.opening import open_snapshots
from romae.fields.snapshots import Snapshots
from romae.fields.summary import grid_text, human_bytes, shown_units, time_text
from romae.fields.survey import Survey, survey
from romae.fields.weights import is_longitude

Level = Literal["note", "warning", "error"]
LARGE_CHUNK = 2**30  # bytes of whole snapshots that one storage chunk spans


@dataclass(frozen=True)
class Finding:
    """One thing seen: ``level`` note, warning or error; ``topic`` one word; ``text`` a sentence."""

    level: Level
    topic: str
    text: str


def inspect_source(
    source: Any, *, scan: Literal["all", "open"] = "all", **options: Any
) -> list[Finding]:
    """Findings about ``source``, opened with ``options`` as by :func:`open_snapshots`.

    ``scan``: "all" reads every value once to check it; "open" looks only at what opening reads.
    Raises :class:`OptionError` only for options that do not exist.
    """
    check_option("scan", scan, ["all", "open"])
    try:
        snapshots = open_snapshots(source, **options)
    except TypeError as error:
        raise OptionError(f"{error}. Expected options of open_snapshots") from error
    except RomaeError as error:
        return [Finding("error", "source", str(error))]
    findings = [*_about(snapshots), *_doubts(snapshots)]
    if scan == "all":
        try:
            found = survey(snapshots)
        except RomaeError as error:
            findings.append(Finding("error", "values", str(error)))
        else:
            findings.extend(_about_values(snapshots, found))
    return findings


def _about(s: Snapshots) -> Iterator[Finding]:
    layout = s.layout
    cases = f" in {s.cases} cases" if s.cases > 1 else ""
    size = f"{len(s)} snapshots{cases}, {human_bytes(s.nbytes)} in memory as {s.dtype}"
    yield Finding("note", "source", f"{s.source}: {size}")
    for f in layout.fields:
        title = f.attrs.get("long_name") or f.attrs.get("standard_name")
        name = f"{f.name} ({title})" if title else f.name
        yield Finding("note", "field", f"{name} [{f.units or 'no units'}], {f.dtype}")
    yield Finding("note", "grid", f"{grid_text(s)}; {_spacing(s)}")
    yield Finding("note", "time", f"{time_text(s)} (dimension {layout.time!r})")
    if layout.mask is not None:
        where = "as given" if s.masked_by_user else "NaN in the first snapshot"
        share = 100 * (1 - float(layout.mask.mean()))
        yield Finding("note", "mask", f"{share:.3g} % of the values are left out ({where})")
    if s.params is not None:
        yield Finding("note", "parameters", ", ".join(map(str, s.params.columns)))
    chunk = max(g.chunk for t in s.trajectories for g in t.segments)
    yield Finding("note", "storage", f"{chunk} snapshots per storage chunk")


def _spacing(s: Snapshots) -> str:
    """How the quadrature weights come about."""
    layout, words = s.layout, []
    if horizontal_pair(layout.coords, layout.space):
        words.append("curvilinear cell areas")
    if layout.unstructured:
        even = np.ptp(layout.weights) == 0
        return f"points without order, weighted {'evenly' if even else 'by their cells'}"
    for d in layout.space:
        x = numeric_coordinate(layout.coords, d)
        if x is None:
            words.append(f"{d} without coordinate, taken as even")
        elif x.size > 2:
            steps = np.abs(np.diff(x))
            even = np.ptp(steps) <= 1e-3 * steps.max()
            words.append(f"{d} from {x[0]:.4g} to {x[-1]:.4g}, {'even' if even else 'stretched'}")
    return "; ".join(words)


def _doubts(s: Snapshots) -> Iterator[Finding]:
    layout = s.layout
    for name, why in s.skipped.items():
        yield Finding("note", "skipped", f"{name} {why}")
    if len(s) == s.cases:
        yield Finding(
            "warning", "time", "one snapshot: it can be encoded, but nothing can be fitted to it"
        )
    elif s.dt is None:
        yield Finding(
            "warning", "time", "steps are uneven: reducers fit, forecasts need even steps"
        )
    if layout.time_name not in s.trajectories[0].segments[0].dataset.variables:
        yield Finding("warning", "time", "no time coordinate: snapshots are only numbered")
    without = [f.name for f in layout.fields if not f.units]
    if without:
        yield Finding(
            "warning",
            "units",
            f"{', '.join(without)} without units: each is scaled by itself, so that fields of one "
            "kind do not share a scale. Set ds[name].attrs['units']",
        )
    for d, periodic in zip(layout.space, layout.periodic, strict=True):
        x = numeric_coordinate(layout.coords, d)
        if periodic or x is None or x.size < 2 or not is_longitude(layout.coords[d].attrs):
            continue
        if abs(abs(x[-1] - x[0]) * x.size / (x.size - 1) - 360) < 1:
            yield Finding("warning", "grid", f"{d} goes round the globe; type periodic={d!r}")
    snapshot = layout.size * s.dtype.itemsize
    chunk = max(g.chunk for t in s.trajectories for g in t.segments)
    if chunk * snapshot > LARGE_CHUNK:
        yield Finding(
            "warning",
            "storage",
            f"a storage chunk spans {chunk} snapshots ({human_bytes(chunk * snapshot)}): each read "
            "decompresses all of them. Rechunk along time for faster reading",
        )


def _about_values(s: Snapshots, found: Survey) -> Iterator[Finding]:
    for c, f in enumerate(s.layout.fields):
        shown = shown_units(f.units)
        unit = f" {shown}" if shown else ""
        yield Finding(
            "note",
            "values",
            f"{f.name}: {found.minimum[c]:.4g} to {found.maximum[c]:.4g}{unit}, fluctuation "
            f"{found.std[c]:.4g}{unit} (rms about the temporal mean)",
        )
    if len(s) > s.cases:
        for name in found.constant:
            yield Finding("warning", "values", f"{name} does not change in time; its scale is 1")
