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

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.compare.bootstrap import LEVEL, draw, interval
from romae.compare.contenders import Entry, Start, choose_starts, contenders
from romae.compare.even import even_test, step_asked
from romae.compare.forcing import Forcing
from romae.compare.ladders import Models, as_reducer, check_test, named
from romae.compare.rollouts import Codes, forecast_errors, one_pass, roll_entry
from romae.errors import check_option
from romae.fields import Snapshots, open_snapshots
from romae.metrics import (
    ALL,
    quartiles,
    unit_groups,
    valid_prediction_time,
)


def compare_forecasts(
    models: Models,
    test: Any,
    steps: int,
    starts: int | Sequence[int] | Sequence[Start] = 50,
    *,
    train: Any = None,
    threshold: float = 0.4,
    inputs: Any = None,
    resample: Any = None,
    reconstruction: Literal["show", "skip"] = "show",
    on_leak: Literal["raise", "flag"] = "raise",
) -> xr.Dataset:
    """Error over lead time of reduced models, persistence, climatology and DMD.

    ``models``: fitted ReducedModels, a list or a mapping of names to them. ``starts``: how many,
    evenly spread over all that fit, or the index (or (case, index)) of each first forecast
    snapshot. With ``train`` a DMD of the POD coordinates is fitted to it and joins in. ``inputs``:
    known series over the test times, for the models that were fitted with some. ``resample``: time
    step of the models, such as "6 h", for test data of uneven times: the truth is then interpolated
    (:mod:`romae.compare.even`).

    Returns a Dataset: ``error`` (model, start, lead, field), its quartiles over starts
    ``error_lower``, ``error_median``, ``error_upper`` (model, lead, field), ``valid_time``
    (model, start) with quartiles, ``valid_to_the_end`` (model): the share of starts that never
    exceed ``threshold``; ``left_range`` (model): the share of rollouts that left the range of
    the training latents; ``valid_time_mean`` with its 95 % interval ``_low``, ``_high``, from a
    bootstrap over starts (:mod:`romae.compare.bootstrap`).

    Raises :class:`DataError` when the time step is uneven, :class:`OptionError` when no start
    leaves room for the history and ``steps``.
    """
    check_option("reconstruction", reconstruction, ["show", "skip"])
    check_option("on_leak", on_leak, ["raise", "flag"])
    snapshots = open_snapshots(test)
    check_test(models, snapshots, on_leak=on_leak)
    resample = step_asked(models, resample)
    snapshots = even_test(snapshots, resample)
    forcing = Forcing.read(inputs, snapshots)
    entries = contenders(models, train, reconstruction, resample)
    context = max(int(getattr(e.dynamics, "context", 1)) for e in entries)
    chosen = choose_starts(starts, snapshots, context, steps)
    reference = as_reducer(next(iter(named(models).values())))
    mean = np.asarray(reference.scaling.mean, dtype=float)
    reducers = {id(e.ladder.reducer): e.ladder.reducer for e in entries if e.ladder}
    fluctuation, codes = one_pass(reducers, snapshots, mean)
    groups = unit_groups([f.units for f in snapshots.layout.fields])
    rolled = [_rolled(e, codes, snapshots, chosen, steps, forcing) for e in entries]
    errors = forecast_errors(
        entries, rolled, snapshots, chosen, steps, mean, fluctuation.energy, groups
    )
    lead = np.arange(1, steps + 1) * float(snapshots.dt or np.nan)
    result = forecast_dataset(entries, errors, lead, chosen, snapshots, threshold)
    result.attrs["reference_mean"] = "temporal mean of the training data of the first model"
    return result


def _rolled(
    entry: Entry,
    codes: dict[int, Codes],
    test: Snapshots,
    starts: list[Start],
    steps: int,
    forcing: Forcing | None,
) -> np.ndarray | None:
    if entry.ladder is None:
        return None
    return roll_entry(entry, codes[id(entry.ladder.reducer)], test, starts, steps, forcing)


def forecast_dataset(
    entries: list[Entry],
    errors: np.ndarray,
    lead: np.ndarray,
    starts: list[Start],
    test: Snapshots,
    threshold: float,
    fields: list[str] | None = None,
) -> xr.Dataset:
    """The Dataset of ``errors`` (entry, start, lead, field); the last field is all of them."""
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
    mean = valid.mean(1)
    low, high = interval(valid, draw(starts, len(lead)))
    for key, values, text in (
        ("mean", mean, "mean over starts"),
        ("mean_low", low, f"lower end of the {LEVEL:.0%} interval of the mean"),
        ("mean_high", high, f"upper end of the {LEVEL:.0%} interval of the mean"),
    ):
        data[f"valid_time_{key}"] = (
            ("model",),
            values,
            {**seconds, "long_name": f"valid prediction time, {text}"},
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
        "field": ("field", [*(fields or test.layout.names), ALL]),
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
