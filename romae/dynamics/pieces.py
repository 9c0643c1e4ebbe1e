"""Pieces of the training data, on which closed loops of a candidate are tried.

    history (B, context, k)    where a loop starts
    truth (B, H, k)            what followed there

A regression that fits one step well may still leave the data after a hundred, so candidates are
judged by their loops. How is for those who judge: :mod:`romae.dynamics.recycled` and
:mod:`romae.dynamics.regression`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

Array = np.ndarray

USABLE = 0.4  # error over the standard deviation of the data, at which a forecast ends


@dataclass(frozen=True)
class Pieces:
    """Starts inside the training data, and what followed them.

    ``history`` (B, context, k), ``truth`` (B, H, k), ``params`` (B, p) and ``inputs``
    (B, context + H, m) or None.
    """

    history: Array
    truth: Array
    params: Array | None
    inputs: Array | None

    @classmethod
    def cut(
        cls,
        sequences: Sequence[Array],
        context: int,
        steps: int,
        count: int,
        params: Array | None,
        inputs: Sequence[Array] | None,
        **more: Any,
    ) -> Self:
        """``count`` pieces of ``steps`` steps, spread evenly over all that fit.

        Cases shorter than a piece have none. ``more``: fields of the subclass.
        """
        rows = context + steps
        places = [(c, i) for c, z in enumerate(sequences) for i in range(len(z) - rows + 1)]
        chosen = [places[n] for n in _even(len(places), count)]
        z = np.stack([sequences[c][i : i + rows] for c, i in chosen])
        u = None if inputs is None else np.stack([inputs[c][i : i + rows] for c, i in chosen])
        mu = None if params is None else params[[c for c, _ in chosen]]
        return cls(z[:, :context], z[:, context:], mu, u, **more)

    @property
    def steps(self) -> int:
        """H."""
        return self.truth.shape[1]

    def pick(self, count: int) -> Self:
        """``count`` of them, spread evenly."""
        rows = _even(len(self.history), count)
        params = None if self.params is None else self.params[rows]
        inputs = None if self.inputs is None else self.inputs[rows]
        return replace(
            self, history=self.history[rows], truth=self.truth[rows], params=params, inputs=inputs
        )

    def known(self, extra: int = 0) -> dict[str, Array]:
        """Keywords of a rollout over H + ``extra`` steps; inputs come round again after H."""
        found = {} if self.params is None else {"params": self.params}
        if self.inputs is not None:
            rows = np.arange(self.inputs.shape[1] + extra) % self.inputs.shape[1]
            found["inputs"] = self.inputs[:, rows]
        return found

    def roll(self, rollout: Callable[..., Array], steps: int | None = None) -> Array:
        """``rollout`` of all pieces by ``steps``, H unless given: (B, steps, k)."""
        steps = self.steps if steps is None else steps
        return rollout(self.history, steps, **self.known(steps - self.steps))


def _even(total: int, count: int) -> Array:
    """``count`` of the numbers below ``total``, evenly spread, each once."""
    return np.unique(np.linspace(0, total - 1, count).round().astype(int))


def horizons(e: Array, limit: float = USABLE) -> Array:
    """Steps until errors (B, H) first pass ``limit``, (B,); H where they never do."""
    never = np.ones((len(e), 1), dtype=bool)
    return np.concatenate([e > limit, never], axis=1).argmax(axis=1)
