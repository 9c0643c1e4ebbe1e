"""Dynamic mode decomposition: the best linear one-step map of the delayed latents.

    x_t = [z_t; 1]                           the 1 gives the fixed point its place
    y_t = (x_t, .., x_{t+d-1})               a window of d delays, oldest first
    min_A  sum_t || y_{t+1} - A y_t ||^2     over all windows of all cases
    Y = U S V^T,   A~ = U_r^T Y' V_r S_r^-1  truncated to rank r
    A~ w = lambda w                          lambda / max(1, |lambda|): stable
    x_n = sum_j phi_j lambda_j^n b_j         forecast; b by least squares on the last d states

An eigenvector of A in delayed coordinates repeats itself, (phi, lambda phi, ..,
lambda^{d-1} phi); phi is the projection of U w on that form. Forecasts by (phi, lambda)
instead of powers of A keep the delays consistent after lambda has been moved to the unit
circle, and n steps are one matrix product.

A limit cycle in k = 2 latents that is an ellipse needs d = 1; one with m harmonics needs
d k >= 2 m. DMD fails on chaos: it decays or oscillates.
"""

import numpy as np

from romae.dynamics.base import Dynamics
from romae.errors import OptionError

NOISE_FLOOR = 1e-6  # of the largest singular value; about float32 rounding


class DMD(Dynamics):
    """Dynamic mode decomposition with delays, stable by projection.

    ``delays``: states in a window, d; also the context. ``rank``: r, at most d k + 1, the
    constant included; None keeps every direction above the rounding of float32.

    n steps equal n times one step once forecasts fill the window (n >= d), and always
    when d = 1.

    Source: P. J. Schmid, Dynamic mode decomposition of numerical and experimental data,
    2010; J. H. Tu et al., On dynamic mode decomposition: theory and applications, 2014.
    Deviates in the constant, without which the result would depend on the mean that is
    removed; in the projection of growing eigenvalues to the unit circle; and in the least
    squares for the amplitudes over the whole window, which averages noise.
    """

    fitted = ("modes", "eigenvalues")
    modes: np.ndarray  # (k + 1, r) complex, phi
    eigenvalues: np.ndarray  # (r,) complex, in the closed unit disk

    def __init__(self, delays: int = 1, *, rank: int | None = None):
        if delays < 1 or (rank is not None and rank < 1):
            raise OptionError(
                f"DMD(delays={delays}, rank={rank}). Expected delays of at least 1, and a rank of "
                "at least 1 or None."
            )
        self.delays, self.rank = delays, rank
        self.context = delays

    def _fit(self, sequences: list[np.ndarray]) -> None:
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
        self.modes = modes / np.maximum(np.linalg.norm(modes, axis=0), np.finfo(float).tiny)
        self.eigenvalues = values / np.maximum(1.0, np.abs(values))

    def _rollout(self, history: np.ndarray, steps: int) -> np.ndarray:
        x, d = _with_one(history), self.delays
        past = self.eigenvalues ** np.arange(d)[:, None]
        V = np.einsum("dr,kr->dkr", past, self.modes).reshape(x.size, -1)
        b = np.linalg.lstsq(V, x.reshape(-1).astype(complex), rcond=None)[0]
        ahead = self.eigenvalues ** np.arange(d, d + steps)[:, None]
        return ((ahead * b) @ self.modes[:-1].T).real


def _with_one(z: np.ndarray) -> np.ndarray:
    return np.concatenate([z, np.ones((len(z), 1))], axis=1)


def _windows(x: np.ndarray, d: int) -> np.ndarray:
    """Windows of d states, oldest first: (T - d + 1, d (k + 1))."""
    view = np.lib.stride_tricks.sliding_window_view(x, d, axis=0)  # (T - d + 1, k + 1, d)
    return view.transpose(0, 2, 1).reshape(len(view), -1)
