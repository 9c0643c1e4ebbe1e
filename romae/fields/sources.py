"""From what a user gives to labelled lazy Datasets: in memory already, or opened from paths."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

import xarray as xr

from romae.errors import OptionError
from romae.fields.kinds import Opening
from romae.fields.labelled import open_archived_cases
from romae.fields.paths import expand, grouped, open_series
from romae.files import is_archive


def load_sources(
    source: Any, opening: Opening, apart: bool, on_error: contextlib.ExitStack
) -> tuple[list[tuple[str, xr.Dataset]], str, bool]:
    """Labelled lazy Datasets, one line that says where they come from, whether each is a case.

    ``apart``: each file is one; so is each part of an archive whose cases have times of their own.
    """
    if isinstance(source, xr.Dataset | xr.DataArray):
        return [("dataset", _as_dataset(source))], "in-memory dataset", apart
    if not isinstance(source, str | os.PathLike | Sequence):
        raise OptionError(
            f"cannot open {type(source).__name__} as snapshots. Expected a path, a glob, a list of "
            "paths, an xarray Dataset or DataArray; wrap an array first, for example "
            "xr.DataArray(x, dims=('time', 'y', 'x'), name='u')"
        )
    if isinstance(source, Sequence) and not isinstance(source, str):
        if not source:
            raise OptionError("an empty list names no snapshots. Expected at least one path")
        if all(isinstance(s, xr.Dataset | xr.DataArray) for s in source):
            labelled = [(f"dataset {i}", _as_dataset(s)) for i, s in enumerate(source)]
            return labelled, f"{len(source)} in-memory datasets", apart
    paths = expand(source)
    labels = [os.path.basename(p.rstrip("/")) or p for p in paths]
    if len(set(labels)) < len(labels):
        labels = paths
    text = str(source) if isinstance(source, str | os.PathLike) else labels[0]
    if len(paths) > 1:
        text = f"{os.path.basename(text) or text} ({len(paths)} files)"
        if not isinstance(source, str | os.PathLike):
            text = f"{labels[0]} to {labels[-1]} ({len(paths)} files)"
    if len(paths) == 1 and is_archive(paths[0]) and (each := open_archived_cases(paths[0])):
        return [(f"case {i} of {labels[0]}", case) for i, case in enumerate(each)], text, True
    found = []
    for group in grouped(paths, apart=apart):
        label = labels[paths.index(group[0])] if len(group) == 1 else text
        found.append((label, open_series(group, opening)))
        on_error.callback(found[-1][1].close)
    return found, text, apart


def _as_dataset(source: xr.Dataset | xr.DataArray) -> xr.Dataset:
    if isinstance(source, xr.DataArray):
        return source.to_dataset(name=source.name if source.name is not None else "field")
    return source
