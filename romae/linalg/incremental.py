"""Singular vectors brought up to date with new rows, without the old ones.

Known of the N rows so far: mean m (n,), s and U (k, n) of Y = (X - m) f, and |Y|_F^2. With b new
rows X_b, of mean m_b, the rows about the common mean have the same products as

    A = [diag(s) U;  B],     B = [(X_b - m_b) f;  sqrt(N b / (N + b)) (m_b - m) f]

so that with C = B U^T and B - C U = L Q, the small matrix K = [diag(s), 0; C, L] = W S Z^T gives
s' = S and U' = Z^T [U; Q]. What is cut off is known: |Y|_F^2 grows by |B|_F^2.

Sources: Brand 2002, "Incremental singular value decomposition of uncertain data with missing
values"; Ross, Lim, Lin & Yang 2008, "Incremental learning for robust visual tracking" (the mean).
Here some more directions than asked for are carried along until the last row.

Memory: U and Q in float64, (k + 16 + ``ROWS``) n numbers, and a block of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from romae.linalg.rows import Checkpoint

ROWS = 64  # new rows taken at a time
SPARE = 16  # directions carried beyond those asked for
RESOLVED = 1e-7  # of s_1: less is rounding of stored modes


@dataclass(frozen=True)
class Known:
    """Mean (n,), orthonormal modes (k, n) and s (k,) of ``count`` rows; ``total`` is |Y|_F^2."""

    mean: np.ndarray
    modes: np.ndarray
    s: np.ndarray
    count: int
    total: float


def take_in(known: Known, X: np.ndarray, factor: np.ndarray, rank: int | float) -> Known:
    """``known`` and the rows ``X`` (b, n); keeps ``SPARE`` directions more than ``rank`` asks."""
    N, b = known.count, len(X)
    mean = X.mean(0, dtype=np.float64)
    B = np.empty((b + 1, X.shape[1]))
    B[:b] = (X - mean) * factor
    B[b] = (N * b / (N + b)) ** 0.5 * (mean - known.mean) * factor
    total = known.total + float(np.vdot(B, B))
    U = known.modes
    C = B @ U.T
    B -= C @ U
    again = B @ U.T  # twice is enough: rows nearly in the span leave mostly rounding
    B -= again @ U
    Q, L = np.linalg.qr(B.T)
    k = len(U)
    K = np.zeros((k + len(C), k + Q.shape[1]))
    K[:k, :k] = np.diag(known.s)
    K[k:, :k], K[k:, k:] = C + again, L.T
    _, s, Z = np.linalg.svd(K, full_matrices=False)
    kept = min(wanted(s, rank, total) + SPARE, int((s > RESOLVED * s[0]).sum()) or 1)
    modes = Z[:kept, :k] @ U + Z[:kept, k:] @ Q.T
    new_mean = known.mean + (mean - known.mean) * (b / (N + b))
    return Known(new_mean, modes, s[:kept], N + b, total)


def wanted(s: np.ndarray, rank: int | float, total: float) -> int:
    """Number of modes that ``rank`` asks for, of those there are."""
    k = rank if isinstance(rank, int) else int((np.cumsum(s**2) < rank * total).sum()) + 1
    return min(k, len(s))


def update(
    known: Known,
    blocks: Iterator[tuple[int, np.ndarray]],
    factor: np.ndarray,
    rank: int | float,
    *,
    checkpoint: Checkpoint,
) -> Known:
    """``known`` and all rows of ``blocks``, cut to ``rank``."""
    for start, X in blocks:
        for a in range(0, len(X), ROWS):
            known = take_in(known, X[a : a + ROWS], factor, rank)
        if checkpoint.due:
            arrays = {"mean": known.mean, "modes": known.modes, "s": known.s}
            state = {"done": start + len(X), "count": known.count, "total": known.total}
            checkpoint.write(state, arrays)
    k = wanted(known.s, rank, known.total)
    return replace(known, modes=known.modes[:k], s=known.s[:k])


def resume(known: Known, checkpoint: Checkpoint) -> tuple[Known, int]:
    """Where an interrupted :func:`update` was, or ``known`` and 0."""
    found = checkpoint.read()
    if found is None:
        return known, 0
    state, arrays = found
    return Known(**arrays, count=state["count"], total=state["total"]), state["done"]
