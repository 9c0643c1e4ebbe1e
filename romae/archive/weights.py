"""Weights of an interpolation pass, fitted to what the decoder knows.

For points x beside known points, with the features of :mod:`romae.archive.interpolate` (line_d,
bend_d, mean) taken from *decoded* values, so that the fit sees their errors too, minimise the bits

    sum_i log2(1 + ((x_i - p_i) / eps)^2) / 2,       p = line_1 + A w,

by reweighted least squares: squares alone would serve the few points at walls and fronts, and
spoil the many others (a third of the ratio on a cylinder wake). Weights are multiples of 1/64
within +-2, a byte each, and are kept only where they save more than they cost.
"""

import numpy as np

STEP = 64  # weights are whole numbers over STEP
SWEEPS = 4
FEWEST = 200  # points of a pass worth fitting


def equal(S: tuple[int, ...]) -> np.ndarray:
    """Weights (2, 4) of the mean of the cubic interpolations along the axes S."""
    W = np.zeros((2, 4))
    if S:
        W[:, list(S)] = 1.0 / len(S)
        W[0, S[0]] = 0.0
    return W


def unpacked(code: np.ndarray, S: tuple[int, ...]) -> np.ndarray:
    """Weights (2, 4) of int8 codes (2 |S|): w_d and v_d over the axes S."""
    W = np.zeros((2, 4))
    W[:, list(S)] = code.reshape(2, len(S)) / float(STEP)
    return W


def fit(
    x: np.ndarray, d: np.ndarray, grid: np.ndarray, mean: float, eps: float, cap: int
) -> np.ndarray | None:
    """Codes (2 |S|) int8 of the fitted weights, None where :func:`equal` is as good.

    ``x``, ``d``: source and decoded values, the four axes of ``grid`` (6, 4; see
    :func:`romae.archive.interpolate.code_pass`). ``cap``: number of points to fit on.
    """
    sizes, _, start, step, s, periodic = grid
    S = [a for a in range(4) if s[a] > 0]
    points = int(np.prod([max(0, -((start[a] - sizes[a]) // step[a])) for a in range(4)]))
    if points < FEWEST:
        return None
    places = []
    for a in range(4):
        i = np.arange(start[a], sizes[a], step[a])
        if a in S and not periodic[a]:
            i = i[(i >= 3 * s[a]) & (i + 3 * s[a] < sizes[a])]
        places.append(i)
    while np.prod([len(i) for i in places]) > cap:
        a = int(np.argmax([len(i) for i in places]))
        places[a] = places[a][::2]
    if np.prod([len(i) for i in places]) < FEWEST // 4:
        return None

    def shifted(a: int, offset: int) -> np.ndarray:
        moved = list(places)
        moved[a] = (moved[a] + offset) % sizes[a]
        values: np.ndarray = d[np.ix_(*moved)].reshape(-1)
        return values

    line, bend = [], []
    for a in S:
        near = shifted(a, -s[a]) + shifted(a, s[a])
        far = shifted(a, -3 * s[a]) + shifted(a, 3 * s[a])
        line.append(0.5 * near)
        bend.append(0.0625 * (near - far))
    A = np.stack([mean - line[0], *(one - line[0] for one in line[1:]), *bend], axis=1)
    y = x[np.ix_(*places)].reshape(-1) - line[0]
    good = np.isfinite(y)  # gaps are not fitted
    if good.sum() < FEWEST // 4:
        return None
    if not good.all():
        A, y = A[good], y[good]
    return _reweighted(A / eps, y / eps, points)


def _reweighted(A: np.ndarray, y: np.ndarray, points: int) -> np.ndarray | None:
    """Weights for features A (points, 2 m) and targets y, both in units of eps."""
    m = A.shape[1] // 2
    average = np.concatenate([[0.0], np.full(m - 1, 1 / m), np.full(m, 1 / m)])
    starts = [average]
    for j in range(m if m > 1 else 0):  # one axis alone
        alone = np.zeros(2 * m)
        alone[m + j] = 1.0
        if j > 0:
            alone[j] = 1.0
        starts.append(alone)
    bits = [_bits(y - A @ w) for w in starts]
    best, w = min(bits), starts[int(np.argmin(bits))]
    if not np.isfinite(best):
        return None
    for _ in range(SWEEPS):
        Q = A / (1.0 + (y - A @ w) ** 2)[:, None]
        G = Q.T @ A
        ridge = 1e-9 * np.trace(G) / len(G) + 1e-5 * len(A) / (1 + len(A)) + 1e-300
        trial = np.linalg.solve(G + ridge * np.eye(2 * m), Q.T @ y)
        trial = np.clip(np.rint(trial * STEP), -127, 127) / STEP
        now = _bits(y - A @ trial)
        if not now < best:
            break
        best, w = now, trial
    if points * (bits[0] - best) < 10 * 2 * m:
        return None
    return np.clip(np.rint(w * STEP), -127, 127).astype(np.int8)


def _bits(r: np.ndarray) -> float:
    """About the bits per value of residuals in units of eps."""
    return float(np.mean(np.log2(1.0 + r * r)) / 2)
