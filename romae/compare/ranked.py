"""The Dataset of ranked dynamics: errors and places, what was said of them, and what they cost."""

from typing import Any

import numpy as np
import xarray as xr

from romae.compare.contenders import Entry
from romae.compare.forcing import Forcing
from romae.compare.forecasts import forecast_dataset
from romae.compare.ranking import rank_models, sentences
from romae.compare.rollouts import Codes, Told, histories_of, roll
from romae.fields import Snapshots

TIMED_STEPS = 200


def ranked_dataset(
    entries: list[Entry],
    errors: np.ndarray,
    test: Snapshots,
    starts: Any,
    steps: int,
    threshold: float,
    fields: list[str] | None,
) -> tuple[list[int], xr.Dataset]:
    """The Dataset, models by rank, then failures, then the reconstruction; and that order."""
    lead = np.arange(1, steps + 1) * float(test.dt or np.nan)
    result = forecast_dataset(entries, errors, lead, starts, test, threshold, fields)
    failed = np.array([bool(e.failure) for e in entries])
    for name in [n for n, v in result.data_vars.items() if "model" in v.dims]:
        where = xr.DataArray(failed, dims="model")
        result[name] = result[name].where(~where).assign_attrs(result[name].attrs)
    some = [i for i, e in enumerate(entries) if e.kind != "reconstruction"]
    ranking = rank_models(result["valid_time"].values[some], errors[some][..., -1], starts, steps)
    number = len(entries)
    numbers: dict[str, tuple[Any, str, str]] = {
        "rank": (ranking.rank, "1", "place, 1 is best"),
        "tied": (ranking.tied.astype(np.int8), "1", "not to be told from the winner"),
        "error_mean": (ranking.error, "1", "geometric mean of the NRMSE over starts and leads"),
        "behind_low": (ranking.behind_low, "", "behind the winner, lower end of the 95 % interval"),
        "behind_high": (
            ranking.behind_high, "", "behind the winner, upper end of the 95 % interval",
        ),
    }  # fmt: skip
    for name, (values, units, text) in numbers.items():
        full = np.full(number, np.nan)
        full[some] = values
        result[name] = (("model",), full, {"units": units, "long_name": text})
    result["failure"] = (("model",), np.array([e.failure for e in entries], dtype=object))
    names = [entries[i].name for i in some]
    words = sentences(
        names,
        [entries[i].kind == "baseline" for i in some],
        ranking,
        [entries[i].failure for i in some],
        horizon=float(lead[-1]),
        unit=str(result.attrs["time_units"]),
        threshold=threshold,
        starts=len(starts),
    )
    result.attrs["verdict"] = "\n".join(words)
    result.attrs["title"] = "Dynamics compared on one reducer"
    order = [some[i] for i in np.argsort(ranking.rank)] + [
        i for i in range(number) if i not in some
    ]
    return order, result.isel(model=order)


def add_costs(result: xr.Dataset, costs: list[tuple[float, float, float, float]]) -> None:
    """Of every row of ``result``, as :func:`cost_of` gives them."""
    for i, (name, units, about) in enumerate(
        (
            ("fit_seconds", "s", "wall time of fit"),
            ("step_seconds", "s", "wall time of a step of one rollout, decoding excluded"),
            ("batch_step_seconds", "s", "wall time of a step of one of many rollouts at once"),
            ("nbytes", "byte", "bytes of the fitted dynamics"),
        )
    ):
        values = np.array([c[i] for c in costs], dtype=float)
        result[name] = (("model",), values, {"units": units, "long_name": about})
    batch = result["batch_step_seconds"] / (result.sizes["start"] * result.sizes["lead"])
    result["batch_step_seconds"] = batch.assign_attrs(result["batch_step_seconds"].attrs)


def cost_of(
    entry: Entry, codes: Codes, test: Snapshots, forcing: Forcing | None
) -> tuple[float, float, float, float]:
    """(fit seconds, seconds per step of one rollout, of all rollouts, bytes)."""
    nothing = float("nan")
    if entry.failure or entry.dynamics is None:
        return nothing, nothing, nothing, nothing
    case = int(np.argmax([len(z) for z in codes]))
    start = [(case, max(int(entry.dynamics.context), 1))]
    history = histories_of(entry.dynamics, codes, start)
    told: Told | None = None if forcing is None else (forcing, start, True)
    roll(entry.dynamics, history, 2, test, cases=[case], told=told)  # what happens once
    one = roll(entry.dynamics, history, TIMED_STEPS, test, cases=[case], told=told)
    return (
        float(entry.dynamics.fit_seconds), one.seconds / TIMED_STEPS, entry.seconds,
        float(entry.dynamics.nbytes),
    )  # fmt: skip
