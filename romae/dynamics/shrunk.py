"""One linear regression per case, each shrunk towards the law that all cases share.

    C_0 = (mean_i G_i + lambda_0 I)^-1 mean_i b_i          G_i = theta_i' theta_i / T_i
    C_i = C_0 + (G_i + lambda I)^-1 (b_i - G_i C_0)        b_i = theta_i' (dz_i/dt) / T_i

Every G is decomposed once, whatever the number of ridges that are tried. Which of them is good is
seen from each case under the law that the others give it (:func:`leave_one_out`).
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

Array = np.ndarray

FIXED = 1e-3  # n^2 while (lambda_0, lambda) is chosen; l is 1 there


@dataclass(frozen=True)
class Spectra:
    """Normal equations of all cases, each decomposed once for every ridge.

    ``G`` (cases, d, d) and ``b`` (cases, d, k); ``values`` (1 + cases, d) and ``vectors``
    (1 + cases, d, d) of the mean of G, then of each.
    """

    G: Array
    b: Array
    values: Array
    vectors: Array

    @classmethod
    def of(cls, systems: list[tuple[Array, Array]]) -> Self:
        G = np.stack([D.T @ D / len(D) for D, _ in systems])
        b = np.stack([D.T @ R / len(D) for D, R in systems])
        values, vectors = np.linalg.eigh(np.concatenate([G.mean(axis=0)[None], G]))
        return cls(G, b, np.maximum(values, 0.0), vectors)

    def laws(self, common: float, ridge: float) -> Array:
        """C_i (cases, d, k): each shrunk towards the law of all cases."""
        C = self._solve(0, common, self.b.mean(axis=0))
        if np.isinf(ridge):
            return np.stack([C] * len(self.G))
        off = self.b - self.G @ C
        return np.stack([C + self._solve(i + 1, ridge, r) for i, r in enumerate(off)])

    def _solve(self, i: int, ridge: float, right: Array) -> Array:
        """(G + ridge I)^-1 right; directions that the data do not excite above rounding keep 0."""
        level, Q = self.values[i] + ridge, self.vectors[i]
        inverse = np.where(level > 1e-14 * level[-1], 1 / np.maximum(level, 1e-300), 0.0)
        return np.asarray(Q @ (inverse[:, None] * (Q.T @ right)))


def leave_one_out(params: Array) -> Array:
    """Weights (cases, cases): what a process of length 1 takes of the others for each case."""
    apart = params[:, None] - params
    K = np.exp(-0.5 * np.sum(apart**2, axis=-1)) + FIXED * np.eye(len(params))
    # about the mean of the others: a constant is reproduced
    inverse = np.linalg.inv(K + 1e3)
    weights = -inverse / np.diag(inverse)[:, None]
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights)
