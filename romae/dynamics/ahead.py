"""How far a forecast goes: steps, a duration or times, on any kind of axis.

    steps      S
    duration   S = the fewest steps that reach t_last + duration
    times      t_last + n_j dt, with whole n_j;   S = max n_j

A duration is a number in the unit of a plain axis; text such as "45 D", "2.5 h" or "0.5 s", a
numpy, pandas or datetime timedelta where the axis counts time. A model that steps by dt knows
nothing between two steps, so times off that grid are refused and not interpolated.
"""

import datetime
import re
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from romae.dynamics.times import (
    TOLERANCE,
    Kind,
    TimeStep,
    continue_axis,
    kind_of,
    seconds_since,
    time_label,
)
from romae.errors import OptionError

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
SECONDS |= {"D": 86400.0, "W": 604800.0}
_SPELLINGS = {
    "s": ("sec", "secs", "second", "seconds"),
    "min": ("m", "minute", "minutes", "mins", "T"),
    "h": ("H", "hr", "hrs", "hour", "hours"),
    "D": ("d", "day", "days"),
    "W": ("w", "week", "weeks"),
    "ms": ("millisecond", "milliseconds", "msec"),
    "us": ("microsecond", "microseconds"),
    "ns": ("nanosecond", "nanoseconds"),
}
_UNIT = {name: unit for unit in SECONDS for name in (unit, *_SPELLINGS[unit])}
_TEXT = re.compile(r"\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*(\S*)\s*")
Duration = Any  # float | str | numpy.timedelta64 | pandas.Timedelta | datetime.timedelta


@dataclass(frozen=True)
class Ahead:
    """``steps`` of dt on the times ``axis`` (steps,), of which ``pick`` are asked for."""

    axis: np.ndarray
    pick: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.axis)

    @classmethod
    def of(
        cls,
        time: xr.DataArray,
        dt: TimeStep,
        steps: int | None = None,
        duration: Duration | None = None,
        times: Any = None,
    ) -> Self:
        """From ``time``, the end of a history; exactly one of the three is given.

        Raises OptionError.
        """
        given = [
            n
            for n, v in (("steps", steps), ("duration", duration), ("times", times))
            if v is not None
        ]
        if len(given) != 1:
            raise OptionError(
                f"forecast got {' and '.join(given) or 'neither steps nor duration nor times'}. "
                "Expected exactly one: steps=200, duration='45 D' or times=[...]."
            )
        if times is not None:
            whole = _steps_of(times, time, dt)
            return cls(continue_axis(time, dt, int(whole[-1])), whole - 1)
        if duration is not None:
            steps = steps_of_duration(duration, dt)
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise OptionError(f"steps is {steps!r}. Expected a whole number of at least 1.")
        return cls(continue_axis(time, dt, int(steps)), np.arange(int(steps)))


def steps_of_duration(duration: Duration, dt: TimeStep) -> int:
    """Fewest steps of ``dt`` that reach ``duration``. Raises OptionError."""
    length = _length(duration, dt)
    if not np.isfinite(length) or length <= 0:
        raise OptionError(f"duration is {duration!r}. Expected a finite time after the history.")
    return max(1, int(np.ceil(length / dt.length - TOLERANCE)))


def step_of_duration(duration: Duration, kind: Kind, units: str) -> TimeStep:
    """A time step as long as ``duration`` on an axis of ``kind`` and ``units``."""
    length = _length(duration, TimeStep(kind, 1, units))
    if not np.isfinite(length) or length <= 0:
        raise OptionError(f"dt is {duration!r}. Expected a positive time step.")
    return TimeStep(kind, length if kind == "number" else round(length * 1e9), units)


def _length(duration: Duration, dt: TimeStep) -> float:
    """``duration`` in seconds, or in the axis' own unit for plain numbers."""
    number, unit = _split(duration)
    if dt.kind != "number":
        if unit not in _UNIT:
            raise OptionError(
                f"duration is {duration!r}, and the time axis counts {dt.kind}s in steps of {dt}. "
                "Expected a number with a unit of fixed length (ns, us, ms, s, min, h, D, W), for "
                "example '45 D', or a timedelta."
            )
        return number * SECONDS[_UNIT[unit]]
    own = dt.units.split(" since ")[0].strip()
    if unit in ("", own):
        return number
    if unit not in _UNIT or own not in _UNIT:
        raise OptionError(
            f"duration is {duration!r}, and the time axis is in {own or 'no stated unit'!r}. "
            f"Expected a number in the unit of the axis, whose step is {dt}."
        )
    return number * SECONDS[_UNIT[unit]] / SECONDS[_UNIT[own]]


def _split(duration: Duration) -> tuple[float, str]:
    """Number and unit, "" for a plain number."""
    if isinstance(duration, datetime.timedelta):  # pandas' is one
        return duration.total_seconds(), "s"
    if isinstance(duration, np.timedelta64):
        if np.datetime_data(duration.dtype)[0] in ("Y", "M"):
            return float("nan"), "s"
        return float(duration / np.timedelta64(1, "ns")) * 1e-9, "s"
    if isinstance(duration, int | float | np.number) and not isinstance(duration, bool):
        return float(duration), ""
    found = _TEXT.fullmatch(duration) if isinstance(duration, str) else None
    try:
        return float(found.group(1)), found.group(2)  # type: ignore[union-attr]
    except (AttributeError, ValueError):
        raise OptionError(
            f"duration is {duration!r}. Expected a number, text such as '45 D' or '2.5 h', or a "
            "timedelta."
        ) from None


def _steps_of(times: Any, time: xr.DataArray, dt: TimeStep) -> np.ndarray:
    """Whole numbers of steps after the end of ``time`` at which ``times`` lie."""
    values = np.atleast_1d(np.asarray(times.values if isinstance(times, xr.DataArray) else times))
    if values.dtype.kind == "U" and dt.kind == "datetime":
        values = values.astype("datetime64[ns]")
    asked = xr.DataArray(values, dims="time", name="times")
    if not values.size or kind_of(asked) != dt.kind:
        raise OptionError(
            f"times are {values.size} of dtype {values.dtype}. Expected times of the kind of the "
            f"history ({dt.kind}), after {time_label(time.values[-1])}."
        )
    n = seconds_since(asked, time.values[-1]) / dt.length
    if n[0] <= TOLERANCE or not np.all(np.diff(n) > 0):
        raise OptionError(
            f"times begin at {time_label(values[0])}. Expected increasing times after the last of "
            f"the history, {time_label(time.values[-1])}."
        )
    whole = np.maximum(np.round(n), 1).astype(int)
    if (off := np.abs(n - whole) > TOLERANCE).any():
        at = int(np.argmax(off))
        near = continue_axis(time, dt, int(np.ceil(n[at])) + 1)
        between = near[max(0, int(np.floor(n[at])) - 1) : int(np.ceil(n[at]))]
        raise OptionError(
            f"times: {time_label(values[at])} lies off the grid of the model, which steps by "
            f"{dt}. Expected whole steps after {time_label(time.values[-1])}, such as "
            f"{' or '.join(str(time_label(t)) for t in between)}; forecast with steps= and "
            "interpolate the result, .interp(time=times)."
        )
    return whole
