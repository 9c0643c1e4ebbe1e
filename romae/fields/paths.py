"""From what a user names to the files that are opened together.

A source is a path, a glob, a folder or a list of them. Files that hold one snapshot each (VTK) are
one lazy series; all others are opened one by one and joined later.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from romae.errors import MissingFileError, OptionError, UnreadableFileError, nearest
from romae.fields.kinds import Opening, find_kind, open_path
from romae.fields.labelled import SCHEMES, is_zarr
from romae.fields.openfoam import is_case
from romae.files import is_archive


def expand(source: str | os.PathLike[str] | Sequence[Any]) -> list[str]:
    """Paths that ``source`` names: a path, a glob, or a list of them; each must exist."""
    if not isinstance(source, str | os.PathLike | Sequence):
        raise OptionError(
            f"a {type(source).__name__} among the sources. Expected only paths, or only Datasets"
        )
    if not isinstance(source, str | os.PathLike):
        return [path for item in source for path in expand(item)]
    text = os.path.expanduser(os.fspath(source))
    if os.path.isdir(text) and not (is_zarr(text) or is_case(text) or is_archive(text)):
        return _inside(text)
    if SCHEMES.match(text) or os.path.exists(text):
        return [text]
    if glob.has_magic(text):
        found = sorted(glob.glob(text, recursive=True), key=natural_key)
        if found:
            return found
        raise MissingFileError(
            f"no file matches {text!r} in {os.getcwd()}. Expected at least one; look at "
            f"`ls {os.path.dirname(text) or '.'}` and quote the pattern in a shell"
        )
    folder = os.path.dirname(text) or "."
    beside = os.listdir(folder) if os.path.isdir(folder) else []
    hint = nearest(os.path.basename(text), sorted(beside)[:50]) if beside else ""
    where = "" if os.path.isabs(text) else f" in {os.getcwd()}"
    raise MissingFileError(f"no file {text!r}{where}. Expected a file, glob or Zarr store. {hint}")


def _inside(folder: str) -> list[str]:
    """The data files in a folder, all of one kind, in natural order."""
    inside = [os.path.join(folder, n) for n in sorted(os.listdir(folder), key=natural_key)]
    kinds: dict[str, list[str]] = {}
    for path in inside:
        if kind := find_kind(path):
            kinds.setdefault(kind.name, []).append(path)
    if not kinds:
        raise UnreadableFileError(
            f"{folder} is a folder without a Zarr store or an OpenFOAM case, and none of its "
            f"{len(inside)} files holds data. For a folder of files give the folder itself or a "
            f"glob, for example {str(Path(folder) / '*.nc')!r}"
        )
    if len(kinds) > 1:
        seen = ", ".join(f"{len(p)} {n} ({os.path.basename(p[0])})" for n, p in kinds.items())
        raise UnreadableFileError(
            f"{folder} holds files of several kinds: {seen}. Expected one; choose by a glob, for "
            f"example {str(Path(folder) / ('*' + Path(next(iter(kinds.values()))[0]).suffix))!r}"
        )
    return next(iter(kinds.values()))


def grouped(paths: Sequence[str], *, apart: bool) -> list[list[str]]:
    """Paths that make one Dataset together: files that hold one snapshot each, unless ``apart``."""
    kind = None if apart or SCHEMES.match(paths[0]) else find_kind(paths[0])
    if kind is None or kind.open_series is None or len(paths) == 1:
        return [[p] for p in paths]
    for path in paths:
        if find_kind(path) != kind:
            raise UnreadableFileError(
                f"{path} is no {kind.name} file as {os.path.basename(paths[0])} is. Expected one "
                "kind of file in a series; choose by a glob"
            )
    return [list(paths)]


def open_series(paths: Sequence[str], opening: Opening) -> xr.Dataset:
    """The Dataset of a group made by :func:`grouped`."""
    kind = find_kind(paths[0]) if len(paths) > 1 else None
    if kind is None or kind.open_series is None:
        return open_path(paths[0], opening)
    return kind.open_series(paths)


def natural_key(path: str) -> list[Any]:
    """Sort key that puts run_9 before run_10."""
    return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", path)]
