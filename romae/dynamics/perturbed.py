"""Ensembles from perturbed starts: how far small errors of the start grow.

    z_{t-c+1 .. t}^(j) = z_{t-c+1 .. t} + a e^(j),    e^(j) ~ N(0, diag(sigma^2))

sigma is the error that the model itself makes in one step, measured on the training latents
when it is fitted (a relative to it, 1 by default): an analysis that is as good as the model.
All members are perturbed, so that they are exchangeable and scores such as CRPS are fair.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import xarray as xr

from romae.conventions import CASE, MEMBER
from romae.errors import OptionError, check_option, check_whole

if TYPE_CHECKING:
    from romae.dynamics.base import Dynamics

STARTS = 256  # at which the error of one step is measured
LEAST = 1e-4  # standard deviations; a model that is exact on its training data errs elsewhere


@dataclass(frozen=True)
class Perturbed:
    """``members`` forecasts from starts with errors of ``amplitude`` times ``of``.

    ``of``: "step", the one-step error of the model, or "spread", the standard deviation of the
    training latents, for a start that is less sure than the model. ``amplitude`` 0 leaves the
    start as it is: for an ensemble of models, whose members differ.
    """

    members: int = 20
    amplitude: float = 1.0
    of: Literal["step", "spread"] = "step"

    @classmethod
    def read(cls, ensemble: "int | Perturbed | None") -> Self | None:
        """What ``forecast(ensemble=)`` takes. Raises OptionError."""
        if ensemble is None or isinstance(ensemble, cls):
            return ensemble
        return cls(check_whole("ensemble", ensemble))

    def __post_init__(self) -> None:
        check_whole("members", self.members)
        check_option("of", self.of, ["step", "spread"])
        if not (np.isfinite(self.amplitude) and self.amplitude >= 0):
            raise OptionError(f"amplitude is {self.amplitude}. Expected a number of at least 0.")

    def draw(self, starts: np.ndarray, sigma: np.ndarray, seed: int) -> np.ndarray:
        """Starts (members, B, context, k) around normalised ``starts`` (B, context, k)."""
        rng = np.random.default_rng(seed)
        sigma = sigma if self.of == "step" else np.ones_like(sigma)  # latents are normalised
        error = rng.standard_normal((self.members, *starts.shape))
        return np.asarray(starts + self.amplitude * sigma * error)


def members_of(
    model: "Dynamics",
    starts: np.ndarray,
    history: xr.DataArray,
    perturbed: Perturbed | None,
    ensemble: Any,
    seed: int,
) -> tuple[list[str], np.ndarray]:
    """Leading dimensions of a forecast, and its starts (members, cases, context, k).

    ``starts`` (B, context, k): those of ``history``, whose members come first where it has some.
    Raises OptionError for such a history together with an ``ensemble``.
    """
    dims = [d for d in (MEMBER, CASE) if d in history.dims]
    together = starts[None]
    if MEMBER in dims:
        together = starts.reshape(history.sizes[MEMBER], -1, *starts.shape[1:])
    if perturbed is not None:
        if MEMBER in dims:
            raise OptionError(
                f"ensemble={ensemble!r} and a history of {history.sizes[MEMBER]} members. "
                "Expected one of them: a history with members is an ensemble already."
            )
        dims = [MEMBER, *dims]
        together = perturbed.draw(starts, model.step_error, seed)
        together[..., model.span.constant] = starts[..., model.span.constant]
    return dims, together


def one_step_error(
    model: "Dynamics", sequences: list[np.ndarray], known: dict[str, Any]
) -> np.ndarray:
    """Root mean squared error (k,) of one step from up to STARTS starts in ``sequences``."""
    c = model.context
    places = [(i, t) for i, z in enumerate(sequences) for t in range(len(z) - c)]
    places = [places[n] for n in np.unique(np.linspace(0, len(places) - 1, STARTS).astype(int))]
    history = np.stack([sequences[i][t : t + c] for i, t in places])
    truth = np.stack([sequences[i][t + c] for i, t in places])
    at: dict[str, Any] = {}
    if "params" in known:
        mu = known["params"]
        at["params"] = None if mu is None else mu[[i for i, _ in places]]
    if "inputs" in known:
        u = known["inputs"]
        at["inputs"] = None if u is None else np.stack([u[i][t : t + c + 1] for i, t in places])
    with np.errstate(over="ignore", invalid="ignore"):
        if "times" in known:  # steps of their own length
            clock = known["times"]
            gaps = [clock[i][t + c : t + c + 1] - clock[i][t + c - 1] for i, t in places]
            error = _one_by_one(model, history, gaps, at) - truth
        else:
            error = model._rollout(history, 1, **at)[:, 0] - truth
    found = np.sqrt(np.mean(np.square(error), axis=0))
    return np.asarray(np.clip(np.where(np.isfinite(found), found, 1.0), LEAST, 1.0))


def _one_by_one(
    model: "Dynamics", history: np.ndarray, times: list[np.ndarray], known: dict[str, Any]
) -> np.ndarray:
    """States (B, k), each at a time of its own (1,) after its history; inputs stay meanwhile."""
    rows = []
    for n, time in enumerate(times):
        own = {name: None if a is None else a[n : n + 1] for name, a in known.items()}
        if (u := own.get("inputs")) is not None:
            c = history.shape[1]
            held = np.repeat(u[:, c - 1 : c], int(np.ceil(time[0])), axis=1)
            own["inputs"] = np.concatenate([u[:, :c], held], axis=1)
        rows.append(model._at(history[n : n + 1], time, **own)[0, 0])
    return np.stack(rows)
