"""From all chunks to an archive: the manifest, written last, and one rename.

The manifest says what was achieved: the largest error and the rms of each field, as the chunks' own
heads have it, so it does not matter who coded which chunk. Its ratio is

    (bytes of the fields in the source's types) / (bytes of every file in the archive, itself too).

``romae.json`` is JSON without spaces, its keys in a fixed order, its last key ``sha256`` the
digest of the document without it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from romae.archive.chunk_reading import ChunkFacts
from romae.archive.plan import Item, Plan, remove_partial
from romae.archive.store import (
    ARCHIVE,
    CODED,
    CRC_BYTES,
    MANIFEST,
    OLD,
    SIDE,
    VERSION,
    chunk_name,
    list_files,
    sha256,
)
from romae.archive.write import held
from romae.errors import ArchiveError
from romae.files import _fsync, _fsync_tree

FORMAT = "romae-archive"


def missing_chunks(plan: Plan) -> list[Item]:
    """Chunks whose file is not there."""
    rank = len(plan.facts["space"])
    return [item for item in plan.items if not plan.path(chunk_name(*item, rank)).exists()]


def finish(plan: Plan, target: Path, *, overwrite: bool = False) -> list[Item]:
    """Write the manifest and give the archive its name; damaged chunks, if any, instead.

    Another process may do the same at the same time: the bytes are the same, and one renames.
    """
    summary = Summary(plan.facts)
    damaged = []
    for item in plan.items:
        path = plan.path(chunk_name(*item, len(plan.facts["space"])))
        try:
            data = path.read_bytes()
            summary.add(held(data, item, plan.facts), data)
        except ArchiveError:
            damaged.append(item)
    if damaged:
        return damaged
    for method in summary.methods:  # those that were tried and never the smallest stay behind
        if side := plan.side(method):
            plan.path(SIDE).mkdir(exist_ok=True)
            plan.put(f"{SIDE}/{method}.bin", side)
    plan.put(MANIFEST, make_manifest(plan, summary))
    publish(plan.folder, target, overwrite=overwrite)
    return []


def publish(folder: Path, target: Path, *, overwrite: bool = False) -> None:
    """Rename ``folder/archive`` to ``target``; with ``overwrite``, what is there is replaced.

    POSIX replaces no folder that is not empty, so what is there is put away first, to a place
    where only one can lie: nobody puts away the new archive, believing it the old one.
    """
    _fsync_tree(folder / ARCHIVE)
    if overwrite:
        old = folder / OLD
        with suppress(OSError):  # nothing there, or another process has just done it
            os.rename(target, old)
        if not (old / MANIFEST).exists():  # take the place all the same
            old.mkdir(exist_ok=True)
            (old / "nothing").touch()
    os.rename(folder / ARCHIVE, target)  # refused where somebody else was faster
    _fsync(target.parent)
    remove_partial(folder)


class Summary:
    """Errors, methods and sizes of all chunks, taken in in order."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.names = list(facts["variables"])
        self.worst = dict.fromkeys(self.names, 0.0)
        self.squares: dict[str, list[float]] = {n: [] for n in self.names}
        self.misses = dict.fromkeys(self.names, 0)
        self.methods: Counter[str] = Counter()
        self.bytes = 0
        self.digest = hashlib.sha256()

    def add(self, chunk: ChunkFacts, data: bytes) -> None:
        """Take in a chunk file."""
        for name, f in zip(self.names, chunk.fields, strict=True):
            self.worst[name] = max(self.worst[name], f.max_error)
            self.squares[name].append(f.square_error)
            self.misses[name] += f.misses
        self.methods[chunk.method or "exact"] += 1
        self.bytes += len(data)
        self.digest.update(data[-CRC_BYTES:])

    def errors(self, facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """What is recorded of each field."""
        points = sum(facts["lengths"]) * int(np.prod(facts["shape"]))
        found = {}
        for name in self.names:
            finite = points - facts["variables"][name]["special"]
            rms = math.sqrt(math.fsum(self.squares[name]) / max(1, finite))
            found[name] = {
                "max_error": self.worst[name],
                "rms_error": rms,
                "stored_exactly": self.misses[name],
            }
        return found


def make_manifest(plan: Plan, summary: Summary) -> bytes:
    """The bytes of romae.json."""
    facts, errors = plan.facts, summary.errors(plan.facts)
    files = {
        name: plan.path(name)
        for name in list_files(plan.path(""))
        if name != MANIFEST and not _is_chunk(name)
    }
    side = sum(p.stat().st_size for n, p in files.items() if n.startswith(f"{SIDE}/"))
    rest = sum(p.stat().st_size for p in files.values()) - side
    document = {
        "format": FORMAT,
        **facts,
        "variables": {n: {**v, **errors[n]} for n, v in facts["variables"].items()},
        "methods": dict(sorted(summary.methods.items())),
        "files": {n: sha256(p.read_bytes()) for n, p in files.items()},
        "chunks": summary.digest.hexdigest(),
    }
    if parent := _parent(plan):
        document["parent"] = parent
    source, total = facts["source"]["bytes"], 0
    while True:  # the manifest counts itself
        parts = {"chunks": summary.bytes, "side": side, "other": rest + total}
        parts["total"] = sum(parts.values())
        document["bytes"] = {**parts, "other": rest + total}
        document["ratio"] = round(source / parts["total"], 4)
        if parent:
            whole = parts["total"] + parent["nbytes"]
            document["ratio_with_parent"] = round(source / whole, 4)
        data = seal_manifest(document)
        if len(data) <= total:
            return data + b"\n" * (total - len(data))
        total = len(data)


def _parent(plan: Plan) -> dict[str, Any]:
    """The model that the archive refers to: path, digest and bytes; empty without one."""
    from romae.archive.network import Network

    side = plan.path(f"{SIDE}/{Network.name}.bin")
    return Network.parent(side.read_bytes()) if side.exists() else {}


def seal_manifest(document: dict[str, Any]) -> bytes:
    """JSON of ``document`` with its own digest at the end."""
    body = json.dumps(document, separators=(",", ":"))
    return f'{body[:-1]},"sha256":"{sha256(body.encode())}"}}'.encode()


def read_manifest(data: bytes, where: str) -> dict[str, Any]:
    """The document of romae.json.

    Raises :class:`ArchiveError` when it is damaged, no archive's, or a newer romae's.
    """
    try:
        document = json.loads(data)
        version = int(document["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise ArchiveError(
            f"{where}: the manifest {MANIFEST} is damaged ({error}; {len(data)} bytes). Copy the "
            "file again from where the archive came from"
        ) from error
    if version > VERSION:
        made = document.get("made", {}).get("romae", "a newer one")
        raise ArchiveError(
            f"{where} is an archive of version {version}, written by romae {made}; this romae "
            f"reads up to version {VERSION}. Type `pip install --upgrade romae`"
        )
    document.pop("sha256", "")
    if data.rstrip(b"\n") != seal_manifest(document):
        raise ArchiveError(
            f"{where}: the manifest {MANIFEST} is not what was written (its sha256 differs). Copy "
            "the file again from where the archive came from"
        )
    return document


def _is_chunk(name: str) -> bool:
    return name.startswith(f"{CODED}/") and os.path.basename(name).startswith("c.")
