"""Learning the equation of :mod:`romae.archive.equation` from consecutive frames.

The model is linear in its coefficients a, d w/dt = sum_j a_j f_j(w), with rates per interval.

1. Simpson's rule over two intervals, on the long waves, which a frame's distance resolves:
       w_(t+2) - w_t = sum_j a_j (f_j(w_t) + 4 f_j(w_(t+1)) + f_j(w_(t+2))) / 3
2. Gauss-Newton on the whole flow Phi over one interval, derivatives by differences, with more and
   more waves: min_a sum_t |w_(t+1) - Phi_a(w_t)|^2. A steady forcing is the mean of the residual,
   of which only waves that stand above its scatter are kept.
3. The number of steps per interval is the smallest that costs no accuracy that matters at eps.

Fails, and says so by None, unless it predicts much better than a straight line in time, the frame
before, or the mean.
"""

from collections.abc import Sequence

import numpy as np

from romae.archive.equation import LINEAR, TERMS, Equation
from romae.archive.equation_grid import LINE, VELOCITY, VORTICITY
from romae.archive.method import UnsuitableError
from romae.archive.pseudospectral import rate

MOST_POINTS = 2**18  # of a snapshot; above, learning takes minutes
FRAMES = 12  # intervals that are fitted at a time
SUBSTEPS = (1, 2, 3, 4, 6, 8, 12)
STAGES = ((0.15, 3), (0.4, 4), (2.0, 6))  # waves that are fitted, steps per interval
FITTED = 3  # intervals in Gauss-Newton, whose unknowns are few
ROUNDS = 8
LONGEST = 5.5  # waves along the longest side that are always fitted
MOST_FORCED = 32  # waves of steady forcing
GAIN = 1.5  # over simple predictions, below which the equation is rejected


def fit_equation(
    runs: Sequence[np.ndarray], eps: np.ndarray, periodic: Sequence[bool]
) -> Equation | None:
    """The equation of ``runs`` (n, C, *space) of consecutive frames, n >= 4, or None.

    ``eps``: (C,) bound; ``periodic``: per axis of space.
    """
    runs = [r for r in runs if len(r) >= 4]
    if not runs or not all(periodic):
        return None
    fields, *space = runs[0].shape[1:]
    kind = {(1, 1): LINE, (1, 2): VORTICITY, (2, 2): VELOCITY}.get((fields, len(space)))
    if kind is None or np.prod(space) > MOST_POINTS:
        return None
    try:
        model = Equation(kind, tuple(space), np.zeros(LINEAR), np.zeros(TERMS[kind]))
    except UnsuitableError:
        return None
    return _Fit(model, runs, float(eps.min())).run()


class _Fit:
    def __init__(self, model: Equation, runs: Sequence[np.ndarray], eps: float) -> None:
        self.model, self.eps = model, eps
        self.grid, kind = model.grid, model.kind
        triples = [(r, i) for r in runs for i in range(len(r) - 2)]
        picked = triples[:: max(1, len(triples) // FRAMES)][:FRAMES]
        points = self.grid.n0 * self.grid.n1
        half = [
            [self.grid.half(r[i + j].reshape(len(r[i]), points), kind) for j in range(3)]
            for r, i in picked
        ]
        self.w = np.array([[w for w, _ in three] for three in half])  # (frames, 3, 2, size)
        self.mean = np.array([three[0][1] for three in half])
        self.pairs = [(r[i : i + 3], h) for (r, i), h in zip(picked, half, strict=True)]
        # rms in the fields, so that velocities weigh waves as the residual will
        weight = 1.0 / np.sqrt(np.maximum(self.grid.k2, 1e-30)) if kind == VELOCITY else None
        self.weight = np.ones_like(self.grid.k2) if weight is None else weight * (self.grid.k2 > 0)

    def run(self) -> Equation | None:
        self.model.draft = True
        self.start()
        with np.errstate(all="ignore"):
            for reach, substeps in STAGES:
                self.model.substeps = substeps
                self.model.__dict__.pop("parts", None)
                waves = self.within(reach)
                if not self.refine(waves):
                    return None
                self.force(waves)
            return self.choose()

    def within(self, reach: float) -> np.ndarray:
        """Waves up to ``reach`` times the largest, but always the longest few."""
        return self.grid.k2 <= max(reach, LONGEST / self.grid.unit) ** 2

    def terms(self, w: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """f_j(w) of every coefficient, complex (J, size)."""
        g, model = self.grid, self.model
        s = g.k2 / g.k2.max()
        z = w[0] + 1j * w[1]
        found = [s**j * z for j in range(LINEAR)]
        for j in range(len(model.theta)):
            theta = np.zeros(len(model.theta))
            theta[j] = 1.0
            n, nothing = np.zeros_like(w), np.zeros_like(w)
            sizes, tables = g.tables
            rate(w, *n, mean, g.work(), theta, nothing, *g.waves, *sizes, tables)
            found.append(n[0] + 1j * n[1])
        return np.array(found)

    def start(self) -> None:
        """Coefficients from Simpson's rule on long waves."""
        low = self.within(0.2)
        left, right = [], []
        for w, mean in zip(self.w, self.mean, strict=True):
            three = [self.terms(frame, mean)[:, low] for frame in w]
            left.append((three[0] + 4 * three[1] + three[2]) / 3 * self.weight[low])
            change = w[2] - w[0]
            right.append((change[0] + 1j * change[1])[low] * self.weight[low])
        f, r = np.array(left), np.array(right)  # (frames, J, waves), (frames, waves)
        free = np.ones(r.shape[1], bool)  # waves that may be forced: only their changes count
        for _ in range(2):
            g, d = f.copy(), r.copy()
            g[:, :, free] -= g[:, :, free].mean(axis=0)
            d[:, free] -= d[:, free].mean(axis=0)
            a = _solve(_real(g.swapaxes(1, 2).reshape(-1, f.shape[1]).T).T, _real(d.ravel()))
            rest = (r - np.einsum("fjw,j->fw", f, a)) / 2
            mean = rest.mean(axis=0)
            scatter = np.sqrt(np.mean(np.abs(rest - mean) ** 2, axis=0) / len(rest))
            free = np.abs(mean) > np.maximum(10 * scatter, 0.01 * np.abs(mean).max())
        self.assign(a)
        places, size = np.flatnonzero(low), np.where(self.weight[low] == 0, 1.0, self.weight[low])
        for i in np.argsort(-np.abs(mean) * free)[:MOST_FORCED]:
            if free[i]:
                place = divmod(int(places[i]), self.grid.m0)
                self.model.forcing[place] = complex(mean[i] / size[i])
        self.model.__dict__.pop("parts", None)

    def assign(self, a: np.ndarray) -> None:
        self.model.c, self.model.theta = a[:LINEAR].copy(), a[LINEAR:].copy()
        self.model.__dict__.pop("parts", None)

    @property
    def coefficients(self) -> np.ndarray:
        return np.concatenate([self.model.c, self.model.theta])

    def residual(self, select: np.ndarray, every: int = 1) -> np.ndarray:
        """w_(t+1) - Phi(w_t), weighted, complex (frames, waves)."""
        r = []
        for w, mean in zip(self.w[::every], self.mean[::every], strict=True):
            difference = w[1] - self.model.flow(w[0], mean)
            r.append((difference[0] + 1j * difference[1])[select] * self.weight[select])
        return np.array(r)

    def refine(self, select: np.ndarray) -> bool:
        """Gauss-Newton over the waves ``select``; False if it ran away."""
        every = max(1, len(self.w) // FITTED)
        a = self.coefficients
        r = self.residual(select, every)
        error = _norm(r)
        if not np.isfinite(error):
            return False
        for _ in range(ROUNDS):
            columns = []
            for j in range(len(a)):
                step = max(abs(a[j]), 1e-3) * 1e-5
                shifted = a.copy()
                shifted[j] += step
                self.assign(shifted)
                columns.append((r - self.residual(select, every)).ravel() / step)
            if not np.isfinite(columns).all():
                break
            change = _solve(_real(np.array(columns)).T, _real(r.ravel()))
            before = error
            for shrink in (1.0, 0.3, 0.1):
                self.assign(a + shrink * change)
                trial = self.residual(select, every)
                if _norm(trial) < error:
                    a, r, error = a + shrink * change, trial, _norm(trial)
                    break
            self.assign(a)
            if not error < 0.9 * before:
                break
        return bool(np.isfinite(error))

    def force(self, select: np.ndarray) -> None:
        """Steady forcing from the mean residual, then all coefficients once more."""
        g, places = self.grid, np.flatnonzero(select)
        for _ in range(2):
            r = self.residual(select)
            size = self.weight[select]
            mean = r.mean(axis=0) / np.where(size == 0, 1.0, size)
            scatter = np.sqrt(np.mean(np.abs(r - r.mean(axis=0)) ** 2, axis=0) / len(r))
            strong = np.abs(r.mean(axis=0)) > 4 * scatter + 1e-12
            strong &= np.abs(r.mean(axis=0)) > 1e-3 * self.eps
            order = np.argsort(-np.abs(r.mean(axis=0)) * strong)[:MOST_FORCED]
            waves = [i for i in order if strong[i]]
            if not waves:
                return
            for i in waves:
                place = divmod(int(places[i]), g.m0)
                known = self.model.forcing.get(place, 0j)
                self.model.forcing[place] = known + complex(mean[i])
            self.model.__dict__.pop("parts", None)
            if not self.refine(select):
                return

    def error(self) -> float:
        """rms of the residual in the fields."""
        square, count = 0.0, 0
        for (frames, half), mean in zip(self.pairs[::3], self.mean[::3], strict=True):
            p = self.grid.fields(self.model.flow(half[0][0], mean), mean, self.model.kind)
            square += float(np.sum((frames[1].reshape(p.shape) - p) ** 2))
            count += p.size
        return float(np.sqrt(square / count))

    def choose(self) -> Equation | None:
        best = self.error()
        frames = [f for f, _ in self.pairs[::3]]
        rivals = (
            np.mean([np.mean((f[2] - 2 * f[1] + f[0]) ** 2) for f in frames]),  # straight line
            np.mean([np.mean((f[1] - f[0]) ** 2) for f in frames]),  # no change
            np.mean([np.var(f) for f in frames]),  # the mean
        )
        if not best * GAIN < np.sqrt(min(rivals)):
            return None
        for substeps in SUBSTEPS:
            self.model.substeps = substeps
            self.model.__dict__.pop("parts", None)
            if self.error() < max(1.1 * best, 0.1 * self.eps):
                break
        self.model.draft = False
        self.model.__dict__.pop("parts", None)
        return self.model


def _real(z: np.ndarray) -> np.ndarray:
    return np.concatenate([z.real, z.imag], axis=-1)


def _norm(r: np.ndarray) -> float:
    norm = float(np.linalg.norm(r))
    return norm if np.isfinite(norm) else np.inf


def _solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Least squares with columns of unit length; those that vanish get zero."""
    size = np.linalg.norm(matrix, axis=0)
    size[size == 0] = 1.0
    answer, *_ = np.linalg.lstsq(matrix / size, right, rcond=1e-10)
    return np.asarray(answer / size)
