"""The time axis: strictly increasing, of any type, with a step when the step is even.

    dt = (t_{T-1} - t_0) / (T - 1)      if every t_{i+1} - t_i equals dt to rounding, else None

Datetimes (numpy or cftime) and timedeltas give seconds; numbers give their own unit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from romae.errors import DataError

EVEN = 1e-6  # relative difference of steps that still counts as even


def as_numbers(values: np.ndarray) -> np.ndarray:
    """Times as float64: seconds since the first for datetimes, else the numbers themselves."""
    values = np.asarray(values)
    if values.dtype.kind == "M":
        return (values - values[:1]).astype("timedelta64[ns]").astype(np.float64) * 1e-9
    if values.dtype.kind == "m":
        return values.astype("timedelta64[ns]").astype(np.float64) * 1e-9
    if values.dtype.kind == "O":  # cftime
        return np.array([(v - values[0]).total_seconds() for v in values], dtype=np.float64)
    return values.astype(np.float64)


def even_step(values: np.ndarray) -> float | None:
    """The common step of ``values`` in seconds or their own unit, or None when uneven."""
    if len(values) < 2:
        return None
    t = as_numbers(values)
    dt = float(t[-1] - t[0]) / (len(t) - 1)
    eps = np.finfo(values.dtype).eps if values.dtype.kind == "f" else np.finfo(float).eps
    rounding = 4 * float(eps) * float(np.abs(t).max())
    if np.abs(np.diff(t) - dt).max() > max(EVEN * abs(dt), rounding):
        return None
    return dt


def common_step(axes: Sequence[np.ndarray]) -> float | None:
    """The step that all trajectories share, or None."""
    steps = [even_step(a) for a in axes]
    first = steps[0] if steps else None
    if first is None:
        return None
    same = all(s is not None and abs(s - first) <= 1e-5 * abs(first) for s in steps)
    return first if same else None


def check_increasing(values: np.ndarray, label: str, name: str) -> None:
    """Raise :class:`DataError` unless the times of one file are finite and strictly increase."""
    if values.dtype.kind in "fmM" and (bad := np.flatnonzero(np.isnan(values))).size:
        raise DataError(
            f"{label}: time {name!r} is missing (NaN) at index {bad[0]}. Expected a value for "
            f"every snapshot; drop it, for example with ds.dropna({name!r})"
        )
    if values.dtype.kind not in "fiumMO":
        raise DataError(
            f"{label}: time {name!r} has type {values.dtype}, first value {values[:1]}. "
            "Expected numbers or dates"
        )
    later = np.asarray(values[1:] > values[:-1], dtype=bool)
    if not later.all():
        i = int(np.flatnonzero(~later)[0])
        kind = "repeats" if values[i + 1] == values[i] else "goes back"
        raise DataError(
            f"{label}: time {name!r} {kind} at index {i + 1}: {values[i]} is followed by "
            f"{values[i + 1]}. Expected strictly increasing times. Repair it first, for example "
            f"ds.sortby({name!r}).drop_duplicates({name!r})"
        )


def check_follows(before: tuple[str, object], after: tuple[str, object], name: str) -> None:
    """Raise :class:`DataError` unless a file starts after the one before it ends."""
    (label_a, last), (label_b, first) = before, after
    if first > last:  # type: ignore[operator]
        return
    raise DataError(
        f"{label_b} starts at {name} = {first}, not after {label_a}, which ends at {last}. "
        "Files of one trajectory must not overlap in time. If each file is a trajectory of its "
        'own, open them with cases="file"'
    )


def time_encoding(encoding: dict[str, object]) -> dict[str, object]:
    """What of an encoding says how times are written: units, calendar, dtype."""
    return {k: encoding[k] for k in ("units", "calendar", "dtype") if k in encoding}


def as_coordinate(
    values: np.ndarray,
    name: str,
    dim: str,
    attrs: dict[str, object],
    encoding: dict[str, object],
) -> xr.DataArray:
    """A time coordinate along ``dim``, as a DataArray that is its own coordinate."""
    variable = xr.Variable((dim,), values, attrs)
    array = xr.DataArray(variable, coords={name: variable}, name=name)
    array.encoding = dict(encoding)
    array[name].encoding = dict(encoding)
    return array
