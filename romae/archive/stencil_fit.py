"""Learning :class:`romae.archive.stencil.Stencil`: regularised least squares on scattered points.

    min_W  sum_i rho_i |dz_i - W f(z_i + noise)|^2 + lambda |W|^2

over points drawn from consecutive frames spread over all runs. The loop sees decoded values, so
noise of the size of their errors is added to its inputs; it also keeps W from amplifying them. The
ridge lambda is relative to the largest feature and keeps weights small enough to be rounded.

What a residual r costs is about log(1 + (r / eps)^2) / 2 bits, not its square: a few steep fronts
must not decide what all other points pay. Its least squares are reweighted ones,

    rho = 1 / (1 + |r / eps|^2)        of the residuals of the fit before (mean over fields).

Weights are rounded to one step per field, which all together put at most :data:`ROUNDING` eps of
error into a prediction. The polynomial of the second frame stays if it saves more than it weighs.

Source of the reweighting: Holland & Welsch 1977, "Robust regression using iteratively reweighted
least-squares" (their Cauchy weight).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from romae.archive.compiled import compiled
from romae.archive.stencil import LAGS, Polynomial, Stencil
from romae.archive.stencil_loop import Sizes, Terms, fill_planes, first_sizes, make_terms

POINTS = 40_000  # rows of the regression
FRAMES = 160  # that they are drawn from
NOISE = 0.5  # half width of the uniform noise on inputs, in eps
RIDGE = 1e-10
ROUNDING = 0.003
SEED = 0
Frames = list[tuple[np.ndarray, int]]  # run, time


def fit_stencil(
    runs: Sequence[np.ndarray], eps: np.ndarray, periodic: Sequence[bool], share: float = 1.0
) -> Stencil | None:
    """Weights from ``runs`` (n, C, *space) of consecutive frames, or None where none apply.

    ``eps``: (C,) bounds; ``periodic``: per axis of space; ``share``: chunks in all per run here.
    """
    fields, *space = runs[0].shape[1:]
    axes, eps = len(space), np.asarray(eps, np.float64)
    if axes not in (1, 2) or fields > 8 or max(map(len, runs)) <= LAGS:
        return None
    sizes = main_sizes(fields, axes)
    first = start_sizes(sizes, axes)
    if min(space) <= 2 * make_terms(fields, axes, sizes).halo:
        return None
    over = (0, *range(2, 2 + axes))
    frames = np.concatenate([r[t : t + 1] for r, t in spread(runs, LAGS)])
    mean, scale = frames.mean(axis=over), np.maximum(frames.std(axis=over), eps)
    step = np.array([float(f"{s:.3g}") for s in ROUNDING * eps / scale])
    fit = Fit(tuple(space), tuple(periodic), _short(mean), _short(scale), eps, step)
    try:
        main = fit.polynomial(sizes, spread(runs, LAGS), POINTS)
        start = fit.polynomial(first, spread(runs, 1)[::4], POINTS // 4)
    except np.linalg.LinAlgError:
        return None
    given = (fit.space, fit.periodic, fit.mean, fit.scale, main)
    plain, quick = Stencil(*given, step=step), Stencil(*given, start, step)

    def cost(method: Stencil) -> float:
        return share * sum(len(method.encode(r[:LAGS], eps)[0]) for r in runs)

    gain = cost(plain) - cost(quick)
    return quick if gain > len(quick.to_bytes()) - len(plain.to_bytes()) else plain


def main_sizes(fields: int, axes: int) -> Sizes:
    """Of the polynomial from the third frame on; more than that slows decoding down."""
    if axes == 2 and 1 < fields <= 3:
        return Sizes(4, 4, 2, 2, 1)
    return first_sizes(fields, axes)


def start_sizes(sizes: Sizes, axes: int) -> Sizes:
    """Of the polynomial of the second frame, which knows one frame only."""
    if axes == 1:
        return sizes._replace(before=-1)
    now, _, gated, squares, _ = sizes
    return Sizes(min(now, 2), -1, min(gated, 1), min(squares, 1), -1)


def spread(runs: Sequence[np.ndarray], lags: int) -> Frames:
    """Frames that have ``lags`` before them, at even distances over all ``runs``."""
    found = [(r, t) for r in runs for t in range(lags, len(r))]
    step = max(1, len(found) // FRAMES)
    return found[step // 2 :: step][:FRAMES]


@dataclass(frozen=True)
class Fit:
    """What all polynomials of a stencil share, (C,) each; ``step``: of the rounded weights."""

    space: tuple[int, ...]
    periodic: tuple[bool, ...]
    mean: np.ndarray
    scale: np.ndarray
    eps: np.ndarray
    step: np.ndarray

    def polynomial(self, sizes: Sizes, frames: Frames, points: int) -> Polynomial:
        """Fitted to ``frames``. Raises :class:`numpy.linalg.LinAlgError` where none can be."""
        fields, axes = len(self.mean), len(self.space)
        terms = make_terms(fields, axes, sizes)
        size = 1 + len(terms.plane)
        unit = (self.scale / self.eps)[:, None]
        weights = gram = np.zeros((fields, 0))
        for part in (frames[::4], frames):  # residuals need no accurate fit
            gram, right = np.zeros((size, size)), np.zeros((size, fields))
            for f, change in self.points(terms, part, points // len(frames)):
                if weights.size:
                    residual = (change - weights @ f) * unit
                    root = 1.0 / np.sqrt(1.0 + np.mean(residual**2, axis=0))
                    f, change = f * root, change * root
                gram += f @ f.T
                right += f @ change.T
            weights = _solved(gram, right).T
        if not np.isfinite(weights).all():
            raise np.linalg.LinAlgError
        return Polynomial(fields, axes, sizes, rounded(weights, gram, self.step))

    def points(
        self, terms: Terms, frames: Frames, each: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Features (1 + features, each) and scaled changes (C, each) of every frame."""
        rng = np.random.default_rng(SEED)
        fields, halo = len(self.mean), terms.halo
        rows, columns = (1, *self.space)[-2:]
        tall = halo if len(self.space) == 2 else 0
        wrap = (False, *self.periodic)[-2:]
        shape = (fields, rows, columns)
        width = NOISE * self.eps.reshape(-1, 1, 1)
        planes = np.zeros((len(terms.products), rows + 2 * tall, columns + 2 * halo))
        for run, t in frames:
            now, before = (
                run[max(t - lag, 0)].reshape(shape) + width * rng.uniform(-1, 1, shape)
                for lag in (1, 2)
            )
            scales = (self.mean, self.scale)
            fill_planes(now, before, *scales, terms.products, planes, tall, halo, wrap)
            where = np.divmod(rng.permutation(rows * columns)[: each + 1], columns)
            f = np.ones((1 + len(terms.plane), len(where[0])))
            gather(planes, *where, tall, halo, *terms[1:5], f)
            change = (run[t].reshape(shape) - now) / self.scale.reshape(-1, 1, 1)
            yield f, change[:, where[0], where[1]]


@compiled
def gather(planes, rows, columns, tall, halo, plane, dy, dx, gate, f):
    """Features of the points (rows, columns) in f[1:]."""
    for k in range(len(plane)):
        for n in range(len(rows)):
            i = rows[n] + tall
            j = columns[n] + halo
            f[k + 1, n] = planes[plane[k], i + dy[k], j + dx[k]]
            if gate[k] >= 0:
                f[k + 1, n] *= planes[gate[k], i, j]


def rounded(weights: np.ndarray, gram: np.ndarray, step: np.ndarray) -> np.ndarray:
    """``weights`` (C, size) in multiples of ``step`` (C,): each rounded, the later ones refitted.

    With (gram)^-1 = U^T U, an error e of weight k is best made up for by the weights after it when
    they change by - e U_kl / U_kk.
    """
    gram, unit = _regular(gram)
    # In units of the features' rms; gram = R R^T, R upper triangular: Cholesky's from below.
    upper = np.linalg.inv(np.linalg.cholesky(gram[::-1, ::-1])[::-1, ::-1])
    left, result = weights / unit, np.empty_like(weights)
    for k in range(len(unit)):
        result[:, k] = np.rint(left[:, k] * unit[k] / step) * step
        error = (left[:, k] - result[:, k] / unit[k]) / upper[k, k]
        left[:, k + 1 :] -= error[:, None] * upper[k, k + 1 :]
    return result


def _regular(gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of features in units of their rms, with the ridge; 1 / rms."""
    unit = 1.0 / np.sqrt(np.maximum(np.diag(gram), 1e-300))
    scaled = gram * unit * unit[:, None]
    scaled[np.diag_indices(len(gram))] += RIDGE
    return scaled, unit


def _solved(gram: np.ndarray, right: np.ndarray) -> np.ndarray:
    scaled, unit = _regular(gram)
    solved: np.ndarray = np.linalg.solve(scaled, right * unit[:, None]) * unit[:, None]
    return solved


def _short(values: np.ndarray) -> np.ndarray:
    """Six digits, which JSON writes in as many bytes."""
    return np.array([float(f"{v:.6g}") for v in values])
