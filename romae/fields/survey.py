"""One streaming pass: temporal mean, fluctuation, extremes, and whether the data are sound.

With mean and S of the n snapshots so far, b more are taken in by their differences to that mean
(Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance"):

    d_t  = x_t - mean,    D = Σ_t d_t
    S    ← S + Σ_x w (Σ_t d_t² - D² / (n + b)),      S = Σ_t Σ_x w (x_t - mean)²
    mean ← mean + D / (n + b)

in float64; the first snapshot is the first mean, so that differences are of the size of the
fluctuation, whatever the mean. The fluctuation of field c is std_c = sqrt(S_c / (n Σ_x w)), the
weighted rms about the temporal mean field.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from romae.errors import DataError
from romae.fields.blocks import BLOCK_BYTES, read_ahead
from romae.fields.layout import Layout
from romae.fields.snapshots import Snapshots
from romae.fields.work import Scratch, Task, run_tasks

TILE = 2**17  # numbers taken at a time, so that the arithmetic stays in the cache
STEADY = 1e-12  # of the largest value: fluctuations below it are rounding


@dataclass(frozen=True)
class Survey:
    """What one pass over snapshots found.

    ``mean``: temporal mean field (C, *space) float64, NaN where masked; ``std``: weighted rms of
    the fluctuation about it (C,); ``minimum``, ``maximum``: (C,); ``count``: snapshots;
    ``constant``: names of fields that do not change in time. Physical units.
    """

    mean: np.ndarray
    std: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    count: int
    constant: tuple[str, ...]
    layout: Layout

    @property
    def mask(self) -> np.ndarray | None:
        """Valid points (C, *space), or None when all are."""
        return self.layout.mask


def survey(
    snapshots: Snapshots,
    *,
    nbytes: int = BLOCK_BYTES,
    read: Callable[[int, int, int], np.ndarray] | None = None,
    each: Callable[[int, int, np.ndarray], None] | None = None,
) -> Survey:
    """Read all snapshots once, by blocks of ``nbytes``, and check every value.

    ``read(start, stop, case)`` replaces :meth:`Snapshots.read_raw`, for values that are held;
    ``each(case, start, block)`` is called with every block as read, once it is checked.
    Raises :class:`DataError` for values that are NaN at some times only, for infinite values and
    for a field without any value, naming the variable, the time and the file.
    """
    layout = snapshots.layout
    channels = [_Channel(w, v) for w, v in zip(layout.quadrature, layout.valid, strict=True)]
    count = 0

    reading = read or snapshots.read_raw

    def take(case: int, start: int, stop: int) -> tuple[int, int, np.ndarray]:
        return case, start, reading(start, stop, case)

    ranges = snapshots.block_ranges(nbytes)
    for case, start, block in read_ahead(partial(take, *r) for r in ranges):
        sound = [ch.take(block[:, c], count) for c, ch in enumerate(channels)]
        fixed = layout.mask is not None and not snapshots.masked_by_user
        if fixed or not all(sound):
            check_values(snapshots, case, start, block)
        count += len(block)
        if each is not None:
            each(case, start, block)
        del block  # before the next is asked for
    scatter = np.array([max(ch.scatter, 0.0) for ch in channels])
    low, high = np.array([ch.low for ch in channels]), np.array([ch.high for ch in channels])
    std = np.sqrt(scatter / (count * layout.quadrature.reshape(len(channels), -1).sum(axis=1)))
    steady = std <= np.maximum(STEADY * np.maximum(np.abs(low), np.abs(high)), snapshots.rounding)
    mean = np.stack([ch.mean_field(layout.shape) for ch in channels])
    constant = tuple(n for n, s in zip(layout.names, steady, strict=True) if s)
    return Survey(mean, np.where(steady, 0.0, std), low, high, count, constant, layout)


class _Channel:
    """Running statistics of one field over its valid points, flattened."""

    def __init__(self, weights: np.ndarray, valid: np.ndarray) -> None:
        self.points = None if valid.all() else np.flatnonzero(valid)
        self.weights = weights.reshape(-1) if self.points is None else weights.flat[self.points]
        self.mean = np.zeros(self.weights.size)
        self.scatter, self.low, self.high = 0.0, np.inf, -np.inf

    def take(self, block: np.ndarray, count: int) -> bool:
        """Add ``block`` (b, *space) to ``count`` snapshots; True if valid values are finite."""
        x = block.reshape(len(block), -1)
        starts = range(0, self.mean.size, max(1024, TILE // len(x)))
        found = np.empty((len(starts), 4))  # by tile: the sums do not depend on the threads

        def work(i: int, scratch: Scratch) -> None:
            tile = slice(starts[i], starts[i] + starts.step)
            found[i] = self._tile(x, tile, count, scratch)

        run_tasks([Task(partial(work, i), heavy=True) for i in range(len(starts))], x.nbytes)
        self.low, self.high = min(self.low, found[:, 0].min()), max(self.high, found[:, 1].max())
        self.scatter += float(found[:, 2].sum())
        return bool(found[:, 3].all())

    def _tile(
        self, x: np.ndarray, tile: slice, count: int, scratch: Scratch
    ) -> tuple[float, float, float, bool]:
        """Take in some columns: lowest, highest, what they add to S, and whether all is finite."""
        values = x[:, tile if self.points is None else self.points[tile]]
        d = scratch.take("d", 8 * values.size).view(np.float64).reshape(values.shape)
        np.copyto(d, values)
        low, high = float(d.min()), float(d.max())
        if not count:
            self.mean[tile] = d[0]
        with np.errstate(invalid="ignore", over="ignore"):  # inf - inf: reported by name below
            d -= self.mean[tile]
            total = d.sum(axis=0)
            d *= d
            n = count + len(x)
            scatter = float(self.weights[tile] @ (d.sum(axis=0) - total**2 / n))
            self.mean[tile] += total / n
        return low, high, scatter, bool(np.isfinite(total).all())

    def mean_field(self, shape: tuple[int, ...]) -> np.ndarray:
        """The mean on the grid (*space), NaN where masked."""
        if self.points is None:
            return self.mean.reshape(shape)
        field = np.full(shape, np.nan)
        field.flat[self.points] = self.mean
        return field


def check_values(snapshots: Snapshots, case: int, start: int, block: np.ndarray) -> None:
    """Raise :class:`DataError` unless ``block`` (b, C, *space) is finite exactly where valid.

    ``block`` as :meth:`Snapshots.read_raw` gives it, its first snapshot at position ``start``.
    """
    layout = snapshots.layout
    finite, valid = np.isfinite(block), layout.valid
    if layout.mask is None and finite.all():
        return
    apart = not snapshots.masked_by_user and bool((finite == valid).all())
    if apart and np.isnan(block[:, ~valid]).all():
        return
    bad = valid & ~finite
    if bad.any():
        _raise_bad(snapshots, case, start, block, bad)
    if layout.mask is None or snapshots.masked_by_user:
        return
    appears = ~valid & ~np.isnan(block)
    if appears.any():
        t, c = (int(i) for i in np.argwhere(appears)[0][:2])
        n = int(appears[t, c].sum())
        raise DataError(
            f"{_where(snapshots, case, start + t)}: {layout.names[c]!r} has values at {n} points "
            "that are NaN in the first snapshot. Expected a fixed mask, the same at every time. "
            f"Give one with mask=..., or leave {layout.names[c]!r} out of variables=[...]"
        )


def _raise_bad(
    snapshots: Snapshots, case: int, start: int, block: np.ndarray, bad: np.ndarray
) -> None:
    layout = snapshots.layout
    t, c = (int(i) for i in np.argwhere(bad)[0][:2])
    name, n, total = layout.names[c], int(bad[t, c].sum()), int(layout.valid[c].sum())
    infinite = np.isinf(block[t, c][bad[t, c]]).any()
    what = "infinite" if infinite else "NaN"
    where = _where(snapshots, case, start + t)
    before = _before(snapshots, case, start + t)
    repair = (
        f"Leave these times out, for example {before}"
        if infinite or before
        else f"Give a mask of the valid points with mask=..., or leave {name!r} out"
    )
    raise DataError(
        f"{where}: {name!r} is {what} at {n} of {total} valid points. Expected finite values at "
        "every time outside one fixed mask. "
        f"{repair}, or repair the data, for example ds[{name!r}].interpolate_na('{layout.time}')"
    )


def _before(snapshots: Snapshots, case: int, t: int) -> str:
    """What selects the snapshots before position ``t``, counted as in the file; "" if none is.

    A forecast reads the end of a history: positions there are not those of what was opened.
    """
    trajectory = snapshots.trajectories[case]
    position = trajectory.locate(t)[1]
    if len(trajectory.segments) == 1:
        return f"snapshots.isel(time=slice(0, {position}))" if position else ""
    if t == 0:
        return ""
    name, last = snapshots.layout.time, trajectory.times.values[t - 1]  # of several files: by time
    until = f"{last:g}" if trajectory.times.dtype.kind in "iuf" else repr(str(last))
    return f"ds.sel({name}=slice(None, {until}))"


def _where(snapshots: Snapshots, case: int, t: int) -> str:
    label, position = snapshots.trajectories[case].locate(t)
    time = snapshots.times(case).values[t]
    of_case = f", case {case}" if snapshots.cases > 1 else ""
    return f"{label}, time {time} (index {position}{of_case})"
