"""The times of an archive, for messages: which time a snapshot has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from romae.archive.template_zarr import read_template
from romae.errors import RomaeError

if TYPE_CHECKING:
    from romae.archive.reading import Archive


def case_times(archive: Archive, case: int) -> np.ndarray | None:
    """Times (T,) of one case; None where there are none, or they cannot be read."""
    key = (archive.path, archive.store.identity, case)
    if key not in _found:
        if len(_found) > 64:
            _found.clear()
        try:
            _found[key] = _times(archive, case)
        except (RomaeError, OSError, ValueError, KeyError):  # a message is about another fault
            _found[key] = None
    return _found[key]


_found: dict[tuple[object, ...], np.ndarray | None] = {}


def _times(archive: Archive, case: int) -> np.ndarray | None:
    facts = archive.facts
    groups = facts["groups"]
    group = groups[case] if len(groups) > 1 else groups[0]
    dataset = read_template(
        archive.labels(), group, facts["encodings"], {"decode_timedelta": False}
    )
    name = facts["time_name"]
    if name not in dataset.variables:
        return None
    times = dataset[name]
    if facts["case_dim"] in times.dims:
        times = times.isel({facts["case_dim"]: case})
    return np.atleast_1d(times.values)
