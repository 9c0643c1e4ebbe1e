"""Who takes part in a comparison of forecasts, and from which starts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.compare.ladders import Ladder, Models, Rung, as_reducer, default_name, identity, named
from romae.conventions import LATENT, TIME
from romae.dynamics.resampling import resample_cases
from romae.errors import OptionError
from romae.fields import Snapshots, open_snapshots

PERSISTENCE, CLIMATOLOGY = "persistence", "climatology"
Start = tuple[int, int]  # (case, index of the first snapshot that is forecast)


@dataclass
class Entry:
    """One row of the result: what forecasts, with which reducer, from which latents."""

    name: str
    kind: Literal["model", "baseline", "reconstruction"]
    ladder: Ladder | None = None
    dynamics: Any = None
    left: int = 0  # rollouts that left the range of their training latents
    seconds: float = float("nan")  # wall time of the rollouts of all starts
    failure: str = ""  # why it takes no part


def contenders(
    models: Models, train: Any, reconstruction: str, resample: Any = None
) -> list[Entry]:
    """Models first, then DMD, the baselines and the reconstructions, each once.

    ``resample``: time step of the latents that DMD learns from, where their times are uneven.
    """
    found: list[Entry] = []
    reducers: dict[str, Any] = {}
    given = named(models)
    for name, model in given.items():
        if getattr(model, "dynamics", None) is None:
            raise OptionError(
                f"{name} has no dynamics and cannot forecast. Expected reduced models, such as "
                f"romae.ReducedModel(reducer, romae.GRU()).fit(train)."
            )
        own = as_reducer(model)
        reducer = reducers.setdefault(identity(own), own)
        found.append(Entry(name, "model", _ladder(reducer), model.dynamics))
    if train is not None:
        found.append(_dmd(list(reducers.values()), train, set(given), resample))
    found += [Entry(PERSISTENCE, "baseline"), Entry(CLIMATOLOGY, "baseline")]
    if reconstruction == "show":
        found += [
            Entry(f"{default_name(r)}, reconstruction", "reconstruction", _ladder(r))
            for r in reducers.values()
        ]
    return found


def _ladder(reducer: Any) -> Ladder:
    rung = Rung(default_name(reducer), reducer.latent, reducer)
    return Ladder(reducer, reducer.name, (rung,))


def _dmd(reducers: list[Any], train: Any, taken: set[str], resample: Any) -> Entry:
    """DMD in the coordinates of the largest POD among ``reducers``, else of a new one."""
    from romae.compare.rollouts import codes_of
    from romae.dynamics import DMD
    from romae.reducers import POD

    data = open_snapshots(train)
    pods = [r for r in reducers if isinstance(r, POD)]
    pod = max(pods, key=lambda r: r.latent) if pods else POD(0.999).fit(data)
    latents = [labelled(z, data, case) for case, z in enumerate(codes_of(pod, data))]
    if resample is not None:
        latents = resample_cases(latents, None, None, resample)[0]
    pairs = sum(len(z) - 1 for z in latents)
    few = pairs <= pod.latent  # a baseline of short data keeps what they determine
    dynamics = DMD(rank=max(pairs, 1) if few else None).fit(latents)
    name = f"{default_name(pod)} + DMD"
    return Entry(
        name if name not in taken else f"{name} (baseline)", "baseline", _ladder(pod), dynamics
    )


def labelled(z: np.ndarray, data: Snapshots, case: int, first: int = 0) -> xr.DataArray:
    """Latents (T, k) with the names that dynamics expect, whatever the data call time."""
    times = data.times(case)
    axis = xr.Variable(TIME, times.values[first : first + len(z)], dict(times.attrs))
    return xr.DataArray(z, dims=(TIME, LATENT), coords={TIME: axis}, name="latents")


def choose_starts(
    starts: int | Sequence[int] | Sequence[Start], test: Snapshots, context: int, steps: int
) -> list[Start]:
    """(case, index) of every first forecast snapshot."""
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise OptionError(f"steps is {steps!r}. Expected a whole number of at least 1.")
    possible = [
        (case, s)
        for case, length in enumerate(test.lengths)
        for s in range(context, length - steps + 1)
    ]
    if not possible:
        raise OptionError(
            f"no start leaves room for {context} snapshots of history and {steps} steps: the test "
            f"data have {', '.join(map(str, test.lengths[:6]))} snapshots. Expected history and "
            f"steps of at most {max(test.lengths)}; ask for fewer steps or give longer test data."
        )
    if isinstance(starts, int | np.integer):
        if starts < 1:
            raise OptionError(f"starts is {starts!r}. Expected a number of at least 1.")
        picks = np.linspace(0, len(possible) - 1, min(int(starts), len(possible)))
        return [possible[i] for i in np.round(picks).astype(int)]
    chosen = [s if isinstance(s, tuple) else (0, int(s)) for s in starts]
    outside = [s for s in chosen if s not in set(possible)]
    if outside or not chosen:
        raise OptionError(
            f"start {outside[0] if outside else starts!r} leaves no room for {context} snapshots "
            f"of history and {steps} steps. Expected (case, index) with index from {context} to "
            f"the length of the case less {steps}; the first possible is {possible[0]}, the last "
            f"{possible[-1]}."
        )
    return chosen
