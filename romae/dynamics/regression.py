"""What the models found by regression share: libraries, derivatives, steps, trial rollouts.

    theta(z) = [1, z_i, z_i z_j, z_i z_j z_l]     i <= j <= l: each product once, "compact"
    (1, mu) x theta                               affine in parameters mu
    dz/dt                                         difference of order 6, one-sided at the ends
    z_{n+1} = f(z_n, u_n)                         discrete, or
    z_{n+1} = z_n + h/6 (k1 + 2 k2 + 2 k3 + k4)   RK4 of dz/dt = f(z, u), h = 1/substeps

Time is counted in steps of the data, dt = 1. A regression that fits one step well may still blow
up after a thousand, so candidates are ranked by rollouts from many starts in the training data,
and the best that also stays in the span for a long rollout is taken (recycled validation, as for
echo states; B. Peherstorfer and S. McQuarrie choose regularisation in the same way).
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Self

import numpy as np

from romae.dynamics.span import Span

Array = np.ndarray
Rate = Callable[[Array, Array | None], Array]  # f(z, u): (..., k), (..., m) -> (..., k)
TimeForm = Literal["discrete", "continuous"]

STARTS, HORIZON, TRIAL = 16, 300, 2000  # starts and steps of validation, steps of the long trial
USABLE = 0.4  # error over the standard deviation of the data, at which a forecast ends
PHASE = 0.1  # largest change of a state within a substep, in standard deviations
SUBSTEPS = 16


@lru_cache
def products(k: int, degree: int) -> tuple[Array, ...]:
    """Factors of every product of ``degree`` latents: ``degree`` index arrays (n,)."""
    rows = list(itertools.combinations_with_replacement(range(k), degree))
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def polynomials(z: Array, degree: int) -> Array:
    """theta of states (..., k): all products of up to ``degree`` latents, (..., n), 1 first."""
    parts = [np.ones((*z.shape[:-1], 1)), z]
    for n in range(2, degree + 1):
        first, *others = products(z.shape[-1], n)
        term = z[..., first]
        for index in others:
            term = term * z[..., index]
        parts.append(term)
    return np.concatenate(parts, axis=-1)


def with_params(theta: Array, params: Array | None) -> Array:
    """(1, mu) x theta: (..., n) and (..., p) give (..., (1 + p) n)."""
    if params is None:
        return theta
    one = np.ones((*params.shape[:-1], 1))
    both = np.concatenate([one, params], axis=-1)[..., :, None] * theta[..., None, :]
    return both.reshape(*both.shape[:-2], -1)


def derivative(z: Array) -> Array:
    """dz/dt (T, k) per step of a trajectory (T, k): seven points, fewer when it is shorter."""
    T, n = len(z), min(7, len(z))
    half, out = n // 2, np.empty_like(z)
    inside = np.lib.stride_tricks.sliding_window_view(z, n, axis=0)  # (T - n + 1, k, n)
    out[half : half + len(inside)] = inside @ _stencil(n, half)
    for i in (*range(half), *range(half + len(inside), T)):
        first = 0 if i < half else T - n
        out[i] = _stencil(n, i - first) @ z[first : first + n]
    return out


@lru_cache
def _stencil(n: int, at: int) -> Array:
    """Weights of n neighbours, spacing 1, for the derivative at the one of index ``at``."""
    powers = np.vander(np.arange(n) - at, increasing=True).T.astype(float)
    return np.linalg.solve(powers, np.eye(n)[1])


def substeps(sequences: Sequence[Array]) -> int:
    """Substeps of RK4 in a step of the data: a state turns by less than PHASE in each."""
    moving = np.concatenate([derivative(z) for z in sequences]).std(axis=0)
    speed = float(np.max(moving / np.maximum(np.concatenate(sequences).std(axis=0), 1e-12)))
    return int(np.clip(np.ceil(speed / PHASE), 1, SUBSTEPS))


def roll(rate: Rate, z: Array, steps: int, *, parts: int = 0, inputs: Array | None = None) -> Array:
    """Rollout (..., steps, k) from states (..., k).

    ``parts``: 0 when ``rate`` is the map itself, else substeps of RK4. ``inputs``: (..., steps + 1,
    m), that of the start first; in continuous time they run straight from one step to the next.
    """
    out = np.empty((*z.shape[:-1], steps, z.shape[-1]))
    for n in range(steps):
        now = None if inputs is None else inputs[..., n, :]
        if parts == 0:
            z = rate(z, now)
        else:
            change = None if inputs is None or now is None else inputs[..., n + 1, :] - now
            z = _rk4(rate, z, parts, now, change)
        out[..., n, :] = z
    return out


def _rk4(rate: Rate, z: Array, parts: int, u: Array | None, change: Array | None) -> Array:
    h = 1 / parts
    for i in range(parts):
        a, b, c = (
            None if u is None or change is None else u + (i + part) * h * change
            for part in (0, 0.5, 1)
        )
        k1 = rate(z, a)
        k2 = rate(z + h / 2 * k1, b)
        k3 = rate(z + h / 2 * k2, b)
        k4 = rate(z + h * k3, c)
        z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return z


@dataclass(frozen=True)
class Trials:
    """Starts spread over the training data, and what followed.

    ``starts`` (B, context, k), ``truth`` (B, H, k), ``params`` (B, p) and ``inputs``
    (B, context + H, m) or None; ``trial``: steps of the long rollout.
    """

    starts: Array
    truth: Array
    params: Array | None
    inputs: Array | None
    trial: int

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
        rows = context + steps
        places = [(c, i) for c, z in enumerate(sequences) for i in range(len(z) - rows + 1)]
        count = max(STARTS, len(sequences))
        picks = np.unique(np.linspace(0, len(places) - 1, count).round().astype(int))
        chosen = [places[n] for n in picks]
        z = np.stack([sequences[c][i : i + rows] for c, i in chosen])
        u = None if inputs is None else np.stack([inputs[c][i : i + rows] for c, i in chosen])
        mu = None if params is None else params[[c for c, _ in chosen]]
        return cls(z[:, :context], z[:, context:], mu, u, min(TRIAL, 5 * longest))

    def some(self, count: int = 4) -> Self:
        """The long trial: ``count`` of the starts, inputs repeated."""
        pick = np.unique(np.linspace(0, len(self.starts) - 1, count).round().astype(int))
        rows = self.starts.shape[1] + self.trial
        u = None
        if self.inputs is not None:
            repeat = np.arange(rows) % self.inputs.shape[1]
            u = self.inputs[pick][:, repeat]
        mu = None if self.params is None else self.params[pick]
        return type(self)(self.starts[pick], self.truth[pick], mu, u, self.trial)

    def score(self, z: Array) -> tuple[float, float]:
        """(- mean steps until the error passes USABLE, log10 of the error): smaller is better."""
        with np.errstate(over="ignore", invalid="ignore"):
            mse = np.nan_to_num(np.mean((z - self.truth) ** 2, axis=2), nan=1e30, posinf=1e30)
        late = np.concatenate([mse > USABLE**2, np.ones((len(mse), 1), dtype=bool)], axis=1)
        error = np.log10(np.minimum(mse, 1e30).mean(axis=1) + 1e-30)
        return -float(late.argmax(axis=1).mean()), float(error.mean())


def first_bounded(order: Sequence[int], span: Span, rollout: Callable[[int], Array]) -> int | None:
    """The first of ``order`` whose long rollout stays in ``span``; None when none does."""
    for n in order:
        with np.errstate(over="ignore", invalid="ignore"):
            if span.contains(rollout(n)).all():
                return n
    return None
