"""Whether the spread of an ensemble says how wrong it is.

x_m, m = 1 .. M, are the members, y the truth, x the mean of the members:

    CRPS   = mean_m |x_m - y|  -  1 / (2 M (M - 1)) sum_{m, m'} |x_m - x_m'|      fair
    spread = sqrt( (M + 1) / M  mean( var_m x_m ) )                    variance with M - 1
    skill  = sqrt( mean( (x - y)^2 ) )                                 error of the mean
    rank   = number of members below y,  0 .. M

Means are over points (with quadrature weights) and starts. The fair CRPS is that of infinitely
many members of the same kind, so ensembles of different M compare; with M = 1 it is the mean
absolute error. Where truth and members come from one distribution, spread / skill is 1 at every
lead (hence the factor (M + 1) / M) and ranks are uniform: a ratio below 1, or a rank histogram
with high ends, is an ensemble that is too sure of itself.

Sources: C. A. T. Ferro, Fair scores for ensemble forecasts, 2014; V. Fortin et al., Why should
ensemble spread match the RMSE of the ensemble mean?, 2014; T. M. Hamill, Interpretation of rank
histograms for verifying ensemble forecasts, 2001.
"""

from typing import Any

import numpy as np
import xarray as xr

from romae.conventions import TIME
from romae.errors import DataError

MEMBER, RANK = "member", "rank"


def crps(members: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Fair CRPS of ``members`` (M, ...) at ``truth`` (...), in units of the truth.

    >>> float(crps(np.array([1.0]), np.array(3.0)))  # one member: the absolute error
    2.0
    """
    members = np.asarray(members, dtype=np.float64)
    error = np.abs(members - truth).mean(0)
    M = len(members)
    return error if M == 1 else error - _pairs(members) / (2 * M * (M - 1))


def _pairs(x: np.ndarray) -> np.ndarray:
    """sum over m, m' of |x_m - x_m'|, from the sorted members: M log M instead of M^2."""
    M = len(x)
    place = (2 * np.arange(1, M + 1) - M - 1).reshape(-1, *([1] * (x.ndim - 1)))
    return 2 * (place * np.sort(x, axis=0)).sum(0)


def variance(members: np.ndarray) -> np.ndarray:
    """(M + 1) / M times the sample variance of ``members`` (M, ...): what (x - y)^2 is on average
    where members and truth are drawn alike; zero for M = 1."""
    M = len(members)
    return (M + 1) / M * np.var(members, axis=0, ddof=1) if M > 1 else np.zeros(members.shape[1:])


def ranks(members: np.ndarray, truth: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Rank of ``truth`` (...) among ``members`` (M, ...): 0 .. M, whole numbers.

    Ties are broken at random with ``seed``: clipped rollouts make them, and would
    otherwise pile up at one side. NaN members count as above.
    """
    below = (members < truth).sum(0)
    ties = (members == truth).sum(0)
    return below + np.random.default_rng(seed).integers(0, ties + 1)


def unevenness(counts: np.ndarray) -> float:
    """How far a rank histogram (M + 1,) is from uniform: total variation, 0 (even) to 1.

    >>> unevenness(np.array([5, 5, 5, 5])), unevenness(np.array([20, 0, 0, 0]))
    (0.0, 0.75)
    """
    share = np.asarray(counts, dtype=float) / max(np.sum(counts), 1)
    return float(0.5 * np.abs(share - 1 / len(share)).sum())


def calibration(forecast: Any, truth: Any, *, weights: Any = None) -> xr.Dataset:
    """CRPS, spread, skill and ranks of an ensemble forecast over time.

    ``forecast``: DataArray or Dataset with the dimension ``member`` (``forecast(..., ensemble=N)``
    gives one); ``truth``: the same without it, on the same times. Both may have ``case`` or
    ``start``. ``weights``: DataArray over (some of) the other dimensions, zero where
    points do not count. Points that are NaN in the truth (masked) never count.

    Returns a Dataset over (field, time): ``crps``, ``spread``, ``skill``, ``ratio`` = spread /
    skill; ``ranks`` (field, rank), counts of all points and times.

    Raises :class:`DataError` without ``member`` or where the two do not align.
    """
    forecasts, truths = _variables(forecast), _variables(truth)
    if set(forecasts) != set(truths):
        raise DataError(
            f"the forecast has {', '.join(forecasts)}, the truth {', '.join(truths)}. Expected "
            "the same variables; select them, for example truth[list(forecast.data_vars)]."
        )
    parts = [_one(n, forecasts[n], truths[n], weights) for n in forecasts]
    return xr.concat(parts, xr.Variable("field", list(forecasts)))


def _variables(data: Any) -> dict[str, xr.DataArray]:
    if isinstance(data, xr.DataArray):
        return {str(data.name or "latents"): data}
    if isinstance(data, xr.Dataset):
        return {str(n): v for n, v in data.data_vars.items() if v.dtype.kind == "f"}
    raise DataError(
        f"expected a DataArray or Dataset to calibrate, got a {type(data).__name__}. Give what "
        "forecast(..., ensemble=N) returned, and the truth as romae.open_snapshots reads it."
    )


def _one(name: str, members: xr.DataArray, truth: xr.DataArray, weights: Any) -> xr.Dataset:
    if MEMBER not in members.dims:
        raise DataError(
            f"{name} has dims {members.dims}. Expected {MEMBER!r} among them; ask for an ensemble: "
            "forecast(history, steps, ensemble=20)."
        )
    if members.sizes[MEMBER] < 2:
        raise DataError(f"{name} has one member. Expected at least 2 to have a spread.")
    axis = next((str(d) for d in members.dims if str(d) == TIME), str(truth.dims[0]))
    try:
        members, truth = xr.align(members, truth, join="exact")
    except ValueError as error:
        raise DataError(
            f"{name}: the forecast and the truth are not on the same axes ({error}). Expected the "
            "same times and grid; select the truth with truth.sel(time=forecast.time)."
        ) from error
    rest = [d for d in truth.dims if d != axis]
    x = members.transpose(MEMBER, axis, *rest).values
    y = truth.transpose(axis, *rest).values
    w = np.ones(y.shape)
    if weights is not None:
        w = np.broadcast_to(weights.broadcast_like(truth).transpose(axis, *rest).values, y.shape)
    return scores(x, y, w, truth[axis], str(truth.attrs.get("units", "1")))


def scores(
    x: np.ndarray, y: np.ndarray, w: np.ndarray, axis: xr.DataArray, units: str
) -> xr.Dataset:
    """The Dataset of one field from members ``x`` (M, T, ...), truth ``y`` and weights (T, ...)."""
    w = np.where(np.isnan(y), 0.0, w)
    y = np.where(w > 0, y, 0.0)
    x = np.where(w > 0, x, 0.0)

    def mean(values: np.ndarray) -> np.ndarray:
        total = w.reshape(len(w), -1).sum(1)
        return (w * values).reshape(len(w), -1).sum(1) / np.where(total > 0, total, np.nan)

    spread, skill = np.sqrt(mean(variance(x))), np.sqrt(mean((x.mean(0) - y) ** 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = spread / skill
    found = np.bincount(ranks(x, y)[w > 0].ravel(), minlength=len(x) + 1)
    name = str(axis.dims[0])
    data = {
        "crps": (name, mean(crps(x, y)), {"units": units, "long_name": "fair CRPS"}),
        "spread": (name, spread, {"units": units, "long_name": "spread of the ensemble"}),
        "skill": (name, skill, {"units": units, "long_name": "RMSE of the ensemble mean"}),
        "ratio": (name, ratio, {"units": "1", "long_name": "spread over skill"}),
        "ranks": (RANK, found, {"units": "1", "long_name": "points where the truth has this rank"}),
    }
    coords = {name: axis.variable, RANK: np.arange(len(x) + 1)}
    return xr.Dataset(data, coords=coords, attrs={"members": len(x)})
