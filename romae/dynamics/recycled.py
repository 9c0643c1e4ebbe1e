"""Recycled validation: hyper-parameters chosen by how long closed loops stay close to the data.

    e(t)  = || S (z(t) - z*(t)) || / || S sigma ||      S: scale of each latent, so that it counts
                                                        by its energy; z normalised, sigma its
                                                        standard deviation
    h     = first step with e > 0.4                     of one closed loop from inside the data
    score = mean log(1 + h) - 0.1 mean log10 e^2        over many starts; larger is better

The weights are fitted once, on all data, and validated by many short closed loops that start
inside the same data: nothing is held out, since what is tested is the loop, whose later
inputs are its own errors, and not the fit of one step. The second term ranks models whose loops
all last (limit cycles) and is small beside the first otherwise.

Source: A. Racca, L. Magri, Robust optimization and validation of echo state networks for learning
chaotic dynamics, Neural Networks 2021. Deviates in the score: theirs is the mean log10 of the
error over a window of one Lyapunov time, which we do not know.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from romae.dynamics.pieces import Pieces, horizons

Array = np.ndarray

WORST = 1e6  # of e: what NaN and Inf count as


@dataclass(frozen=True)
class Windows(Pieces):
    """Pieces with ``energy`` (k,): squared scale of each latent, mean 1."""

    energy: Array

    @classmethod
    def spread(
        cls,
        sequences: Sequence[Array],
        scale: Array,
        *,
        context: int,
        count: int,
        steps: int,
        params: Array | None = None,
        inputs: Sequence[Array] | None = None,
    ) -> Self:
        """``count`` windows of ``steps`` steps, at most half as many as the longest case has.

        ``scale`` (k,): of each latent.
        """
        steps = max(1, min(steps, (max(map(len, sequences)) - context) // 2))
        energy = scale**2 / np.mean(scale**2)
        return cls.cut(sequences, context, steps, count, params, inputs, energy=energy)

    def shaken(self, count: int, size: float = 0.02) -> Self:
        """``count`` of the windows, histories off by ``size`` standard deviations.

        A loop that is stable comes back from there; one that only repeats what it saw is lost.
        """
        found = self.pick(count)
        off = size * np.random.default_rng(0).standard_normal(found.history.shape)
        return replace(found, history=found.history + off)

    def errors(self, z: Array) -> Array:
        """e of rollouts (B, H, k): (B, H)."""
        with np.errstate(over="ignore", invalid="ignore"):
            e = np.sqrt(np.mean(self.energy * (z - self.truth) ** 2, axis=2))
        return np.minimum(np.nan_to_num(e, nan=WORST, posinf=WORST), WORST)

    def score(self, z: Array) -> tuple[float, float]:
        """The score of rollouts (B, H, k), and their mean horizon in steps."""
        e = self.errors(z)
        h = horizons(e)
        accuracy = -2 * np.log10(e + 1e-15).mean()
        return float(np.log1p(h).mean() + 0.1 * accuracy), float(h.mean())


class Normal:
    """Normal equations of a ridge regression, gathered block by block in double precision.

    w = (F^T F + beta D)^-1 F^T Y,   D = diag(F^T F): every feature is shrunk alike, whatever
    its size; D = mean(diag) I with ``alike=False``.
    """

    def __init__(self, features: int, outputs: int, alike: bool = True):
        self.G, self.R = np.zeros((features, features)), np.zeros((features, outputs))
        self.alike = alike

    def add(self, F: Array, Y: Array) -> None:
        """Rows of features (n, features) and of what they should give (n, outputs)."""
        self.G += F.T @ F
        self.R += F.T @ Y

    def level(self) -> Array:
        """The diagonal of D, (features,)."""
        mean = np.full(len(self.G), np.trace(self.G) / len(self.G))
        return np.diag(self.G) if self.alike else mean

    def solve(self, betas: Sequence[float]) -> list[Array]:
        """w (features, outputs) for every beta: Cholesky for few, one eigenproblem for many."""
        level = self.level()
        s = 1 / np.sqrt(np.where(level > 0, level, 1.0))  # a feature that is always 0 gets weight 0
        A, B = s[:, None] * self.G * s, s[:, None] * self.R
        if len(betas) > 2:
            values, Q = np.linalg.eigh(A)
            QB = Q.T @ B
            return [s[:, None] * (Q @ (QB / (np.maximum(values, 0) + b)[:, None])) for b in betas]
        return [s[:, None] * np.linalg.solve(A + b * np.eye(len(A)), B) for b in betas]


def refine(
    score: Callable[[Array], float],
    dimensions: int,
    *,
    first: int,
    then: int,
    seed: int,
) -> tuple[Array, Array]:
    """Points in the unit cube and their scores: Bayesian optimisation, larger is better.

    ``first`` points of a Sobol sequence, then ``then`` that maximise the expected improvement
    of a Gaussian process with Matern-5/2 covariance, length 0.4 in every direction and 10 %
    noise in the standardised score. Returns (n, dimensions) and (n,).
    """
    from scipy.special import ndtr
    from scipy.stats import qmc

    sobol = qmc.Sobol(dimensions, seed=seed)
    points = list(sobol.random_base2(max(first - 1, 1).bit_length())[:first])
    scores = [score(x) for x in points]
    rng = np.random.default_rng(seed)
    for _ in range(then):
        X, y = np.array(points), np.array(scores)
        y = (y - y.mean()) / (y.std() + 1e-12)
        near = X[np.argsort(y)[-3:]]
        trial = rng.uniform(size=(1000, dimensions))
        local = near[rng.integers(len(near), size=500)] + 0.1 * rng.standard_normal(
            (500, dimensions)
        )
        trial = np.concatenate([trial, np.clip(local, 0, 1)])
        K = _matern(X, X) + 0.01 * np.eye(len(X))
        cross = _matern(trial, X)
        mean = cross @ np.linalg.solve(K, y)
        variance = 1 - np.einsum("ij,ji->i", cross, np.linalg.solve(K, cross.T))
        sd = np.sqrt(np.maximum(variance, 1e-12))
        t = (mean - y.max()) / sd
        gain = sd * (t * ndtr(t) + np.exp(-0.5 * t**2) / np.sqrt(2 * np.pi))
        points.append(trial[np.argmax(gain)])
        scores.append(score(points[-1]))
    return np.array(points), np.array(scores)


def _matern(X: Array, Y: Array, length: float = 0.4) -> Array:
    d = np.sqrt(5 * ((X[:, None] - Y[None]) ** 2).sum(axis=2)) / length
    return np.asarray((1 + d + d**2 / 3) * np.exp(-d))
