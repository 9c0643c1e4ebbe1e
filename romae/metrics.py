"""How errors are measured: every definition in one place, numpy only.

x (T, C, *space) is the truth, y its approximation, m (C, *space) a reference mean (the
temporal mean of the *training* data unless said otherwise), w (C, *space) quadrature weights
that are zero at masked points. Energies per snapshot t and field c are

    N_tc = sum_i w_ci (y_tci - x_tci)^2          error
    D_tc = sum_i w_ci (x_tci - m_ci)^2           fluctuation

**Relative L2 of the fluctuation** (Frobenius norm over space and time), of a field and of all:

    e_c   = sqrt( sum_t N_tc / sum_t D_tc )
    e_all = sqrt( mean_g  sum_{t, c in g} N_tc / sum_{t, c in g} D_tc )

g runs over the groups of fields: fields of the same non-empty units form one group, so that
u and v keep their relative energy; groups weigh the same, so that a pressure in pascals does
not drown a velocity. The error of the reference mean is about 1. Squared, e is the mean
squared error over the variance.

**NRMSE over time** divides each snapshot by the fluctuation of all T:

    n_tc = sqrt( N_tc / mean_t D_tc ),      n_t,all = sqrt( mean_g ... ) as above

so that mean_t n_t <= e = sqrt(mean_t n_t^2) <= max_t n_t.

**Valid prediction time**: the first lead time at which n exceeds a threshold.

A field whose fluctuation is below the rounding of float32 is *constant*: it has no relative
error (NaN) and does not count in e_all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

DAY = 86400.0  # s
ALL = "all"  # label of the error over all fields, beside the names of the fields
_ROUNDING = 16 * float(np.finfo(np.float32).eps)  # relative rounding of stored fields


def unit_groups(units: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Channels that are measured together: the same non-empty units; others alone.

    >>> unit_groups(["m/s", "m/s", "Pa", "", ""])
    ((0, 1), (2,), (3,), (4,))
    """
    groups: dict[str, list[int]] = {}
    for i, unit in enumerate(units):
        groups.setdefault(unit.strip() or f"alone {i}", []).append(i)
    return tuple(tuple(group) for group in groups.values())


def energy(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sum_i w_ci x_tci^2 of ``x`` (T, C, *space) with ``weights`` (C, *space): (T, C).

    Points of weight zero do not count, whatever ``x`` holds there (NaN at masked points).
    """
    T, C = x.shape[:2]
    w = np.broadcast_to(weights, x.shape[1:]).reshape(C, -1)
    x = np.where(w > 0, x.reshape(T, C, -1), 0.0).astype(np.float64, copy=False)
    return np.einsum("tcn,tcn,cn->tc", x, x, w.astype(np.float64))


def constant_fields(fluctuation: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    """Fields (C,) whose ``fluctuation`` energy is rounding beside their ``magnitude`` energy."""
    return np.asarray(fluctuation) <= _ROUNDING**2 * np.asarray(magnitude)


def over_groups(
    error: np.ndarray, reference: np.ndarray, groups: Sequence[Sequence[int]]
) -> np.ndarray:
    """sqrt of the mean over groups of summed ``error`` over summed ``reference`` energy.

    Both end in an axis over fields (..., C). Fields whose reference is zero (constant)
    do not count; NaN when none is left.
    """
    error, reference = np.broadcast_arrays(error, reference)
    counts = reference > 0
    ratios = []
    for group in groups:
        c = list(group)
        below = np.where(counts, reference, 0.0)[..., c].sum(-1)
        above = np.where(counts, error, 0.0)[..., c].sum(-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios.append(np.where(below > 0, above / below, np.nan))
    stacked = np.stack(ratios)
    alive = ~np.isnan(stacked) | np.isnan(error).any(-1)  # an error that is NaN stays visible
    number = alive.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.where(alive, stacked, 0.0).sum(0) / np.where(number, number, np.nan))


@dataclass
class FluctuationSums:
    """Fluctuation energy of the truth, accumulated over blocks of snapshots.

    ``weights`` (C, *space), ``mean`` (C, *space), both float64. ``energy`` is the time mean
    of D_tc, (C,), zero for constant fields.
    """

    weights: np.ndarray
    mean: np.ndarray
    count: int = 0
    _sum: np.ndarray | float = 0.0
    _magnitude: np.ndarray | float = 0.0

    def add(self, x: np.ndarray) -> None:
        """Account for the snapshots ``x`` (B, C, *space), physical units."""
        self._sum = self._sum + energy(x - self.mean, self.weights).sum(0)
        self._magnitude = self._magnitude + energy(x, self.weights).sum(0)
        self.count += len(x)

    @property
    def energy(self) -> np.ndarray:
        """Mean over time of the fluctuation energy per field, (C,)."""
        constant = constant_fields(np.asarray(self._sum), np.asarray(self._magnitude))
        return np.where(constant, 0.0, np.asarray(self._sum) / max(self.count, 1))


@dataclass
class ErrorSums:
    """Error energy N_tc of one model, accumulated over blocks of snapshots.

    Only (T, C) numbers are kept, so memory does not grow with the grid.
    """

    weights: np.ndarray
    groups: Sequence[Sequence[int]]
    _parts: list[np.ndarray] = field(default_factory=list)

    def add(self, error: np.ndarray) -> None:
        """Account for ``error`` = approximation - truth, (B, C, *space), physical units."""
        self._parts.append(energy(error, self.weights))

    @property
    def energy(self) -> np.ndarray:
        """N_tc of all snapshots so far, (T, C)."""
        return np.concatenate(self._parts)

    def relative_l2(self, reference: np.ndarray) -> np.ndarray:
        """Relative L2 of each field and, last, of all: (C + 1,).

        ``reference`` (C,) is the mean fluctuation energy, :attr:`FluctuationSums.energy`.
        """
        return _with_all(self.energy.mean(0), reference, self.groups)

    def nrmse(self, reference: np.ndarray) -> np.ndarray:
        """NRMSE of each snapshot, of each field and, last, of all: (T, C + 1)."""
        return _with_all(self.energy, reference, self.groups)


def nrmse(error: np.ndarray, reference: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """NRMSE from energies: ``error`` (..., C) and ``reference`` (C,) give (..., C + 1)."""
    return _with_all(error, reference, groups)


def _with_all(
    error: np.ndarray, reference: np.ndarray, groups: Sequence[Sequence[int]]
) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        each = np.sqrt(np.where(reference > 0, error / reference, np.nan))
    return np.concatenate([each, over_groups(error, reference, groups)[..., None]], axis=-1)


def relative_l2(
    truth: np.ndarray,
    approximation: np.ndarray,
    *,
    mean: np.ndarray | float = 0.0,
    weights: np.ndarray | None = None,
    groups: Sequence[Sequence[int]] | None = None,
) -> float:
    """Relative L2 (Frobenius) of all fields of arrays (T, C, *space) in memory.

    ``mean`` (C, *space) is what the truth is centred with, 0 for an uncentred error;
    ``weights`` default to 1, ``groups`` to one group of all fields.
    """
    w = np.ones(truth.shape[1:]) if weights is None else weights
    sums = FluctuationSums(w, np.broadcast_to(np.asarray(mean, dtype=float), truth.shape[1:]))
    sums.add(truth)
    groups = [range(truth.shape[1])] if groups is None else groups
    error = energy(np.asarray(approximation, dtype=float) - truth, w).mean(0)
    return float(over_groups(error, sums.energy, groups))


def orthogonality(z: np.ndarray, *, least: float = 1e-2) -> float:
    """Determinant of the correlation matrix of latents ``z`` (T, k): 1 if uncorrelated, 0 if not.

    Latents whose variance is below ``least`` of the largest are out of use and do not count.
    Source: Eivazi et al. 2022, "Towards extraction of orthogonal and parsimonious non-linear modes
    from turbulent flows".

    >>> orthogonality(np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]))
    1.0
    """
    z = np.asarray(z, dtype=np.float64).reshape(len(z), -1)
    z = z - z.mean(0)
    variance = (z**2).mean(0)
    z = z[:, variance > least * variance.max()]
    unit = z / np.sqrt((z**2).sum(0))
    return float(np.linalg.det(unit.T @ unit)) if unit.size else float("nan")


def valid_prediction_time(
    nrmse: np.ndarray, lead: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """First lead time at which ``nrmse`` (..., S) exceeds ``threshold``.

    ``lead`` (S,) holds the lead times. A forecast that never exceeds it is valid for all
    of ``lead`` and *censored*: its time is a lower bound. An error that is not finite exceeds
    every threshold. Returns the times (...) and whether each is censored (...).
    """
    with np.errstate(invalid="ignore"):
        bad = ~(np.asarray(nrmse) <= threshold)
    censored = np.asarray(~bad.any(-1))
    first = np.where(censored, len(lead) - 1, bad.argmax(-1))
    return np.asarray(lead)[first], censored


def time_words(units: str, length: float) -> tuple[float, str]:
    """(scale, words) in which a time of ``length`` is told: seconds from two days on in days.

    >>> time_words("s", 864000.0), time_words("", 3.0)
    ((86400.0, 'days'), (1.0, 'time units'))
    """
    if units == "s" and length >= 2 * DAY:
        return DAY, "days"
    return 1.0, "time units" if units in ("", "1") else units


def quartiles(x: np.ndarray, axis: int = 0) -> np.ndarray:
    """Lower quartile, median and upper quartile over ``axis``: (3, ...).

    Infinite values count as larger than all others. Linear between order statistics.
    """
    x = np.moveaxis(np.sort(np.where(np.isnan(x), np.inf, x), axis=axis), axis, 0)
    place = np.array([0.25, 0.5, 0.75]) * (len(x) - 1)
    low = np.floor(place).astype(int)
    high = np.ceil(place).astype(int)
    part = (place - low).reshape(-1, *([1] * (x.ndim - 1)))
    with np.errstate(invalid="ignore"):  # inf - inf where both neighbours are infinite
        step = np.where(part > 0, x[high] - x[low], 0.0) * part
    return np.where(np.isfinite(x[low]), x[low] + np.where(part > 0, step, 0.0), x[low])
