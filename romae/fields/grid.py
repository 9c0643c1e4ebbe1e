"""Which chunks a slice touches, and where what is wanted of each goes.

For each axis with positions r (first, first + step, ...) and chunks of q:

    chunk i   holds   i·q .. (i + 1)·q - 1,     so   i = r[0] // q .. r[-1] // q

and the chunks of the slice are the product over the axes.

The values go to an array with one axis per slice, or to a list of such arrays along the first
of these axes, None where nothing is wanted: that is how shuffled rows are read to their places.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from romae.fields.chunks import Table

Target = np.ndarray | Sequence[np.ndarray | None]


class Job(NamedTuple):
    """One chunk: its number, first position, what is wanted of it and where that goes.

    ``span``: the part of the target along its first axis.
    """

    number: int
    corner: tuple[int, ...]
    wanted: tuple[slice, ...]
    out: Target
    span: slice


def jobs(table: Table, key: Sequence[int | slice], out: Target) -> Iterator[Job]:
    """One job per chunk of ``table`` that ``key`` touches, in C order, without unwanted ones."""
    whole = [slice(k, k + 1) if isinstance(k, int) else k for k in key]
    axes = [range(*k.indices(n)) for k, n in zip(whole, table.shape, strict=True)]
    q = list(table.chunk)
    if table.start is not None:  # a stride over rows reads only the rows it wants
        for axis, r in enumerate(axes):
            if r.step > 1:
                q[: axis + 1] = [1] * (axis + 1)
    grid = [-(-n // m) for n, m in zip(table.shape, q, strict=True)]
    cuts = [list(_cut(r, m)) for r, m in zip(axes, q, strict=True)]
    # A list has no axes of length one in front, an array gets them back.
    ints = [isinstance(k, int) for k in key]
    first = ints.index(False) if False in ints else 0
    spread = tuple(None if i else slice(None) for i in ints)
    full = out[spread] if isinstance(out, np.ndarray) else None
    within = spread[first + 1 :]
    for parts in itertools.product(*cuts):
        number = 0
        for n, part in zip(grid, parts, strict=True):
            number = number * n + part[0]
        span = parts[first][3]
        target: Target
        if full is not None:
            target = full[tuple([p[3] for p in parts])]
        else:
            inner = tuple([p[3] for p in parts[first + 1 :]])
            rows = [None if r is None else r[within][inner] for r in out[span]]
            if all(r is None for r in rows):
                continue
            target = rows
        corner, wanted = tuple([p[1] for p in parts]), tuple([p[2] for p in parts])
        yield Job(number, corner, wanted, target, span)


def _cut(r: range, q: int) -> Iterator[tuple[int, int, slice, slice]]:
    """(chunk, its first position, part of it, part of the result) for positions ``r``."""
    done = 0
    while done < len(r):
        number = r[done] // q
        count = min(len(r) - done, -(-((number + 1) * q - r[done]) // r.step))
        first = r[done] - number * q
        last = first + (count - 1) * r.step + 1
        yield number, number * q, slice(first, last, r.step), slice(done, done + count)
        done += count


def is_run(wanted: Sequence[slice], extent: Sequence[int]) -> bool:
    """Whether the wanted elements follow each other without a gap."""
    inner = True  # all axes behind are taken whole
    for s, n in zip(reversed(wanted), reversed(extent), strict=True):
        if s.stop - s.start > 1 and (s.step != 1 or not inner):
            return False
        inner = inner and s.start == 0 and s.stop == n and (s.step == 1 or n == 1)
    return True


def runs_of(out: Target, most: int) -> list[np.ndarray] | None:
    """``out`` as contiguous arrays in C order; None if that takes more than ``most``."""
    if isinstance(out, np.ndarray) and out.flags.c_contiguous:
        return [out]
    if len(out) > most or (isinstance(out, np.ndarray) and out.ndim <= 1):
        return None
    if all(row is not None and row.flags.c_contiguous for row in out):
        return list(out)
    runs: list[np.ndarray] = []
    for part in out:
        more = None if part is None else runs_of(part, most - len(runs))
        if more is None:
            return None
        runs.extend(more)
    return runs


def put(out: Target, values: np.ndarray) -> None:
    """``values`` to where they are wanted."""
    if isinstance(out, np.ndarray):
        out[...] = values
        return
    for i, row in enumerate(out):
        if row is not None:  # in front of the rows' axis there may be ones of length 1
            row[...] = values[(0,) * (values.ndim - 1 - row.ndim)][i]


def wanted(out: Target) -> tuple[int, int]:
    """First and last position, exclusive, along the first axis at which something is wanted."""
    if isinstance(out, np.ndarray):
        return 0, len(out)
    found = [i for i, row in enumerate(out) if row is not None]
    return (found[0], found[-1] + 1) if found else (0, 0)


def dtype_of(out: Target) -> np.dtype | None:
    """The type of the values; None where none are wanted."""
    if isinstance(out, np.ndarray):
        return out.dtype
    return next((row.dtype for row in out if row is not None), None)
