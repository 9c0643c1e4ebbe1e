"""Snapshots that a model of the ordinary ones cannot reproduce.

A reducer fitted to ordinary snapshots reproduces those of their kind. Two scores per snapshot:

    global  the NRMSE over the whole field (:mod:`romae.metrics`): what changes everywhere
    local   the largest deviation of the smoothed error from that of ordinary snapshots at the
            same point (:mod:`romae.compare.deviations`): what changes somewhere

A snapshot is flagged where its score exceeds the ``quantile`` of the scores of *validation*
snapshots: ordinary ones that the reducer was not fitted to. The local scores of each half of
them are taken with the mean and sigma of the other half, because scores by their own mean and
sigma are too low. Neither score sees an anomaly that the latents can hold: a wake of another
phase is a wake.

Memory holds one block of snapshots and a few fields. See An & Cho 2015, "Variational autoencoder
based anomaly detection using reconstruction probability", for the error over its own spread.
"""

from typing import Any

import numpy as np
import xarray as xr

from romae.compare.deviations import coordinates
from romae.compare.ladders import SAME, as_reducer, leak
from romae.compare.roc import auc, calibrated, check_labels, roc
from romae.compare.watch import KINDS, Watch
from romae.conventions import LATENT
from romae.errors import DataError, OptionError
from romae.fields import Snapshots, open_snapshots
from romae.metrics import ALL


def detect(
    model: Any,
    data: Any,
    *,
    validation: Any,
    quantile: float = 0.99,
    labels: Any = None,
    smooth: float = 2.0,
) -> xr.Dataset:
    """Score every snapshot of ``data`` by the reconstruction error of ``model``.

    ``model``: a fitted reducer or reduced model; ``data`` and ``validation``: Snapshots, or what
    ``open_snapshots`` takes, validation being ordinary and not what the model was fitted to.
    ``labels``: bool over the snapshots of ``data``, true where anomalous. ``smooth``: width of
    the disturbances looked for, in grid points (standard deviation of a Gaussian).

    Returns a Dataset, ``kind`` being "global" and "local": ``score`` and ``flagged`` (kind, time),
    ``threshold`` (kind); ``error`` (field, time), the NRMSE; ``at_x``, ``at_y``, ... (time), the
    centre of the largest deviation, by the names of the space coordinates; ``deviation`` (time,
    *space), the map, computed when it is asked for. With labels ``auc`` and
    ``calibrated_threshold`` (kind), ``hit_rate``, ``false_alarm_rate`` (kind, point). Several
    cases have the dimension ``case`` before ``time``.

    Raises :class:`romae.errors.GridMismatchError` for another grid, :class:`DataError` when the
    validation data are those of the fit, are fewer than four, or hold no fluctuation.
    """
    reducer = as_reducer(model)
    if not 0 < quantile < 1:
        raise OptionError(f"quantile is {quantile!r}. Expected between 0 and 1; type 0.99.")
    if not smooth >= 0:
        raise OptionError(f"smooth is {smooth!r}. Expected 0 or more grid points; type 2.")
    snapshots, ordinary = open_snapshots(data), open_snapshots(validation)
    _check(reducer, snapshots, ordinary)
    marks = None if labels is None else _labels(labels, snapshots)
    watch = Watch(reducer, ordinary, smooth)
    found = watch.scores(snapshots)
    result = _dataset(watch, found, snapshots)
    threshold = np.quantile(watch.ordinary_scores, quantile, axis=0, method="higher")
    result["threshold"] = ("kind", threshold, {"units": "1", "quantile": quantile})
    result["flagged"] = result["score"] > result["threshold"]
    result["flagged"].attrs["long_name"] = "score above the threshold"
    if marks is not None:
        _add_labels(result, np.concatenate(found)[:, : len(KINDS)], marks, snapshots)
    result["deviation"] = watch.lazily(snapshots, result["score"].isel(kind=0, drop=True))
    return result


def _check(reducer: Any, snapshots: Snapshots, ordinary: Snapshots) -> None:
    reducer.layout.check_same(snapshots.layout, "the data to look through")
    reducer.layout.check_same(ordinary.layout, "the validation data")
    ordinary.require(4, "a threshold for anomalies")
    if leak(getattr(reducer, "training", None) or {}, ordinary) == SAME:
        raise DataError(
            f"{reducer.name} was fitted to these very validation snapshots ({ordinary.source}): "
            f"their errors are smaller than those of others. Expected ordinary ones that the fit "
            f"has not seen; type train, validation = snapshots.split(0.8, 0.2) before the fit."
        )


def _labels(labels: Any, snapshots: Snapshots) -> np.ndarray:
    """Labels of all snapshots, cases in a row."""
    values = np.asarray(labels.values if isinstance(labels, xr.DataArray) else labels)
    lengths = snapshots.lengths
    if values.ndim == 2 and values.shape == (len(lengths), max(lengths)):
        values = np.concatenate([row[:n] for row, n in zip(values, lengths, strict=True)])
    if values.shape != (len(snapshots),) or not np.isin(values, (0, 1)).all():
        raise DataError(
            f"labels have shape {values.shape} of {values.dtype}. Expected one true or false (1 or "
            f"0) per snapshot: shape ({len(snapshots)},), true where anomalous."
        )
    marks = values.astype(bool)
    check_labels(marks)
    return marks


def _dataset(watch: Watch, found: list[np.ndarray], snapshots: Snapshots) -> xr.Dataset:
    from romae.reducers import labels

    table = labels.latents(found, snapshots)  # the axes of latents are those of scores
    fields = [*watch.layout.names, ALL]
    kinds, errors = len(KINDS), len(fields)
    score = table[..., :kinds].rename({LATENT: "kind"}).assign_coords(kind=list(KINDS))
    error = table[..., kinds : kinds + errors].rename({LATENT: "field"}).assign_coords(field=fields)
    error_attrs = {"units": "1", "long_name": "NRMSE of the reconstruction"}
    data = {
        "score": score.transpose("kind", ...).assign_attrs(units="1", long_name="anomaly score"),
        "error": error.transpose("field", ...).assign_attrs(error_attrs),
    }
    index = table[..., kinds + errors :]
    flat = index.values.reshape(-1, index.shape[-1])
    gone = np.isnan(flat).any(1)
    bare = index[..., 0].drop_vars(LATENT)
    for name, values, attrs in coordinates(watch.layout, np.where(gone[:, None], 0, flat)):
        values = np.where(gone, np.nan, values).reshape(bare.shape)
        kept = {k: v for k, v in attrs.items() if k in ("units", "long_name", "standard_name")}
        data[f"at_{name}"] = bare.copy(data=values).assign_attrs(kept)
    attrs = {
        "title": "Anomalies by reconstruction error",
        "reducer": f"{watch.reducer.name} k={watch.reducer.latent}",
        "source": snapshots.source,
        "smooth": watch.smooth,
        "definition": "global: NRMSE; local: largest deviation; see romae.compare.anomalies",
    }
    return xr.Dataset(data, attrs=attrs)


def _add_labels(
    result: xr.Dataset, scores: np.ndarray, marks: np.ndarray, snapshots: Snapshots
) -> None:
    curves = [roc(s, marks) for s in scores.T]
    points = max(len(c[0]) for c in curves)
    table = np.full((3, len(KINDS), points), np.nan)
    for i, curve in enumerate(curves):
        table[:, i, : len(curve[0])] = curve
    for name, values in zip(("false_alarm_rate", "hit_rate", "roc_threshold"), table, strict=True):
        result[name] = (("kind", "point"), values, {"units": "1"})
    result["auc"] = ("kind", [auc(s, marks) for s in scores.T], {"units": "1"})
    best = [calibrated(s, marks) for s in scores.T]
    result["calibrated_threshold"] = ("kind", best, {"units": "1"})
    rows = np.zeros((snapshots.cases, max(snapshots.lengths)), dtype=bool)
    for row, part in zip(rows, np.split(marks, np.cumsum(snapshots.lengths)[:-1]), strict=True):
        row[: len(part)] = part
    like = result["score"].isel(kind=0, drop=True)
    result["label"] = like.copy(data=rows.reshape(like.shape))
    result["label"].attrs = {"long_name": "labelled anomalous"}
