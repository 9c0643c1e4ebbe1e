"""The bound: what a user asks for, as an absolute number per field.

    abs     |x' - x| <= e                              in the field's own unit
    rel     |x' - x| <= e (max x - min x)              extremes over all times, cases and points
    nrmse   rms(x' - x) <= e (max x - min x)           in every chunk, so over all of them

Non-finite values take no part in the extremes and come back exactly. Rounding to a lattice of
half-width eps spreads errors evenly over [-eps, eps], whose rms is eps / sqrt(3). So ``nrmse``
starts from eps = sqrt(3) e (max - min), and a chunk whose rms turns out larger is coded again with
a smaller eps (:func:`romae.archive.write.encode`). A field whose numbers lie further apart than
its bound (1e-9 on float32 temperatures near 300) is stored exactly, and the report says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import numpy as np

from romae.errors import OptionError, nearest
from romae.fields.blocks import read_ahead
from romae.fields.snapshots import Snapshots
from romae.progress import track

Kind = Literal["abs", "rel", "nrmse"]
Given = float | Mapping[str, float] | None
KINDS = ("abs", "rel", "nrmse")
SPREAD = math.sqrt(3.0)  # half-width over rms of an even distribution
WHOLE = 2.0**53  # integers up to here are floats


@dataclass(frozen=True)
class Bound:
    """``values``: one number per field, in the order of the fields."""

    kind: Kind
    values: tuple[float, ...]

    def eps(self, ranges: Ranges) -> np.ndarray:
        """Largest pointwise error to aim at, (C,) float64; 0 where stored exactly."""
        eps = self.targets(ranges) * (SPREAD if self.kind == "nrmse" else 1.0)
        return np.where(eps < ranges.resolution, 0.0, eps)

    def targets(self, ranges: Ranges) -> np.ndarray:
        """The bound in the unit of each field, (C,) float64: of the largest error or the rms."""
        values = np.array(self.values)
        if self.kind == "abs":
            return values
        # Separately, for the difference of the extremes of float64 may overflow.
        return values * ranges.high - values * ranges.low


def read_bound(names: Sequence[str], *, abs: Given, rel: Given, nrmse: Given) -> Bound:
    """The bound that exactly one of ``abs``, ``rel`` and ``nrmse`` gives, for the fields ``names``.

    Raises :class:`OptionError` for none or several of them, for a number that is not finite and
    above 0, for a share of the range that is not below 1, and for a mapping that lacks a field or
    names an unknown one.
    """
    given = {k: v for k, v in zip(KINDS, (abs, rel, nrmse), strict=True) if v is not None}
    if len(given) != 1:
        seen = ", ".join(f"{k}={v!r}" for k, v in given.items()) or "none"
        raise OptionError(
            f"one bound is needed, {seen} given. Expected exactly one of abs= (in the field's "
            "unit), rel= (share of each field's range) and nrmse= (rms error over range); type "
            "rel=1e-3, for example"
        )
    kind, value = next(iter(given.items()))
    if isinstance(value, Mapping):
        for name in value:
            if name not in names:
                raise OptionError(f"{kind}=: {name!r} is no field here. {nearest(name, names)}")
        for name in names:
            if name not in value:
                raise OptionError(
                    f"{kind}= gives no bound for {name!r}, only for {', '.join(value)}. Expected "
                    f"one for every field; add {name!r}, or leave it out with "
                    f"variables={[n for n in names if n in value]!r}"
                )
        numbers = [_number(value[n], kind, n) for n in names]
    else:
        numbers = [_number(value, kind)] * len(names)
    return Bound(cast(Kind, kind), tuple(numbers))


def _number(value: object, kind: str, name: str = "") -> float:
    try:
        number = float(value) if not isinstance(value, bool | str) else math.nan  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    of = f" for {name!r}" if name else ""
    if not (math.isfinite(number) and number > 0):
        raise OptionError(
            f"{kind}={value!r}{of} is no bound. Expected a finite number above 0, for example "
            f"{kind}=1e-3; a bound smaller than the rounding of the data stores them exactly"
        )
    if kind != "abs" and number >= 1:
        raise OptionError(
            f"{kind}={value!r}{of} allows errors as large as the whole range of a field: one "
            "number would do for all of it. Expected a share of the range, below 1: for a "
            f"thousandth type {kind}=1e-3; for a bound in the field's own unit, "
            f"abs={value!r}"
        )
    return number


@dataclass(frozen=True)
class Ranges:
    """Per field (C,): extremes and count of the finite values; ``resolution``: see below."""

    low: np.ndarray
    high: np.ndarray
    special: np.ndarray
    resolution: np.ndarray


def measure_ranges(snapshots: Snapshots, dtypes: Sequence[np.dtype]) -> Ranges:
    """Extremes of the finite values of each field, in one pass by blocks.

    ``resolution``: a bound below it cannot be used, for the field's numbers near its largest one
    are further apart than that: half a unit in the last place of max |x|, 1 for integers.
    """
    C = snapshots.layout.channels
    low, high, special = np.full(C, np.inf), np.full(C, -np.inf), np.zeros(C, np.int64)

    def take(case: int, start: int, stop: int) -> np.ndarray:
        return read_values(snapshots, start, stop, case)

    with track(snapshots.nbytes / 1e6, "reading ranges, MB") as task:
        for block in read_ahead(partial(take, *r) for r in snapshots.block_ranges()):
            for c in range(C):
                a, b, bad = extremes(block[:, c])
                low[c], high[c] = min(low[c], a), max(high[c], b)
                special[c] += bad
            task.advance(block.nbytes / 1e6)
            del block
    empty = ~np.isfinite(high)
    low, high = np.where(empty, 0.0, low), np.where(empty, 0.0, high)
    largest = np.maximum(np.abs(low), np.abs(high))
    return Ranges(low, high, special, np.array(list(map(resolution, dtypes, largest))))


def resolution(dtype: np.dtype, largest: float) -> float:
    """The smallest error bound that numbers of ``dtype`` up to ``largest`` can make use of."""
    if dtype.kind in "iu":
        return 1.0
    with np.errstate(over="ignore"):
        return float(np.spacing(np.asarray(largest, dtype))) / 2


def extremes(x: np.ndarray) -> tuple[float, float, int]:
    """Lowest and highest finite value of ``x`` and the number of others; inf, -inf for none.

    >>> extremes(np.array([2.0, np.nan, -1.0]))
    (-1.0, 2.0, 1)
    """
    a, b = float(x.min()), float(x.max())
    if math.isfinite(a) and math.isfinite(b):  # no NaN either: it would be both
        return a, b, 0
    finite = x[np.isfinite(x)]
    if not finite.size:
        return math.inf, -math.inf, x.size
    return float(finite.min()), float(finite.max()), x.size - finite.size


def read_values(snapshots: Snapshots, start: int, stop: int, case: int) -> np.ndarray:
    """(n, C, *space) as the source holds them: NaN that come and go, but a mask that was given."""
    read = snapshots.read if snapshots.masked_by_user else snapshots.read_raw
    return read(start, stop, case)


def read_fields(
    snapshots: Snapshots, start: int, stop: int, case: int, about: Iterable[Mapping[str, Any]]
) -> list[np.ndarray]:
    """One array (n, *space) per field; ``about``: what plan or manifest record of each.

    :func:`read_values` gives float64, exact for integers up to 2^53. Fields of larger ones are
    read once more in their own type, by xarray.
    """
    values = read_values(snapshots, start, stop, case)
    found = [values[:, c] for c in range(values.shape[1])]
    for c, v in enumerate(about):
        if np.dtype(v["dtype"]).kind in "iu" and max(map(abs, v["range"])) >= WHOLE:
            found[c] = snapshots.trajectories[case].read_own(start, stop, c, snapshots.layout)
    return found


def stored_dtypes(snapshots: Snapshots) -> tuple[np.dtype, ...]:
    """Type of each field in the archive: the source's; masked integers become floats."""
    found = []
    for f in snapshots.layout.fields:
        dtype = np.dtype(f.dtype)
        if snapshots.masked_by_user and snapshots.layout.mask is not None and dtype.kind in "iu":
            dtype = np.dtype("f4" if dtype.itemsize <= 2 else "f8")
        found.append(dtype)
    return tuple(found)
