"""The dynamics among which a choice is made: by name, each fitted to the same latents.

Whatever goes wrong with one of them (too little data, a library that is missing, a singular
regression, a budget that is spent) becomes the ``failure`` of its entry, not the end of the others.
"""

import inspect
import time
from collections.abc import Mapping
from typing import Any

import xarray as xr

from romae.compare.contenders import Entry
from romae.compare.forcing import Forcing, uses_inputs
from romae.errors import DataError, OptionError
from romae.fields import Snapshots
from romae.kinds import DYNAMICS, class_name, make_dynamics
from romae.progress import log, track

BASELINES = ("Persistence", "Climatology", "DMD")

# of a model that is tried because it was not named; a map solves one system for each noise only
MOST_FEATURES = {"SINDy": 300, "PolynomialMap": 5000}


def candidates(
    models: Any, seed: int, device: str, phases: int = 0, latent: int = 0, rows: int = 0
) -> dict[str, Any]:
    """Dynamics by name, baselines first: they are cheap, and a budget may run out.

    ``phases``: how many the latents begin with. Without any, nothing is gained by Equivariant;
    with some it is tried around the linear map of two states as well, the best of all where
    phases move evenly. For so many of ``latent`` that PolynomialMap's own search ends at the linear
    map, and ``rows`` enough for its monomials, the quadratic map of chaotic flows is tried, last.
    """
    import romae
    from romae.dynamics.polynomial import MOST

    if models is None:
        models = [kind for kind in DYNAMICS if phases or kind != "equivariant"]
        if "equivariant" in models:
            models.insert(models.index("equivariant"), romae.Equivariant(romae.DMD(2)))
        many = romae.PolynomialMap(2, scale="common", bounded=True, seed=seed)
        if MOST < many.features(latent - phases) <= rows:
            models.append(romae.Equivariant(many) if phases else many)
    given = models.items() if isinstance(models, Mapping) else ((None, m) for m in models)
    found: dict[str, Any] = {name: _made(name, seed, device) for name in BASELINES}
    for name, model in given:
        made = _made(model, seed, device) if isinstance(model, str) else model
        if not (hasattr(made, "fit") and hasattr(made, "forecast")):
            raise OptionError(
                f"cannot compare a {type(made).__name__} as dynamics. Expected a kind such as "
                f"'gru', an object such as romae.GRU(), or a mapping of names to them."
            )
        label = str(name or _name(made))
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


def _name(made: Any) -> str:
    """The class; of a model around another the class of both: Equivariant(DMD(delays=2))."""
    inside = getattr(made, "dynamics", None)
    return f"{made.name}({_arguments(inside)})" if inside is not None else str(made.name)


def _arguments(made: Any) -> str:
    """The class with those arguments that are not its defaults."""
    if getattr(made, "dynamics", None) is not None:
        rest = {n: v for n, v in made.arguments.items() if n != "dynamics"}
        defaults = inspect.signature(type(made)).parameters
        parts = [_arguments(made.dynamics)]
        parts += [f"{n}={v!r}" for n, v in rest.items() if v != defaults[n].default]
        return f"{made.name}({', '.join(parts)})"
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


def fit_all(
    entries: list[Entry],
    latents: list[xr.DataArray],
    params: Any,
    inputs: Any,
    budget: float | None,
) -> None:
    """Fit what is not fitted; whatever goes wrong becomes the failure of its entry."""
    begin, told = time.perf_counter(), set[str]()
    with track(len(entries), "fitting dynamics") as task:
        for entry in entries:
            spent = time.perf_counter() - begin
            if not entry.failure and not hasattr(entry.dynamics, "fit_seconds"):
                if budget is not None and spent > budget and entry.kind != "baseline":
                    entry.failure = f"not fitted, the budget of {budget:g} s was spent"
                else:
                    entry.failure = _attempt(entry, latents, params, inputs)
            if entry.failure:
                again = entry.failure in told
                log(f"{entry.name}: {'the same' if again else entry.failure}")
                told.add(entry.failure)
            task.advance()


def leave_out(entries: list[Entry], latent: int, phases: int = 0) -> None:
    """Models whose fit would take longer than that of all others: they are there by name only."""
    for entry in entries:
        around = getattr(entry.dynamics, "dynamics", None)  # of Equivariant, on shapes and turns
        inside, size = (entry.dynamics, latent) if around is None else (around, latent - phases)
        most = MOST_FEATURES.get(getattr(inside, "name", ""))
        if most is not None and (count := inside.features(size)) > most:
            entry.failure = (
                f"left out: {count} features of {size} latents, more than {most}; "
                "name it among the models to have it fitted"
            )


def _attempt(entry: Entry, latents: list[xr.DataArray], params: Any, inputs: Any) -> str:
    known = {"inputs": inputs} if inputs is not None and uses_inputs(entry.dynamics) else {}
    try:
        entry.dynamics.fit(latents, params=params, **known)
    except Exception as error:  # one model must not end the comparison of the others
        return reason(error)
    return ""


def who_knows(entries: list[Entry], forcing: Forcing) -> str:
    """Which models were told the inputs."""
    models = [e for e in entries if e.dynamics is not None and not e.failure]
    told = [e.name for e in models if uses_inputs(e.dynamics)]
    rest = [e.name for e in models if not uses_inputs(e.dynamics)]
    text = f"The inputs ({', '.join(forcing.names)}) are known to {', '.join(told) or 'no model'}"
    return f"{text}; {', '.join(rest)} forecast without them." if rest else f"{text}."


def reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    name = "" if isinstance(error, DataError | OptionError) else f"{type(error).__name__}: "
    return f"{name}{text}"


def check_room(entries: list[Entry], test: Snapshots, steps: int) -> None:
    """A model whose history is longer than the data allow must not take the starts of all."""
    longest = max(test.lengths)
    for entry in entries:
        context = int(entry.dynamics.context)
        if not entry.failure and context > 1 and context + steps > longest:
            entry.failure = (
                f"its history of {context} snapshots and {steps} steps do not fit into {longest}"
            )
