"""Ridge least squares on quadratic products of coordinates, and a greedy choice of coordinates.

A (T, m) holds POD coordinates, a row per snapshot, its columns uncorrelated; I are k of its
columns and sigma_i their standard deviations. With the p = k (k + 3) / 2 functions

    h(z) = (z_i), (z_i z_j)_{i <= j},        F = h(A_I / sigma_I) - mean over the rows  (T, p),

the columns of A outside I are fitted by

    min_V |A - F V|_F^2 + T ridge |V|_F^2,       (F^T F + T ridge) V = F^T A,

V (p, m), zero in the columns I, which are there already. Coordinates of unit variance make
``ridge`` a number without units.

Greedily, I grows by the column i whose functions N_i = (A_i), (A_l A_i)_{l in I + i} lower that
minimum most. With F^T F + T ridge = L L^T and Y_i = L^{-1} F^T N_i, they gain, beyond those of I,

    sum over columns of |S_i^{-1/2} R_i|^2,    S_i = N_i^T N_i + T ridge - Y_i^T Y_i,
                                               R_i = N_i^T A - Y_i^T L^{-1} F^T A,

so that a candidate costs a system of the size of I and not of p.

Sources: Geelen, Wright & Willcox 2023, "Operator inference for non-intrusive model reduction with
quadratic manifolds"; Schwerdtner & Peherstorfer 2024, "Greedy construction of quadratic manifolds
for nonlinear dimensionality reduction and nonlinear model reduction". Here h is centred, so that
the mean of the data stays the mean, and has the linear terms besides, so that the fit does not
depend on the origin: the mean over parts of a period is off the centre of a limit cycle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

GREEDY_ROWS = 2048  # snapshots, evenly spaced, that the greedy choice looks at
CHUNK = 1 << 22  # numbers held at once


@dataclass(frozen=True)
class QuadraticFit:
    """V and the mean of h for the columns I of A in its own units.

    ``columns`` (k,), ``coefficients`` (p, m), ``mean`` (p,).
    """

    columns: tuple[int, ...]
    coefficients: np.ndarray
    mean: np.ndarray

    def restore(self, A: np.ndarray) -> np.ndarray:
        """The rows of ``A`` (b, m) from their columns I, in the type of ``A``."""
        z = A[:, list(self.columns)]
        V, mean = self.coefficients.astype(A.dtype), self.mean.astype(A.dtype)
        out = (quadratics(z) - mean) @ V
        out[:, list(self.columns)] = z
        return out

    def lost(self, A: np.ndarray) -> float:
        """Squared error over the rows of ``A``, as float32 arithmetic gives it."""
        rows = np.array_split(A.astype(np.float32), max(1, len(A) * len(self.mean) // CHUNK))
        return sum(float(np.square((a - self.restore(a)).astype(np.float64)).sum()) for a in rows)


def quadratics(z: np.ndarray) -> np.ndarray:
    """h(z): (b, k) -> (b, k (k + 3) / 2), z itself, then products (0, 0), (0, 1), ..., (1, 1), ...

    >>> quadratics(np.array([[2.0, 3.0]]))
    array([[2., 3., 4., 6., 9.]])
    """
    i, j = np.triu_indices(z.shape[1])
    return np.concatenate([z, z[:, i] * z[:, j]], axis=1)


def fit_quadratics(
    A: np.ndarray, columns: Sequence[int], ridges: Sequence[float]
) -> list[QuadraticFit]:
    """The fit of the module docstring by every one of ``ridges``; infinity gives V = 0."""
    chosen = list(columns)
    unit = _deviation(A[:, chosen])
    p = len(chosen) * (len(chosen) + 3) // 2
    parts = np.array_split(A, max(1, len(A) * p // CHUNK))
    mean = sum(quadratics(a[:, chosen] / unit).sum(0) for a in parts) / len(A)
    targets = A.copy()
    targets[:, chosen] = 0
    R: np.ndarray = np.zeros(
        (0, p + A.shape[1])
    )  # of [F A], by blocks of rows: small ridges need all digits
    for a, target in zip(parts, np.array_split(targets, len(parts)), strict=True):
        F = quadratics(a[:, chosen] / unit) - mean
        rows = np.concatenate([R, np.concatenate([F, target], axis=1)])
        R = np.asarray(np.linalg.qr(rows, mode="r"))
    U, w, Q = np.linalg.svd(R[:p, :p], full_matrices=False)
    known = U.T @ R[:p, p:]
    back = quadratics(unit[None])[0]
    fits = []
    for ridge in ridges:
        share = np.divide(w, w**2 + ridge * len(A), out=np.zeros_like(w), where=w > 0)
        V = Q.T @ (share[:, None] * known)
        fits.append(QuadraticFit(tuple(chosen), V / back[:, None], mean * back))
    return fits


def greedy_columns(A: np.ndarray, k: int, ridge: float, candidates: int) -> tuple[int, ...]:
    """k of the first ``candidates`` columns of ``A``, chosen as the module docstring says."""
    A = A[:: -(-len(A) // GREEDY_ROWS)]
    A = A - A.mean(0)
    Z = A / _deviation(A)
    whole = np.sum(A**2, 0)
    chosen: list[int] = []
    for _ in range(k):
        rest = [i for i in range(candidates) if i not in chosen]
        left = whole - _explained(A, Z, chosen, rest, ridge * len(A))
        left[:, chosen] = 0
        left[np.arange(len(rest)), rest] = 0
        chosen.append(rest[int(np.argmin(left.sum(1)))])
    return tuple(chosen)


def _explained(
    A: np.ndarray, Z: np.ndarray, chosen: list[int], rest: list[int], ridge: float
) -> np.ndarray:
    """Part of the energy of each column of A that products explain, a row per candidate."""
    F = quadratics(Z[:, chosen])
    F -= F.mean(0)
    L = np.linalg.cholesky(F.T @ F + ridge * np.eye(F.shape[1]))
    LF = np.linalg.solve(L, F.T)
    LFA = LF @ A
    q = len(chosen) + 2
    gains = []
    for some in np.array_split(rest, max(1, len(A) * len(rest) * q // CHUNK)):
        own = Z[:, some].T[:, None]
        others = np.broadcast_to(Z[:, chosen].T, (len(some), len(chosen), len(A)))
        factors = np.concatenate([np.ones_like(own), others, own], axis=1)
        N = factors * own  # (candidate, function, row)
        N -= N.mean(-1, keepdims=True)
        Y = N @ LF.T
        S = N @ N.transpose(0, 2, 1) + ridge * np.eye(q) - Y @ Y.transpose(0, 2, 1)
        R = N @ A - Y @ LFA
        gains.append(np.square(np.linalg.solve(np.linalg.cholesky(S), R)).sum(1))
    return np.square(LFA).sum(0) + np.concatenate(gains)


def _deviation(A: np.ndarray) -> np.ndarray:
    """Standard deviation of each column, 1 where it is zero."""
    std = A.std(0)
    return np.where(std > 0, std, 1.0)
