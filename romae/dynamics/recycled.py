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

Array = np.ndarray

USABLE = 0.4  # error over the standard deviation of the data, at which a forecast ends
WORST = 1e6  # of e: what NaN and Inf count as


@dataclass(frozen=True)
class Windows:
    """Starts inside the training data, and what followed them.

    ``history`` (B, context, k), ``truth`` (B, H, k), ``params`` (B, p) and ``inputs``
    (B, context + H, m) or None; ``energy`` (k,): squared scale of each latent, mean 1.
    """

    history: Array
    truth: Array
    params: Array | None
    inputs: Array | None
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
        """``count`` windows of at most ``steps`` steps, spread evenly over all that fit.

        Windows are at most half as long as the longest case, and cases shorter than a window
        have none. ``scale`` (k,): of each latent.
        """
        steps = max(1, min(steps, (max(map(len, sequences)) - context) // 2))
        rows = context + steps
        places = [(c, i) for c, z in enumerate(sequences) for i in range(len(z) - rows + 1)]
        picks = np.unique(np.linspace(0, len(places) - 1, count).round().astype(int))
        chosen = [places[n] for n in picks]
        z = np.stack([sequences[c][i : i + rows] for c, i in chosen])
        u = None if inputs is None else np.stack([inputs[c][i : i + rows] for c, i in chosen])
        mu = None if params is None else params[[c for c, _ in chosen]]
        return cls(z[:, :context], z[:, context:], mu, u, scale**2 / np.mean(scale**2))

    @property
    def steps(self) -> int:
        """H."""
        return self.truth.shape[1]

    def known(self, extra: int = 0) -> dict[str, Array]:
        """Keywords of a rollout over H + ``extra`` steps; inputs come round again after H."""
        found = {} if self.params is None else {"params": self.params}
        if self.inputs is not None:
            rows = np.arange(self.inputs.shape[1] + extra) % self.inputs.shape[1]
            found["inputs"] = self.inputs[:, rows]
        return found

    def roll(self, rollout: Callable[..., Array], steps: int | None = None) -> Array:
        """``rollout`` of all windows by ``steps``, H unless given: (B, steps, k)."""
        steps = self.steps if steps is None else steps
        return rollout(self.history, steps, **self.known(steps - self.steps))

    def shaken(self, count: int, size: float = 0.02) -> Self:
        """``count`` of the windows, histories off by ``size`` standard deviations.

        A loop that is stable comes back from there; one that only repeats what it saw is lost.
        """
        pick = np.unique(np.linspace(0, len(self.history) - 1, count).round().astype(int))
        off = size * np.random.default_rng(0).standard_normal(self.history[pick].shape)
        params = None if self.params is None else self.params[pick]
        inputs = None if self.inputs is None else self.inputs[pick]
        return replace(
            self,
            history=self.history[pick] + off,
            truth=self.truth[pick],
            params=params,
            inputs=inputs,
        )

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


def horizons(e: Array, limit: float = USABLE) -> Array:
    """Steps until errors (B, H) first pass ``limit``, (B,); H where they never do."""
    never = np.ones((len(e), 1), dtype=bool)
    return np.concatenate([e > limit, never], axis=1).argmax(axis=1)


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

    def solve(self, betas: Sequence[float]) -> list[Array]:
        """w (features, outputs) for every beta: Cholesky for few, one eigenproblem for many."""
        level = (
            np.diag(self.G) if self.alike else np.full(len(self.G), np.trace(self.G) / len(self.G))
        )
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
