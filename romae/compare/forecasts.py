"""Forecast errors over lead time, from many starts, beside what needs no model.

A start s lets every model see the snapshots before s and asks for x_s ... x_{s+S-1}; lead
n = 1 ... S is the n-th of them, n dt after the last one seen. Errors are NRMSE(start, lead)
(:mod:`romae.metrics`), the fluctuation being that of the whole test set about the training
mean of the first model; the valid prediction time is the first lead time at which the NRMSE
of "all" exceeds ``threshold``. Medians and quartiles are over starts.

Beside the models stand persistence (the last snapshot seen, again and again), climatology
(the training mean), DMD when training data are given, and each reducer's reconstruction of
the truth, below which no forecast with its latents gets.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.compare.coding import BLOCK_BYTES, decode, encode, finite_blocks
from romae.compare.contenders import PERSISTENCE, Entry, Start, choose_starts, contenders, labelled
from romae.compare.ladders import Models, along, as_reducer, check_test, named
from romae.errors import DataError, check_option
from romae.fields import Snapshots, open_snapshots
from romae.metrics import (
    ALL,
    FluctuationSums,
    energy,
    nrmse,
    quartiles,
    unit_groups,
    valid_prediction_time,
)
from romae.progress import track


def compare_forecasts(
    models: Models,
    test: Any,
    steps: int,
    starts: int | Sequence[int] | Sequence[Start] = 50,
    *,
    train: Any = None,
    threshold: float = 0.4,
    reconstruction: Literal["show", "skip"] = "show",
    on_leak: Literal["raise", "flag"] = "raise",
) -> xr.Dataset:
    """Error over lead time of reduced models, persistence, climatology and DMD.

    ``models``: fitted ReducedModels, a list or a mapping of names to them. ``starts``: how many,
    evenly spread over all that fit, or the index (or (case, index)) of each first forecast
    snapshot. With ``train`` a DMD of the POD coordinates is fitted to it and joins in.

    Returns a Dataset: ``error`` (model, start, lead, field), its quartiles over starts
    ``error_lower``, ``error_median``, ``error_upper`` (model, lead, field), ``valid_time``
    (model, start) with quartiles, ``valid_to_the_end`` (model): the share of starts that never
    exceed ``threshold``; ``left_range`` (model): the share of rollouts that left the range of
    the training latents.

    Raises :class:`DataError` when the time step is uneven, :class:`OptionError` when no start
    leaves room for the history and ``steps``.
    """
    check_option("reconstruction", reconstruction, ["show", "skip"])
    check_option("on_leak", on_leak, ["raise", "flag"])
    snapshots = open_snapshots(test)
    if snapshots.dt is None:
        raise DataError(
            f"the times of {snapshots.source} are not evenly spaced: a forecast has no lead time "
            f"there. Resample first, for example ds.interp(time=...)."
        )
    check_test(models, snapshots, on_leak=on_leak)
    entries = contenders(models, train, reconstruction)
    context = max(int(getattr(e.dynamics, "context", 1)) for e in entries)
    chosen = choose_starts(starts, snapshots, context, steps)
    reference = as_reducer(next(iter(named(models).values())))
    mean = np.asarray(reference.scaling.mean, dtype=float)
    fluctuation, codes = _one_pass(entries, snapshots, mean)
    weights = snapshots.layout.quadrature
    groups = unit_groups([f.units for f in snapshots.layout.fields])
    errors = np.empty((len(entries), len(chosen), steps, snapshots.layout.channels + 1))
    with track(len(chosen), "forecasting") as task:
        for i, (case, start) in enumerate(chosen):
            rolled = [_latents(e, codes, snapshots, (case, start), steps) for e in entries]
            before = snapshots.read(start - 1, start, case).astype(float)
            rungs = [
                e.ladder.along(snapshots, case).rungs[0] if e.ladder else None for e in entries
            ]
            for a, truth in _truth(snapshots, case, start, steps):
                for j, entry in enumerate(entries):
                    if (rung := rungs[j]) is None:
                        guess = before if entry.name == PERSISTENCE else mean[None]
                    else:
                        guess = decode(rung, rolled[j][a : a + len(truth)])
                    found = energy(guess - truth, weights)
                    errors[j, i, a : a + len(truth)] = nrmse(found, fluctuation.energy, groups)
            task.advance()
    lead = np.arange(1, steps + 1) * snapshots.dt
    result = _dataset(entries, errors, lead, chosen, snapshots, threshold)
    result.attrs["reference_mean"] = "temporal mean of the training data of the first model"
    return result


def _one_pass(
    entries: list[Entry], snapshots: Snapshots, mean: np.ndarray
) -> tuple[FluctuationSums, dict[int, list[np.ndarray]]]:
    """Fluctuation of the test set, and its latents by reducer (by id), in one reading."""
    reducers = {id(e.ladder.reducer): e.ladder.reducer for e in entries if e.ladder}
    parts: dict[int, list[list[np.ndarray]]] = {
        key: [[] for _ in range(snapshots.cases)] for key in reducers
    }
    fluctuation = FluctuationSums(snapshots.layout.quadrature, mean)
    now, own = -1, reducers
    for case, values in finite_blocks(snapshots, BLOCK_BYTES):
        if case != now:
            now, own = case, {k: along(r, snapshots, case) for k, r in reducers.items()}
        fluctuation.add(values)
        for key, reducer in own.items():
            parts[key][case].append(encode(reducer, values))
    return fluctuation, {k: [np.concatenate(c) for c in cases] for k, cases in parts.items()}


def _latents(
    entry: Entry, codes: dict[int, list[np.ndarray]], test: Snapshots, at: Start, steps: int
) -> np.ndarray:
    """Latents (steps, k) that ``entry`` decodes: forecast, or those of the truth."""
    case, start = at
    if entry.ladder is None:
        return np.empty(0)
    z = codes[id(entry.ladder.reducer)][case]
    if entry.kind == "reconstruction":
        return z[start : start + steps]
    # Two states at least, so that the time step can be checked.
    first = max(0, start - max(entry.dynamics.context, 2))
    history = labelled(z[first:start], test, case, first)
    params = None if test.params is None else test.params.iloc[[case]]
    with warnings.catch_warnings():  # counted below instead of shown once per start
        warnings.simplefilter("ignore", UserWarning)
        result = entry.dynamics.forecast(history, steps, params=params)
    entry.left += "left_training_range_at" in result.attrs
    return np.asarray(result.values, dtype=np.float32)


def _truth(test: Snapshots, case: int, start: int, steps: int) -> Iterator[tuple[int, np.ndarray]]:
    """(offset, values (b, C, *space)) of the snapshots that are forecast, by batches."""
    rows = max(1, BLOCK_BYTES // (8 * test.layout.size))
    for a in range(0, steps, rows):
        b = min(a + rows, steps)
        yield a, test.read(start + a, start + b, case).astype(float)


def _dataset(
    entries: list[Entry],
    errors: np.ndarray,
    lead: np.ndarray,
    starts: list[Start],
    test: Snapshots,
    threshold: float,
) -> xr.Dataset:
    unit = "s" if test.times(0).dtype.kind in "mMO" else str(test.times(0).attrs.get("units", ""))
    valid, censored = valid_prediction_time(errors[..., -1], lead, threshold)
    q_error, q_valid = quartiles(errors, axis=1), quartiles(valid, axis=1)
    times = [str(test.times(case).values[s - 1]) for case, s in starts]
    dims, curve = ("model", "start", "lead", "field"), ("model", "lead", "field")
    name, seconds = "NRMSE of the forecast", {"units": unit}
    data: dict[str, Any] = {"error": (dims, errors, {"units": "1", "long_name": name})}
    data["valid_time"] = (dims[:2], valid, {**seconds, "long_name": "valid prediction time"})
    for i, which in enumerate(("lower", "median", "upper")):
        label = which if which == "median" else f"{which} quartile"
        data[f"error_{which}"] = (
            curve,
            q_error[i],
            {"units": "1", "long_name": f"{name}, {label} over starts"},
        )
        data[f"valid_time_{which}"] = (
            ("model",),
            q_valid[i],
            {**seconds, "long_name": f"valid prediction time, {label}"},
        )
    shares = {
        "valid_to_the_end": (censored.mean(1), "starts that stay valid to the last lead"),
        "left_range": (
            np.array([e.left / len(starts) for e in entries]),
            "rollouts that left three times the range of the training latents",
        ),
    }
    for key, (values, text) in shares.items():
        data[key] = (("model",), values, {"units": "1", "long_name": f"share of {text}"})
    coords = {
        "model": ("model", [e.name for e in entries]),
        "kind": ("model", [e.kind for e in entries]),
        "lead": ("lead", np.arange(1, len(lead) + 1), {"units": "1", "long_name": "lead, steps"}),
        "lead_time": ("lead", lead, {**seconds, "long_name": "lead time"}),
        "field": ("field", [*test.layout.names, ALL]),
        "start_case": ("start", [case for case, _ in starts]),
        "start_index": ("start", [s for _, s in starts], {"long_name": "first forecast snapshot"}),
        "start_time": ("start", times, {"long_name": "time of the last snapshot seen"}),
    }
    attrs = {
        "title": "Forecast of unseen snapshots",
        "threshold": threshold,
        "definition": "valid prediction time: first lead time with NRMSE of all fields over "
        f"{threshold:g}; a forecast that never exceeds it counts with the last lead time",
        "dt": float(test.dt or np.nan),
        "time_units": unit,
        "test_source": test.source,
        "test_fingerprint": test.fingerprint,
        "starts": len(starts),
    }
    return xr.Dataset(data, coords=coords, attrs=attrs)
