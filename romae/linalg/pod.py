"""Proper orthogonal decomposition of snapshots read in blocks.

Y (T, n) holds one snapshot a row: fluctuations, scaled, times the square root of the
quadrature weights, so that Euclidean products of rows are the weighted products of fields.

    Y = V S U^T,    V (T, T) orthonormal,  U (n, T) orthonormal,  s_1 >= s_2 >= ...

The first k columns of U minimise |Y - Y U_k U_k^T|_F over all k-dimensional subspaces,
and the square of that error is s_{k+1}^2 + ... (Eckart & Young 1936). Three exact ways, and one
for matrices of which both sides are large:

* ``svd``        of Y itself, in float64; small data, full relative accuracy of small s;
* ``snapshots``  Y Y^T = V S^2 V^T, then U = Y^T V / s (Sirovich 1987); few snapshots;
* ``covariance`` Y^T Y = U S^2 U^T; few points;
* ``randomized`` subspace iteration, error within 1 % of the optimum (:mod:`.randomized`).

The squared ways resolve s down to 4 sqrt(eps) s_1 = 6e-8 s_1 in float64; what lies below is
rounding of Y Y^T (up to 2 sqrt(eps) s_1 for matrices of low rank), and gives no modes.

``auto`` takes ``svd`` up to ``SVD_ENTRIES``, else the exact way of the shorter side, unless that
is both slow and dear beside ``randomized``: with the nominal rates below,

    exact:       T n min(T, n) / F64  + passes bytes / READ,    passes = ceil(bytes / panel_bytes)
    randomized:  3 · 4 T n l / F32    + 3 (or 1 where X fits) bytes / READ,    l = k + 16

``randomized`` must save half of the time, and exact take longer than ``PATIENCE`` seconds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from romae.linalg.rows import Blocks, Checkpoint, Rows

Method = Literal["auto", "svd", "snapshots", "covariance", "randomized"]

SVD_ENTRIES = 4_000_000  # Y of up to so many entries is decomposed directly, in about a second
PANEL_BYTES = 1 << 30  # rows held at once, in the type they are stored in
READ, F32, F64 = 1e9, 2e11, 1e11  # bytes and operations a second, for the choice of a method
PATIENCE = 30.0  # seconds an exact method may take before it has to be worth it
RESOLVED = 4 * float(np.finfo(np.float64).eps) ** 0.5  # of s_1, by the squared ways


@dataclass(frozen=True)
class Decomposition:
    """Modes, singular values and the energy |Y|_F^2.

    ``modes`` (k, n) rows, float64; ``s`` (min(T, n),). By ``randomized``, modes may be float32,
    ``s`` has k entries, and ``excess`` estimates the error relative to the best one, less 1.
    """

    modes: np.ndarray
    s: np.ndarray
    method: str
    total: float
    excess: float = 0.0


def decompose(
    blocks: Blocks,
    shape: tuple[int, int],
    rank: int | float | None,
    method: Method = "auto",
    *,
    shift: np.ndarray | None = None,
    factor: np.ndarray | None = None,
    dtype: np.dtype | type = np.float64,
    total: float | None = None,
    panel_bytes: int = PANEL_BYTES,
    device: Any = "cpu",
    checkpoint: Path | None = None,
    identity: str = "",
    sketched: Any = None,
) -> Decomposition:
    """Leading modes and singular values of Y = (X - shift) factor.

    ``blocks()`` yields the rows of X, finite, of type ``dtype``; each call is one pass over the
    data. ``shift`` and ``factor`` (n,) default to 0 and 1. ``shape`` is (T, n). ``rank`` is a
    number of modes, an energy fraction in (0, 1), or None for all; modes below rounding are never
    returned. ``total`` saves the randomized method one look at the data: |Y|_F^2.

    Up to ``panel_bytes`` of rows are held, besides the modes and one block (``svd``: Y in
    float64; ``snapshots`` and ``covariance``: two square matrices). Data that fit are read once.

    ``randomized`` computes on ``device`` and keeps its state in the folder ``checkpoint``, so
    that a killed run goes on after the last block saved, if ``identity`` and shape are the same;
    then ``blocks(first)`` must yield the blocks from row ``first`` on.
    """
    rows = Rows(blocks, shape, shift, factor, dtype, total)
    T, n = shape
    if method == "auto":
        method = choose(shape, dtype, rank, panel_bytes)
    if method == "svd":
        _, s, modes = _svd(_gather(rows))
        return _exact(_signed(modes[: _rank(s, rank, n, floor=1e-13)]), s, method)
    if method == "covariance":
        C = np.zeros((n, n))
        for _, X in blocks():
            Y = rows.scaled(X)
            C += Y.T @ Y
        energy, U = _eigh(C)
        s = np.sqrt(np.maximum(energy[::-1], 0))[: min(T, n)]
        modes = U[:, ::-1].T[: _rank(s, rank, n)]
        return _exact(_signed(np.ascontiguousarray(modes)), s, method)
    if method == "randomized":
        from romae.linalg.operands import operand
        from romae.linalg.randomized import randomized

        saved = Checkpoint(checkpoint, {"of": identity, "shape": list(shape), "rank": rank})
        size = min(shape) if rank is None else rank
        A = operand(rows, device, panel_bytes)
        found = randomized(A, size, total=total, sketched=sketched, checkpoint=saved)
        k = _rank(found.s, None, n)
        modes = _signed(found.modes[:k])
        return Decomposition(modes, found.s, method, found.total, found.excess)
    return _snapshots(rows, rank, panel_bytes)


def _exact(modes: np.ndarray, s: np.ndarray, method: str) -> Decomposition:
    return Decomposition(modes, s, method, float(np.sum(s**2)))


def choose(
    shape: tuple[int, int], dtype: np.dtype | type, rank: int | float | None, panel_bytes: int
) -> Method:
    """The cost model of the module docstring."""
    T, n = shape
    if T * n <= SVD_ENTRIES:
        return "svd"
    side: Method = "snapshots" if n >= T else "covariance"
    if rank is None:
        return side
    nbytes = T * n * np.dtype(dtype).itemsize
    reads = nbytes / READ
    passes = -(-nbytes // panel_bytes) if side == "snapshots" else 1
    exact = T * n * min(T, n) / F64 + passes * reads
    size = (rank if isinstance(rank, int) else 64) + 16
    fast = 3 * 4 * T * n * size / F32 + (1 if nbytes <= panel_bytes else 3) * reads
    return "randomized" if exact > max(PATIENCE, 2 * fast) else side


def _snapshots(rows: Rows, rank: int | float | None, panel_bytes: int) -> Decomposition:
    T, n = rows.shape
    held = rows.gather() if rows.nbytes <= panel_bytes else None
    G = _gram(rows, panel_bytes) if held is None else _gram_held(rows, held)
    energy, V = _eigh(G)
    s, V = np.sqrt(np.maximum(energy[::-1], 0))[: min(T, n)], V[:, ::-1]
    k = _rank(s, rank, n)
    size = np.where(s[:k] > 0, s[:k], 1.0)  # nothing but zeros has one mode, s_1 = 0
    W = V[:, :k] / size
    modes = np.zeros((k, n))
    for start, X in rows.blocks() if held is None else [(0, held)]:
        for part in rows.tiles(len(X)):
            modes[:, part] += W[start : start + len(X)].T @ rows.scaled(X, part)
    return _exact(_signed(_orthonormal(modes)), s, "snapshots")


def _gather(rows: Rows) -> np.ndarray:
    Y = np.empty(rows.shape)
    for start, X in rows.blocks():
        Y[start : start + len(X)] = rows.scaled(X)
    return Y


def _gram_held(rows: Rows, X: np.ndarray) -> np.ndarray:
    """Y Y^T in float64 of rows in memory, scaled one tile of columns at a time."""
    G = np.zeros((len(X), len(X)))
    for part in rows.tiles(len(X)):
        Y = rows.scaled(X, part)
        G += Y @ Y.T
    return G


def _gram(rows: Rows, panel_bytes: int) -> np.ndarray:
    """Y Y^T in float64, one panel of rows held at a time: one pass over the data a panel."""
    T, n = rows.shape
    G = np.zeros((T, T))
    count = max(1, int(panel_bytes // (np.dtype(rows.dtype).itemsize * n)))
    for first in range(0, T, count):
        last = min(first + count, T)
        panel = np.zeros((last - first, n), rows.dtype)
        for start, X in rows.blocks():
            stop = start + len(X)
            low, high, below = max(start, first), min(stop, last), max(start, last)
            if low < high:
                own = X[low - start : high - start]
                panel[low - first : high - first] = own
                G[low:high, first:high] = _products(rows, own, panel[: high - first])
            if below < stop:  # the panel is complete: rows come in order
                G[below:stop, first:last] = _products(rows, X[below - start :], panel)
    return np.tril(G) + np.tril(G, -1).T


def _products(rows: Rows, X: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """Products of the scaled rows ``X`` with those of ``panel``, in float64."""
    G = np.zeros((len(X), len(panel)))
    for part in rows.tiles(len(X) + len(panel)):
        G += rows.scaled(X, part) @ rows.scaled(panel, part).T
    return G


def _rank(s: np.ndarray, rank: int | float | None, n: int, floor: float = RESOLVED) -> int:
    """Number of modes asked for, at most as many as stand above rounding."""
    resolved = max(1, int(np.count_nonzero(s > floor * s[0])))
    if rank is None:
        return resolved
    if isinstance(rank, float):
        if s[0] == 0:
            return 1
        energy = np.cumsum(s**2) / np.sum(s**2)
        return min(int(np.searchsorted(energy, rank)) + 1, resolved)
    return min(rank, resolved)


def _orthonormal(modes: np.ndarray) -> np.ndarray:
    """Rows made orthonormal again: dividing by a small s amplifies rounding."""
    Q, R = np.linalg.qr(modes.T)
    return (Q * np.where(np.diag(R) < 0, -1.0, 1.0)).T


def _signed(modes: np.ndarray) -> np.ndarray:
    """Signs fixed so that the entry of largest magnitude of each mode is positive."""
    largest = np.take_along_axis(modes, np.abs(modes).argmax(1)[:, None], axis=1)
    return modes * np.where(largest < 0, -1.0, 1.0)


# LAPACK by scipy, which works in place; by numpy on machines that have only torch and numpy.


def _svd(Y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U, s, V^T of ``Y``, which is overwritten."""
    try:
        from scipy.linalg import svd
    except ImportError:
        return np.linalg.svd(Y, full_matrices=False)
    return svd(Y, full_matrices=False, overwrite_a=True)


def _eigh(C: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ascending eigenvalues and eigenvectors of the symmetric ``C``, which is overwritten."""
    try:
        from scipy.linalg import eigh
    except ImportError:
        return np.linalg.eigh(C)
    return eigh(C, overwrite_a=True)
