"""append: a finished archive grows with its source, by the plan that it was made by.

    T -> T' snapshots:    chunks that were whole are kept as files (hard links),
                          the last one, if it was not, is coded anew from the source,
                          eps, K and what was learned stay; errors and extremes are of all T'

The source is given whole, old snapshots and new: the last chunk is coded from it, for coding it
from decoded values would add the error of before to the error of now. That it is the source of
before and more is seen by the fingerprint of its first T snapshots. A bound relative to the range
keeps the eps of the first run, though the range may have grown.

The longer archive is made in ``x.romae.partial`` as any other (:mod:`romae.archive.plan`) and then
takes the place of the old one, which can be read until then.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from romae.archive.bound import KINDS, Given, measure_ranges, stored_dtypes
from romae.archive.choose import classes
from romae.archive.labels import write_labels
from romae.archive.plan import (
    Plan,
    chunk_range,
    digest,
    partial_folder,
    place_plan,
)
from romae.archive.preparing import told_of, write_arrays
from romae.archive.reading import Archive
from romae.archive.store import ARCHIVE, PLAN, SIDE, VERSION, put_file
from romae.archive.template import make_template
from romae.errors import DataError, OptionError
from romae.fields.snapshots import Snapshots

MEASURED = ("format", "methods", "files", "chunks", "bytes", "ratio", "parent", "ratio_with_parent")
ERRORS = ("max_error", "rms_error", "stored_exactly")


def append_request(
    snapshots: Snapshots, target: Path, given: dict[str, Given], chunk: int | None
) -> tuple[dict[str, Any], Archive | None] | None:
    """What makes two plans of appending the same, and the archive that grows.

    None without an archive at ``target``. Without one there and with an unfinished one that would
    replace it, the request of that. Raises :class:`OptionError` for settings that are not the
    archive's, and :class:`DataError` for data that do not begin with the archive's.
    """
    if not target.exists():
        try:
            waiting = json.loads((partial_folder(target) / PLAN).read_bytes())["request"]
        except FileNotFoundError:
            return None
        if "append" not in waiting:
            return None
        now = {"lengths": list(snapshots.lengths), "fingerprint": snapshots.fingerprint}
        return {**waiting, **now}, None
    old = Archive(target)
    if old.store.packed:
        raise OptionError(
            f"{target} is one packed file. Expected an archive folder; type: unzip {target} -d "
            "NAME.romae"
        )
    facts = old.facts
    _check_given(facts, given, chunk)
    if not _same(snapshots, facts):
        _check_longer(snapshots, old)
    bounds = [v["bound"] for v in facts["variables"].values()]
    request = {
        "fields": list(snapshots.layout.names),
        "lengths": list(snapshots.lengths),
        "fingerprint": snapshots.fingerprint,
        facts["bound"]: bounds,
        "chunk": facts["chunk"],
        "model": facts["model"],
        "append": facts["source"]["fingerprint"],
    }
    return request, old


def nothing_new(snapshots: Snapshots, old: Archive | None) -> bool:
    """Whether all of the source is in the archive."""
    return old is not None and _same(snapshots, old.facts)


def make_append(
    snapshots: Snapshots, old: Archive | None, request: dict[str, Any], target: Path
) -> Plan | None:
    """The plan of the longer archive, with the old whole chunks in it; None if others finished."""
    if old is None:
        return None
    return place_plan(target, request, lambda folder: _fill(folder, snapshots, old, request))


def _same(snapshots: Snapshots, facts: dict[str, Any]) -> bool:
    lengths = list(snapshots.lengths) == facts["lengths"]
    return lengths and snapshots.fingerprint == facts["source"]["fingerprint"]


def _check_given(facts: dict[str, Any], given: dict[str, Given], chunk: int | None) -> None:
    recorded = {n: v["bound"] for n, v in facts["variables"].items()}
    for kind in KINDS:
        value = given[kind]
        if value is None:
            continue
        numbers = value if isinstance(value, dict) else dict.fromkeys(recorded, value)
        if kind != facts["bound"] or numbers != recorded:
            raise OptionError(
                f"{kind}={value!r}: the archive was made with {facts['bound']} "
                f"{_bounds(recorded)}, which new snapshots keep. Leave the bound out, or compress "
                "to another path"
            )
    if chunk is not None and chunk != facts["chunk"]:
        raise OptionError(
            f"chunk={chunk}: the archive has {facts['chunk']} snapshots in a chunk. Leave it out"
        )


def _bounds(recorded: dict[str, float]) -> str:
    one = set(recorded.values())
    return (
        ", ".join(f"{v:g} for {n}" for n, v in recorded.items())
        if len(one) > 1
        else f"{one.pop():g}"
    )


def _check_longer(snapshots: Snapshots, old: Archive) -> None:
    """The source begins with what the archive holds."""
    have, lengths = old.lengths, list(snapshots.lengths)
    if list(snapshots.layout.names) != list(old.names):
        raise DataError(
            f"cannot append: the archive has the fields {', '.join(old.names)}, the source "
            f"{', '.join(snapshots.layout.names)}. Open it with variables={list(old.names)!r}"
        )
    if len(lengths) != len(have) or any(b < a for a, b in zip(have, lengths, strict=True)):
        raise DataError(
            f"cannot append: the archive has {have} snapshots and the source {lengths}. Expected "
            "the whole source, those that are in the archive and then the new ones"
        )
    first = snapshots._with([t.cut(slice(0, n)) for t, n in _pairs(snapshots, have)])
    if first.fingerprint != old.facts["source"]["fingerprint"] or tuple(
        d.newbyteorder("=") for d in stored_dtypes(snapshots)
    ) != tuple(d.newbyteorder("=") for d in old.dtypes):
        raise DataError(
            f"cannot append: the first {have} snapshots of the source are not those that "
            f"{old.path} was made from (fields, types, grid, times or values differ). Expected the "
            "same source, grown; compress other data to a path of their own"
        )


def _pairs(snapshots: Snapshots, lengths: list[int]) -> list[tuple[Any, int]]:
    return list(zip(snapshots.trajectories, lengths, strict=True))


def _fill(
    folder: Path, snapshots: Snapshots, old: Archive, request: dict[str, Any]
) -> dict[str, Any]:
    facts, template = old.facts, make_template(snapshots)
    lost = write_labels(template.groups, folder / ARCHIVE)
    write_arrays(folder / ARCHIVE, snapshots, old.chunk)
    _link_chunks(folder / ARCHIVE, snapshots, old)
    sides = [n.removeprefix(f"{SIDE}/") for n in facts["files"] if n.startswith(f"{SIDE}/")]
    for name in sides:
        put_file(folder / SIDE / name, old.checked(f"{SIDE}/{name}"))
    # A network encodes by tools that no finished archive holds: its old chunks stay.
    usable = [n for n in classes() if n in facts["methods"] and n not in ("spline", "network")]
    variables = _variables(snapshots, old)
    values = sum(d.itemsize for d in old.dtypes) * int(np.prod(old.shape))
    grown = {
        "version": VERSION,
        "variables": {n: {**v, "dims": template.dims[n]} for n, v in variables.items()},
        "lengths": list(snapshots.lengths),
        **told_of(template, lost),
        "source": {
            **facts["source"],
            "fingerprint": request["fingerprint"],
            "bytes": values * len(snapshots),
        },
        "request": digest(request),
        "appended": [*facts.get("appended", []), old.lengths],
    }
    kept = {k: v for k, v in facts.items() if k not in MEASURED}
    return {
        "request": request,
        "methods": ["spline", *usable],
        "sides": [n.removesuffix(".bin") for n in sides],
        "tools": [],
        "facts": {**kept, **grown},
    }


def _link_chunks(folder: Path, snapshots: Snapshots, old: Archive) -> None:
    """The chunks that were whole, without copying them where the file system can."""
    lengths = list(snapshots.lengths)
    for item in old.items:
        same = chunk_range(item, lengths, old.chunk) == chunk_range(item, old.lengths, old.chunk)
        if not same:
            continue
        name = old.chunk_file(item)
        try:
            os.link(Path(old.path, name), folder / name)
        except FileNotFoundError:
            raise
        except OSError:  # no links on this file system
            shutil.copyfile(Path(old.path, name), folder / name)


def _variables(snapshots: Snapshots, old: Archive) -> dict[str, dict[str, Any]]:
    """What is recorded of each field but the errors, with the extremes of old and new values."""
    grown = [t.cut(slice(n, None)) for t, n in _pairs(snapshots, old.lengths) if len(t) > n]
    ranges = measure_ranges(snapshots._with(grown), old.dtypes)
    found = {}
    for c, (name, about) in enumerate(old.facts["variables"].items()):
        (low, high), count = about["range"], int(np.prod(old.shape)) * sum(old.lengths)
        ends = [(low, high)] if about["special"] < count else []
        if int(ranges.special[c]) < int(np.prod(old.shape)) * sum(map(len, grown)):
            ends.append((float(ranges.low[c]), float(ranges.high[c])))
        found[name] = {
            **{k: v for k, v in about.items() if k not in ERRORS},
            "range": [min(a for a, _ in ends), max(b for _, b in ends)] if ends else [0.0, 0.0],
            "special": about["special"] + int(ranges.special[c]),
        }
    return found
