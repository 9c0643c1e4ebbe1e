"""Uneven times made even, on request and in the open.

    z(t_0 + n dt),   n = 0 .. floor((t_last - t_0) / dt)

by a straight line or a cubic spline (not-a-knot) through the given states. Nothing is made up
beyond the ends. An interval longer than ``largest_gap`` times dt is a gap: a curve across it would
be invention, so the series is cut there and comes back as a list of cases.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.conventions import LATENT, TIME
from romae.dynamics.ahead import step_of_duration
from romae.dynamics.known import inputs_of_cases
from romae.dynamics.times import (
    TOLERANCE,
    TimeStep,
    check_step,
    continue_axis,
    ended_axis,
    kind_of,
    seconds_since,
    time_label,
)
from romae.errors import DataError, OptionError, check_option

FEWEST = {"linear": 2, "cubic": 4}  # states that determine the curve
GAP = 3.0  # steps: the longest interval that a curve bridges
SUPPORT = 4  # states before those asked for, which the curve bends by


def resample(
    latents: xr.DataArray,
    dt: Any = None,
    *,
    how: Literal["cubic", "linear"] = "cubic",
    largest_gap: float = GAP,
) -> list[xr.DataArray]:
    """``latents`` (time, latent) at even steps ``dt``, as a list of cases for ``fit``.

    ``dt``: a duration as for ``forecast`` ("6 h", a timedelta, a number in the unit of a plain
    axis); None takes the median step. ``largest_gap``, in steps of dt: longer intervals cut the
    series. The attribute ``resampled`` of each piece says what was done.

    Raises DataError for times that do not increase, or when no piece has two steps.
    """
    check_option("how", how, list(FEWEST))
    if not isinstance(latents, xr.DataArray) or set(latents.dims) != {TIME, LATENT}:
        raise DataError(
            f"resample got {getattr(latents, 'dims', type(latents).__name__)}. Expected latents "
            f"({TIME}, {LATENT}); call it for each case."
        )
    if largest_gap < 1:
        raise OptionError(f"largest_gap is {largest_gap}. Expected at least 1, in steps of dt.")
    z = latents.transpose(TIME, LATENT)
    kind, units = kind_of(z[TIME]), str(z[TIME].attrs.get("units", ""))
    t = seconds_since(z[TIME], z[TIME].values[0])
    if t.size < 2 or not np.all(np.diff(t) > 0):
        raise DataError("resample: times do not increase. Sort with .sortby('time').")
    if dt is None:
        step = _step(float(np.median(np.diff(t))), kind, units)
    else:
        step = step_of_duration(dt, kind, units)
    cuts = np.flatnonzero(np.diff(t) > largest_gap * step.length * (1 + 1e-9)) + 1
    pieces = [
        _even(z[a:b], step, how)
        for a, b in zip([0, *cuts], [*cuts, t.size], strict=True)
        if b - a >= FEWEST[how] and t[b - 1] - t[a] >= step.length * (1 - 1e-9)
    ]
    if not pieces:
        raise DataError(
            f"resample: steps from {np.diff(t).min():g} to {np.diff(t).max():g} leave no piece of "
            f"two steps of {step} between gaps longer than {largest_gap:g} steps. Expected a "
            "larger dt, or a larger largest_gap."
        )
    return pieces


def ending(z: xr.DataArray, dt: TimeStep, count: int, purpose: str) -> xr.DataArray:
    """The states z(t_last - j dt), j = count - 1 .. 0, of ``z`` (time, latent): a history.

    Raises DataError when ``z`` does not reach back so far, or has a gap there.
    """
    from scipy.interpolate import make_interp_spline

    check_step(z[TIME][:1], dt, "history")
    t, back = seconds_since(z[TIME], z[TIME].values[-1]), dt.length * np.arange(1 - count, 1)
    if not np.all(np.diff(t) > 0):
        raise DataError("history: times do not increase. Sort with .sortby('time').")
    if t[0] > back[0] + TOLERANCE * dt.length:
        raise DataError(
            f"history: {t.size} snapshots reach {-t[0] / dt.length:.3g} steps of {dt} back. "
            f"Expected {count - 1} for {purpose}; give a longer history, or fit with a smaller "
            "context."
        )
    if t.size > 1 and (gap := np.diff(t).max()) > GAP * dt.length * (1 + 1e-9):
        at = z[TIME].values[int(np.argmax(np.diff(t)))]
        raise DataError(
            f"history: a gap of {gap / dt.length:.3g} steps of {dt} after {time_label(at)}, within "
            f"the last {count} steps or {SUPPORT} snapshots before. Expected at most {GAP:g}; fill "
            "it, or begin the forecast before the gap."
        )
    values = z.transpose(TIME, LATENT).values.astype(float)
    curve = make_interp_spline(t, values, k=min(3, t.size - 1))
    found = curve(np.maximum(back, t[0]))
    axis = ended_axis(z[TIME], dt, count)
    coords = {n: c for n, c in z.coords.items() if TIME not in c.dims}
    return xr.DataArray(
        found.astype(z.dtype if z.dtype.kind == "f" else float),
        dims=(TIME, LATENT),
        coords={**coords, TIME: xr.Variable(TIME, axis, z[TIME].attrs, z[TIME].encoding)},
        name=z.name,
        attrs=z.attrs,
    )


def resample_cases(
    cases: Sequence[xr.DataArray], params: Any, inputs: Any, dt: Any
) -> tuple[list[xr.DataArray], Any, Any]:
    """Pieces of all ``cases`` at even steps ``dt``; parameters and inputs of each piece.

    ``dt``: as in :func:`resample`, or "median". ``params``: a table with a row per case, or None;
    ``inputs``: as in :func:`romae.dynamics.known.read_inputs`. Raises DataError.
    """
    if isinstance(dt, str) and dt == "median":
        dt = usual_step([z[TIME] for z in cases])
    found = [resample(z, dt) for z in cases]
    rows = [i for i, pieces in enumerate(found) for _ in pieces]
    table = None if params is None else params.iloc[rows].reset_index(drop=True)
    if inputs is not None:
        each = inputs_of_cases(inputs, len(cases))
        if len(each) != len(cases):
            raise DataError(
                f"inputs of {len(each)} cases for {len(cases)} cases of latents. Expected one "
                "series for each, or one for all."
            )
        inputs = [each[i] for i in rows]
    return [piece for pieces in found for piece in pieces], table, inputs


def usual_step(times: Sequence[xr.DataArray]) -> Any:
    """The median step of all axes ``times``, as a duration: what "median" means."""
    kind, units = kind_of(times[0]), str(times[0].attrs.get("units", ""))
    steps = [np.diff(seconds_since(t, t.values[0])) for t in times]
    if not (each := np.concatenate(steps)).size:
        raise DataError("resample='median': no case has two times. Expected more of them.")
    return _step(float(np.median(each)), kind, units).duration


def _step(length: float, kind: Any, units: str) -> TimeStep:
    return TimeStep(kind, length if kind == "number" else round(length * 1e9), units)


def _even(z: xr.DataArray, dt: TimeStep, how: str) -> xr.DataArray:
    """A piece without gaps at even steps from its first time."""
    from scipy.interpolate import make_interp_spline  # here: encode works without scipy

    t = seconds_since(z[TIME], z[TIME].values[0])
    steps = int(np.floor(t[-1] / dt.length * (1 + 1e-12)))
    axis = np.concatenate([z[TIME].values[:1], continue_axis(z[TIME][:1], dt, steps)])
    curve = make_interp_spline(t, z.values.astype(float), k=1 if how == "linear" else 3)
    at = np.minimum(dt.length * np.arange(steps + 1), t[-1])
    note = f"{how} to steps of {dt}, from steps of {np.diff(t).min():g} to {np.diff(t).max():g}"
    coords = {n: c for n, c in z.coords.items() if TIME not in c.dims}
    times = xr.Variable(TIME, axis, z[TIME].attrs, z[TIME].encoding)
    values = curve(at).astype(z.dtype if z.dtype.kind == "f" else float)
    return xr.DataArray(
        values,
        dims=(TIME, LATENT),
        coords={**coords, TIME: times},
        name=z.name,
        attrs={**z.attrs, "resampled": note},
    )
