"""Sequentially thresholded least squares, for many thresholds and ridges of one regression.

    X_S = (D_S' D_S + alpha I)^-1 D_S' R          S: the terms that are left, all at first
    S  <- { i in S : |X_i| >= threshold }         until nothing changes
    X_S = D_S^+ R                                 at last, for the smallest ridge: no bias

The algorithm is that of pysindy's STLSQ, which makes the law that is kept. To search through
some dozen pairs it is repeated here on normal equations that are formed once, a Cholesky factor for
each step: the same laws to rounding, in a fraction of the time.

Source: S. Brunton, J. Proctor, J. N. Kutz, Discovering governing equations from data by sparse
identification of nonlinear dynamical systems, 2016.
"""

import warnings
from typing import Any

import numpy as np

from romae.errors import MissingDependencyError

Array = np.ndarray

# Of the mean squared feature. The first is only against exactly dependent features and is undone by
# a last fit without it; the others hold what the data hardly tell, as off a limit cycle.
RIDGES = (1e-10, 1e-6, 1e-4, 1e-2)
ROUNDS = 20  # as pysindy


def folded(D: Array, R: Array) -> tuple[Array, Array]:
    """Features (T, d) and rates (T, k) in as few rows as there are columns, means over rows kept.

    The triangular factor of [D R] has the same normal equations.
    """
    if len(D) <= D.shape[1] + R.shape[1]:
        return D, R
    both = np.linalg.qr(np.concatenate([D, R], axis=1), mode="r")
    both *= np.sqrt(len(both) / len(D))
    return both[:, : D.shape[1]], both[:, D.shape[1] :]


def search(
    D: Array, R: Array, tried: list[tuple[float, float]]
) -> list[tuple[float, float, Array]]:
    """(threshold, ridge, X) of every pair that leaves a law; thresholds rise for each ridge.

    Where a latent kept no term, larger thresholds with the same ridge are not tried.
    """
    size, moving = _sizes(R)
    G, b = D.T @ D, D.T @ (R / size)
    values, Q = np.linalg.eigh(G)
    found, ended = [], set()
    for threshold, ridge in tried:
        if ridge in ended:
            continue
        alpha = ridge * float(np.trace(G)) / len(G)
        # all terms, without a factor of its own for every ridge
        whole = Q @ (Q.T @ b / (np.maximum(values, 0.0) + alpha)[:, None])
        X = np.zeros_like(b)
        for j in range(b.shape[1]):
            kept = _kept(G, b[:, j], whole[:, j], threshold, alpha)
            terms = np.flatnonzero(kept)
            if ridge == RIDGES[0] and len(terms):
                kept[terms] = _least_squares(D[:, terms], R[:, j] / size[j])
            X[:, j] = kept
        X *= size
        alive = (X != 0).any(axis=0) | ~moving
        if alive.all() and np.isfinite(X).all():
            found.append((threshold, ridge, X))
        else:
            ended.add(ridge)
    return found


def _kept(G: Array, b: Array, x: Array, threshold: float, alpha: float) -> Array:
    """Coefficients (d,) of one latent after thresholding; ``x``: those of all terms."""
    for _ in range(ROUNDS):
        terms = np.flatnonzero(np.abs(x) >= threshold)
        if len(terms) in (0, np.count_nonzero(x)):
            return np.where(np.abs(x) >= threshold, x, 0.0)
        x = np.zeros_like(x)
        x[terms] = _ridge(G[np.ix_(terms, terms)], b[terms], alpha)
    return np.where(np.abs(x) >= threshold, x, 0.0)


def _ridge(G: Array, b: Array, alpha: float) -> Array:
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    G.flat[:: len(G) + 1] += alpha
    try:
        return np.asarray(cho_solve(cho_factor(G, check_finite=False), b, check_finite=False))
    except LinAlgError:  # singular to rounding
        return np.asarray(np.linalg.lstsq(G, b, rcond=None)[0])


def _least_squares(D: Array, r: Array) -> Array:
    from scipy.linalg import lstsq

    return np.asarray(lstsq(D, r, lapack_driver="gelsy", check_finite=False)[0])


def stlsq(D: Array, R: Array, threshold: float, ridge: float) -> Array | None:
    """X (d, k) by pysindy; None when a latent keeps no term.

    Rates are scaled to variance one, so that a threshold means the same in every latent.
    """
    size, moving = _sizes(R)
    level = ridge * float(np.sum(D**2)) / D.shape[1]
    optimiser = pysindy().STLSQ(threshold=threshold, alpha=level, unbias=ridge == RIDGES[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that all terms are gone is told by what comes back
        optimiser.fit(D, R / size)
    X = np.asarray(optimiser.coef_, dtype=np.float64).reshape(R.shape[1], -1).T * size
    alive = (X != 0).any(axis=0) | ~moving
    return X if alive.all() and np.isfinite(X).all() else None


def _sizes(R: Array) -> tuple[Array, Array]:
    """Root mean square of each rate, 1 for what does not move, and whether it moves: (k,)."""
    size = np.sqrt(np.mean(R**2, axis=0))
    moving = size > 1e-12
    return np.where(moving, size, 1.0), moving


def pysindy() -> Any:
    """The library. Raises :class:`MissingDependencyError`."""
    try:
        import pysindy
    except ImportError as error:
        raise MissingDependencyError(
            "SINDy needs pysindy, which is not installed. Type: pip install 'romae[dynamics]'; or "
            "take romae.OperatorInference, which does without"
        ) from error
    return pysindy
