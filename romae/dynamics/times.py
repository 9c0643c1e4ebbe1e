"""Even time axes: measure the step, check it, continue it.

    t_n = t_0 + n dt,   n = 0 .. T-1

An axis counts as even when every t_n lies within 1 % of dt of this line, plus the
rounding of its own type (a float32 axis far from zero cannot do better). Models of
the latents step by dt, so an uneven axis is refused and never treated as even.

Four kinds of axis occur: plain numbers in the file's own units, datetime64,
timedelta64, and cftime dates in calendars that numpy does not know. The step of the
last three is a whole number of nanoseconds, so continuing them is exact.
"""

import datetime
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from romae.errors import DataError

TOLERANCE = 0.01  # of dt
MOST_GAP = 8.0  # usual steps: the longest interval of uneven times to learn from
_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_NANOSECONDS |= {"h": 3600 * 10**9, "D": 86400 * 10**9}
Kind = Literal["number", "datetime", "timedelta", "cftime"]
Made = Literal["multiples", "decimals"]


@dataclass(frozen=True)
class TimeStep:
    """The step dt of an even axis.

    ``size``: in the axis' own units for kind "number", else whole nanoseconds.
    ``units``: the ``units`` attribute of a numeric axis, "" when it has none. ``made``: how the
    numbers of the axis are rounded, as those of "n dt" or as decimals. ``even``: False where dt is
    but the usual step of uneven times, on which a model in continuous time was fitted.
    """

    kind: Kind
    size: float
    units: str = ""
    made: Made = field(default="multiples", compare=False)
    even: bool = True

    def __str__(self) -> str:
        if self.kind == "number":
            return f"{self.size:g} {self.units}".strip()
        return f"{self.size / 1e9:g} s"

    @property
    def length(self) -> float:
        """dt in seconds, or in the axis' own unit for plain numbers."""
        return self.size if self.kind == "number" else self.size / 1e9

    @property
    def duration(self) -> Any:
        """dt as functions take it: a number for plain numbers, else a timedelta64."""
        return self.size if self.kind == "number" else np.timedelta64(int(self.size), "ns")

    def to_state(self) -> dict[str, Any]:
        return asdict(self)


def kind_of(time: xr.DataArray) -> Kind:
    """Which of the four kinds of axis ``time`` is; DataError for anything else."""
    letter = time.dtype.kind
    if letter in "iuf":
        return "number"
    if letter in "Mm":
        return "datetime" if letter == "M" else "timedelta"
    if letter == "O" and time.size and hasattr(time.values.flat[0], "calendar"):
        return "cftime"
    raise DataError(
        f"time coordinate {time.name!r} has dtype {time.dtype}. Expected numbers, datetime64, "
        "timedelta64 or cftime dates. Decode it, for example with xarray.decode_cf(dataset)."
    )


def last(time: xr.DataArray, n: int) -> xr.DataArray:
    """The last ``n`` times, or all where there are no more."""
    return time if time.size <= n else time[-n:]


def measure_step(time: xr.DataArray, what: str) -> TimeStep:
    """Step of the even axis ``time``, shape (T,) with T >= 2.

    Raises DataError when the axis is missing values, does not increase or is uneven.
    """
    kind, n = kind_of(time), time.size
    if n < 2:
        raise DataError(f"{what} has {n} time. Expected at least 2 to know the time step.")
    offsets, tick = _offsets(time, kind)
    if pd.isnull(time.values).any() or not np.all(np.isfinite(offsets.astype(float))):
        raise DataError(f"{what} has missing values in its time coordinate. Drop those times.")
    steps = np.diff(offsets)
    if not np.all(steps > 0):
        at = int(np.argmax(~(steps > 0)))
        raise DataError(
            f"{what}: time does not increase after index {at} ({_show(time, at)}, then "
            f"{_show(time, at + 1)}). Expected increasing times; sort with .sortby('time')."
        )
    dt = offsets[-1] / (n - 1)
    rounding = 2 * _resolution(time.values) if kind == "number" else 0.0
    if np.any(np.abs(offsets - dt * np.arange(n)) > TOLERANCE * dt + rounding):
        usual = np.median(steps)
        at = int(np.argmax(np.abs(steps - usual)))
        raise DataError(
            f"{what}: uneven time steps, from {steps.min() * tick:g} to {steps.max() * tick:g}"
            f"{'' if kind == 'number' else ' s'}; the oddest lies between {_show(time, at)} and "
            f"{_show(time, at + 1)} (index {at}). Expected an even axis. Type resample='median' or "
            "a step, resample='6 h', with the data (of latents romae.resample(z)), which cuts at "
            "gaps; or take a model that learns from uneven times, romae.NeuralODE()."
        )
    if kind == "number":
        size, made = _how_made(float(dt), time.values)
        return TimeStep(kind, size, str(time.attrs.get("units", "")), made)
    ns = round(int(offsets[-1]) * round(tick * 1e9) / (n - 1))
    return TimeStep(kind, ns)


def uneven_steps(
    times: Sequence[xr.DataArray], labels: Sequence[str]
) -> tuple[TimeStep, list[np.ndarray]]:
    """The usual step of uneven axes, the median of all, and their times (T_i,) in that unit.

    Raises DataError for times that do not increase, axes that differ in kind, and intervals
    longer than MOST_GAP steps: nothing is known of what happens in them.
    """
    kind, units = kind_of(times[0]), str(times[0].attrs.get("units", ""))
    for time, label in zip(times, labels, strict=True):
        check_step(time[:1], TimeStep(kind, 1, units), label)
    found = [seconds_since(time, time.values[0]) for time in times]
    usual = float(np.median(np.concatenate([np.diff(t) for t in found])))
    for t, time, label in zip(found, times, labels, strict=True):
        gaps = np.diff(t)
        if not np.isfinite(t).all() or not (gaps > 0).all():
            at = int(np.argmin(np.nan_to_num(gaps, nan=-1.0) > 0))
            raise DataError(
                f"{label}: time does not increase after index {at} ({_show(time, at)}, then "
                f"{_show(time, at + 1)}). Expected increasing times; sort with .sortby('time')."
            )
        if gaps.max() > MOST_GAP * usual:
            at = int(np.argmax(gaps))
            raise DataError(
                f"{label}: a gap of {gaps[at] / usual:.3g} steps between {_show(time, at)} and "
                f"{_show(time, at + 1)} (index {at}), where a step is usually {usual:g}. Expected "
                f"at most {MOST_GAP:g}; cut there and pass the pieces as a list of cases."
            )
    size = usual if kind == "number" else round(usual * 1e9)
    dt = TimeStep(kind, size, units, even=False)
    return dt, [t / dt.length for t in found]


def check_step(time: xr.DataArray, dt: TimeStep, what: str) -> None:
    """Raise DataError unless ``time`` (T >= 1) is an axis of step ``dt``."""
    if (kind := kind_of(time)) != dt.kind:
        raise DataError(
            f"{what}: time is of kind {kind}, the model was fitted on {dt.kind}. Give both the "
            "same kind of time axis (both decoded, or both with decode_times=False)."
        )
    units = str(time.attrs.get("units", ""))
    if kind == "number" and units and dt.units and units != dt.units:
        raise DataError(
            f"{what}: time is in {units!r}, the model was fitted on {dt.units!r}. Convert it."
        )
    if time.size < 2:
        return
    seen = measure_step(time, what)
    slack = 2 * _resolution(time.values) / (time.size - 1) if kind == "number" else 0.0
    if abs(seen.size - dt.size) > TOLERANCE * dt.size + slack:
        raise DataError(
            f"{what}: time step {seen}, the model was fitted with {dt}. Forecast from data of the "
            "same step (data.isel(time=slice(None, None, n)) thins a finer axis), or fit again; a "
            "reduced model puts the end of an uneven history on its step by resample=True."
        )


def continue_axis(time: xr.DataArray, dt: TimeStep, steps: int) -> np.ndarray:
    """Times ``t_last + dt * (1 .. steps)``, shape (steps,), in the dtype of ``time``.

    Numbers are rounded as those of ``time`` (T,) were, so that forecasts and data of the
    same axis align: xarray joins float coordinates only where every bit agrees. It can be
    told how they were for steps of few digits, and mostly for others.
    """
    dtype, n = time.dtype, np.arange(1, steps + 1)
    if dt.kind == "number":
        return _number_axis(time.values, dt, steps)
    end = time[-1]
    if dt.kind == "cftime":
        step = datetime.timedelta(microseconds=dt.size / 1000)
        return np.array([end.item() + step * int(i) for i in n], dtype=object)
    unit = np.datetime_data(dtype)[0]
    if int(dt.size) % _NANOSECONDS[unit]:  # a step finer than the axis can write
        unit = "ns"
    return end.values.astype(f"{dtype.kind}8[{unit}]") + (
        n * (int(dt.size) // _NANOSECONDS[unit])
    ).astype(f"m8[{unit}]")


def ended_axis(time: xr.DataArray, dt: TimeStep, count: int) -> np.ndarray:
    """Times ``t_last - dt * (count - 1 .. 0)``, shape (count,), in the dtype of ``time``."""
    last, n = time.values[-1], np.arange(1 - count, 1)
    if dt.kind == "number":
        return np.asarray(float(last) + dt.size * n)
    if dt.kind == "cftime":
        step = datetime.timedelta(microseconds=dt.size / 1000)
        return np.array([last + step * int(i) for i in n], dtype=object)
    kind = time.dtype.kind
    return np.asarray(last.astype(f"{kind}8[ns]") + n * np.timedelta64(int(dt.size), "ns"))


def time_label(time: Any) -> float | str:
    """A time as an attribute that any file format can hold: a float, or ISO text."""
    value = np.asarray(time)
    if value.dtype.kind in "iuf":
        return float(value)
    return str(value) if value.dtype.kind in "Mm" else value.item().isoformat()


def seconds_since(time: xr.DataArray, origin: Any) -> np.ndarray:
    """``time - origin`` as float64 (T,): seconds, or the axis' own unit for plain numbers."""
    kind, values = kind_of(time), time.values
    if kind == "number":
        return np.asarray(values.astype(np.float64) - float(origin))
    if kind == "cftime":
        return np.array([(v - origin).total_seconds() for v in values])
    return np.asarray((values - origin) / np.timedelta64(1, "s"))


def _offsets(time: xr.DataArray, kind: Kind) -> tuple[np.ndarray, float]:
    """``t - t_0`` and the size of its unit (1 for numbers, else seconds)."""
    values = time.values
    if kind == "number":
        return values.astype(np.float64) - float(values[0]), 1.0
    if kind == "cftime":
        micro = datetime.timedelta(microseconds=1)
        return np.array([(v - values[0]) // micro for v in values], dtype=np.int64), 1e-6
    unit = np.datetime_data(time.dtype)[0]
    return (values - values[0]).astype(np.int64), _NANOSECONDS[unit] / 1e9


def _resolution(time: np.ndarray) -> float:
    """Spacing of representable numbers at the far end of a numeric axis."""
    if time.dtype.kind != "f":
        return 0.0
    return float(np.spacing(np.abs(time).max()))


def _how_made(dt: float, time: np.ndarray) -> tuple[float, Made]:
    """The dt that gives ``time`` bit for bit and how, else dt without needless digits.

    0.1 rather than 0.09999999999999999; short numbers before long ones.
    """
    short = float(f"{dt:.6g}")
    count = round(float(time[-1]) / dt)
    near = float(time[-1]) / count if count else dt
    if np.array_equal(_multiples(time, short, 0), time):
        return short, "multiples"
    if np.array_equal(_decimals(time, short, 0), time):
        return short, "decimals"
    for guess in (near, float(np.nextafter(near, 0)), float(np.nextafter(near, np.inf))):
        if np.array_equal(_multiples(time, guess, 0), time):
            return guess, "multiples"
    far = abs(short - dt) * (time.size - 1)
    return short if far <= 4 * max(_resolution(time), np.spacing(dt)) else dt, "multiples"


def _number_axis(time: np.ndarray, dt: TimeStep, steps: int) -> np.ndarray:
    """The formula that gives ``time`` bit for bit, that of the training axis first."""
    formulas = [_multiples, _decimals]
    for formula in formulas if dt.made == "multiples" else formulas[::-1]:
        if np.array_equal(formula(time, dt.size, 0), time):
            return formula(time, dt.size, steps)[time.size :]
    whole = time.dtype.kind in "iu" and float(dt.size).is_integer()
    ahead = float(time[-1]) + dt.size * np.arange(1, steps + 1)
    return ahead.astype(time.dtype if whole or time.dtype.kind == "f" else np.float64)


def _multiples(time: np.ndarray, dt: float, steps: int) -> np.ndarray:
    """``time`` (T,) and ``steps`` more, were it made as ``dt * n``."""
    n = round(float(time[-1]) / dt) + np.arange(1 - time.size, steps + 1)
    return (dt * n).astype(time.dtype)


def _decimals(time: np.ndarray, dt: float, steps: int) -> np.ndarray:
    """``time`` (T,) and ``steps`` more, were it read from text with at most nine decimals."""
    n = np.arange(1 - time.size, steps + 1)
    return np.round(float(time[-1]) + dt * n, 9).astype(time.dtype)


def _show(time: xr.DataArray, index: int) -> str:
    return str(time_label(time.values[index]))
