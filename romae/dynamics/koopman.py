"""Koopman: functions of the latents that evolve linearly, and so by exponentials.

    x_t = (z_t, .., z_{t-d+1})                      d delays
    psi(x) = [1, products of x, cos(w x + b)]       the dictionary, n functions
    min_K  sum_t || psi(x_{t+1}) - K psi(x_t) ||^2  on the r leading directions of psi
    K = V diag(lambda) V^-1,  mu = log(lambda) / dt  the generator's eigenvalues, |Im mu| <= pi/dt
    phi(x) = V^-1 psi(x)                            eigenfunctions, phi(x(t)) = exp(mu t) phi(x(0))
    z(t) = M exp(mu t) phi(x_0)                     any time t, no step is taken

The logarithm is the principal one: an oscillation faster than half the sampling rate comes out
slower (aliasing), which no method can see in even samples. A real lambda < 0 alternates between
steps and has no real logarithm; it becomes an oscillation at that rate. lambda = 0 to rounding is
dropped: a direction that is gone after one step.

M is not read off the dictionary but fitted, by least squares over the forecasts from all training
states to many lead times at once, so that errors of eigenfunctions are not carried along.

Forecasts cost one product of matrices for all times. A linear system of any size cannot be chaotic:
on chaos forecasts decay to the mean. Fails when few snapshots meet many functions.
"""

import numpy as np

from romae.dynamics.base import Dynamics
from romae.dynamics.laws import Library
from romae.dynamics.rates import Growth, hold_growth
from romae.errors import OptionError, check_option

Array = np.ndarray
GONE = 1e-3  # |lambda| below which a direction is dropped
LEADS = 24  # lead times at which M is fitted


class Koopman(Dynamics):
    """Eigenfunctions of the Koopman generator by extended dynamic mode decomposition.

    ``delays``: states in x, also the context. ``degree``: of the products. ``waves``: number of
    random Fourier features. ``rank``: r, None keeps every direction above NOISE of the largest.
    ``growth``: "stable" holds growth rates at or below zero, "neutral" keeps what lasts and
    holds it on the circle (limit cycles), "free" leaves all. ``seed``: of the random features.

    After fit, ``rates`` holds mu per step of the data, complex.

    Source: M. Williams, I. Kevrekidis, C. Rowley, A data-driven approximation of the Koopman
    operator, 2015; generator by logarithm: A. Mauroy, J. Goncalves, Koopman-based lifting
    techniques for nonlinear systems identification, 2020. A learned dictionary (B. Lusch, J. N.
    Kutz, S. Brunton, Deep learning for universal linear embeddings, 2018) is not used: its training
    is less certain than a regression, and reducers are there to be trained. Deviates in M.
    """

    continuous = True
    fitted = ("scales", "basis", "rates", "modes", "frequencies")
    scales: Array  # (n,) rms of the dictionary's functions
    basis: Array  # (n, r) complex: psi / scales -> phi
    rates: Array  # (r,) complex, mu per step
    modes: Array  # (r, k) complex, M
    frequencies: Array  # (d k + 1, waves): w and b of the random features

    def __init__(
        self,
        delays: int = 2,
        *,
        degree: int = 2,
        waves: int = 0,
        rank: int | None = None,
        noise: float = 1e-5,
        growth: Growth = "stable",
        seed: int = 0,
    ):
        check_option("growth", growth, ["stable", "neutral", "free"])
        if min(delays, degree, rank or 1) < 1 or waves < 0 or not 0 <= noise < 1:
            raise OptionError(
                f"Koopman(delays={delays}, degree={degree}, waves={waves}, rank={rank}, noise="
                f"{noise}). Expected delays, degree and rank of at least 1 (rank may be None), "
                "waves of at least 0, 0 <= noise < 1."
            )
        self.delays, self.degree, self.waves, self.rank = delays, degree, waves, rank
        self.noise, self.growth, self.seed = noise, growth, seed
        self.context = delays

    @property
    def draws(self) -> bool:
        return self.waves > 0

    def unknowns(self, latent: int) -> int:
        return min(self.rank or latent + 1, latent + 1)

    def _fit(self, sequences: list[Array]) -> None:
        rng, k = np.random.default_rng(self.seed), sequences[0].shape[1]
        size = self.delays * k
        shift = rng.uniform(0, 2 * np.pi, (1, self.waves))
        self.frequencies = np.concatenate(
            [rng.normal(size=(size, self.waves)) / np.sqrt(size), shift]
        )
        lifted = [self._lift(_windows(z, self.delays)) for z in sequences]
        self.scales = np.sqrt(np.mean(np.concatenate(lifted) ** 2, axis=0))
        self.scales = np.where(self.scales > 0, self.scales, 1.0)
        lifted = [psi / self.scales for psi in lifted]
        now = np.concatenate([psi[:-1] for psi in lifted])
        after = np.concatenate([psi[1:] for psi in lifted])
        U, s, Vt = np.linalg.svd(now, full_matrices=False)
        r = min(self.rank or len(s), int(np.sum(s > self.noise * s[0])))
        U, s, Vt = U[:, :r], s[:r], Vt[:r]
        K = (U.T @ (after @ Vt.T)) / s[:, None]  # row states: q_{t+1} = q_t K, q = psi V^T
        values, V = np.linalg.eig(K)
        keep = np.abs(values) > GONE
        rates = np.log(values[keep])
        basis = (Vt.T @ V)[:, keep]
        longest = max(map(len, sequences))
        rates, kept = hold_growth(rates, self.growth, longest)
        self.rates, self.basis = rates, np.ascontiguousarray(basis[:, kept])
        self.modes = self._modes(lifted, sequences)

    def _modes(self, lifted: list[Array], sequences: list[Array]) -> Array:
        """M (r, k): least squares over lead times from 0 to half a case."""
        r = len(self.rates)
        G, b = np.zeros((r, r), complex), np.zeros((r, sequences[0].shape[1]), complex)
        for psi, z in zip(lifted, sequences, strict=True):
            phi, z = psi @ self.basis, z[self.delays - 1 :]
            leads = np.unique(np.geomspace(1, max(1, len(z) // 2), LEADS).round().astype(int)) - 1
            for lead in leads:
                ahead = phi[: len(phi) - lead] * np.exp(self.rates * lead)
                G += ahead.conj().T @ ahead
                b += ahead.conj().T @ z[lead:]
        level = np.sqrt(np.maximum(np.diag(G).real, np.finfo(float).tiny))
        return (
            np.linalg.lstsq(G / np.outer(level, level), b / level[:, None], rcond=1e-12)[0]
            / (level[:, None])
        )

    def _lift(self, x: Array) -> Array:
        """psi of windows (..., d k): (..., n)."""
        waves = np.cos(x @ self.frequencies[:-1] + self.frequencies[-1])
        return np.concatenate([Library(x.shape[-1], self.degree)(x), waves], axis=-1)

    def _rollout(self, history: Array, steps: int) -> Array:
        return self._at(history, np.arange(1.0, steps + 1))

    def _at(self, history: Array, times: Array) -> Array:
        """States (B, n, k) at ``times`` (n,), counted in steps from the end of ``history``."""
        x = history[:, ::-1].reshape(len(history), -1)
        phi = (self._lift(x) / self.scales) @ self.basis
        waves = np.exp(np.multiply.outer(times, self.rates))  # (n, r)
        # einsum sums in one order whatever the number of times is; a product of matrices does not
        return np.stack([np.einsum("nr,rk->nk", waves * p, self.modes).real for p in phi])


def _windows(z: Array, d: int) -> Array:
    """Windows of d states, newest first: (T - d + 1, d k)."""
    view = np.lib.stride_tricks.sliding_window_view(z, d, axis=0)[..., ::-1]
    return view.transpose(0, 2, 1).reshape(len(view), -1)
