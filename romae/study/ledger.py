"""Which steps are finished, and with what inputs: one small file per step.

``<run>/.steps/<name>.json`` holds the key of the step (see :mod:`romae.study`), when it
ended and how long it took. It is written after the result itself, so that a kill between
the two only repeats the step. One file per step lets the tasks of a batch array run side
by side.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from romae import __version__
from romae.conventions import FORMAT_VERSION
from romae.files import atomic_file
from romae.progress import format_seconds, log


@dataclass(frozen=True)
class Step:
    """A named piece of work. ``output`` is what it leaves, ``key`` the hash of its inputs."""

    name: str
    key: str
    output: Path
    work: Callable[[], None]


def key_of(*inputs: Any) -> str:
    """Hash of settings (JSON) and of keys of earlier steps; another romae gives another."""
    text = json.dumps([__version__, FORMAT_VERSION, *inputs], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


class Ledger:
    """The finished steps of one run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".steps"

    def record(self, name: str) -> dict[str, Any]:
        """What was written when the step was last finished; empty when it never was."""
        try:
            return json.loads(self._path(name).read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def finished(self, step: Step) -> bool:
        """Whether the step was done with these inputs and its result is still there."""
        return self.record(step.name).get("key") == step.key and step.output.exists()

    def perform(self, step: Step) -> bool:
        """Do the step unless it is finished; whether anything was done."""
        if self.finished(step):
            log(f"{step.name}: finished before")
            return False
        log(f"{step.name} ...")
        begin = time.perf_counter()
        step.work()
        seconds = time.perf_counter() - begin
        record = {
            "name": step.name,
            "key": step.key,
            "seconds": round(seconds, 3),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        with atomic_file(self._path(step.name), overwrite=True) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")
        log(f"{step.name}: {format_seconds(seconds)}")
        return True

    def _path(self, name: str) -> Path:
        return self.folder / f"{name.replace('/', '.')}.json"
