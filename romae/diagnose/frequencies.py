"""The time step of snapshots and the unit of their frequencies."""

import numpy as np

from romae.errors import DataError
from romae.fields import Snapshots
from romae.fields.times import as_numbers

SECONDS = {
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}


def frequency_step(snapshots: Snapshots) -> tuple[float, str]:
    """(dt, units of 1 / dt): of the time axis, for dates those that the file counts in.

    Dates "in days since ..." have frequencies in 1/day, dates in memory 1/s. Raises
    :class:`DataError` when the steps are uneven.
    """
    dt = snapshots.dt
    times = snapshots.times(0)
    if dt is None:
        raise DataError(_uneven(snapshots))
    if times.dtype.kind in "fiu":
        units = str(times.attrs.get("units", ""))
        return dt, "1" if units in ("", "1") else f"1/{units}"
    word = str(times.encoding.get("units", "")).split(" since")[0].strip().lower().rstrip("s")
    word = {"sec": "second", "min": "minute", "hr": "hour", "h": "hour", "d": "day"}.get(word, word)
    if word not in SECONDS or word == "second":
        return dt, "1/s"
    return dt / SECONDS[word], f"1/{word}"


def _uneven(snapshots: Snapshots) -> str:
    name = snapshots.layout.time
    steps = [np.diff(as_numbers(snapshots.times(c).values)) for c in range(snapshots.cases)]
    low, high = min(s.min() for s in steps), max(s.max() for s in steps)
    return (
        f"{snapshots.source}: time steps of {name!r} range from {low:g} to {high:g}. Expected one "
        f"step: a spectrum needs it. Open a part with even steps, or interpolate first: "
        f"ds.interp({name}=numpy.linspace(ds.{name}[0], ds.{name}[-1], ds.sizes[{name!r}])), "
        f"for dates xarray.date_range(..., periods=ds.sizes[{name!r}])"
    )
