"""The exact ways to the modes of Y, whose sums over blocks of rows go on after a kill.

* ``svd``        Y = V S U^T of Y itself;
* ``covariance`` Y^T Y = U S^2 U^T, summed over blocks;
* ``snapshots``  Y Y^T = V S^2 V^T, one panel of rows held at a time, against all rows below it;
  then U = Y^T V / s, one more pass.

Products and sums are in float64. The state that is saved (:class:`~romae.linalg.rows.Checkpoint`)
is the sum so far and the row it has come to; a panel is read again. A run that was resumed gives
the bits of one that was not.
"""

from collections.abc import Iterator

import numpy as np

from romae.linalg.rows import Checkpoint, Rows

Found = tuple[np.ndarray, np.ndarray]  # s (min(T, n),) falling, modes (k, n)
EPS = float(np.finfo(np.float64).eps)
RESOLVED = 4 * EPS**0.5  # of s_1, by the squared ways


def svd(rows: Rows, rank: int | float | None) -> Found:
    """All of Y in float64, in memory."""
    Y = np.empty(rows.shape)
    for start, X in rows.blocks():
        Y[start : start + len(X)] = rows.scaled(X)
    _, s, modes = _svd(Y)
    return s, modes[: count(s, rank, floor=1e-13)]


def covariance(rows: Rows, rank: int | float | None, saved: Checkpoint) -> Found:
    """Y^T Y (n, n), one pass."""
    T, n = rows.shape
    state = saved.read()
    first, C = (0, np.zeros((n, n))) if state is None else (state[0]["row"], state[1]["C"])
    for start, X in rows.blocks(first):
        Y = rows.scaled(X)
        C += Y.T @ Y
        if saved.due:
            saved.write({"row": start + len(X)}, {"C": C})
    energy, U = _eigh(C)
    s = np.sqrt(np.maximum(energy[::-1], 0))[: min(T, n)]
    saved.remove()
    return s, np.ascontiguousarray(U[:, ::-1].T[: count(s, rank)])


def snapshots(rows: Rows, rank: int | float | None, panel_bytes: int, saved: Checkpoint) -> Found:
    """Y Y^T (T, T): one pass where Y fits ``panel_bytes``, else one for each panel and one more."""
    T, n = rows.shape
    state = saved.read()
    held = rows.gather() if rows.nbytes <= panel_bytes else None
    first = 0
    if state is not None and "modes" in state[1]:
        s, W, modes = (state[1][name] for name in ("s", "W", "modes"))
        first = state[0]["row"]
    else:
        G = _gram(rows, panel_bytes, saved) if held is None else _gram_held(rows, held)
        energy, V = _eigh(G)
        s, V = np.sqrt(np.maximum(energy[::-1], 0))[: min(T, n)], V[:, ::-1]
        k = count(s, rank)
        W = V[:, :k] / np.where(s[:k] > 0, s[:k], 1.0)  # only zeros: one mode, s_1 = 0
        modes = np.zeros((k, n))
    for start, X in rows.blocks(first) if held is None else [(0, held)]:
        for part in rows.tiles(len(X)):
            modes[:, part] += W[start : start + len(X)].T @ rows.scaled(X, part)
        if held is None and saved.due:
            saved.write({"row": start + len(X)}, {"s": s, "W": W, "modes": modes})
    saved.remove()
    return s, _orthonormal(modes)


def _gram_held(rows: Rows, X: np.ndarray) -> np.ndarray:
    """Y Y^T in float64 of rows in memory, scaled one tile of columns at a time."""
    G = np.zeros((len(X), len(X)))
    for part in rows.tiles(len(X)):
        Y = rows.scaled(X, part)
        G += Y @ Y.T
    return G


def _gram(rows: Rows, panel_bytes: int, saved: Checkpoint) -> np.ndarray:
    """Y Y^T in float64, one panel of rows held at a time: one pass over the data a panel."""
    T, n = rows.shape
    G, height = np.zeros((T, T)), max(1, int(panel_bytes // (np.dtype(rows.dtype).itemsize * n)))
    begin, at, done = 0, 0, 0  # first row of the block the panel begins in; the panel; rows done
    if (state := saved.read()) is not None:
        G, begin, at, done = state[1]["G"], *(state[0][k] for k in ("begin", "panel", "row"))
    for first in range(at, T, height):
        last = min(first + height, T)
        panel = np.zeros((last - first, n), rows.dtype)
        for start, X in _again(rows, begin, last, done):
            stop = start + len(X)
            low, high, below = max(start, first), min(stop, last), max(start, last)
            if start <= first < stop:
                begin = start
            if low < high:
                own = X[low - start : high - start]
                panel[low - first : high - first] = own
                if stop > done:
                    G[low:high, first:high] = _products(rows, own, panel[: high - first])
            if below < stop and stop > done:  # the panel is complete: rows come in order
                G[below:stop, first:last] = _products(rows, X[below - start :], panel)
            if stop > done and stop > first and saved.due:
                saved.write({"begin": begin, "panel": first, "row": stop}, {"G": G})
        done = 0
    return np.tril(G) + np.tril(G, -1).T


def _again(rows: Rows, begin: int, last: int, done: int) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks that a panel up to row ``last`` needs, ``done`` rows of the pass being known."""
    stop = begin
    for start, X in rows.blocks(begin):
        stop = start + len(X)
        yield start, X
        if stop >= last and done > stop:
            break
    else:
        return
    yield from rows.blocks(done)


def _products(rows: Rows, X: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """Products of the scaled rows ``X`` with those of ``panel``, in float64."""
    G = np.zeros((len(X), len(panel)))
    for part in rows.tiles(len(X) + len(panel)):
        G += rows.scaled(X, part) @ rows.scaled(panel, part).T
    return G


def count(s: np.ndarray, rank: int | float | None, floor: float = RESOLVED) -> int:
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
