"""Every model of the latents on the latents of one reducer: which one to take?

    z = E(x) once      fit each model on z of the training data
                       roll each out from many starts of the data held back, all at once
                       NRMSE of D(z^) against x, valid prediction time, cost; ranked

Persistence, climatology and DMD are always among them, and where one of them wins, the result
says so. A model that cannot be fitted (too little data, a library that is missing, a singular
regression) is a row with the reason, not the end of the run. Selecting on data makes the
winner look better than it is: report its error on data that took no part in the choice.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.compare.candidates import (
    BASELINES,
    candidates,
    check_room,
    fit_all,
    leave_out,
    reason,
    who_knows,
)
from romae.compare.contenders import Entry, choose_starts, labelled
from romae.compare.even import even_test, evenly
from romae.compare.forcing import Forcing
from romae.compare.ladders import Ladder, Rung, as_reducer, check_test, default_name
from romae.compare.ranked import add_costs, cost_of, ranked_dataset
from romae.compare.rollouts import (
    Codes,
    codes_of,
    forecast_errors,
    latent_errors,
    one_pass,
    roll_entry,
)
from romae.conventions import PHASES
from romae.dynamics.resampling import resample_cases, usual_step
from romae.errors import TrainingError, check_option
from romae.fields import Snapshots, open_snapshots
from romae.metrics import unit_groups
from romae.progress import log
from romae.reducers.places import warn_of_places


def compare_dynamics(
    reducer: Any,
    train: Any,
    validation: Any,
    models: Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    steps: int = 100,
    starts: int | Sequence[Any] = 50,
    threshold: float = 0.4,
    budget: float | None = None,
    measure: Literal["fields", "latents"] = "fields",
    inputs: Any = None,
    resample: Any = None,
    seed: int = 0,
) -> xr.Dataset:
    """Fit dynamics on the latents of ``train`` and rank their forecasts of ``validation``.

    ``reducer``: fitted (or a reduced model: its reducer). ``models``: kinds such as ``"gru"``,
    dynamics objects (those fitted already are taken as they are), or a mapping of names to
    them; None takes every kind romae has, from 62 latents on also the bounded quadratic
    PolynomialMap of a common scale, but leaves out what has too many features for these latents
    (SINDy from 11 on, that map from 99 on), with the reason in its row. ``starts``: how many,
    evenly spread, or which. ``threshold``: NRMSE at which a forecast is no longer valid.
    ``budget``: seconds of fitting, after which no further fit begins. ``measure="latents"``
    compares latents instead of decoded fields, for grids that are costly to decode. ``inputs``:
    known series over the times of both data (forcing, control), for the models that take them; the
    others do without, and the verdict says which. ``resample``: a time step such as "6 h" for
    uneven times, or "median": latents are resampled for the fits, and the snapshots of
    ``validation`` interpolated (:mod:`romae.compare.even`). ``seed`` goes to models that have one.

    Returns what :func:`romae.compare_forecasts` does, one row per model, sorted by rank, and over
    ``model``: ``rank``, ``tied`` (1: not to be told from the winner), ``fit_seconds``,
    ``step_seconds`` (of one rollout, decoding excluded), ``nbytes``, ``error_mean``,
    ``behind_low`` and ``behind_high``, ``failure`` (why there are no numbers). What it says in
    words is in ``attrs["verdict"]``, one sentence per line.

    Raises :class:`DataError` when ``validation`` is what the reducer was fitted to, is unevenly
    spaced without ``resample`` or is not covered by ``inputs``, :class:`OptionError` for unknown
    kinds and steps that do not fit.
    """
    return rank_dynamics(
        reducer, train, validation, models, steps=steps, starts=starts, threshold=threshold,
        budget=budget, measure=measure, inputs=inputs, resample=resample, seed=seed,
    )[0]  # fmt: skip


def choose(
    reducer: Any, train: Any, validation: Any, models: Any = None, **options: Any
) -> tuple[Any, list[dict[str, Any]], xr.Dataset]:
    """The fitted winner, the table of the ranking as plain dictionaries, and the ranking.

    ``options`` as in :func:`rank_dynamics`; ``steps`` left out is as many as leave a history of
    half of the validation data, at most 200. Raises :class:`TrainingError` when no model could be
    fitted.
    """
    if options.get("steps") is None:
        validation = open_snapshots(validation)
        resample = options.get("resample")
        longest = max((validation if resample is None else evenly(validation, resample)).lengths)
        options["steps"] = max(1, min(200, longest // 2))
    result, fitted = rank_dynamics(reducer, train, validation, models, **options)
    for name, failure in zip(result["model"].values, result["failure"].values, strict=True):
        if not failure and str(name) in fitted:
            log(f"dynamics chosen: {name}")
            return fitted[str(name)], ranking_records(result), result
    raise TrainingError(
        f"no dynamics could be chosen. {result.attrs['verdict']} Expected at least persistence to "
        "be fitted; mend what is said there, or give more snapshots."
    )


def ranking_records(result: xr.Dataset) -> list[dict[str, Any]]:
    """One dictionary per model, the best first, with what JSON can hold; NaN becomes None."""
    rows = result.isel(model=result["kind"].values != "reconstruction")
    names = [n for n, v in rows.data_vars.items() if v.dims == ("model",)]
    found = []
    for i, model in enumerate(rows["model"].values):
        row: dict[str, Any] = {"model": str(model), "kind": str(rows["kind"].values[i])}
        for name in names:
            value = rows[name].values[i]
            if not isinstance(value, str):
                value = float(value) if np.isfinite(value) else None
            row[str(name)] = value
        found.append(row)
    return found


def rank_dynamics(
    reducer: Any,
    train: Any,
    validation: Any,
    models: Any = None,
    *,
    steps: int = 100,
    starts: Any = 50,
    threshold: float = 0.4,
    budget: float | None = None,
    measure: Literal["fields", "latents"] = "fields",
    inputs: Any = None,
    validation_inputs: Any = None,
    resample: Any = None,
    seed: int = 0,
    device: str = "cpu",
) -> tuple[xr.Dataset, dict[str, Any]]:
    """As :func:`compare_dynamics`, with the fitted models by name, the best first.

    ``validation_inputs``: where they are other series than ``inputs``, one for each case.
    """
    check_option("measure", measure, ["fields", "latents"])
    reducer = as_reducer(reducer)
    learn, test = open_snapshots(train), open_snapshots(validation)
    check_test({default_name(reducer): reducer}, test, on_leak="raise")
    if isinstance(resample, str) and resample == "median":
        resample = usual_step([learn.times(case) for case in range(learn.cases)])
    test = even_test(test, resample)
    forcing = Forcing.read(inputs if validation_inputs is None else validation_inputs, test)
    phases = getattr(reducer, "phases", 0)  # of Aligned
    wanted = candidates(models, seed, device, phases, reducer.latent, len(learn))
    mean = np.asarray(reducer.scaling.mean, dtype=float)
    fluctuation, found = one_pass({0: reducer}, test, mean)
    codes = found[0]
    ladder = Ladder(reducer, reducer.name, (Rung(reducer.name, reducer.latent, reducer),))
    entries = [
        Entry(n, "baseline" if n in BASELINES else "model", ladder, d) for n, d in wanted.items()
    ]
    latents = [labelled(z, learn, case) for case, z in enumerate(codes_of(reducer, learn))]
    latents = [z.assign_attrs({PHASES: phases}) if phases else z for z in latents]
    params = learn.params
    if told := [e.name for e in entries if "params" in getattr(e.dynamics, "takes", ())]:
        warn_of_places(reducer, latents, params, " and ".join(told))
    if resample is not None:
        latents, params, inputs = resample_cases(latents, params, inputs, resample)
    if models is None:
        leave_out(entries, reducer.latent, phases)
    fit_all(entries, latents, params, inputs, budget)
    check_room(entries, test, steps)
    able = [e for e in entries if not e.failure]
    context = max((int(e.dynamics.context) for e in able), default=1)
    chosen = choose_starts(starts, test, context, steps)
    rolled = [_rolled(e, codes, test, chosen, steps, forcing) for e in entries]
    if measure == "fields":
        entries.append(Entry(f"{reducer.name}, reconstruction", "reconstruction", ladder))
        rolled.append(roll_entry(entries[-1], codes, test, chosen, steps))
        groups = unit_groups([f.units for f in test.layout.fields])
        errors = forecast_errors(
            entries, rolled, test, chosen, steps, mean, fluctuation.energy, groups
        )
        fields = None
    else:
        errors = _in_latents(entries, rolled, codes, chosen, steps)
        fields = [f"latents of {default_name(reducer)}"]
    order, result = ranked_dataset(entries, errors, test, chosen, steps, threshold, fields)
    add_costs(result, [cost_of(entries[i], codes, test, forcing) for i in order])
    if forcing is not None:
        result.attrs["inputs"] = who_knows(entries, forcing)
        result.attrs["verdict"] += "\n" + result.attrs["inputs"]
    result.attrs |= {"reducer": default_name(reducer), "measure": measure}
    result.attrs["reference_mean"] = "temporal mean of the training data of the reducer"
    fitted = {e.name: e.dynamics for e in (entries[i] for i in order) if e.dynamics is not None}
    return result, {n: d for n, d in fitted.items() if hasattr(d, "fit_seconds")}


def _rolled(
    entry: Entry,
    codes: Codes,
    test: Snapshots,
    starts: Any,
    steps: int,
    forcing: Forcing | None,
) -> Any:
    if entry.failure:
        return None
    try:
        return roll_entry(entry, codes, test, starts, steps, forcing)
    except Exception as error:
        entry.failure = reason(error)
    return None


def _in_latents(
    entries: list[Entry], rolled: list[Any], codes: Codes, starts: Any, steps: int
) -> np.ndarray:
    z = np.concatenate(codes).astype(float)
    reference = float(((z - z.mean(0)) ** 2).sum(1).mean())
    errors = np.full((len(entries), len(starts), steps, 2), np.nan)
    for j, found in enumerate(rolled):
        if found is not None:
            errors[j] = latent_errors(found, codes, starts, reference)[..., None]
    return errors
