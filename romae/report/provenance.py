"""Where a result comes from: versions, commits, machine, time."""

import datetime
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from romae.bundle import versions

LIBRARIES = ("scipy", "h5py", "netCDF4", "zarr", "dask", "matplotlib")


def collect_provenance(
    config: Mapping[str, Any] | None = None, *, seconds: float | None = None, device: str = ""
) -> dict[str, Any]:
    """Facts of this run, as JSON: ``config`` as resolved, wall time in ``seconds``, the rest found.

    Commits are recorded where git and a repository are there, with ``+`` for uncommitted changes.
    """
    found: dict[str, Any] = {"written": _now()}
    if seconds is not None:
        found["wall_time"] = f"{seconds:.1f} s"
    found["versions"] = {**versions(), **_libraries(), "python": platform.python_version()}
    package = Path(__file__).resolve().parents[1]
    if commit := _commit(package, "__init__.py"):
        found["romae_commit"] = commit
    if commit := _commit(Path.cwd()):
        found["working_directory_commit"] = commit
    found["machine"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    if device:
        found["device"] = device
    if config is not None:
        found["config"] = dict(config)
    return found


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat()


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit(folder: Path, tracked: str | None = None) -> str:
    """Commit of the repository around ``folder``, or "" when there is none.

    With ``tracked`` that file must belong to it: a package installed inside somebody's
    repository is not part of it.
    """
    if tracked is not None and not _git(folder, "ls-files", "--error-unmatch", tracked):
        return ""
    commit = _git(folder, "rev-parse", "HEAD")
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no") if commit else ""
    return commit + ("+" if changed else "")


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
