"""Polynomial map: one step is a polynomial of the last states, fitted by least squares.

    x_t     = (z_t, .., z_{t-c+1}, params, inputs_t) / 2        normalised; c = context
    z_{t+1} = z_t + phi(x_t) W,   phi: all monomials of x up to degree d
    W       = (Phi^T Phi + beta D)^-1 Phi^T R,   D = diag(Phi^T Phi),   R rows z_{t+1} - z_t

Also known as next-generation reservoir computing: a reservoir without a reservoir. The law of
a smooth flow on an attractor of few dimensions is smooth, and a polynomial of high degree
follows it to many digits for seconds of least squares, where dt resolves the motion. There are
C(m + d, d) monomials of m = len(x) variables: 1287 for 8 latents and degree 5, so it is for a
dozen latents, not for a hundred.

Noise on the states in training teaches the loop to return to a thin attractor (a torus in many
latents), where the data say nothing of the directions across; a chaotic attractor fills its
latents and needs none. Degree, beta and noise are chosen by closed loops from the last fifth of
the data, fitted on the rest; then all data are fitted. A long trial rollout, from starts off the
data, must stay inside the training span. Degrees with more monomials than 2000, or than there are
steps, are not tried.

**Many latents of falling size**, as of POD, say most by the first ones, and products of two that
hardly move are noise blown up to 1. With a common scale all are measured by the largest,

    x = r z / 2,   r = scale / max scale;   D = T for products, a thousandth of diag for the others

so that products count by their size, and beta takes the small ones away. Noise is of one size
then, too. A bounded loop is held in the range of the training data at every step, from where a
chaotic one comes back, while its products carry it off for good from outside.

Fails where steps are long against the motion (the map of a long step is a polynomial of high
degree), and on latents that jump.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from typing import Any, ClassVar, Literal

import numpy as np

from romae.dynamics.base import Dynamics
from romae.dynamics.monomials import WIDE, monomials, roll, table
from romae.dynamics.recycled import Normal, Windows
from romae.errors import OptionError, check_option
from romae.progress import track

Array = np.ndarray

MOST, LIMIT = 2000, 12_000  # monomials that degree=None tries, and that a degree may have
DEGREES = (1, 2, 3, 4, 5, 6)
RIDGES = (1e-12, 1e-9, 1e-6, 1e-3)
NOISES = (0.0, 1e-3, 1e-2)  # standard deviations
ROWS, COPIES = 20_000, 8  # short data are gone through several times with new noise
STARTS, HORIZON, TRIAL = 64, 400, 4000  # closed loops of validation and their steps, the trial's
HELD = 0.2  # of each case, its end, from which the loops start
SHORT = 50  # steps of a case of which nothing is held out
BLOCK = 4096
FREE = 1e-3  # of beta: what linear terms are shrunk by under a common scale


class PolynomialMap(Dynamics):
    """Next-generation reservoir computing: a polynomial of the last states, by ridge regression.

    ``degree`` d, ``ridge`` beta and ``noise`` of the states in training, in standard deviations:
    None chooses by validation. ``context``: states that it looks at. ``seed``: of the noise.
    ``scale``: "own" normalises each latent alike, "common" keeps their sizes against each other
    (``noise`` then in standard deviations of the largest). ``bounded``: hold every step in the
    range of the training latents. Takes ``params`` and ``inputs`` as further variables.

    After fit, ``chosen`` holds (degree, ridge, noise) and ``history`` every candidate.
    Raises OptionError when the degree asked for has more monomials than can be solved.

    Source: D. Gauthier, E. Bollt, A. Griffith, W. Barbosa, Next generation reservoir computing,
    2021. Deviates in the noise, in the choice of degree, ridge and noise by closed loops, and in
    shrinking each monomial by its own size.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"params", "inputs"})
    fitted = ("W", "chosen")
    W: Array  # (monomials, k)
    chosen: Array  # (3,)

    def __init__(
        self,
        degree: int | None = None,
        *,
        ridge: float | None = None,
        noise: float | None = None,
        context: int = 1,
        scale: Literal["own", "common"] = "own",
        bounded: bool = False,
        seed: int = 0,
    ):
        check_option("scale", scale, ["own", "common"])
        if (degree is not None and degree < 1) or context < 1 or min(ridge or 0, noise or 0) < 0:
            raise OptionError(
                f"PolynomialMap(degree={degree}, ridge={ridge}, noise={noise}, context={context}). "
                "Expected degree and context of at least 1, ridge and noise of at least 0; None "
                "for one of the first three searches."
            )
        self.degree, self.ridge, self.noise = degree, ridge, noise
        self.context, self.scale, self.bounded, self.seed = context, scale, bounded, seed

    def features(self, latent: int) -> int:
        """Monomials of so many latents, 0 where the degree is searched and stays below MOST."""
        return comb(latent * self.context + self.degree, self.degree) if self.degree else 0

    def unknowns(self, latent: int) -> int:
        return latent + 1

    def _fit(
        self,
        sequences: list[Array],
        *,
        params: Array | None = None,
        inputs: list[Array] | None = None,
    ) -> None:
        held = self._held(sequences, params, inputs)
        sizes = self._sizes()
        cases = list(_cases([z * sizes for z in sequences], self.context, params, inputs))
        ridges = RIDGES if self.ridge is None else (self.ridge,)
        noises = NOISES if self.noise is None else (self.noise,)
        degrees = self._degrees(cases[0].x.shape[1], sum(len(c.x) for c in cases))
        found, systems = [], {}
        with track(len(degrees) * len(noises), "polynomial map search") as task:
            for degree, noise in itertools.product(degrees, noises):
                normal = self._normal(cases[0].x.shape[1], degree)
                for case in cases:
                    self._add(normal, case.part(end=False), degree, noise)
                for beta, W in zip(ridges, normal.solve(ridges), strict=True):
                    self._take(degree, beta, noise, W)
                    found.append((*held.score(held.roll(self._rollout)), degree, beta, noise))
                for case in cases:
                    self._add(normal, case.part(end=True), degree, noise)
                systems[degree, noise] = normal
                task.advance()
        found.sort(key=lambda row: -row[0])
        names = ("score", "horizon", "degree", "ridge", "noise")
        self.history = [dict(zip(names, row, strict=True)) for row in found]
        trial = held.shaken(8)
        for _, _, degree, beta, noise in [*found, found[0]]:  # the best when none stays
            self._take(degree, beta, noise, systems[degree, noise].solve((beta,))[0])
            if self.span.contains(trial.roll(self._rollout, TRIAL)).all():
                break

    def _sizes(self) -> Array:
        """r (k,): the size of each latent over the largest, or 1."""
        moves = ~self.span.constant
        if self.scale == "own" or not moves.any():
            return np.ones(self.latent)
        return np.where(moves, self.span.scale / self.span.scale[moves].max(), 1.0)

    def _normal(self, variables: int, degree: int) -> Normal:
        count = comb(variables + degree, degree)
        if self.scale == "own":
            return Normal(count, self.latent)
        return _BySize(count, self.latent, 1 + variables)

    def _add(self, normal: Normal, case: "_Case", degree: int, noise: float) -> None:
        """Rows of one case, with ``noise`` drawn anew for every copy of short data."""
        rng = np.random.default_rng(self.seed)
        copies = 1 if noise == 0 else int(np.clip(ROWS // max(len(case.x), 1), 1, COPIES))
        for _ in range(copies):
            for i in range(0, len(case.x), BLOCK):
                x, y = case.x[i : i + BLOCK].copy(), case.y[i : i + BLOCK]
                x[:, : case.states] += noise * rng.standard_normal((len(x), case.states))
                normal.add(monomials(x / WIDE, degree), y - x[:, : y.shape[1]])

    def _degrees(self, variables: int, rows: int) -> list[int]:
        """Those to try. Raises OptionError for one that cannot be solved."""
        if self.degree is None:
            fits = [d for d in DEGREES if comb(variables + d, d) <= min(MOST, rows)]
            return fits or [1]
        if (count := comb(variables + self.degree, self.degree)) > LIMIT:
            raise OptionError(
                f"PolynomialMap(degree={self.degree}): {count} monomials of {variables} variables. "
                f"Expected at most {LIMIT}; take a smaller degree or context, or None."
            )
        return [self.degree]

    def _held(
        self, sequences: list[Array], params: Array | None, inputs: list[Array] | None
    ) -> Windows:
        """Closed loops inside the ends of the cases; anywhere, where all cases are short."""
        whole = max(map(len, sequences)) < SHORT
        ends = [0 if whole else max(0, _cut(z) - self.context) for z in sequences]
        last = [z[n:] for z, n in zip(sequences, ends, strict=True)]
        u = None if inputs is None else [v[n:] for v, n in zip(inputs, ends, strict=True)]
        known: dict[str, Any] = {"context": self.context, "params": params, "inputs": u}
        return Windows.spread(last, self.span.scale, count=STARTS, steps=HORIZON, **known)

    def _take(self, degree: int, beta: float, noise: float, W: Array) -> None:
        self.W, self.chosen = W, np.array([degree, beta, noise])

    def _rollout(
        self,
        history: Array,
        steps: int,
        *,
        params: Array | None = None,
        inputs: Array | None = None,
    ) -> Array:
        B, c, k = history.shape
        known = [np.empty((B, steps, 0))]
        if params is not None:
            known.append(np.broadcast_to(params[:, None], (B, steps, params.shape[1])))
        if inputs is not None:
            known.append(inputs[:, c - 1 : c - 1 + steps])
        extra = np.ascontiguousarray(np.concatenate(known, axis=2)) / WIDE
        parent, factor = table(c * k + extra.shape[2], int(self.chosen[0]))
        sizes, reach = self._sizes(), np.full(k, np.inf)
        low, high = (
            (self.span.low * sizes, self.span.high * sizes) if self.bounded else (-reach, reach)
        )
        start = np.ascontiguousarray(history[:, ::-1]) * sizes  # newest first
        return np.asarray(roll(start, extra, steps, parent, factor, self.W, low, high)) / sizes


class _BySize(Normal):
    """D for variables of one scale; the first ``linear`` features are 1 and the variables."""

    def __init__(self, features: int, outputs: int, linear: int):
        super().__init__(features, outputs)
        self.linear = linear

    def level(self) -> Array:
        rows = np.full(len(self.G), self.G[0, 0])  # T, since the first feature is 1
        rows[: self.linear] = FREE * np.diag(self.G)[: self.linear]
        return rows


@dataclass(frozen=True)
class _Case:
    """Variables x (n, m), of which the first ``states`` are latents, and next states y (n, k)."""

    x: Array
    y: Array
    states: int

    def part(self, *, end: bool) -> "_Case":
        rows = slice(_cut(self.x), None) if end else slice(_cut(self.x))
        return _Case(self.x[rows], self.y[rows], self.states)


def _cut(rows: Array) -> int:
    """Where the held-out end of a case begins; a short case has none."""
    return round((1 - HELD) * len(rows)) if len(rows) >= SHORT else len(rows)


def _cases(
    sequences: list[Array], context: int, params: Array | None, inputs: list[Array] | None
) -> Iterator[_Case]:
    for c, z in enumerate(sequences):
        last = len(z) - 1
        parts = [z[context - 1 - n : last - n] for n in range(context)]  # newest first
        if params is not None:
            parts.append(np.broadcast_to(params[c], (len(parts[0]), params.shape[1])))
        if inputs is not None:
            parts.append(inputs[c][context - 1 : last])
        yield _Case(np.concatenate(parts, axis=1), z[context:], context * z.shape[1])
