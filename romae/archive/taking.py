"""Outer indexing of an archive: which chunks hold the snapshots that are asked for, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from romae.archive.reading import Archive


def take(
    archive: Archive, field: int, cases: Sequence[int], times: Sequence[int], space: tuple[Any, ...]
) -> np.ndarray:
    """Values (cases, times, *space) of one field; ``space``: a slice or positions per axis."""
    index, runs = np.asarray(times), []
    chunks = index // archive.chunk
    edges = np.flatnonzero(np.diff(chunks)) + 1
    for part in np.split(np.arange(index.size), edges) if index.size else []:
        runs.append((int(chunks[part[0]]), part))
    shape = [len(range(*s.indices(n))) if isinstance(s, slice) else len(s)
             for s, n in zip(space, archive.shape, strict=True)]  # fmt: skip
    out = np.empty((len(cases), index.size, *shape), archive.dtypes[field])
    inner = _selector(space, archive.shape)
    for row, case in enumerate(cases):
        for i, part in runs:
            local = index[part] - i * archive.chunk
            item = (int(case), i)
            if np.all(local == local[0]):
                values = archive.frame(item, int(local[0]))[field][np.zeros_like(local)]
            else:
                values = archive.decoded(item)[field][_tight(local)]
            out[row, part[0] : part[-1] + 1] = inner(values)
    return out


def _tight(positions: np.ndarray) -> Any:
    """``positions`` as a slice where they are consecutive: no copy."""
    a, n = int(positions[0]), positions.size
    if np.array_equal(positions, np.arange(a, a + n)):
        return slice(a, a + n)
    return positions


def _selector(space: tuple[Any, ...], shape: tuple[int, ...]) -> Callable[[np.ndarray], np.ndarray]:
    if all(isinstance(s, slice) for s in space):
        return lambda x: x[(slice(None), *space)]
    full = [np.arange(n)[s] for s, n in zip(space, shape, strict=True)]
    return lambda x: x[np.ix_(np.arange(len(x)), *full)]
