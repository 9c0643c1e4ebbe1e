"""Learning :class:`romae.archive.stencil.Stencil`: regularised least squares on scattered points.

    min_W  sum |dz - W f(z + noise)|^2 + lambda |W|^2

over points drawn from all triples of consecutive frames. The loop sees decoded values, so noise of
the size of their errors is added to its inputs; it also keeps W from amplifying them. The ridge
lambda is relative to the largest feature and keeps float32 weights accurate.
"""

from collections.abc import Sequence

import numpy as np

from romae.archive.stencil import LAGS, Stencil, fill_planes, make_terms

POINTS = 40_000  # rows of the regression
TRIPLES = 48
NOISE = 0.7  # half width of the uniform noise on inputs, in eps
RIDGE = 1e-10
SEED = 0


def fit_stencil(
    runs: Sequence[np.ndarray], eps: np.ndarray, periodic: Sequence[bool]
) -> Stencil | None:
    """Weights from ``runs`` (n, C, *space) of consecutive frames, or None where none apply.

    ``eps``: (C,) bounds; ``periodic``: per axis of space.
    """
    fields, *space = runs[0].shape[1:]
    triples = [(r, t) for r in runs for t in range(LAGS, len(r))]
    if len(space) not in (1, 2) or not triples or fields > 8:
        return None
    terms = make_terms(fields, len(space))
    if min(space) <= 2 * terms.halo:
        return None
    step = max(1, len(triples) // TRIPLES)
    triples = triples[step // 2 :: step][:TRIPLES]
    axes = (0, *range(2, 2 + len(space)))
    frames = np.concatenate([r[t : t + 1] for r, t in triples])
    mean, scale = frames.mean(axis=axes), np.maximum(frames.std(axis=axes), eps)
    method = Stencil(tuple(space), tuple(periodic), mean, scale, np.zeros((fields, 1)))
    try:
        method.weights = _regress(method, triples, np.asarray(eps))
    except np.linalg.LinAlgError:
        return None
    return method if np.isfinite(method.weights).all() else None


def _regress(method: Stencil, triples: list[tuple[np.ndarray, int]], eps: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(SEED)
    terms, fields = method.terms, len(method.mean)
    rows, columns = (1, *method.space)[-2:]
    halo = terms.halo
    tall = halo if len(method.space) == 2 else 0
    wrap = (False, *method.periodic)[-2:]
    each = min(rows * columns, -(-POINTS // len(triples)))
    size = len(terms.plane) + 1
    gram, right = np.zeros((size, size)), np.zeros((size, fields))
    for run, t in triples:
        shape = (fields, rows, columns)
        width = NOISE * np.asarray(eps).reshape(-1, 1, 1)
        now, before = (
            run[t - lag].reshape(shape) + width * rng.uniform(-1, 1, shape) for lag in (1, 2)
        )
        planes = np.zeros((len(terms.products), rows + 2 * tall, columns + 2 * halo))
        fill_planes(
            now, before, method.mean, method.scale, terms.products, planes, tall, halo, wrap
        )
        i, j = np.divmod(rng.permutation(rows * columns)[:each], columns)
        f = np.empty((size, each))
        f[0] = 1.0
        for k in range(size - 1):
            f[k + 1] = planes[terms.plane[k], i + tall + terms.dy[k], j + halo + terms.dx[k]]
            if terms.gate[k] >= 0:
                f[k + 1] *= planes[terms.gate[k], i + tall, j + halo]
        change = (run[t].reshape(shape) - now) / method.scale.reshape(-1, 1, 1)
        gram += f @ f.T
        right += f @ change[:, i, j].T
    unit = 1.0 / np.sqrt(np.maximum(np.diag(gram), 1e-300))
    scaled = gram * unit * unit[:, None]
    scaled[np.diag_indices(size)] += RIDGE
    weights = np.linalg.solve(scaled, right * unit[:, None]) * unit[:, None]
    return weights.T.astype(np.float32).astype(np.float64)
