"""Latents of the last snapshots of a history, from which a forecast starts.

    z(t_last - j dt),   j = c - 1 .. 0         c: states the model looks at, at least two

Only those snapshots are read. On the grid of the model they are encoded as they are; ``resample``
puts others there by a curve through them (:func:`romae.dynamics.resampling.ending`), so that the
forecast begins at the last time of the history whatever the steps before it.
"""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from romae.conventions import CASE
from romae.dynamics import Dynamics
from romae.dynamics.ahead import step_of_duration
from romae.dynamics.resampling import SUPPORT, ending
from romae.dynamics.times import TOLERANCE, TimeStep, seconds_since, time_label
from romae.errors import DataError, OptionError
from romae.fields import Snapshots
from romae.reducers import Reducer


def recent_latents(
    reducer: Reducer, snapshots: Snapshots, dynamics: Dynamics, resample: Any = None
) -> xr.DataArray:
    """(time, latent) or (case, time, latent), as many times as ``dynamics`` needs.

    Raises DataError for a history that is too short, has a gap there, or cases of different ends;
    OptionError for a ``resample`` that is not the step of ``dynamics``.
    """
    needed = max(dynamics.context, 2)  # two times tell the step
    if resample is not None and resample is not False:
        _check_resample(resample, dynamics)
        return _resampled(reducer, snapshots, dynamics, needed)
    snapshots.require(dynamics.context, f"a forecast by {dynamics.name}")
    if len(set(snapshots.lengths)) == 1:
        more = snapshots.lengths[0] > needed
        return reducer.encode(snapshots.isel(time=slice(-needed, None)) if more else snapshots)
    if min(snapshots.lengths) < needed:
        raise DataError(
            f"the history has cases of {sorted(set(snapshots.lengths))} snapshots. Expected "
            f"{needed} of each; leave the short ones out, .isel(case=[...])."
        )
    return xr.concat(
        [reducer.encode(z.isel(time=slice(-needed, None))) for z in _alone(snapshots)], CASE
    )


def own_params(snapshots: Snapshots, dynamics: Dynamics) -> pd.DataFrame | None:
    """Parameters, a row per case: coordinates over cases, or scalar coordinates of one case."""
    law, coords = dynamics._known["params"], snapshots.layout.coords
    if snapshots.params is not None or law is None or snapshots.cases > 1:
        return snapshots.params
    if any(
        n not in coords or coords[n].ndim or coords[n].dtype.kind not in "iuf" for n in law.names
    ):
        return None
    return pd.DataFrame({n: [float(coords[n])] for n in law.names})


def _check_resample(resample: Any, dynamics: Dynamics) -> None:
    dt = dynamics.dt
    if resample is True or (isinstance(resample, str) and resample == "median"):
        return
    step = step_of_duration(resample, dt.kind, dt.units)
    if abs(step.length - dt.length) > TOLERANCE * dt.length:
        raise OptionError(
            f"forecast got resample={resample!r}, and {dynamics.name} steps by {dt}. Expected that "
            "step, which the fit has set; type resample=True."
        )


def _resampled(
    reducer: Reducer, snapshots: Snapshots, dynamics: Dynamics, needed: int
) -> xr.DataArray:
    pieces, several = [], snapshots.cases > 1
    for alone in _alone(snapshots):
        first = _first_needed(alone.times(), needed, dynamics.dt)
        z = reducer.encode(alone.isel(time=slice(first, None)))
        several |= CASE in z.dims
        z = z.isel({CASE: 0}) if CASE in z.dims else z
        pieces.append(ending(z, dynamics.dt, needed, f"a forecast by {dynamics.name}"))
    return xr.concat(pieces, CASE) if several else pieces[0]


def _first_needed(times: xr.DataArray, needed: int, dt: TimeStep) -> int:
    """Index of the first snapshot that bears on the last ``needed`` steps of ``dt``."""
    before = -seconds_since(times, times.values[-1])
    reach = (needed - 1) * dt.length * (1 + TOLERANCE)
    return max(0, int(np.searchsorted(-before, -reach)) - SUPPORT)


def _alone(snapshots: Snapshots) -> list[Snapshots]:
    """The cases one by one, which end together."""
    ends = {snapshots.times(i).values[-1] for i in range(snapshots.cases)}
    if len(ends) > 1:
        told = ", ".join(str(time_label(t)) for t in sorted(ends)[:4])
        raise DataError(
            f"the history has {snapshots.cases} cases that end at {len(ends)} times ({told}). "
            "Expected one end, as a forecast has one time axis; forecast case by case: "
            ".isel(case=[0])."
        )
    return [snapshots.isel(case=[i]) for i in range(snapshots.cases)]
