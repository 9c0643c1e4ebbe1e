"""Dynamic mode decomposition: the best linear one-step map of the delayed latents.

    x_t = [z_t; 1]                           the 1 gives the fixed point its place
    y_t = (x_t, .., x_{t+d-1})               a window of d delays, oldest first
    min_A  sum_t || y_{t+1} - A y_t ||^2     over all windows of all cases
    Y = U S V^T,   A~ = U_r^T Y' V_r S_r^-1  truncated to rank r
    A~ w = lambda w                          lambda = exp(mu dt), mu = growth + 2 pi i frequency
    x_n = sum_j phi_j lambda_j^n b_j         forecast; b by least squares on the last d states

An eigenvector of A in delayed coordinates repeats itself, (phi, lambda phi, ..,
lambda^{d-1} phi); phi is the projection of U w on that form. Forecasts by (phi, lambda)
instead of powers of A keep the delays consistent after lambda has been moved to the unit
circle, and n steps are one matrix product.

The exact method fits one step, and noise in y_t, which stands on both sides, damps every mode. The
optimised one fits whole trajectories,

    min_{mu, B}  sum_t || y_t - sum_j exp(mu_j t) B_j ||^2

by variable projection from the eigenvalues of the exact one, the same without growth, and the
peaks of the spectrum, of which the smallest sum is kept; bagging repeats that on random
subsets of times and takes the mean, and the scatter tells how well a rate is known. Both take any
times t, so with d = 1 they learn from uneven ones; the exact one gives them a start, from a
spline through the data.

A limit cycle in k = 2 latents that is an ellipse needs d = 1; one with m harmonics needs
d k >= 2 m. DMD fails on chaos: it decays or oscillates.
"""

import zlib
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.dynamics.base import Dynamics
from romae.dynamics.rates import (
    Growth,
    best_projection,
    constraint,
    hold_growth,
    pairs,
    partners,
    powers,
    real_product,
    rolled,
    variable_projection,
)
from romae.errors import DataError, OptionError, check_option

Array = np.ndarray
NOISE_FLOOR = 1e-6  # of the largest singular value; about float32 rounding
GONE = 1e-3  # |lambda| below which a mode is no start for the optimised method
TRIALS, BAG = 32, 0.6  # subsets of bagging, and the share of times in each


class DMD(Dynamics):
    """Dynamic mode decomposition with delays, stable by projection.

    ``delays``: states in a window, d; also the context. ``rank``: r, at most d k + 1, the
    constant included; None keeps every direction above the rounding of float32, which for noisy
    data is every one: give a rank there. ``method``: "exact", "optimised" or "bagged"; the
    last two need ``pip install 'romae[dynamics]'`` for fit. ``growth``: "stable" holds growth
    rates at or below zero; "neutral" keeps the modes that last through the training data and holds
    them on the unit circle, right for limit cycles; "free" leaves all. ``seed``: of the subsets.

    n steps equal n times one step once forecasts fill the window (n >= d), and always
    when d = 1.

    Source: P. J. Schmid, Dynamic mode decomposition of numerical and experimental data,
    2010; J. H. Tu et al., On dynamic mode decomposition: theory and applications, 2014;
    T. Askham, J. N. Kutz, Variable projection methods for an optimized dynamic mode decomposition,
    2018; D. Sashidhar, J. N. Kutz, Bagging, optimized dynamic mode decomposition, 2022.
    Deviates in the constant, without which the result would depend on the mean that is
    removed; in the projection of growing eigenvalues to the unit circle; and in the least
    squares for the amplitudes over the whole window, which averages noise. Bagging matches modes
    by the common start instead of by sorting eigenvalues.
    """

    continuous = True
    fitted = ("modes", "eigenvalues", "scatter", "sizes")
    modes: Array  # (k + 1, r) complex, phi
    eigenvalues: Array  # (r,) complex, in the closed unit disk unless growth is "free"
    scatter: Array  # (r,) complex: standard deviation of growth + i of angle per step; 0 if unknown
    sizes: Array  # (r,) root mean square of each mode's part of the training latents

    def __init__(
        self,
        delays: int = 1,
        *,
        rank: int | None = None,
        method: Literal["exact", "optimised", "bagged"] = "exact",
        growth: Growth = "stable",
        seed: int = 0,
    ):
        check_option("method", method, ["exact", "optimised", "bagged"])
        check_option("growth", growth, ["stable", "neutral", "free"])
        if delays < 1 or (rank is not None and rank < 1):
            raise OptionError(
                f"DMD(delays={delays}, rank={rank}). Expected delays of at least 1, and a rank of "
                "at least 1 or None."
            )
        self.delays, self.rank, self.method = delays, rank, method
        self.growth, self.seed = growth, seed
        self.context = delays
        self.uneven = method != "exact" and delays == 1

    @property
    def draws(self) -> bool:
        return self.method == "bagged"

    def unknowns(self, latent: int) -> int:
        return min(self.rank or latent + 1, latent + 1)

    def _fit(self, sequences: list[Array], *, times: list[Array] | None = None) -> None:
        longest = max(map(len, sequences))
        clocks = [np.arange(float(len(z))) for z in sequences] if times is None else times
        values, modes = self._exact(_evenly(sequences, times))
        with np.errstate(divide="ignore"):
            rates = np.log(values)  # of an eigenvalue 0: - inf, gone after one step
        if self.method == "exact":
            rates, kept = hold_growth(rates, self.growth, longest)
            modes, self.scatter = modes[:, kept], np.zeros(len(rates), dtype=complex)
        else:
            rates, self.scatter = self._optimised(sequences, clocks, rates[np.abs(values) > GONE])
            lasts = rates.real > np.log(GONE)
            rates, self.scatter = rates[lasts], self.scatter[lasts]
            modes = _modes(sequences, clocks, rates)
        self.eigenvalues = np.exp(rates)
        self.modes = modes / np.maximum(np.linalg.norm(modes, axis=0), np.finfo(float).tiny)
        windows = np.concatenate([_windows(_with_one(z), self.delays) for z in sequences])
        b = windows @ self._inverse(self.eigenvalues).T * self.eigenvalues ** (self.delays - 1)
        self.sizes = np.sqrt(np.mean(np.abs(b) ** 2, axis=0) * _power(self.modes[:-1]))

    def _exact(self, sequences: list[Array]) -> tuple[Array, Array]:
        """Eigenvalues (r,) and modes (k + 1, r) of the one-step map."""
        d, k = self.delays, sequences[0].shape[1]
        windows = [_windows(_with_one(z), d) for z in sequences]
        Y = np.concatenate([y[:-1] for y in windows]).T
        Y1 = np.concatenate([y[1:] for y in windows]).T
        U, s, Vt = np.linalg.svd(Y, full_matrices=False)
        r = min(self.rank or len(s), int(np.sum(s > NOISE_FLOOR * s[0])))
        U, s, Vt = U[:, :r], s[:r], Vt[:r]
        values, W = np.linalg.eig(U.T @ (Y1 @ (Vt.T / s)))
        powers = values ** np.arange(d)[:, None]  # (d, r)
        modes = np.einsum("dr,dkr->kr", powers.conj(), (U @ W).reshape(d, k + 1, r))
        return values.astype(complex), modes.astype(complex)

    def _optimised(
        self, sequences: list[Array], clocks: list[Array], rates: Array
    ) -> tuple[Array, Array]:
        """Rates (r,) that fit whole trajectories, and their scatter over bags."""
        if any(not np.array_equal(t, clocks[0][: len(t)]) for t in clocks):
            raise DataError(
                f"DMD(method={self.method!r}): {len(clocks)} cases at uneven times that differ. "
                "Expected one axis of times for all; resample them, romae.resample(z), or fit each."
            )
        length = min(map(len, sequences))
        even = np.array_equal(clocks[0], np.arange(len(clocks[0])))
        pieces = [
            z[i : i + length] for z in sequences for i in _starts(len(z), length) if even or not i
        ]
        windows = [_windows(z, self.delays) for z in pieces]
        H = np.concatenate([*windows, np.ones((len(windows[0]), 1))], axis=1)
        times = min(clocks, key=len)[: len(H)]
        if self.growth == "neutral":  # the exact method damps, so who lasts is told by this one
            rates = best_projection(H, times, rates, "stable")
            rates, _ = hold_growth(rates, "neutral", max(map(len, sequences)))
        best = best_projection(H, times, rates, self.growth)
        if self.method == "optimised":
            return best, np.zeros(len(best), dtype=complex)
        rng = np.random.default_rng(self.seed)
        size = max(min(len(H), 2 * len(best)), round(BAG * len(H)))
        hold = constraint(best, self.growth)
        bags = [np.sort(rng.choice(len(H), size, replace=False)) for _ in range(TRIALS)]
        found = np.stack([variable_projection(H[b], times[b], best, hold) for b in bags])
        return found.mean(axis=0), found.real.std(axis=0) + 1j * found.imag.std(axis=0)

    def _inverse(self, eigenvalues: Array) -> Array:
        """Amplitudes b from a window: (r, d (k + 1)), least squares."""
        past = eigenvalues ** np.arange(self.delays)[:, None]
        V = np.einsum("dr,kr->dkr", past, self.modes).reshape(-1, len(eigenvalues))
        return np.linalg.pinv(V, rcond=max(V.shape) * np.finfo(float).eps)

    def _own(self) -> tuple[Array, Array, Array]:
        """:meth:`_inverse` and pairs of the fitted eigenvalues, kept as long as these are."""
        fitted, found = self.__dict__.get("_kept", ((None, None), None))
        if fitted[0] is not self.eigenvalues or fitted[1] is not self.modes:
            found = self._inverse(self.eigenvalues), *pairs(self.eigenvalues, self.modes)
            self._kept = (self.eigenvalues, self.modes), found
        assert found is not None
        return found

    def _amplitudes(
        self, history: Array, eigenvalues: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """One of each pair of eigenvalues (r,), modes (r, k), and amplitudes (B, r) of both."""
        if eigenvalues is None:
            eigenvalues, (inverse, one, other) = self.eigenvalues, self._own()
        else:
            inverse = self._inverse(eigenvalues)
            one, other = pairs(eigenvalues, self.modes)
        windows = _with_one(history).reshape(len(history), -1)
        # einsum sums each number alone, in one order: no forecast depends on what else is asked
        b = np.einsum("rw,bw->br", inverse, windows)
        b = b[:, one] + np.where(one != other, b[:, other].conj(), 0)
        return eigenvalues[one], self.modes[:-1, one].T, b

    def _rollout(self, history: Array, steps: int) -> Array:
        values, modes, b = self._amplitudes(history)
        return np.stack([rolled(values, a[:, None] * modes, self.delays, steps) for a in b])

    def _at(self, history: Array, times: Array, eigenvalues: Array | None = None) -> Array:
        """States (B, n, k) at ``times`` (n,), counted in steps from the end of ``history``."""
        values, modes, b = self._amplitudes(history, eigenvalues)
        ahead = powers(values, times + (self.delays - 1))
        return np.stack([real_product(ahead * a, modes) for a in b])

    def _members(self, starts: Array, steps: int, at: Array | None = None, **known: Any) -> Array:
        """After bagging, each member (N, B, context, k) has rates of its own, by their scatter."""
        if self.method != "bagged":
            return super()._members(starts, steps, at, **known)
        # other starts, other rates: the seed of the ensemble is in the starts
        rng = np.random.default_rng([self.seed, zlib.crc32(starts.tobytes())])
        with np.errstate(divide="ignore"):
            rates = np.log(self.eigenvalues)
        times, rolled = np.arange(1, steps + 1) if at is None else at, []
        pair = np.minimum(np.arange(len(rates)), partners(rates))  # both of a pair move alike
        for history in starts:
            growth, angle = rng.standard_normal((2, len(rates)))[:, pair]
            drawn = rates + self.scatter.real * growth
            drawn = drawn + 1j * np.sign(rates.imag) * self.scatter.imag * angle
            if self.growth != "free":
                drawn = np.minimum(drawn.real, 0) + 1j * drawn.imag
            rolled.append(self._at(history, times, np.exp(drawn)))
        return np.stack(rolled)

    def spectrum(self) -> xr.Dataset:
        """Growth rates, frequencies, periods and sizes of the modes, largest first.

        Rates are per unit of the time axis, per second for dates; ``frequency`` in cycles. One
        entry stands for a conjugate pair. ``size`` is the root mean square of a mode's part of the
        training latents, each latent scaled to variance one; ``growth_std`` and ``frequency_std``
        come from bagging, else NaN.
        """
        self._check_fitted()
        number = self.dt.kind == "number"
        dt = self.dt.size if number else self.dt.size / 1e9
        unit = (self.dt.units or "1") if number else "s"
        with np.errstate(divide="ignore"):
            rates = np.log(self.eigenvalues) / dt
        rows = np.flatnonzero(rates.imag >= 0)
        rows = rows[np.argsort(-self.sizes[rows], kind="stable")]
        rates, scatter = rates[rows], self.scatter[rows] / dt
        known = self.method == "bagged"
        frequency = rates.imag / (2 * np.pi)
        with np.errstate(divide="ignore"):
            table = {
                "growth": (rates.real, f"1/({unit})"),
                "frequency": (frequency, f"1/({unit})"),
                "period": (1 / frequency, unit),
                "size": (self.sizes[rows] * np.where(rates.imag > 0, 2**0.5, 1.0), "1"),
                "growth_std": (scatter.real if known else np.nan * rates.real, f"1/({unit})"),
                "frequency_std": (
                    scatter.imag / (2 * np.pi) if known else np.nan * rates.real,
                    f"1/({unit})",
                ),
            }
        return xr.Dataset(
            {name: ("mode", values, {"units": units}) for name, (values, units) in table.items()},
            coords={"mode": np.arange(len(rows))},
        )


def _evenly(sequences: list[Array], times: list[Array] | None) -> list[Array]:
    """States at whole steps, by a cubic spline."""
    if times is None:
        return sequences
    from scipy.interpolate import make_interp_spline  # here: forecasts work without scipy

    return [
        make_interp_spline(t, z, k=min(3, len(t) - 1))(np.arange(0.0, np.floor(t[-1]) + 1))
        for t, z in zip(times, sequences, strict=True)
    ]


def _modes(sequences: list[Array], clocks: list[Array], rates: Array) -> Array:
    """Modes (k + 1, r) for given rates: one shape each, whatever the case."""
    shapes = []
    for z, t in zip(sequences, clocks, strict=True):
        V = np.exp(np.multiply.outer(t, rates))
        level = np.linalg.norm(V, axis=0)
        shapes.append(np.linalg.lstsq(V / level, _with_one(z), rcond=1e-12)[0] / level[:, None])
    B = np.stack(shapes)  # (cases, r, k + 1)
    _, _, Vh = np.linalg.svd(B.transpose(1, 0, 2), full_matrices=False)
    return Vh[:, 0].T


def _power(modes: Array) -> Array:
    return np.sum(np.abs(modes) ** 2, axis=0)


def _starts(steps: int, length: int) -> list[int]:
    """Where pieces of ``length`` begin that cover ``steps``."""
    return sorted({min(i, steps - length) for i in range(0, steps, length)})


def _with_one(z: Array) -> Array:
    return np.concatenate([z, np.ones((*z.shape[:-1], 1))], axis=-1)


def _windows(x: Array, d: int) -> Array:
    """Windows of d states, oldest first: (T - d + 1, d (k + 1))."""
    view = np.lib.stride_tricks.sliding_window_view(x, d, axis=0)  # (T - d + 1, k + 1, d)
    return view.transpose(0, 2, 1).reshape(len(view), -1)
