"""Correct a running forecast with new snapshots or a few sensors: an ensemble Kalman update.

Z = (z^(1) .. z^(N)) are members of a forecast, latents of one time or of a window of times, and
y = h(z) + e, e ~ N(0, R) what was observed; h decodes and picks the sensors, or is the identity
where whole snapshots were encoded. With means and deviations over members, Y = h(Z),

    A  = (N - 1) / rho I + Y'^T R^-1 Y'              (N, N); rho >= 1 inflates the spread
    w  = A^-1 Y'^T R^-1 (y - mean Y)
    Z+ = mean Z + Z' (w 1^T + ((N - 1) A^-1)^1/2)    symmetric square root

h may be nonlinear: it is only applied to members. The same weights correct every time of a
window, so that a model of several delays goes on from a consistent history. For a linear h this
is the Kalman update with the covariance of the members; members beyond the number of latents
make that covariance full.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from romae.conventions import CASE, LATENT, MEMBER, TIME
from romae.dynamics import Dynamics
from romae.dynamics.ahead import Ahead
from romae.dynamics.perturbed import Perturbed
from romae.dynamics.times import TOLERANCE, seconds_since, time_label
from romae.errors import DataError, OptionError, check_whole
from romae.fields import open_snapshots
from romae.model import ReducedModel
from romae.recent import own_params, recent_latents

SENSOR = "sensor"
Noise = float | Mapping[str, float]


def etkf(
    Z: np.ndarray, Y: np.ndarray, y: np.ndarray, R: np.ndarray, *, inflation: float = 1.0
) -> np.ndarray:
    """Members ``Z`` (N, ...) corrected by observations ``y`` (m,), of variances ``R`` (m,).

    ``Y`` (N, m): what each member would have observed. ``inflation``: rho, of the variance.

    Source: C. H. Bishop, B. J. Etherton, S. J. Majumdar, Adaptive sampling with the ensemble
    transform Kalman filter, 2001, in the form of B. R. Hunt et al., Efficient data assimilation for
    spatiotemporal chaos, 2007, without localisation; ensembles as covariance: G. Evensen, The
    ensemble Kalman filter: theoretical formulation and practical implementation, 2003.
    """
    N = len(Z)
    z, mean = Z.reshape(N, -1), Y.mean(axis=0)
    D = (Y - mean) / np.sqrt(R)
    A = (N - 1) / inflation * np.eye(N) + D @ D.T
    values, V = np.linalg.eigh(A)
    w = V @ ((V.T @ (D @ ((y - mean) / np.sqrt(R)))) / values)
    W = (V * np.sqrt((N - 1) / values)) @ V.T
    centre = z.mean(axis=0)
    return np.asarray(centre + (w[:, None] + W).T @ (z - centre)).reshape(Z.shape)


def assimilate(
    model: ReducedModel,
    ensemble: xr.DataArray,
    observations: Any,
    *,
    noise: Noise,
    inflation: float = 1.0,
) -> xr.DataArray:
    """``ensemble`` (member, time, latent) corrected by ``observations`` at some of its times.

    ``observations`` are either sensors, a Dataset (or a named DataArray of one field) over (time,
    sensor) or (sensor), with the position of each as coordinates named like the axes of the fields
    (the nearest grid point counts; NaN is no observation), or whole snapshots, anything
    :func:`open_snapshots` takes, which are encoded. Without a time they belong to the last of the
    ensemble.

    ``noise``: standard deviation of a sensor, in the unit of its field, one number or one for each
    field; for whole snapshots one number, in standard deviations of the training latents.
    ``inflation`` of the variance, 1 or more, makes up for members that agree too well.

    Raises DataError for observations at other times or places, OptionError for wrong numbers.
    """
    if not isinstance(ensemble, xr.DataArray) or ensemble.dims != (MEMBER, TIME, LATENT):
        raise DataError(
            f"assimilate got {getattr(ensemble, 'dims', type(ensemble).__name__)}. Expected "
            "latents (member, time, latent): model.forecast_latents(history, steps, ensemble=50)."
        )
    if ensemble.sizes[MEMBER] < 2:
        raise DataError("assimilate got 1 member. Expected 2 or more; forecast with ensemble=50.")
    if not inflation >= 1:
        raise OptionError(f"inflation is {inflation}. Expected a number of at least 1.")
    observations = _named(observations)
    if _sensors(observations):
        Y, y, R = _observed_sensors(model, ensemble, observations, noise)
    else:
        Y, y, R = _observed_snapshots(model, ensemble, observations, noise)
    if not y.size:
        raise DataError("all observations are NaN. Expected at least one number.")
    Z = etkf(ensemble.values.astype(float), Y, y, R, inflation=inflation)
    return ensemble.copy(data=Z.astype(ensemble.dtype))


def follow(
    model: ReducedModel,
    history: Any,
    observations: Any,
    *,
    noise: Noise,
    members: int | Perturbed = 50,
    inflation: float = 1.0,
    seed: int = 0,
    resample: Any = None,
    **options: Any,
) -> xr.DataArray:
    """Forecast from one observation to the next, correcting at each: (member, time, latent).

    Starts after ``history`` with ``members``, perturbed by the one-step error of the model unless a
    :class:`Perturbed` says otherwise (a start that is surer than it should be is hardly corrected),
    and ends at the last observation;
    ``observations`` have a time axis of later times on the grid of the model. Each state is what
    was known at its time: it is corrected by observations up to then and not by later ones.
    ``resample=True``: a history of uneven times is put on the step of the dynamics, at its end.
    ``options`` go to :meth:`Dynamics.forecast`. Continue with
    ``model.dynamics.forecast(result, steps)``.
    """
    first = members if isinstance(members, Perturbed) else Perturbed(members)
    count = check_whole("members", first.members, 2)
    start: Perturbed | None = first
    dynamics: Dynamics = model.dynamics
    needed = max(dynamics.context, 2)
    snapshots = open_snapshots(history)
    snapshots.require(needed, f"a forecast by {dynamics.name}")
    if snapshots.cases > 1:
        raise DataError(f"the history has {snapshots.cases} cases. Expected one: .isel(case=[0]).")
    z = recent_latents(model.reducer, snapshots, dynamics, resample)
    z = z.isel({CASE: 0}, drop=True) if CASE in z.dims else z
    if options.get("params") is None:
        options["params"] = own_params(snapshots, dynamics)
    observations = _named(observations)
    if not _sensors(observations):
        observations = open_snapshots(observations).to_dataset()
        observations = observations.rename({model.reducer.layout.time: TIME})
    if TIME not in observations.dims:
        raise DataError("observations have no dimension 'time'. Expected a series; or assimilate.")
    window = z.expand_dims({MEMBER: np.arange(count)})
    found = []
    for i in range(observations.sizes[TIME]):
        now = observations.isel({TIME: slice(i, i + 1)})
        steps = Ahead.of(window[TIME], dynamics.dt, times=now[TIME].values).steps
        before = z if start is not None else window
        later = dynamics.forecast(before, steps, ensemble=start, seed=seed, **options)
        start = None
        whole = xr.concat(
            [window, later], TIME, coords="minimal", compat="override", join="override"
        )
        window = whole.transpose(MEMBER, TIME, LATENT)[:, -needed:]
        name = {} if _sensors(now) else {TIME: model.reducer.layout.time}
        window = assimilate(model, window, now.rename(name), noise=noise, inflation=inflation)
        found += [later[:, :-1], window[:, -1:]]
    return xr.concat(found, TIME, coords="minimal", compat="override", join="override")


def _named(observations: Any) -> Any:
    """Sensors of one field as a Dataset."""
    one = isinstance(observations, xr.DataArray) and SENSOR in observations.dims
    if one and observations.name is None:
        raise DataError(
            "sensors are a DataArray without a name. Expected that of their field: "
            "sensors.rename('u')."
        )
    return observations.to_dataset() if one else observations


def _sensors(observations: Any) -> bool:
    return isinstance(observations, xr.Dataset) and SENSOR in observations.dims


def _observed_snapshots(
    model: ReducedModel, ensemble: xr.DataArray, snapshots: Any, noise: Noise
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members and observations as normalised latents; variances."""
    z = model.encode(snapshots)
    if z.dims != (TIME, LATENT):
        raise DataError(f"observed snapshots give latents {z.dims}. Expected one case.")
    where = _times(ensemble, z[TIME], model.dynamics)
    span = model.dynamics.span
    Y = span.normalise(ensemble.values[:, where].astype(float))
    y = span.normalise(z.values.astype(float))
    variance = _std(noise, "whole snapshots") ** 2
    return Y.reshape(len(Y), -1), y.ravel(), np.full(y.size, variance)


def _observed_sensors(
    model: ReducedModel, ensemble: xr.DataArray, sensors: xr.Dataset, noise: Noise
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members decoded at the sensors (N, m), observations (m,), variances (m,); without NaN."""
    layout = model.reducer.layout
    if TIME in sensors.dims:
        where = _times(ensemble, sensors[TIME], model.dynamics)
    else:
        sensors, where = sensors.expand_dims(TIME), np.array([ensemble.sizes[TIME] - 1])
    names = [n for n in layout.names if n in sensors]
    lost = [d for d in layout.space if d not in sensors.coords]
    if not names or lost:
        raise DataError(
            f"sensors have the fields {list(sensors.data_vars)} and the coordinates "
            f"{list(sensors.coords)}. Expected some of the fields {', '.join(layout.names)}, at "
            f"coordinates {', '.join(layout.space)} over {SENSOR!r}."
        )
    for f in layout.fields:
        units = str(sensors[f.name].attrs.get("units", "")) if f.name in names else ""
        if units and f.units and units != f.units:
            raise DataError(
                f"sensors of {f.name!r} are in {units!r}, the field is in {f.units!r}. Expected "
                "one unit; convert the sensors."
            )
    fields = model.decode(ensemble.isel({TIME: where}))
    place = {d: _nearest(fields[d], sensors[d]) for d in layout.space}
    Y, y, R = [], [], []
    for n in names:
        seen = fields[n].isel(place).transpose(MEMBER, layout.time, SENSOR).values
        told = sensors[n].transpose(TIME, SENSOR).values.astype(float)
        use = np.isfinite(told)
        if not np.isfinite(seen[:, use]).all():
            raise DataError(f"a sensor of {n!r} lies where the field is masked. Move or drop it.")
        Y.append(seen[:, use].astype(float))
        y.append(told[use])
        R.append(np.full(int(use.sum()), _std(noise, n) ** 2))
    return np.concatenate(Y, axis=1), np.concatenate(y), np.concatenate(R)


def _times(ensemble: xr.DataArray, observed: xr.DataArray, dynamics: Dynamics) -> np.ndarray:
    """Where in the ensemble the ``observed`` times are."""
    origin, dt = ensemble[TIME].values[0], dynamics.dt.length
    apart = seconds_since(observed, origin)[:, None] - seconds_since(ensemble[TIME], origin)
    where = np.abs(apart).argmin(axis=1)
    off = np.abs(apart).min(axis=1) > TOLERANCE * dt
    if off.any():
        first, last = (time_label(ensemble[TIME].values[i]) for i in (0, -1))
        raise DataError(
            f"an observation at {time_label(observed.values[off][0])} is at no time of the "
            f"ensemble, which goes from {first} to {last} by {dynamics.dt}. Forecast to it first."
        )
    return np.asarray(where)


def _nearest(axis: xr.DataArray, at: xr.DataArray) -> xr.DataArray:
    """Index of the grid point nearest to each sensor. Raises DataError outside the grid."""
    x, positions = axis.values.astype(float), at.values.astype(float)
    step = np.abs(np.diff(x)).max() if x.size > 1 else np.inf
    apart = np.abs(positions[:, None] - x)
    if (bad := apart.min(axis=1) > step).any():
        raise DataError(
            f"a sensor at {axis.name} = {positions[bad][0]:g} lies outside the grid, {x.min():g} "
            f"to {x.max():g}. Expected positions in the units of the fields' coordinates."
        )
    return xr.DataArray(apart.argmin(axis=1), dims=SENSOR)


def _std(noise: Noise, name: str) -> float:
    value = noise.get(name) if isinstance(noise, Mapping) else noise
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not value > 0:
        raise OptionError(
            f"noise of {name} is {value!r}. Expected a positive standard deviation, one number or "
            "one for each field: noise={'u': 0.05}."
        )
    return float(value)
