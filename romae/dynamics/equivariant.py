"""Dynamics of flows whose law is the same everywhere: shape and phase apart.

The latents of :class:`romae.Aligned` are z = [cos phi, sin phi, y], the place and the shape y. The
law of such a flow does not know the place: what becomes of the shape, and how far it moves
meanwhile, follow from the shape alone,

    d_t = phi_t - phi_{t-1}, in (-pi, pi]            the phase increments, one per axis
    s_t = (d_t, y_t)                                 the state; it does not change under a shift
    s_{t+1} = f(s_{t-c+1}, .., s_t)                  any model of latents in time
    phi_{t+1} = phi_t + d_{t+1}                      the place, rebuilt

A forecast from a shifted history is the shifted forecast, whatever f is, and what is learned at
one place holds at every other. A model of z itself has to learn the law at each place anew.

Fails where a phase moves by more than half a turn in a step: take shorter steps.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

import numpy as np

from romae.bundle import Bundle
from romae.conventions import PHASES
from romae.dynamics.base import Dynamics
from romae.dynamics.ensemble import _make
from romae.dynamics.perturbed import one_step_error
from romae.dynamics.sequences import Latents, first_of
from romae.dynamics.span import Span
from romae.errors import DataError, OptionError

Array = np.ndarray
QUIET = 1e-5  # radians: increments that scatter by less are rounding, and are not blown up to 1


class Equivariant(Dynamics):
    """The model ``dynamics`` on shapes and phase increments, for latents of ``Aligned``.

    ``dynamics``: an unfitted model, or the name of a class with its defaults; it is not changed,
    what is fitted is ``model``. ``phases``: how many pairs (cos, sin) come first in the latents;
    None asks the latents, which know it where ``Aligned`` encoded them. ``context`` is one more
    than that of ``dynamics``, for the first increment.

    Raises DataError for latents that say nothing of phases, or have too few numbers for them.

    Source: C. W. Rowley, J. E. Marsden, Reconstruction equations and the Karhunen-Loeve expansion
    for systems with symmetry, 2000; with learned dynamics: C. E. Perez De Jesus, M. D. Graham,
    Data-driven low-dimensional dynamic model of Kolmogorov flow, 2023. There the increment follows
    from the shape; here the last one is part of the state too, which tells what a truncated
    shape does not.
    """

    fitted = ("pairs",)
    pairs: Array  # () number of phases p
    model: Dynamics  # of the states s, (p + k - 2 p,)

    def __init__(
        self,
        dynamics: Dynamics | Mapping[str, Any] | str = "PolynomialMap",
        phases: int | None = None,
    ):
        self.dynamics = dynamics if isinstance(dynamics, Dynamics) else _make(dynamics)
        if phases is not None and phases < 1:
            raise OptionError(
                f"Equivariant(phases={phases}). Expected at least 1, or None, which asks the "
                "latents."
            )
        self.phases, self.pairs = phases, np.array(phases or 0)
        self.context = self.dynamics.context + 1
        self.takes = self.dynamics.takes  # type: ignore[misc]  # those of the model

    @property
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments; the model as its class and arguments."""
        header = self.dynamics.header("dynamics")
        return {"dynamics": {n: header[n] for n in ("class", "arguments")}, "phases": self.phases}

    def __repr__(self) -> str:
        return f"Equivariant({self.dynamics!r}, phases={self.phases!r})"

    @property
    def minimum(self) -> int:
        return self.dynamics.minimum + 1

    # fit

    def fit(self, latents: Latents, params: Any = None, *, inputs: Any = None) -> Self:
        """As :meth:`Dynamics.fit`, and finds out how many phases there are."""
        told = getattr(first_of(latents), "attrs", {}).get(PHASES, 0)
        self.pairs = np.array(int(told) if self.phases is None else self.phases)
        return super().fit(latents, params, inputs=inputs)

    def _fit(self, sequences: list[Array], **known: Any) -> None:
        p = int(self.pairs)  # an ensemble, which calls this alone, needs phases=
        if p == 0:
            raise DataError(
                f"the latents have no attribute {PHASES!r}, and {self.name} got phases=None. "
                "Expected latents as Aligned(...).encode returns them; or say how many pairs (cos, "
                "sin) come first, Equivariant(..., phases=1)."
            )
        if 2 * p > self.latent:
            raise DataError(
                f"{self.name}: {p} phases and {self.latent} latents. Expected {2 * p} or more, a "
                "cos and a sin for each phase, before those of the shape."
            )
        self.span = self._whole_circle()
        states = [self._state(self.span.restore(z))[0] for z in sequences]
        self.model = model = type(self.dynamics)(**self.dynamics.arguments)
        model.span = self._measure(np.concatenate(states))
        model.dt, model.history = self.dt, self.history
        model._known, model.reducer = self._known, self.reducer
        if known.get("inputs") is not None:
            known["inputs"] = [u[1:] for u in known["inputs"]]
        data = [model.span.normalise(s) for s in states]
        model._fit(data, **known)
        self.context = model.context + 1  # some shorten theirs for short cases
        model.step_error = one_step_error(model, data, known)
        model.fit_seconds = 0.0  # ours counts
        self.history = model.history

    def _whole_circle(self) -> Span:
        """Our span, with every phase in its range, wherever the training data were."""
        low, high = self.span.low.copy(), self.span.high.copy()
        pairs = slice(2 * int(self.pairs))
        low[pairs] = (-1 - self.span.mean[pairs]) / self.span.scale[pairs]
        high[pairs] = (1 - self.span.mean[pairs]) / self.span.scale[pairs]
        return replace(self.span, low=low, high=high)

    def _measure(self, s: Array) -> Span:
        """Span of states (T, m), where the rounding of a phase at rest stays small."""
        found, p = Span.measure(s), int(self.pairs)
        scale = found.scale.copy()
        scale[:p] = np.maximum(scale[:p], QUIET)
        factor = found.scale / scale
        return replace(found, scale=scale, low=found.low * factor, high=found.high * factor)

    # shape and phase

    def _state(self, z: Array) -> tuple[Array, Array]:
        """States s (..., T - 1, m) and phases (..., T, p) of latents (..., T, k)."""
        p = int(self.pairs)
        phi = np.arctan2(z[..., 1 : 2 * p : 2], z[..., : 2 * p : 2])
        d = np.pi - (np.pi - np.diff(phi, axis=-2)) % (2 * np.pi)
        return np.concatenate([d, z[..., 1:, 2 * p :]], axis=-1), phi

    def _latents(self, sn: Array, phi: Array) -> Array:
        """Normalised latents (..., T, k) of normalised states (..., T, m) after ``phi`` (..., p).

        An increment outside of three times its range makes the phase NaN: it shows nowhere else.
        """
        p = int(self.pairs)
        low, high = (limit[:p] for limit in self.model.span.limits())
        lost = ((sn[..., :p] < low) | (sn[..., :p] > high)).any(axis=-1, keepdims=True)
        s = self.model.span.restore(sn)
        angle = phi[..., None, :] + np.cumsum(np.where(lost, np.nan, s[..., :p]), axis=-2)
        pairs = np.stack([np.cos(angle), np.sin(angle)], axis=-1).reshape(*angle.shape[:-1], 2 * p)
        return self.span.normalise(np.concatenate([pairs, s[..., p:]], axis=-1))

    # forecast

    def _start(self, history: Array, known: dict[str, Any]) -> tuple[Array, Array]:
        """Normalised states and the last phases; ``known`` without its first step."""
        s, phi = self._state(self.span.restore(history))
        if known.get("inputs") is not None:
            known["inputs"] = known["inputs"][:, 1:]
        return self.model.span.normalise(s), phi[..., -1, :]

    def _rollout(self, history: Array, steps: int, **known: Any) -> Array:
        sn, phi = self._start(history, known)
        return self._latents(self.model._rollout(sn, steps, **known), phi)

    def _members(self, starts: Array, steps: int, at: Array | None = None, **known: Any) -> Array:
        sn, phi = self._start(starts, known)
        return self._latents(self.model._members(sn, steps, **known), phi)

    # saving

    def to_bundle(self) -> Bundle:
        """Document and arrays, those of the model as ``model.name``."""
        document, arrays = super().to_bundle()
        own, values = self.model.to_bundle()
        return {**document, "model": own}, arrays | {f"model.{n}": a for n, a in values.items()}

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        model = super().from_bundle(bundle)
        document, arrays = bundle
        values = {n.removeprefix("model."): a for n, a in arrays.items() if n.startswith("model.")}
        model.model = type(model.dynamics).from_bundle((document["model"], values))
        model.context = model.model.context + 1
        return model
