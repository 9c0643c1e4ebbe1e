"""Candidates of a regression ranked by rollouts in the training data.

    e(t) = || z(t) - z*(t) || / sqrt(k)     normalised latents, z* the data
    h    = first step with e > 0.4          of a rollout from inside the data
    best: longest mean h over many starts, then smallest error, among those whose long
          rollouts stay bounded; where the data are stationary also near their range, and alive

A regression that fits one step well may still blow up after a thousand. Regularisation and
thresholds are therefore chosen by closed loops (McQuarrie et al. 2021 do so from the first state,
Racca & Magri 2021 from many, which lets chaotic data be scored). Data count as stationary when the
halves of each case agree in mean and variance; a law of such data that decays to a point or drifts
off over thousands of steps is wrong, however small its error over hundreds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np

from romae.dynamics.pieces import USABLE, Pieces, horizons
from romae.dynamics.span import Span

Array = np.ndarray
TimeForm = Literal["discrete", "continuous"]

STARTS, HORIZON, TRIAL = 16, 300, 10_000  # starts and steps of validation, steps of the long trial
NEAR = 0.25  # of the range, by which a stationary rollout may exceed it
ALIVE = 0.5  # share of the data's variance, or its inverse, that a stationary rollout keeps


@dataclass(frozen=True)
class Trials(Pieces):
    """Pieces with ``trial``, the steps of a long rollout, and whether data are ``stationary``."""

    trial: int
    stationary: bool

    @classmethod
    def spread(
        cls,
        sequences: Sequence[Array],
        context: int = 1,
        params: Array | None = None,
        inputs: Sequence[Array] | None = None,
    ) -> Self:
        """Up to STARTS of them, or one in each case; the first state of the data among them."""
        longest = max(map(len, sequences))
        steps = max(1, min(HORIZON, 2 * (longest - context) // 3))
        count = max(STARTS, len(sequences))
        long = {"trial": min(TRIAL, 25 * longest), "stationary": stationary(sequences)}
        return cls.cut(sequences, context, steps, count, params, inputs, **long)

    def some(self, count: int = 4) -> Self:
        """The long trial: ``count`` of the starts, inputs repeated."""
        found = self.pick(count)
        return replace(found, inputs=found.known(self.trial - self.steps).get("inputs"))

    def score(self, z: Array) -> tuple[float, float]:
        """(- mean steps until the error passes USABLE, log10 of the error): smaller is better."""
        with np.errstate(over="ignore", invalid="ignore"):
            mse = np.nan_to_num(np.mean((z - self.truth) ** 2, axis=2), nan=1e30, posinf=1e30)
        error = np.log10(np.minimum(mse, 1e30).mean(axis=1) + 1e-30)
        return -float(horizons(mse, USABLE**2).mean()), float(error.mean())

    def healthy(self, z: Array, span: Span) -> bool:
        """Whether long rollouts (B, trial, k) are what the data may do."""
        if not span.contains(z).all():
            return False
        if not self.stationary:
            return True
        width = NEAR * (span.high - span.low) + 1e-6
        near = (z >= span.low - width) & (z <= span.high + width)
        kept = z[:, -z.shape[1] // 4 :].reshape(-1, z.shape[2]).var(axis=0)[~span.constant].mean()
        return bool(near.all(axis=(0, 1))[~span.constant].all() and ALIVE < kept < 1 / ALIVE)


def stationary(sequences: Sequence[Array]) -> bool:
    """Whether the halves of each case (T, k) agree in mean and variance."""
    for z in sequences:
        first, second = np.array_split(z, 2)
        spread = z.var(axis=0).mean() + 1e-12
        shift = np.mean((first.mean(axis=0) - second.mean(axis=0)) ** 2)
        ratio = (second.var(axis=0).mean() + 1e-12) / (first.var(axis=0).mean() + 1e-12)
        if shift > 0.25 * spread or not ALIVE < ratio < 1 / ALIVE:
            return False
    return True


def first_healthy(
    order: Sequence[int], trials: Trials, span: Span, rollout: Callable[[int], Array]
) -> int:
    """The first of ``order`` whose long rollout is healthy, else bounded, else the first."""
    bounded = None
    for n in order:
        with np.errstate(over="ignore", invalid="ignore"):
            z = rollout(n)
            if trials.healthy(z, span):
                return n
            if bounded is None and span.contains(z).all():
                bounded = n
    return order[0] if bounded is None else bounded
