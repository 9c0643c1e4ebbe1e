"""Statistics of long runs and distances between them; numpy only.

A chaotic forecast leaves the truth after a few Lyapunov times, whatever the model; what it has to
keep are the statistics. x and y are samples of one quantity, p and q histograms on equal bins:

    W_1(x, y) = integral |F_x - F_y| du                    Wasserstein distance, units of x
    TV(p, q)  = 1/2 sum |p - q|                            total variation, 0 (same) to 1
    S(f)      = mean over segments of |FFT(window x)|^2     power spectrum (Welch)
    D(S, S')  = sum |S - S'| / sum S                       share of the power in the wrong place
    lambda    : |dz(t)| ~ |dz(0)| exp(lambda t)            largest Lyapunov exponent

Distances between finite samples of one law are not zero: the distance between two halves of the
truth, which :func:`romae.compare_statistics` shows beside every model, says what zero means.

Sources: P. Welch 1967; M. T. Rosenstein, J. J. Collins, C. J. De Luca, A practical method for
calculating largest Lyapunov exponents from small data sets, 1993.
"""

from collections.abc import Callable

import numpy as np

from romae.errors import DataError


def wasserstein(x: np.ndarray, y: np.ndarray) -> float:
    """W_1 of two samples of any sizes (n,), (m,), in their units: inf where one is not finite.

    >>> x = np.array([0.0, 1.0, 4.0])
    >>> wasserstein(x, x + 2.5)
    2.5
    """
    x, y = (np.sort(np.asarray(v, dtype=np.float64).ravel()) for v in (x, y))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return float("inf")
    both = np.sort(np.concatenate([x, y]))
    F, G = (np.searchsorted(v, both[:-1], side="right") / len(v) for v in (x, y))
    return float(np.sum(np.abs(F - G) * np.diff(both)))


def wasserstein_of_histograms(p: np.ndarray, q: np.ndarray, width: float) -> float:
    """W_1 of histograms (..., n) on the same equal bins of ``width``; exact to about one width."""
    F, G = (np.cumsum(np.asarray(v, dtype=float) / max(np.sum(v), 1e-300)) for v in (p, q))
    return float(np.abs(F - G).sum() * width)


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """1/2 sum |p - q| of two histograms of the same shape, each made to sum to 1.

    >>> total_variation(np.array([1, 1, 0]), np.array([0, 2, 2]))
    0.5
    """
    p, q = (np.asarray(v, dtype=float) / max(float(np.sum(v)), 1e-300) for v in (p, q))
    return float(0.5 * np.abs(p - q).sum())


def spectrum(
    x: np.ndarray, dt: float, *, segment: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Welch's power spectrum along the first axis of ``x`` (T, ...): frequencies and S (F, ...).

    Hann windows of ``segment`` (T / 4, at most 1024) that overlap by half, each without its mean.
    S is a density, so that sum(S) df is about the variance; frequencies in cycles per unit of dt.
    """
    x = np.asarray(x, dtype=np.float64)
    n = min(segment or min(max(len(x) // 4, 8), 1024), len(x))
    if n < 4:
        raise DataError(f"a spectrum of {len(x)} times. Expected at least 4; take more steps.")
    window = np.hanning(n + 1)[:-1].reshape(-1, *([1] * (x.ndim - 1)))
    starts = range(0, len(x) - n + 1, max(1, n // 2))
    total = np.zeros((n // 2 + 1, *x.shape[1:]))
    for a in starts:
        part = x[a : a + n]
        total += np.abs(np.fft.rfft(window * (part - part.mean(0)), axis=0)) ** 2
    scale = 2 * dt / (float((window**2).sum()) * len(starts))
    total *= scale
    total[0] /= 2
    if n % 2 == 0:
        total[-1] /= 2
    return np.fft.rfftfreq(n, dt), total


def space_spectrum(
    x: np.ndarray, axis: int, spacing: float, *, periodic: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Power over angular wavenumber along one even ``axis`` of ``x``: (K,), (K,).

    Averaged over all other axes. Axes that do not close on themselves get a Hann window and lose
    their mean along the axis.
    """
    x = np.moveaxis(np.asarray(x, dtype=np.float64), axis, -1)
    n = x.shape[-1]
    if not periodic:
        window = np.hanning(n + 2)[1:-1]
        x = (x - x.mean(-1, keepdims=True)) * window / np.sqrt((window**2).mean())
    power = np.abs(np.fft.rfft(x, axis=-1)) ** 2 / n**2
    power[..., 1 : (n + 1) // 2] *= 2
    return 2 * np.pi * np.fft.rfftfreq(n, spacing), power.reshape(-1, power.shape[-1]).mean(0)


def spectrum_distance(S: np.ndarray, truth: np.ndarray) -> float:
    """sum |S - truth| / sum truth over all frequencies: the share of power in the wrong place."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.abs(S - truth).sum() / np.sum(truth))


def lyapunov_from_data(
    z: np.ndarray,
    dt: float,
    *,
    steps: int | None = None,
    exclude: int | None = None,
    references: int = 2000,
) -> float:
    """Largest Lyapunov exponent of states ``z`` (T, k), per unit of dt (Rosenstein et al.).

    Every state is paired with its nearest neighbour that lies more than ``exclude`` steps away in
    time (default: the time to the first zero of the autocorrelation), and the mean of the log of
    their distance is fitted by a line over the part where it grows: from 15 to 60 % of the way to
    saturation, or over ``steps``. The states themselves are the embedding: give all
    latents. Noise and sparse data bias the estimate; take it as one digit.
    """
    z = np.asarray(z, dtype=np.float64).reshape(len(z), -1)
    z = (z - z.mean(0)) / np.maximum(z.std(0), np.finfo(float).tiny)
    T = len(z)
    away = exclude if exclude is not None else _decorrelation(z)
    horizon = min(steps or max(10, 20 * away), T // 3)
    last = T - horizon
    if last <= 2 * away + 2:
        raise DataError(
            f"{T} states are too few for a Lyapunov exponent: neighbours must lie {away} steps "
            f"apart and be followed for {horizon}. Give a longer series, or a smaller exclude."
        )
    own = np.unique(np.linspace(0, last - 1, min(references, last)).round().astype(int))
    near = _neighbours(z[:last], own, away)
    logs = np.empty(horizon + 1)
    for n in range(horizon + 1):
        distance = np.linalg.norm(z[own + n] - z[near + n], axis=1)
        with np.errstate(divide="ignore"):
            found = np.log(distance)
        logs[n] = found[np.isfinite(found)].mean() if np.isfinite(found).any() else -np.inf
    return _slope(logs, dt, fixed=steps is not None)


def _neighbours(z: np.ndarray, own: np.ndarray, away: int) -> np.ndarray:
    """Index of the nearest of ``z`` (T, k) to each of ``own`` that is over ``away`` steps off."""
    square = (z**2).sum(1)
    found = np.empty(len(own), dtype=int)
    for a in range(0, len(own), 256):
        i = own[a : a + 256]
        distance = square - 2 * z[i] @ z.T
        distance[np.abs(np.arange(len(z)) - i[:, None]) <= away] = np.inf
        found[a : a + 256] = distance.argmin(1)
    return found


def _decorrelation(z: np.ndarray) -> int:
    """Steps until the autocorrelation, summed over latents, first falls below 0; at least 1."""
    T = len(z)
    F = np.fft.rfft(z, 2 * T, axis=0)
    correlation = np.fft.irfft((np.abs(F) ** 2).sum(1))[: T // 4]
    below = np.flatnonzero(correlation < 0)
    return max(1, int(below[0])) if below.size else max(1, T // 20)


def _slope(logs: np.ndarray, dt: float, *, fixed: bool = False) -> float:
    """Slope per unit of dt of a mean log distance that grows and then levels off."""
    top = float(np.median(logs[-max(3, len(logs) // 5) :]))
    begin, end = 0, len(logs)
    if not fixed and top - logs[0] > 1:
        grown = (logs - logs[0]) / (top - logs[0])
        end = int(np.argmax(grown > 0.6)) + 1
        begin = int(np.argmax(grown > 0.15))  # before, differences turn to the fastest direction
        begin = begin if end - begin >= 6 else 0  # few steps, as of maps: all of them
    end = max(end, begin + 3)
    return float(np.polyfit(np.arange(begin, end), logs[begin:end], 1)[0] / dt)


Rollout = Callable[[np.ndarray, int], np.ndarray]  # histories (B, c, k), steps -> (B, steps, k)


def lyapunov_of_map(
    roll: Rollout,
    histories: np.ndarray,
    dt: float,
    *,
    steps: int = 1000,
    perturbation: float = 1e-6,
    seed: int = 0,
) -> float:
    """Largest Lyapunov exponent of a model by twin rollouts, per unit of dt.

    ``roll`` continues ``histories`` (B, c, k) by any number of steps: (B, steps, k). Each history
    has a twin, ``perturbation`` of the standard deviation away in a random direction. The mean over
    twins of the log distance is fitted by a line from ten times the first distance, when the
    fastest direction has taken over, to a hundredth of the saturation; where it never grows so
    far, over the second half of ``steps``. Zero for a limit cycle, negative for a fixed point.
    """
    histories = np.asarray(histories, dtype=np.float64)
    scale = histories.reshape(-1, histories.shape[-1]).std(0)
    scale = np.where(scale > 0, scale, 1.0)
    rng = np.random.default_rng(seed)
    nudge = rng.standard_normal(histories.shape[-1:]) if len(histories) == 1 else None
    nudge = rng.standard_normal((len(histories), 1, histories.shape[-1])) if nudge is None else (
        nudge[None, None]
    )  # fmt: skip
    nudge *= perturbation * np.sqrt(nudge.shape[-1]) / np.linalg.norm(nudge, axis=-1, keepdims=True)
    both = roll(np.concatenate([histories, histories + nudge * scale]), steps)
    one, two = both[: len(histories)], both[len(histories) :]
    distance = np.linalg.norm((one - two) / scale, axis=-1) / np.sqrt(len(scale))
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.log(np.where(distance > 1e-13, distance, np.nan))
    counts = np.isfinite(each).sum(0) >= max(1, len(each) // 2)
    if not counts.any():
        return float("-inf")
    with np.errstate(invalid="ignore"):
        logs = np.array([np.nanmean(each[:, n]) if counts[n] else np.nan for n in range(steps)])
    return _growth(logs, np.log(perturbation), dt)


def _growth(logs: np.ndarray, first: float, dt: float) -> float:
    n = np.arange(len(logs))
    grown = np.flatnonzero(logs > first + np.log(10))
    near = np.flatnonzero(logs > np.log(1e-2))
    if near.size and grown.size and near[0] - grown[0] >= 3:
        use = (n >= grown[0]) & (n <= near[0])
    else:  # grows too little, or within a few steps
        use = n <= near[0] if near.size else n >= len(logs) // 2
    use &= np.isfinite(logs)
    if use.sum() < 2:  # fell below rounding early: contracts at least this fast
        use = np.isfinite(logs)
    if use.sum() < 2:
        return float("-inf")
    return float(np.polyfit(n[use], logs[use], 1)[0] / dt)
