"""What a forecast starts from and is labelled by: the last states of each case, and their axis.

A history must be of the reducer, the number of latents and the time step of the training, reach
over the context of the model, and end at one time in all cases.
"""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from romae.conventions import LATENT, MEMBER, REDUCER, TIME
from romae.dynamics.sequences import Trajectory, trajectories
from romae.dynamics.times import check_step, last, time_label
from romae.errors import DataError

if TYPE_CHECKING:
    from romae.dynamics.base import Dynamics

LEFT = "left_training_range_at"
OUTSIDE = "outside_training_range"  # parameters or inputs that were


def starts_of(history: xr.DataArray, model: "Dynamics") -> list[Trajectory]:
    """The cases of ``history``, each checked, all ending at one time."""
    if isinstance(history, list | tuple):
        raise DataError(
            f"history is a {type(history).__name__} of {len(history)}. A forecast continues "
            "one time axis; call forecast for each case, or give (case, time, latent)."
        )
    theirs = getattr(history, "attrs", {}).get(REDUCER, "")
    if theirs and model.reducer and theirs != model.reducer:
        raise DataError(
            f"history: latents of the reducer {theirs}, {model.name} was fitted on those of "
            f"{model.reducer}. Expected one reducer; encode the history with that of the "
            "training, or fit again."
        )
    cases = trajectories(history, "history")
    checked: set[int] = set()  # cases of one length share their axis
    for case in cases:
        if len(case.values) not in checked:
            _check(case, model)
            checked.add(len(case.values))
    if len(checked) > 1:
        ends = sorted({str(time_label(case.time.values[-1])) for case in cases})
        raise DataError(
            f"history: cases end at different times ({', '.join(ends[:4])}). A forecast of "
            "several cases has one time axis; cut them to one end or call forecast for each."
        )
    return cases


def _check(case: Trajectory, model: "Dynamics") -> None:
    steps, k = case.values.shape
    if k != model.latent:
        raise DataError(
            f"{case.label} has {k} latents, {model.name} was fitted on {model.latent}. Encode it "
            "with the reducer of the training latents, or fit again."
        )
    if steps < model.context:
        raise DataError(
            f"{case.label} has {steps} step{'s' * (steps != 1)}, {model.name} starts from "
            f"{model.context}. Give at least {model.context} snapshots up to the start of the "
            "forecast, or fit with a smaller context."
        )
    # after uneven times the last state says all, whatever the step before it
    recent = last(case.time, max(model.context, 2) if model.dt.even else 1)
    check_step(recent, model.dt, case.label)


def continued(
    values: np.ndarray, lead: list[str], axis: np.ndarray, like: xr.DataArray
) -> xr.DataArray:
    """``values`` with the names and coordinates of ``like`` and the times ``axis``."""
    coords = {n: v for n, v in like.coords.variables.items() if TIME not in v.dims}
    if MEMBER in lead and MEMBER not in coords:
        coords[MEMBER] = xr.Variable(MEMBER, np.arange(len(values)))
    times = xr.Variable(TIME, axis, like[TIME].attrs, like[TIME].encoding)
    dtype = like.dtype if like.dtype.kind == "f" else np.float64
    attrs = {n: v for n, v in like.attrs.items() if n not in (LEFT, OUTSIDE)}
    return xr.DataArray(
        values.astype(dtype),
        dims=(*lead, TIME, LATENT),
        coords={**coords, TIME: times},
        name=like.name,
        attrs=attrs,
    )
