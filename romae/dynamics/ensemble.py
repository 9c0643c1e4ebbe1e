"""An ensemble of models: the same kind fitted several times, each a little different.

    f_1 .. f_M      from other seeds, or from data drawn again (bagging)
    z^_n  = mean_j f_j^n(z_0)           the forecast; f_j^n steps on its own state
    s_n^2 = var_j  f_j^n(z_0)           how far the members agree

Each member rolls out by itself; the mean over members has a smaller error than a member as long
as they are near each other, and decays to the climate mean once they are not, which is the best
that can be said then. For the statistics of long runs take the members and not their mean.

Bagging draws whole cases with replacement when there are eight or more, else overlapping blocks
of the trajectories (moving-block bootstrap), which keeps the order of time inside a block.
"""

import inspect
import sys
import warnings
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np

import romae.dynamics
from romae.bundle import Bundle
from romae.dynamics.base import Dynamics
from romae.dynamics.perturbed import one_step_error
from romae.errors import BundleError, DataError, OptionError, check_option, check_whole, nearest
from romae.progress import track

CASES = 8  # from which whole cases are drawn
BLOCKS = 10  # blocks that make up as much data as there is


class Ensemble(Dynamics):
    """``members`` models like ``dynamics``, whose mean is the forecast.

    ``dynamics``: an unfitted model, or the name of a class with its defaults. ``how``: "seeds"
    (its ``seed`` argument, counted on), or "bagging" (other data, and other seeds where there
    is one). ``seed`` draws the data of bagging.

    ``forecast(history, steps)`` gives the mean; ``forecast(history, steps, ensemble=N)`` gives N
    forecasts along ``member``, by the models in turn and from perturbed starts;
    ``ensemble=Perturbed(N, 0)`` from one start, so that only the models differ.

    Source: L. Breiman, Bagging predictors, 1996; blocks: H. R. Kuensch, The jackknife and the
    bootstrap for general stationary observations, 1989.
    """

    def __init__(
        self,
        dynamics: Dynamics | Mapping[str, Any] | str = "EchoState",
        members: int = 5,
        *,
        how: Literal["seeds", "bagging"] = "seeds",
        seed: int = 0,
    ):
        check_option("how", how, ["seeds", "bagging"])
        self.dynamics = dynamics if isinstance(dynamics, Dynamics) else _make(dynamics)
        self.members = check_whole("members", members, 2)
        self.how, self.seed = how, seed
        self.context = self.dynamics.context
        self.takes = self.dynamics.takes  # type: ignore[misc]  # those of the model
        self.continuous, self.uneven = self.dynamics.continuous, self.dynamics.uneven
        if how == "seeds" and not self.dynamics.draws:
            raise OptionError(
                f"Ensemble({self.dynamics.name}(), how='seeds'): {self.dynamics.name} draws no "
                "numbers and every member would be the same. Expected how='bagging'."
            )

    @property
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments; the model as its class and arguments."""
        header = self.dynamics.header("dynamics")
        model = {"class": header["class"], "arguments": header["arguments"]}
        return {"dynamics": model, "members": self.members, "how": self.how, "seed": self.seed}

    def __repr__(self) -> str:
        rest = f"members={self.members}, how={self.how!r}, seed={self.seed}"
        return f"Ensemble({self.dynamics!r}, {rest})"

    @property
    def minimum(self) -> int:
        return self.dynamics.minimum

    def unknowns(self, latent: int) -> int:
        return self.dynamics.unknowns(latent)

    def _fit(self, sequences: list[np.ndarray], **known: Any) -> None:
        rng = np.random.default_rng(self.seed)
        self.models = []
        with track(self.members, "ensemble") as task:
            for i in range(self.members):
                model = self._member(i)
                model.span, model.dt, model.history = self.span, self.dt, []
                model._known, model.reducer = self._known, self.reducer
                data, given = sequences, known
                if self.how == "bagging":
                    data, given = resampled(sequences, known, self.minimum, rng, self.name)
                model._fit(data, **given)
                model.step_error = one_step_error(model, data, given)
                model.fit_seconds = 0.0  # that of the ensemble counts
                self.history.append({"member": i, "error": float(np.mean(model.step_error))})
                self.models.append(model)
                task.advance()
        if self.fitted_alike():
            raise OptionError(
                f"the {self.members} members of {self.dynamics!r} came out all the same. Expected "
                "them to differ: how='bagging', or a model that is trained from random weights."
            )
        first = self.models[0].step_error
        same = [np.allclose(m.step_error, first, rtol=1e-9, atol=0) for m in self.models]
        if self.how == "seeds" and all(same):
            warnings.warn(
                f"the {self.members} members of {self.dynamics!r} forecast alike, as when each "
                "keeps the linear map that it starts from. Expected a spread that tells of the "
                "error: type how='bagging'.",
                UserWarning,
                stacklevel=4,
            )

    def fitted_alike(self) -> bool:
        """Whether every member has the arrays of the first."""
        first, *others = (model.to_bundle()[1] for model in self.models)
        return all(
            np.array_equal(a, other[n], equal_nan=True)
            for other in others
            for n, a in first.items()
        )

    def _member(self, i: int) -> Dynamics:
        """An unfitted model like ours, with the seed of member ``i``."""
        arguments = dict(self.dynamics.arguments)
        if "seed" in arguments:
            arguments["seed"] = arguments["seed"] + i
        return type(self.dynamics)(**arguments)

    def _rollout(self, history: np.ndarray, steps: int, **known: Any) -> np.ndarray:
        total = sum(model._rollout(history, steps, **known) for model in self.models)
        return np.asarray(total / self.members)

    def _at(self, history: np.ndarray, times: np.ndarray, **known: Any) -> np.ndarray:
        total = sum(model._at(history, times, **known) for model in self.models)
        return np.asarray(total / self.members)

    def _members(
        self, starts: np.ndarray, steps: int, at: np.ndarray | None = None, **known: Any
    ) -> np.ndarray:
        out = np.empty((*starts.shape[:2], steps if at is None else len(at), starts.shape[-1]))
        for i, model in enumerate(self.models):
            own = slice(i, None, self.members)
            if len(starts[own]):
                out[own] = model._members(starts[own], steps, at, **known)
        return out

    def to_bundle(self) -> Bundle:
        """Document and arrays, those of member i as ``i.name``."""
        document, arrays = super().to_bundle()
        documents = []
        for i, model in enumerate(self.models):
            own, values = model.to_bundle()
            documents.append(own)
            arrays |= {f"{i}.{n}": a for n, a in values.items()}
        return {**document, "models": documents}, arrays

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        model = super().from_bundle(bundle)
        document, arrays = bundle
        model.models = []
        for i, own in enumerate(document["models"]):
            values = {n.partition(".")[2]: a for n, a in arrays.items() if n.startswith(f"{i}.")}
            model.models.append(type(model.dynamics).from_bundle((own, values)))
        return model


def resampled(
    sequences: list[np.ndarray],
    known: dict[str, Any],
    minimum: int,
    rng: np.random.Generator,
    name: str,
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """As much data as ``sequences``, drawn from them with replacement, with what is known."""
    if len(sequences) >= CASES:
        drawn = [(i, slice(None)) for i in rng.integers(len(sequences), size=len(sequences))]
    else:
        total = sum(map(len, sequences))
        length = max(2 * minimum, -(-total // BLOCKS))
        room = np.array([max(0, len(z) - length + 1) for z in sequences])
        if room.sum() < length:
            raise DataError(
                f"{name}: bagging draws blocks of {length} steps, and the longest case has "
                f"{max(map(len, sequences))}. Expected at least {2 * length}, or {CASES} cases; "
                "give more data, a smaller context, or how='seeds'."
            )
        drawn = []
        for at in rng.integers(room.sum(), size=-(-total // length)):
            i = int(np.searchsorted(np.cumsum(room), at, side="right"))
            start = int(at - np.cumsum(room)[i] + room[i])
            drawn.append((i, slice(start, start + length)))
    data = [sequences[i][part] for i, part in drawn]
    given = dict(known)
    if known.get("params") is not None:
        given["params"] = known["params"][[i for i, _ in drawn]]
    if "times" in known:
        given["times"] = [known["times"][i][part] - known["times"][i][part][0] for i, part in drawn]
    if known.get("inputs") is not None:
        given["inputs"] = [known["inputs"][i][part] for i, part in drawn]
    return data, given


def _make(found: Mapping[str, Any] | str) -> Dynamics:
    """The unfitted model of a class name, or of a table of class and arguments."""
    table: Mapping[str, Any] = {"class": found} if isinstance(found, str) else found
    label, options = str(table.get("class")), dict(table.get("arguments", {}))
    module, _, name = label.rpartition(":")
    home = sys.modules.get(module) if module else romae.dynamics
    if home is None:
        raise BundleError(f"the ensemble is of {label}. Type `import {module}` first.")
    cls = getattr(home, name, None)
    if not (inspect.isclass(cls) and issubclass(cls, Dynamics)) or inspect.isabstract(cls):
        known = [n for n in romae.dynamics.__all__ if n not in ("Dynamics", "Ensemble")]
        raise OptionError(f"unknown dynamics {label!r}. {nearest(label, known)}")
    return cls(**options)
