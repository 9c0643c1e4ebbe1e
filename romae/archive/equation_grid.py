"""The grid of a learned equation: its waves, its tables, and the closed loop over frames, compiled.

    analyse:     x (C, points) -> half spectrum w (2, size) and mean velocity
    synthesise:  w, mean -> x, its inverse on the waves that are kept

    loop: p_t = synthesise(advance(analyse(x'_(t-1)))),  x'_t = p_t + 2 eps q_t.

Kinds: a field on a line (0), a vorticity (1), velocities without divergence (2). Layout and
exactness as in :mod:`romae.archive.pseudospectral`.
"""

import numpy as np

from romae.archive.compiled import compiled
from romae.archive.fourier import radices, roots
from romae.archive.pseudospectral import advance, to_grid, to_spectrum, velocity

LINE, VORTICITY, VELOCITY = 0, 1, 2


class Grid:
    """Periodic line (n1,) or square (n0, n1): waves that are kept, tables, buffers.

    Wave numbers have unit 1 = the largest kept along the longer side; spacing is the same along
    both axes.
    """

    def __init__(self, space: tuple[int, ...]) -> None:
        self.n1 = space[-1]
        self.n0 = space[0] if len(space) == 2 else 1
        longest = max(space)
        self.unit = unit = (longest - 1) // 3
        self.rows = (self.n1 - 1) // 3 + 1
        k0 = (self.n0 - 1) // 3
        self.m0 = 2 * k0 + 1
        waves = np.concatenate([np.arange(k0 + 1), np.arange(-k0, 0)])
        self.kx = np.arange(self.rows) * (longest / self.n1) / unit
        self.ky = waves * (longest / self.n0) / unit
        self.k2 = (self.kx[:, None] ** 2 + self.ky**2).ravel()
        self.ik2 = 1.0 / np.where(self.k2 == 0, 1.0, self.k2)
        self.waves = (self.kx, self.ky, self.ik2)
        sizes = (self.n0, self.n1, self.m0, self.rows)
        self.transforms = tuple(
            part for n in (self.n0, self.n1) for part in (radices(n), *roots(n))
        )
        self.tables = (sizes, self.transforms)

    def work(self) -> tuple[np.ndarray, ...]:
        """Six buffers of the size of the grid."""
        return tuple(np.zeros(self.n1 * self.n0) for _ in range(6))

    def stages(self) -> tuple[np.ndarray, ...]:
        """Two states and six parts of rates."""
        size = self.rows * self.m0
        return (np.zeros((2, size)), np.zeros((2, size)), *(np.zeros(size) for _ in range(6)))

    def half(self, x: np.ndarray, kind: int) -> tuple[np.ndarray, np.ndarray]:
        """Half spectrum (2, size) and mean (2,) of fields (C, points)."""
        w, mean = np.zeros((2, self.rows * self.m0)), np.zeros(2)
        x = np.ascontiguousarray(x, np.float64)
        analyse(x, kind, w, mean, self.work(), self.kx, self.ky, *self.tables)
        return w, mean

    def fields(self, w: np.ndarray, mean: np.ndarray, kind: int) -> np.ndarray:
        """Fields (C, points) of a half spectrum."""
        x = np.empty((2 if kind == VELOCITY else 1, self.n0 * self.n1))
        synthesise(w, mean, kind, x, self.work(), *self.waves, *self.tables)
        return x


@compiled
def analyse(x, kind, w, mean, work, kx, ky, sizes, tables):
    """Half spectrum ``w`` and mean velocity of fields ``x`` (C, points)."""
    n0, n1, m0, rows = sizes
    fac0, cos0, sin0, fac1, cos1, sin1 = tables
    pr, pi, gr, gi, tr, ti = work
    for i in range(n0 * n1):
        gr[i] = x[0, i]
        gi[i] = x[1, i] if kind == 2 else 0.0
    to_spectrum(gr, gi, pr, pi, tr, ti, n0, n1, m0, fac0, cos0, sin0, fac1, cos1, sin1)
    for r in range(rows):
        for c in range(m0):
            i = r * m0 + c
            j = ((n1 - r) % n1) * m0 + (m0 - c) % m0
            ar = 0.5 * (pr[i] + pr[j])
            ai = 0.5 * (pi[i] - pi[j])
            if kind == 2:
                br = 0.5 * (pi[i] + pi[j])
                bi = 0.5 * (pr[j] - pr[i])
                w[0, i] = ky[c] * ai - kx[r] * bi  # i kx v - i ky u
                w[1, i] = kx[r] * br - ky[c] * ar
            else:
                w[0, i] = ar
                w[1, i] = ai
    if kind == 2:
        mean[0] = pr[0]
        mean[1] = pi[0]


@compiled
def synthesise(w, mean, kind, x, work, kx, ky, ik2, sizes, tables):
    """Fields ``x`` (C, points) of a half spectrum."""
    n0, n1, m0, rows = sizes
    fac0, cos0, sin0, fac1, cos1, sin1 = tables
    pr, pi, gr, gi, tr, ti = work
    if kind == 1:
        for i in range(n1 * m0):
            pr[i] = 0.0
            pi[i] = 0.0
        for r in range(rows):
            for c in range(m0):
                i = r * m0 + c
                pr[i] = w[0, i]
                pi[i] = w[1, i]
                if r > 0:
                    j = (n1 - r) * m0 + (m0 - c) % m0
                    pr[j] = w[0, i]
                    pi[j] = -w[1, i]
    else:
        velocity(w[0], w[1], mean, pr, pi, kx, ky, ik2, n1, m0, rows)
    to_grid(pr, pi, gr, gi, tr, ti, n0, n1, m0, fac0, cos0, sin0, fac1, cos1, sin1)
    for i in range(n0 * n1):
        x[0, i] = gr[i]
        if kind == 2:
            x[1, i] = gi[i]


@compiled
def loop(
    kind, w, mean, x, q, decoded, steps, encoding, substeps, etd, work, stages, theta, forcing,
    kx, ky, ik2, sizes, tables,
):  # fmt: skip
    """Frames ``decoded`` (n, C, points) from key frame ``w`` and q; when encoding, q from ``x``."""
    n, fields, points = q.shape
    for t in range(n):
        if t > 0:
            analyse(decoded[t - 1], kind, w, mean, work, kx, ky, sizes, tables)
            advance(
                w, mean, substeps, etd, work, stages, theta, forcing, kx, ky, ik2, sizes, tables
            )
        synthesise(w, mean, kind, decoded[t], work, kx, ky, ik2, sizes, tables)
        for f in range(fields):
            step = steps[f]
            for i in range(points):
                p = decoded[t, f, i]
                if encoding:
                    v = np.rint((x[t, f, i] - p) / step)
                    q[t, f, i] = int(v) if abs(v) <= 70368744177664.0 else 0
                decoded[t, f, i] = p + step * q[t, f, i]
