"""What has to be agreed before the first chunk is coded: plan.json in ``x.romae.partial``.

A plan follows from the data and the arguments alone,

    plan = bound in absolute eps per field, chunk length, methods with their side files, template,

and every process that works on the archive reads the same one. ``request`` says what was asked
for; an unfinished archive with another request is not continued.

    x.romae.partial/plan.json     never changed
                    side/         all candidates, never changed
                    temporary/    files that are being written
                    archive/      what will be x.romae: whole files only, each of the same bytes
                                  whoever writes it, and none is ever removed
                    old/          what stood at x.romae, while it is replaced

Whoever comes first fills such a folder beside and renames it to ``x.romae.partial``: of several,
one succeeds and the others take that one. Any process may put any file into ``archive``. With all
of them there, any process renames ``archive`` to ``x.romae`` and removes the rest. A rename
succeeds for one process only, so whoever finds files of the unfinished archive gone knows that it
is finished, and stops. Without ``archive`` in it, ``x.romae.partial`` is rubbish of a process that
was killed in its last moment.

A chunk holds K snapshots of one case. It is decoded as a whole, so K is what one snapshot costs to
read; it is also what a process holds in memory, several times over. Small snapshots (a line of 512
points) share larger chunks: a key frame costs as much as many predicted ones.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from romae.archive import choose
from romae.archive.bound import Bound
from romae.archive.method import Method
from romae.archive.store import (
    ARCHIVE,
    OLD,
    PLAN,
    SIDE,
    TEMPORARY,
    TOOLS,
    put_file,
    sha256,
)
from romae.errors import ArchiveError, PathExistsError
from romae.fields.snapshots import Snapshots
from romae.files import _fsync_tree, _remove, _sibling, _sweep

KEY_FRAMES = 64  # snapshots of a chunk: more where they are small, fewer where they are large
KEY_BYTES = 2**20  # 50 ms of the slowest decoder
CHUNK_BYTES = 64 * 2**20  # what a process holds, several times over
TAKEN = (errno.EEXIST, errno.ENOTEMPTY)
Item = tuple[int, int]  # case, position of the chunk in it


@dataclass(frozen=True)
class Plan:
    """``folder``: where the unfinished archive lies; ``document``: plan.json."""

    folder: Path
    document: dict[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest says and no chunk is needed for."""
        return self.document["facts"]

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return self.document["request"]

    @cached_property
    def items(self) -> list[Item]:
        """All chunks, in order."""
        return list(chunk_items(self.facts["lengths"], self.facts["chunk"]))

    @cached_property
    def methods(self) -> list[Method]:
        """Candidates of every chunk."""
        methods = [choose.load_method(n, self.side(n)) for n in self.document["methods"]]
        for method in methods:
            method.settle(str(self.folder.parent))
            if method.name in self.document["tools"]:
                method.take_tools((self.folder / SIDE / f"{method.name}{TOOLS}").read_bytes())
        return methods

    @cached_property
    def candidates(self) -> list[Method]:
        """The same, and how few bytes each may need."""
        floors = self.document.get("floors", {})
        for method in self.methods:
            method.floor = floors.get(method.name, 0.0)
        return self.methods

    def side(self, method: str) -> bytes:
        """Side information of a candidate. Raises :class:`FileNotFoundError` when finished."""
        if method not in self.document["sides"]:
            return b""
        return (self.folder / SIDE / f"{method}.bin").read_bytes()

    @cached_property
    def dtypes(self) -> list[np.dtype]:
        """Stored type of each field."""
        return [np.dtype(v["dtype"]) for v in self.facts["variables"].values()]

    @cached_property
    def eps(self) -> np.ndarray:
        """Pointwise bound of each field, (C,); 0 is exact."""
        return np.array([v["eps"] for v in self.facts["variables"].values()])

    def path(self, name: str) -> Path:
        """Of a file of the archive."""
        return self.folder / ARCHIVE / name

    def put(self, name: str, data: bytes) -> None:
        """Write a file of the archive, whole or not at all."""
        put_file(self.path(name), data, self.folder / TEMPORARY)


def chunk_items(lengths: list[int], chunk: int) -> Iterator[Item]:
    """(case, position) of every chunk of cases of ``lengths`` snapshots."""
    for case, n in enumerate(lengths):
        yield from ((case, i) for i in range(-(-n // chunk)))


def chunk_range(item: Item, lengths: list[int], chunk: int) -> tuple[int, int]:
    """Snapshots start to stop of a chunk within its case."""
    return item[1] * chunk, min(lengths[item[0]], (item[1] + 1) * chunk)


def chunk_length(snapshots: Snapshots, given: int | None) -> int:
    """Snapshots per chunk: as given, else :data:`KEY_FRAMES`, or those of ``KEY_BYTES`` if more.

    Never more than ``CHUNK_BYTES``, nor than the longest case has.
    """
    if given is None:
        each = max(1, snapshots.layout.size * snapshots.dtype.itemsize)
        given = max(1, min(max(KEY_FRAMES, KEY_BYTES // each), CHUNK_BYTES // each))
    return min(given, max(snapshots.lengths))


def make_request(snapshots: Snapshots, bound: Bound, chunk: int, model: Any) -> dict[str, Any]:
    """What makes two plans the same."""
    return {
        "fields": list(snapshots.layout.names),
        "lengths": list(snapshots.lengths),
        "fingerprint": snapshots.fingerprint,
        bound.kind: list(bound.values),
        "chunk": chunk,
        "model": choose.describe_model(model),
    }


def find_plan(folder: Path, request: dict[str, Any], target: Path) -> Plan | None:
    """The plan that waits in ``folder``; None without one.

    Raises :class:`PathExistsError` when it is of another request.
    """
    try:
        document = json.loads((folder / PLAN).read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ArchiveError(
            f"{folder / PLAN} is damaged ({error}). Remove {str(folder)!r} and start again"
        ) from error
    differs = [k for k in request if document["request"].get(k) != request[k]]
    if differs:
        key = differs[0]
        raise PathExistsError(
            f"{folder} is an archive that was begun and not finished, of other "
            f"{'data' if key in ('fingerprint', 'lengths', 'fields') else 'settings'}: {key} is "
            f"{document['request'].get(key)!r} there and {request[key]!r} here. Give the same "
            f"arguments to go on with it, or remove it: rm -r {str(folder)!r}; overwrite=True "
            f"removes it and replaces {target.name}{_old(folder, target)}"
        )
    return Plan(folder, document)


def _old(folder: Path, target: Path) -> str:
    old = folder / OLD
    return (
        f". {str(old)!r} is what was to be replaced" if old.exists() and not target.exists() else ""
    )


def place_plan(
    target: Path, request: dict[str, Any], fill: Callable[[Path], dict[str, Any]]
) -> Plan | None:
    """Let ``fill`` make a plan in a new folder, and give that the name ``x.romae.partial``."""
    folder = partial_folder(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    temporary = _sibling(folder, "partial")
    try:
        for name in (ARCHIVE, SIDE, TEMPORARY):
            (temporary / name).mkdir(parents=True)
        document = fill(temporary)
        put_file(temporary / PLAN, json.dumps(document).encode())
        _fsync_tree(temporary)
        try:
            os.rename(temporary, folder)
        except OSError as error:
            if error.errno not in TAKEN:  # else somebody was faster
                raise
    finally:
        _remove(temporary)
    return find_plan(folder, request, target)


def partial_folder(target: Path) -> Path:
    """Where the archive ``target`` stands while it is written."""
    return target.with_name(f"{target.name}.partial")


def remove_partial(folder: Path) -> None:
    """Forget an unfinished archive; renamed first, so that nobody continues half of it."""
    away = _sibling(folder, "partial")  # swept by others, should this process be killed now
    with suppress(FileNotFoundError):
        os.rename(folder, away)
        shutil.rmtree(away, ignore_errors=True)


def clear_published(folder: Path) -> dict[str, Any] | None:
    """Remove what a process left that was killed after the last rename; what it was asked for."""
    try:
        document = json.loads((folder / PLAN).read_bytes())
    except (OSError, ValueError):
        return None
    if (folder / ARCHIVE).exists():
        return None
    remove_partial(folder)
    request: dict[str, Any] = document["request"]
    return request


def digest(request: dict[str, Any]) -> str:
    """By which the manifest says what was asked for."""
    return sha256(json.dumps(request, sort_keys=True).encode())
