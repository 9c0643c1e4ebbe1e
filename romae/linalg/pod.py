"""Proper orthogonal decomposition of snapshots read in blocks.

Y (T, n) holds one snapshot a row: fluctuations, scaled, times the square root of the
quadrature weights, so that Euclidean products of rows are the weighted products of fields.

    Y = V S U^T,    V (T, T) orthonormal,  U (n, T) orthonormal,  s_1 >= s_2 >= ...

The first k columns of U minimise |Y - Y U_k U_k^T|_F over all k-dimensional subspaces,
and the square of that error is s_{k+1}^2 + ... (Eckart & Young 1936). Three exact ways:

* ``svd``        of Y itself, in float64; small data, full relative accuracy of small s;
* ``snapshots``  Y Y^T = V S^2 V^T, then U = Y^T V / s (Sirovich 1987); few snapshots;
* ``covariance`` Y^T Y = U S^2 U^T; few points.

The squared ways resolve s down to 4 sqrt(eps) s_1 = 6e-8 s_1 in float64; what lies below is
rounding of Y Y^T (up to 2 sqrt(eps) s_1 for matrices of low rank), and gives no modes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

Method = Literal["auto", "svd", "snapshots", "covariance"]
Blocks = Callable[[], Iterator[tuple[int, np.ndarray]]]  # (first row, rows (b, n))

SVD_ENTRIES = 4_000_000  # Y of up to so many entries is decomposed directly, in about a second
PANEL_BYTES = 1 << 30  # rows held at once while Y Y^T is formed
RESOLVED = 4 * float(np.finfo(np.float64).eps) ** 0.5  # of s_1, by the squared ways


@dataclass(frozen=True)
class Decomposition:
    """Modes and singular values; ``modes`` (k, n) float64 rows, ``s`` (min(T, n),)."""

    modes: np.ndarray
    s: np.ndarray
    method: str


def decompose(
    blocks: Blocks,
    shape: tuple[int, int],
    rank: int | float | None,
    method: Method = "auto",
    *,
    panel_bytes: int = PANEL_BYTES,
) -> Decomposition:
    """Leading modes and all singular values of the rows that ``blocks()`` yields.

    ``shape`` is (T, n). ``rank`` is a number of modes, an energy fraction in (0, 1), or None
    for all; modes below rounding are never returned. Each call of ``blocks`` is one pass
    over the data.
    """
    T, n = shape
    if method == "auto":
        method = "svd" if T * n <= SVD_ENTRIES else ("snapshots" if n >= T else "covariance")
    if method == "svd":
        Y = _gather(blocks, shape)
        _, s, modes = _svd(Y)
        return Decomposition(_signed(modes[: _rank(s, rank, n, floor=1e-13)]), s, method)
    if method == "covariance":
        C = np.zeros((n, n))
        for _, Y in blocks():
            Y = Y.astype(np.float64, copy=False)
            C += Y.T @ Y
        energy, U = _eigh(C)
        s = np.sqrt(np.maximum(energy[::-1], 0))[: min(T, n)]
        modes = U[:, ::-1].T[: _rank(s, rank, n)]
        return Decomposition(_signed(np.ascontiguousarray(modes)), s, method)
    energy, V = _eigh(_gram(blocks, shape, panel_bytes))
    s, V = np.sqrt(np.maximum(energy[::-1], 0))[: min(T, n)], V[:, ::-1]
    k = _rank(s, rank, n)
    size = np.where(s[:k] > 0, s[:k], 1.0)  # nothing but zeros has one mode, s_1 = 0
    modes = np.zeros((k, n))
    for start, Y in blocks():
        modes += (V[start : start + len(Y), :k] / size).T @ Y.astype(np.float64, copy=False)
    return Decomposition(_signed(_orthonormal(modes)), s, method)


def _gather(blocks: Blocks, shape: tuple[int, int]) -> np.ndarray:
    Y = np.empty(shape)
    for start, rows in blocks():
        Y[start : start + len(rows)] = rows
    return Y


def _gram(blocks: Blocks, shape: tuple[int, int], panel_bytes: int) -> np.ndarray:
    """Y Y^T in float64, one panel of rows held at a time: one pass over the data a panel."""
    T, n = shape
    G = np.zeros((T, T))
    rows = max(1, int(panel_bytes // (8 * n)))
    for first in range(0, T, rows):
        last = min(first + rows, T)
        panel = np.zeros((last - first, n))
        for start, Y in blocks():
            stop = start + len(Y)
            low, high, below = max(start, first), min(stop, last), max(start, last)
            if low < high:
                panel[low - first : high - first] = Y[low - start : high - start]
                filled = panel[: high - first]
                G[low:high, first:high] = filled[low - first :] @ filled.T
            if below < stop:  # the panel is complete: rows come in order
                G[below:stop, first:last] = Y[below - start :].astype(np.float64) @ panel.T
    return np.tril(G) + np.tril(G, -1).T


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
