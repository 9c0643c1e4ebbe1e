"""Laws that are linear in a library of functions, and their closed loops.

    theta(z) = [1, z_i, z_i z_j, ..,  sin z, cos z, sin 2z, ..]   i <= j: each product once
    f(z, u)  = theta(z) C + u B
    z_{n+1}  = f(z_n, u_n)                         discrete, or
    z_{n+1}  = z_n + h/6 (k1 + 2 k2 + 2 k3 + k4)   RK4 of dz/dt = f(z, u), h = 1/parts

Time is counted in steps of the data, dt = 1. Loops are compiled and run one start after the
other, so that a forecast has the same bits alone and in company.
"""

import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from romae.compiling import jit

Array = np.ndarray

PHASE = 0.1  # largest change of a state within a part of a step, in standard deviations
MOST_PARTS = 16

# Sums may be reordered, which lets them use vector registers; NaN and Inf keep their meaning.
_compiled = jit(fastmath={"reassoc", "contract"})


@dataclass(frozen=True)
class Library:
    """theta of ``k`` latents: products up to ``degree``, sines and cosines of up to ``waves`` z."""

    k: int
    degree: int
    waves: int = 0

    def __len__(self) -> int:
        return len(self.factors) + 2 * self.waves * self.k

    @cached_property
    def factors(self) -> list[tuple[int, ...]]:
        """Latents in each product, () for the constant."""
        degrees = range(self.degree + 1)
        some = (itertools.combinations_with_replacement(range(self.k), n) for n in degrees)
        return list(itertools.chain.from_iterable(some))

    @cached_property
    def made(self) -> Array:
        """How each product but the constant is made: [earlier product, latent], (n - 1, 2)."""
        place = {f: n for n, f in enumerate(self.factors)}
        return np.array([(place[f[:-1]], f[-1]) for f in self.factors[1:]])

    def __call__(self, z: Array) -> Array:
        """States (..., k) to features (..., n)."""
        theta = np.empty((*z.shape[:-1], len(self)))
        theta[..., 0] = 1
        for n, (earlier, latent) in enumerate(self.made, 1):
            theta[..., n] = theta[..., earlier] * z[..., latent]
        n = len(self.factors)
        for m in range(1, self.waves + 1):
            for f in (np.sin, np.cos):
                theta[..., n : n + self.k] = f(m * z)
                n += self.k
        return theta


def roll(
    library: Library,
    C: Array,
    z: Array,
    steps: int,
    *,
    parts: int = 0,
    B: Array | None = None,
    inputs: Array | None = None,
    span: Array | None = None,
    limit: float = np.inf,
) -> Array:
    """Closed loops (R, steps, k) from states ``z`` (R, k).

    ``C``: one law (n, k) for all, or (R, n, k). ``parts``: of RK4 in a step, 0 when the law is the
    map itself. ``B`` (m, k) and ``inputs`` (R, steps + 1, m), that of the start first; in
    continuous time they run straight from one step to the next. ``span`` (R,): share of a step
    that one step goes, in continuous time; 1 for all when None. ``limit``: a loop with a state
    beyond it is given up, NaN from there on, so that a search spends nothing on what blew up.
    """
    laws = np.ascontiguousarray(C.reshape(-1, len(library), library.k), dtype=np.float64)
    if B is None or inputs is None:
        B, inputs = np.zeros((0, library.k)), np.zeros((1, 1, 0))
    start, u = np.ascontiguousarray(z, np.float64), np.ascontiguousarray(inputs, np.float64)
    force = np.ascontiguousarray(B, np.float64)
    far = np.ones(len(start)) if span is None else np.ascontiguousarray(span, np.float64)
    loops = _loops(start, laws, library.made, library.waves, force, u, steps, parts, far, limit)
    return np.asarray(loops)


@_compiled
def _rate(z, C, made, waves, force, u, theta, out):
    """out = theta(z) C + u B."""
    k, n = z.shape[0], made.shape[0] + 1
    theta[0] = 1.0
    for i in range(n - 1):
        theta[i + 1] = theta[made[i, 0]] * z[made[i, 1]]
    for m in range(1, waves + 1):
        for i in range(k):
            theta[n + i] = np.sin(m * z[i])
            theta[n + k + i] = np.cos(m * z[i])
        n += 2 * k
    out[:] = 0.0
    for i in range(n):
        for j in range(k):
            out[j] += theta[i] * C[i, j]
    for i in range(u.shape[0]):
        for j in range(k):
            out[j] += u[i] * force[i, j]


@_compiled
def _loops(start, laws, made, waves, force, inputs, steps, parts, span, limit):
    R, k = start.shape
    m = force.shape[0]
    result = np.empty((R, steps, k))
    theta, u = np.empty(laws.shape[1]), np.zeros(m)
    z, at, rate, total = np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    for r in range(R):
        h = span[r] / max(parts, 1)
        C = laws[r if len(laws) > 1 else 0]
        z[:] = start[r]
        for t in range(steps):
            if parts == 0:
                for i in range(m):
                    u[i] = inputs[r, t, i]
                _rate(z, C, made, waves, force, u, theta, rate)
                z[:] = rate
            for part in range(parts):
                total[:] = 0.0
                for stage in range(4):
                    ahead = 0.0 if stage == 0 else (1.0 if stage == 3 else 0.5)
                    for i in range(k):
                        at[i] = z[i] if stage == 0 else z[i] + ahead * h * rate[i]
                    for i in range(m):
                        share = (part + ahead) * h
                        u[i] = (1 - share) * inputs[r, t, i] + share * inputs[r, t + 1, i]
                    _rate(at, C, made, waves, force, u, theta, rate)
                    weight = 2.0 if stage == 1 or stage == 2 else 1.0
                    for i in range(k):
                        total[i] += weight * rate[i]
                for i in range(k):
                    z[i] += h / 6 * total[i]
            result[r, t] = z
            if limit < np.inf:
                lost = False
                for i in range(k):
                    lost |= not abs(z[i]) <= limit
                if lost:
                    result[r, t:] = np.nan
                    break
    return result


def derivative(z: Array) -> Array:
    """dz/dt (T, k) per step of a trajectory (T, k), order 6: seven points, or all when fewer."""
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


def parts_of(sequences: list[Array]) -> int:
    """Parts of RK4 in a step of the data: a state moves by less than PHASE in each."""
    moving = np.concatenate([derivative(z) for z in sequences]).std(axis=0)
    speed = float(np.max(moving / np.maximum(np.concatenate(sequences).std(axis=0), 1e-12)))
    return int(np.clip(np.ceil(speed / PHASE), 1, MOST_PARTS))
