"""Every model of the latents on the latents of one reducer: which one to take?

    z = E(x) once      fit each model on z of the training data
                       roll each out from many starts of the data held back, all at once
                       NRMSE of D(z^) against x, valid prediction time, cost; ranked

Persistence, climatology and DMD are always among them, and where one of them wins, the result
says so. A model that cannot be fitted (too little data, a library that is missing, a singular
regression) is a row with the reason, not the end of the run. Selecting on data makes the
winner look better than it is: report its error on data that took no part in the choice.
"""

import inspect
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.compare.contenders import Entry, choose_starts, labelled
from romae.compare.even import evenly
from romae.compare.forcing import Forcing, uses_inputs
from romae.compare.forecasts import even_test, forecast_dataset
from romae.compare.ladders import Ladder, Rung, as_reducer, check_test, default_name
from romae.compare.ranking import rank_models, sentences
from romae.compare.rollouts import (
    Codes,
    Told,
    codes_of,
    forecast_errors,
    histories_of,
    latent_errors,
    one_pass,
    roll,
    roll_entry,
)
from romae.dynamics.resampling import resample_cases
from romae.errors import DataError, OptionError, TrainingError, check_option
from romae.fields import Snapshots, open_snapshots
from romae.kinds import DYNAMICS, class_name, make_dynamics
from romae.metrics import unit_groups
from romae.progress import log, track

BASELINES = ("Persistence", "Climatology", "DMD")
TIMED_STEPS = 200
MOST_FEATURES = 300  # of a model that is tried because it was not named


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
    them; None takes every kind romae has, but leaves out one of more than 300 features for these
    latents (SINDy, from 11 latents on), with the reason in its row. ``starts``: how many, evenly
    spread, or which.
    ``threshold``: NRMSE at which a forecast is no longer valid. ``budget``: seconds of fitting,
    after which no further fit begins. ``measure="latents"`` compares latents instead of decoded
    fields, for grids that are costly to decode. ``inputs``: known series over the times of both
    data (forcing, control), for the models that take them; the others do without, and the verdict
    says which. ``resample``: a time step such as "6 h" for uneven times, or "median": latents are
    resampled for the fits, and the snapshots of ``validation`` interpolated
    (:mod:`romae.compare.even`). ``seed`` goes to models that have one.

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
        f"no dynamics could be fitted. {result.attrs['verdict']} Expected at least persistence to; "
        f"give more snapshots."
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
    test = even_test(test, resample)
    forcing = Forcing.read(inputs if validation_inputs is None else validation_inputs, test)
    wanted = _wanted(models, seed, device)
    mean = np.asarray(reducer.scaling.mean, dtype=float)
    fluctuation, found = one_pass({0: reducer}, test, mean)
    codes = found[0]
    ladder = Ladder(reducer, reducer.name, (Rung(reducer.name, reducer.latent, reducer),))
    entries = [
        Entry(n, "baseline" if n in BASELINES else "model", ladder, d) for n, d in wanted.items()
    ]
    latents = [labelled(z, learn, case) for case, z in enumerate(codes_of(reducer, learn))]
    params = learn.params
    if resample is not None:
        latents, params, inputs = resample_cases(latents, params, inputs, resample)
    if models is None:
        _leave_out(entries, reducer.latent)
    _fit_all(entries, latents, params, inputs, budget)
    _check_room(entries, test, steps)
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
    order, result = _result(entries, errors, test, chosen, steps, threshold, fields)
    _add_costs(result, [_cost(entries[i], codes, test, forcing) for i in order])
    if forcing is not None:
        result.attrs["inputs"] = _who_knows(entries, forcing)
        result.attrs["verdict"] += "\n" + result.attrs["inputs"]
    result.attrs |= {"reducer": default_name(reducer), "measure": measure}
    result.attrs["reference_mean"] = "temporal mean of the training data of the reducer"
    fitted = {e.name: e.dynamics for e in (entries[i] for i in order) if e.dynamics is not None}
    return result, {n: d for n, d in fitted.items() if hasattr(d, "fit_seconds")}


def _wanted(models: Any, seed: int, device: str) -> dict[str, Any]:
    """Dynamics by name, baselines first: they are cheap, and a budget may run out."""
    if models is None:
        models = list(DYNAMICS)
    given = models.items() if isinstance(models, Mapping) else ((None, m) for m in models)
    found: dict[str, Any] = {name: _made(name, seed, device) for name in BASELINES}
    for name, model in given:
        made = _made(model, seed, device) if isinstance(model, str) else model
        if not (hasattr(made, "fit") and hasattr(made, "forecast")):
            raise OptionError(
                f"cannot compare a {type(made).__name__} as dynamics. Expected a kind such as "
                f"'gru', an object such as romae.GRU(), or a mapping of names to them."
            )
        label = str(name or made.name)
        if label in BASELINES and (name or isinstance(model, str) or _arguments(made) == label):
            found[label] = made  # instead of the one that is there already
            continue
        if label in found:
            label = _arguments(made)  # DMD(delays=4) beside DMD
        stem, n = label, 1
        while label in found:
            n += 1
            label = f"{stem} ({n})"
        found[label] = made
    return found


def _arguments(made: Any) -> str:
    """The class with those arguments that are not its defaults."""
    given = {
        n: getattr(made, n)
        for n, p in inspect.signature(type(made)).parameters.items()
        if getattr(made, n, p.default) != p.default
    }
    inside = ", ".join(f"{n}={v!r}" for n, v in given.items())
    return f"{made.name}({inside})" if inside else str(made.name)


def _made(kind: str, seed: int, device: str) -> Any:
    import romae

    cls = getattr(romae, class_name(kind, DYNAMICS, "dynamics"))
    options = {"seed": seed} if "seed" in inspect.signature(cls).parameters else {}
    return make_dynamics(kind, options, device=device)


def _fit_all(
    entries: list[Entry],
    latents: list[xr.DataArray],
    params: Any,
    inputs: Any,
    budget: float | None,
) -> None:
    """Fit what is not fitted; whatever goes wrong becomes the failure of its entry."""
    begin = time.perf_counter()
    with track(len(entries), "fitting dynamics") as task:
        for entry in entries:
            spent = time.perf_counter() - begin
            if not entry.failure and not hasattr(entry.dynamics, "fit_seconds"):
                if budget is not None and spent > budget and entry.kind != "baseline":
                    entry.failure = f"not fitted, the budget of {budget:g} s was spent"
                else:
                    entry.failure = _attempt(entry, latents, params, inputs)
            if entry.failure:
                log(f"{entry.name}: {entry.failure}")
            task.advance()


def _leave_out(entries: list[Entry], latent: int) -> None:
    """Models whose fit would take longer than that of all others: they are there by name only."""
    for entry in entries:
        features = getattr(entry.dynamics, "features", None)
        if features is not None and (count := features(latent)) > MOST_FEATURES:
            entry.failure = (
                f"left out: {count} features of {latent} latents, more than {MOST_FEATURES}; "
                "name it among the models to have it fitted"
            )


def _attempt(entry: Entry, latents: list[xr.DataArray], params: Any, inputs: Any) -> str:
    known = {"inputs": inputs} if inputs is not None and uses_inputs(entry.dynamics) else {}
    try:
        entry.dynamics.fit(latents, params=params, **known)
    except Exception as error:  # one model must not end the comparison of the others
        return _reason(error)
    return ""


def _who_knows(entries: list[Entry], forcing: Forcing) -> str:
    """Which models were told the inputs."""
    models = [e for e in entries if e.dynamics is not None and not e.failure]
    told = [e.name for e in models if uses_inputs(e.dynamics)]
    rest = [e.name for e in models if not uses_inputs(e.dynamics)]
    text = f"The inputs ({', '.join(forcing.names)}) are known to {', '.join(told) or 'no model'}"
    return f"{text}; {', '.join(rest)} forecast without them." if rest else f"{text}."


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    name = "" if isinstance(error, DataError | OptionError) else f"{type(error).__name__}: "
    return f"{name}{text}"


def _check_room(entries: list[Entry], test: Snapshots, steps: int) -> None:
    """A model whose history is longer than the data allow must not take the starts of all."""
    longest = max(test.lengths)
    for entry in entries:
        context = int(entry.dynamics.context)
        if not entry.failure and context > 1 and context + steps > longest:
            entry.failure = (
                f"its history of {context} snapshots and {steps} steps do not fit into {longest}"
            )


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
        entry.failure = _reason(error)
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


def _result(
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


def _add_costs(result: xr.Dataset, costs: list[tuple[float, float, float, float]]) -> None:
    """Of every row of ``result``, as :func:`_cost` gives them."""
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


def _cost(
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
