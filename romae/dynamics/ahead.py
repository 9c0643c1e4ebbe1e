"""How far a forecast goes: steps, a duration or times, on any kind of axis.

    steps      S
    duration   S = the fewest steps that reach t_last + duration
    times      t_last + n_j dt, with whole n_j;   S = max n_j, rounded up

A duration is a number in the unit of a plain axis; text such as "45 D", "2.5 h" or "0.5 s", a
numpy, pandas or datetime timedelta where the axis counts time. A model that steps by dt knows
nothing between two steps, so times off that grid are refused and not interpolated; one in
continuous time takes any n_j. Its rollout is watched at the whole steps as well.
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
EXACT = 1e-6  # of dt: closer to a step is that step
_TEXT = re.compile(r"\s*([+-]?[\d.]+(?:[eE][+-]?\d+)?)\s*(\S*)\s*")
Duration = Any  # float | str | numpy.timedelta64 | pandas.Timedelta | datetime.timedelta


@dataclass(frozen=True)
class Ahead:
    """States at the times ``axis`` (n,), of which ``pick`` are asked for.

    ``grid`` (steps,): the times of whole steps. ``at`` (n,): those of ``axis`` in steps after the
    history; None where ``axis`` is ``grid``.
    """

    axis: np.ndarray
    pick: np.ndarray
    grid: np.ndarray
    at: np.ndarray | None = None

    @property
    def steps(self) -> int:
        return len(self.grid)

    def number(self, index: int) -> str:
        """How many steps after the history ``axis[index]`` is."""
        return str(index + 1) if self.at is None else f"{self.at[index]:g}"

    @classmethod
    def of(
        cls,
        time: xr.DataArray,
        dt: TimeStep,
        steps: int | None = None,
        duration: Duration | None = None,
        times: Any = None,
        continuous: bool = False,
    ) -> Self:
        """From ``time``, the end of a history; exactly one of the three is given.

        ``continuous``: whether ``times`` may lie between steps.

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
            asked = _times(times, time, dt)
            n = seconds_since(asked, time.values[-1]) / dt.length
            if continuous and (off := _off(n, time, dt)).any():
                return cls._between(asked.values, n, off, time, dt)
            whole = _whole(n, asked.values, time, dt)
            grid = continue_axis(time, dt, int(whole[-1]))
            return cls(grid, whole - 1, grid)
        if duration is not None:
            steps = steps_of_duration(duration, dt)
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise OptionError(f"steps is {steps!r}. Expected a whole number of at least 1.")
        grid = continue_axis(time, dt, int(steps))
        return cls(grid, np.arange(int(steps)), grid)

    @classmethod
    def _between(
        cls, asked: np.ndarray, n: np.ndarray, off: np.ndarray, time: xr.DataArray, dt: TimeStep
    ) -> Self:
        """All whole steps, and the times ``asked`` (``n`` steps ahead) that are ``off`` them."""
        grid = continue_axis(time, dt, int(np.ceil(n[-1])))
        whole = np.arange(1.0, np.floor(n[-1]) + 1)
        if not off[-1]:
            whole = np.arange(1.0, np.round(n[-1]) + 1)
        at = np.concatenate([whole, n[off]])
        axis = np.concatenate([grid[: len(whole)], asked[off]])
        order = np.argsort(at, kind="stable")
        place = np.argsort(order)
        pick = np.empty(len(n), dtype=int)
        pick[off] = place[len(whole) :]
        pick[~off] = place[np.round(n[~off]).astype(int) - 1]
        return cls(axis[order], pick, grid, at[order])


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


def _times(times: Any, time: xr.DataArray, dt: TimeStep) -> xr.DataArray:
    """``times`` as an axis of the kind of ``time``, increasing and after its end."""
    values = np.atleast_1d(np.asarray(times.values if isinstance(times, xr.DataArray) else times))
    if values.dtype.kind == "U" and dt.kind == "datetime":
        values = values.astype("datetime64[ns]")
    asked = xr.DataArray(values, dims="time", name="times")
    if not values.size or kind_of(asked) != dt.kind:
        raise OptionError(
            f"times are {values.size} of dtype {values.dtype}. Expected times of the kind of the "
            f"history ({dt.kind}), after {time_label(time.values[-1])}."
        )
    n = seconds_since(asked, time.values[-1])
    if n[0] <= 0 or not np.all(np.diff(n) > 0):
        raise OptionError(
            f"times begin at {time_label(values[0])}. Expected increasing times after the last of "
            f"the history, {time_label(time.values[-1])}."
        )
    return asked


def _off(n: np.ndarray, time: xr.DataArray, dt: TimeStep) -> np.ndarray:
    """Which of ``n`` steps are not whole, but for the rounding of the axis."""
    whole = np.round(n)
    fine = EXACT
    if dt.kind == "number":  # its last digits, at the far end of the forecast
        far = np.abs(float(time[-1])) + dt.length * np.abs(n)
        fine = EXACT + 4 * np.finfo(time.dtype if time.dtype.kind == "f" else float).eps * (
            far / dt.length
        )
    return np.asarray((np.abs(n - whole) > fine) | (whole < 1))


def _whole(n: np.ndarray, values: np.ndarray, time: xr.DataArray, dt: TimeStep) -> np.ndarray:
    """``n`` steps rounded; refused where they are not whole. ``values``: their times."""
    whole = np.maximum(np.round(n), 1).astype(int)
    if (off := np.abs(n - whole) > TOLERANCE).any():
        at = int(np.argmax(off))
        near = continue_axis(time, dt, int(np.ceil(n[at])) + 1)
        between = near[max(0, int(np.floor(n[at])) - 1) : int(np.ceil(n[at]))]
        raise OptionError(
            f"times: {time_label(values[at])} lies off the grid of the model, which steps by "
            f"{dt}. Expected whole steps after {time_label(time.values[-1])}, such as "
            f"{' or '.join(str(time_label(t)) for t in between)}; forecast with steps= and "
            "interpolate the result, .interp(time=times), or take a model in continuous time, "
            "such as romae.Koopman() or romae.NeuralODE()."
        )
    return whole
