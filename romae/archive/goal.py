"""Is it done already? The archive that a call of compress is to make, whoever makes it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from romae.archive.finish import read_manifest
from romae.archive.plan import digest
from romae.archive.store import MANIFEST

WAIT = 60.0  # seconds until a network file system shows what another machine renamed


@dataclass(frozen=True)
class Goal:
    """The archive to make at ``target``; ``before``: what stood there and is to be replaced."""

    target: Path
    request: dict[str, Any]
    before: tuple[int, int] | None

    def manifest(self) -> dict[str, Any] | None:
        """Of the finished archive, whoever finished it; None before."""
        try:
            if self.before is not None and identity(self.target) == self.before:
                return None
            manifest = read_manifest((self.target / MANIFEST).read_bytes(), str(self.target))
        except FileNotFoundError:
            return None
        return manifest if manifest["request"] == digest(self.request) else None

    def reached_elsewhere(self) -> bool:
        """Whether another process has finished the same, or does so within ``WAIT`` seconds."""
        until = time.monotonic() + WAIT
        while self.manifest() is None:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
        return True


def identity(folder: Path) -> tuple[int, int] | None:
    """By which one archive at a path is told from the next; None without one."""
    try:
        seen = os.stat(folder / MANIFEST)
    except OSError:
        return None
    return seen.st_ino, seen.st_mtime_ns
