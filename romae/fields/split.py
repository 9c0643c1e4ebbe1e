"""Where to cut: contiguous parts whose edges are rounded fractions of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from numbers import Integral
from typing import TYPE_CHECKING

from romae.errors import DataError, OptionError
from romae.fields.segments import Trajectory

if TYPE_CHECKING:
    import pandas as pd


def cut_points(n: int, fractions: Sequence[float], gap: int, what: str) -> list[tuple[int, int]]:
    """(start, stop) of each part of ``n`` things.

    Part i is [round(n Σ_{j<i} f_j) + gap, round(n Σ_{j≤i} f_j)); the first starts at 0.
    Fractions that sum to less than 1 leave out the end.
    """
    if not fractions or any(not 0 < f <= 1 for f in fractions) or sum(fractions) > 1 + 1e-9:
        raise OptionError(
            f"split fractions {', '.join(map(str, fractions)) or '(none)'} sum to "
            f"{sum(fractions):g}. Expected positive numbers of sum at most 1, "
            "for example split(0.7, 0.15, 0.15)"
        )
    if gap < 0:
        raise OptionError(f"split gap {gap}: expected 0 or more {what}")
    edges = [min(n, round(n * f)) for f in accumulate(fractions, initial=0.0)]
    cuts = [(a + (gap if i else 0), b) for i, (a, b) in enumerate(pairwise(edges))]
    for f, (a, b) in zip(fractions, cuts, strict=True):
        if a >= b:
            raise DataError(
                f"splitting {n} {what} by {', '.join(map(str, fractions))} (gap {gap}) leaves the "
                f"part of {f} empty. Expected at least one of {what} in each part; use larger "
                "fractions or more data"
            )
    return cuts


def take_cases(
    trajectories: Sequence[Trajectory],
    params: pd.DataFrame | None,
    case: slice | int | Sequence[int] | None,
) -> tuple[list[Trajectory], pd.DataFrame | None]:
    """The chosen trajectories and their rows of parameters."""
    if case is None:
        return list(trajectories), params
    n = len(trajectories)
    if isinstance(case, slice):
        chosen = list(range(n)[case])
    else:
        chosen = [int(case)] if isinstance(case, Integral) else [int(i) for i in case]  # type: ignore[union-attr]
    for i in chosen:
        if not -n <= i < n:
            raise OptionError(f"case {i} of {n}: expected 0 to {n - 1}")
    rows = None if params is None else params.iloc[chosen]
    return [trajectories[i] for i in chosen], rows
