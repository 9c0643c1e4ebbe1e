"""Unseen snapshots at even steps, for data whose times are not: forecasts have a lead time there.

    x(t_0 + n dt) = (1 - w) x_j + w x_{j+1},    t_j <= t_0 + n dt < t_{j+1}

A straight line between neighbours, within the longest stretch whose intervals are at most three
steps. The truth that forecasts are compared with is then an interpolation: where snapshots lie
sparse its error counts as theirs.
"""

from typing import Any

import numpy as np
import xarray as xr

from romae.compare.ladders import Models, named
from romae.conventions import TIME
from romae.dynamics.ahead import step_of_duration
from romae.dynamics.times import TimeStep, continue_axis, kind_of, seconds_since
from romae.errors import DataError
from romae.fields import Snapshots, open_snapshots

GAP = 3.0  # steps, as romae.resample bridges
MOST = 4 << 30  # bytes in memory


def evenly(snapshots: Snapshots, dt: Any) -> Snapshots:
    """``snapshots`` in steps of ``dt``, a duration or "median"; in memory.

    Themselves, when they have that step already. Raises :class:`DataError` for more than 4 GiB, for
    cases that have times of their own, and when no stretch has two steps.
    """
    name, own = snapshots.layout.time, snapshots.times(0)
    axis = xr.DataArray(own.values, dims=TIME, name=TIME, attrs=dict(own.attrs))
    kind, units = kind_of(axis), str(axis.attrs.get("units", ""))
    t = seconds_since(axis, axis.values[0])
    if t.size < 2:
        raise DataError(f"{snapshots.source} has one snapshot. Expected several to resample.")
    if isinstance(dt, str) and dt == "median":
        size = float(np.median(np.diff(t)))
        step = TimeStep(kind, size if kind == "number" else round(size * 1e9), units)
    else:
        step = step_of_duration(dt, kind, units)
    if np.allclose(np.diff(t), step.length, rtol=1e-3) and snapshots.dt is not None:
        return snapshots
    if any(
        not np.array_equal(snapshots.times(c).values, own.values) for c in range(snapshots.cases)
    ):
        raise DataError(
            f"the cases of {snapshots.source} have uneven times of their own. Expected times that "
            "all share; interpolate each case, for example ds.interp(time=...)."
        )
    a, b = _stretch(t, GAP * step.length)
    steps = int(np.floor((t[b] - t[a]) / step.length * (1 + 1e-12)))
    if steps < 2:
        raise DataError(
            f"{snapshots.source}: no stretch without a gap is two steps of {step} long. Expected a "
            "smaller resample step, or data with shorter gaps."
        )
    needed = 3 * 8 * snapshots.cases * (steps + 1) * snapshots.layout.size
    if needed > MOST:
        raise DataError(
            f"resampling {snapshots.source} takes {needed / 2**30:.1f} GiB. Expected at most "
            f"{MOST >> 30}; interpolate the files themselves, for example ds.interp(time=...)."
        )
    at = np.minimum(t[a] + step.length * np.arange(steps + 1), t[b])
    left = np.clip(np.searchsorted(t, at, side="right") - 1, a, b - 1)
    weight = xr.DataArray((at - t[left]) / (t[left + 1] - t[left]), dims=name)
    data = snapshots.to_dataset()
    fields = list(snapshots.layout.names)
    low, high = (data[fields].isel({name: i}).drop_vars(name) for i in (left, left + 1))
    found = low * (1 - weight) + high * weight
    times = np.concatenate([axis.values[a : a + 1], continue_axis(axis[a : a + 1], step, steps)])
    found = found.transpose(*data[fields].dims).astype(snapshots.dtype)
    for field in fields:
        found[field] = found[field].transpose(*data[field].dims).assign_attrs(data[field].attrs)
    found = found.assign_coords({n: c for n, c in data.coords.items() if name not in c.dims})
    found = found.assign_coords({name: xr.Variable(name, times, own.attrs)})
    opened = open_snapshots(found, variables=fields, time=name, space=list(snapshots.layout.space))
    # names, mask, weights and parameters are those of the data
    return snapshots._with(opened.trajectories)


def step_asked(models: Models, resample: Any) -> Any:
    """``resample``; "median" was that of the training data of the first model, not of others."""
    if not (isinstance(resample, str) and resample == "median"):
        return resample
    dt = getattr(getattr(next(iter(named(models).values())), "dynamics", None), "dt", None)
    return resample if dt is None else dt.duration


def even_test(test: Snapshots, resample: Any) -> Snapshots:
    """``test`` at even times. Raises :class:`DataError` where they are not, and None is said."""
    if resample is not None:
        return evenly(test, resample)
    if max(test.lengths) < 2:
        raise DataError(
            f"{test.source} has {max(test.lengths)} snapshot. Expected a history and what follows "
            "it, two snapshots at least; give longer test data, or split otherwise."
        )
    if test.dt is None:
        raise DataError(
            f"the times of {test.source} are not evenly spaced: a forecast has no lead time there. "
            'Expected even steps; say which, resample="6 h" for example, or interpolate the data '
            "first."
        )
    return test


def _stretch(t: np.ndarray, longest: float) -> tuple[int, int]:
    """First and last index of the longest stretch of times ``t`` without a larger interval."""
    cuts = np.flatnonzero(np.diff(t) > longest * (1 + 1e-9)) + 1
    pieces = list(zip([0, *cuts], [*(cuts - 1), t.size - 1], strict=True))
    return max(pieces, key=lambda piece: t[piece[1]] - t[piece[0]])
