"""Echo state network: a fixed random recurrent net with a least-squares readout.

    r_{t+1} = (1 - a) r_t + a tanh(sigma W_in [z_t; 1] + rho W r_t)    r (N,), r = 0 at the start
    z_{t+1} = W_out phi(r_{t+1}),   phi(r) = [r^2 or r in turn; 1]
    W_out   = R Phi^T (Phi Phi^T + beta I)^-1                          float64

W is sparse with spectral radius 1. Inputs carry noise while the states for W_out are
collected, which teaches the closed loop to return to the attractor. rho, sigma and beta
decide everything and are searched over a small grid by recycled validation: W_out is
fitted once on all data, then rolled out from many starts inside it; the winner keeps the
error below 0.4 longest, on average, and must stay bounded in a long trial rollout.

|r| <= 1 bounds every forecast. Fails when the latents hide slow state that ``context`` steps
do not reveal.
"""

import itertools
from typing import TYPE_CHECKING, Literal

import numpy as np

from romae.dynamics.base import Dynamics
from romae.errors import MissingDependencyError, OptionError, check_option
from romae.progress import track

if TYPE_CHECKING:
    from scipy.sparse import csr_array

DEGREE = 6  # non-zeros in a row of W
RADII, SCALES = (0.1, 0.4, 0.7, 0.95), (0.1, 0.3, 1.0)
RIDGES = tuple(10.0**p for p in (-10, -8, -6, -4, -2))  # of the mean squared feature
FOLDS, HORIZON, TRIAL = 16, 200, 2000  # starts and steps of validation, steps of the trial
USABLE = 0.4  # error over the standard deviation of the data, at which a forecast ends


class EchoState(Dynamics):
    """Echo state network with hyper-parameters found by recycled validation.

    ``units``: N. ``context``: steps that synchronise the reservoir before a forecast.
    ``radius`` rho, ``input_scale`` sigma, ``ridge`` beta (of the mean squared feature): None
    searches. ``leak``: a. ``noise``: of the inputs in training, in standard deviations.
    ``readout``: "quadratic" squares every second state. ``seed`` fixes reservoir and noise.

    After fit, ``chosen`` holds (rho, sigma, beta) and ``history`` the whole search.

    Source: A. Racca, L. Magri, Robust optimization and validation of echo state networks for
    learning chaotic dynamics, 2021; quadratic readout: J. Pathak et al., Model-free prediction
    of large spatiotemporally chaotic systems from data, 2018. Deviates in searching a grid
    instead of by Bayesian optimisation, and in the trial rollout.
    """

    fitted = ("W_data", "W_indices", "W_in", "W_out", "chosen")
    W_data: np.ndarray  # (N, DEGREE), rho included
    W_indices: np.ndarray  # (N, DEGREE) columns
    W_in: np.ndarray  # (N, k + 1), sigma included
    W_out: np.ndarray  # (N + 1, k)
    chosen: np.ndarray  # (3,)

    def __init__(
        self,
        units: int = 300,
        *,
        context: int = 32,
        radius: float | None = None,
        input_scale: float | None = None,
        ridge: float | None = None,
        leak: float = 1.0,
        noise: float = 1e-3,
        readout: Literal["linear", "quadratic"] = "quadratic",
        seed: int = 0,
    ):
        check_option("readout", readout, ["linear", "quadratic"])
        if units < 1 or context < 1 or not 0 < leak <= 1 or noise < 0:
            raise OptionError(
                f"EchoState(units={units}, context={context}, leak={leak}, noise={noise}). "
                "Expected units and context of at least 1, 0 < leak <= 1, noise of at least 0."
            )
        self.units, self.context, self.leak = units, context, leak
        self.radius, self.input_scale, self.ridge = radius, input_scale, ridge
        self.noise, self.readout, self.seed = noise, readout, seed

    @property
    def minimum(self) -> int:
        return 2 * self.context + 2  # as many steps to learn from as to synchronise

    def _fit(self, sequences: list[np.ndarray]) -> None:
        k, N = sequences[0].shape[1], self.units
        rng = np.random.default_rng(self.seed)
        indices = np.stack([rng.permutation(N)[: min(DEGREE, N)] for _ in range(N)])
        data = rng.uniform(-1, 1, indices.shape)
        data /= _spectral_radius(_sparse(data, indices))
        W_in = rng.uniform(-1, 1, (N, k + 1))
        noisy = [z + self.noise * rng.standard_normal(z.shape) for z in sequences]
        starts, truth = _folds(sequences, self.context)
        radii = RADII if self.radius is None else (self.radius,)
        scales = SCALES if self.input_scale is None else (self.input_scale,)
        ridges = RIDGES if self.ridge is None else (self.ridge,)
        found = []
        self.W_indices = indices.astype(np.int32)
        with track(len(radii) * len(scales), "echo state search") as task:
            for rho, sigma in itertools.product(radii, scales):
                self.W_data, self.W_in = rho * data, sigma * W_in
                readouts = self._readouts(noisy, sequences, ridges)
                for beta, W_out in zip(ridges, readouts, strict=True):
                    self.W_out = W_out
                    score = _score(self._roll(starts, truth.shape[0]), truth)
                    found.append((score, (rho, sigma, beta), W_out))
                task.advance()
        found.sort(key=lambda item: item[0])
        self.history = [
            {"radius": h[0], "input_scale": h[1], "ridge": h[2], "horizon": -s[0], "log_mse": s[1]}
            for s, h, _ in found
        ]
        start = sequences[-1][-self.context :, None]
        for _, (rho, sigma, beta), W_out in [*found, found[0]]:  # the best when none stays
            self.W_data, self.W_in, self.W_out = rho * data, sigma * W_in, W_out
            self.chosen = np.array([rho, sigma, beta])
            if self.span.contains(self._roll(start, TRIAL)).all():
                break

    def _readouts(
        self, noisy: list[np.ndarray], clean: list[np.ndarray], ridges: tuple[float, ...]
    ) -> list[np.ndarray]:
        """W_out for every beta, from one eigendecomposition of Phi Phi^T."""
        F = self.units + 1
        G, R = np.zeros((F, F)), np.zeros((F, clean[0].shape[1]))
        W = _sparse(self.W_data, self.W_indices)
        for inputs, z in zip(noisy, clean, strict=True):
            drive = inputs @ self.W_in[:, :-1].T + self.W_in[:, -1]
            r, states = np.zeros(self.units), np.empty((len(z) - 1, self.units))
            for t in range(len(states)):
                r = (1 - self.leak) * r + self.leak * np.tanh(drive[t] + W @ r)
                states[t] = r
            phi = self._features(states[self.context - 1 :])
            G += phi.T @ phi
            R += phi.T @ z[self.context :]
        values, Q = np.linalg.eigh(G)
        values, level, QR = np.maximum(values, 0), np.trace(G) / F, Q.T @ R
        return [Q @ (QR / (values + beta * level)[:, None]) for beta in ridges]

    def _features(self, r: np.ndarray) -> np.ndarray:
        """phi of states (..., N): (..., N + 1)."""
        phi = np.ones((*r.shape[:-1], self.units + 1))
        phi[..., :-1] = r
        if self.readout == "quadratic":
            phi[..., :-1:2] **= 2
        return phi

    def _roll(self, starts: np.ndarray, steps: int) -> np.ndarray:
        """Closed loops from histories (context, B, k): (steps, B, k)."""
        W = _sparse(self.W_data, self.W_indices)
        W_in, bias = self.W_in[:, :-1].T, self.W_in[:, -1]
        r = np.zeros((starts.shape[1], self.units))
        out = np.empty((steps, *starts.shape[1:]))
        for t in range(len(starts) - 1 + steps):
            z = starts[t] if t < len(starts) else out[t - len(starts)]
            r = (1 - self.leak) * r + self.leak * np.tanh(z @ W_in + bias + (W @ r.T).T)
            if t >= len(starts) - 1:
                out[t - len(starts) + 1] = self._features(r) @ self.W_out
        return out

    def _rollout(self, history: np.ndarray, steps: int) -> np.ndarray:
        return self._roll(history.swapaxes(0, 1), steps).swapaxes(0, 1)


def _sparse(data: np.ndarray, indices: np.ndarray) -> "csr_array":
    try:  # here: reducers work on machines that have torch and numpy and no scipy
        from scipy.sparse import csr_array
    except ImportError as error:
        raise MissingDependencyError(
            "EchoState needs scipy, which is not installed. Type: pip install scipy; or take "
            "romae.DMD or romae.GRU, which do without"
        ) from error
    N, degree = data.shape
    return csr_array((data.ravel(), indices.ravel(), np.arange(N + 1) * degree), shape=(N, N))


def _spectral_radius(W: "csr_array") -> float:
    """Largest |eigenvalue| of W."""
    return float(np.abs(np.linalg.eigvals(W.toarray())).max())


def _folds(sequences: list[np.ndarray], context: int) -> tuple[np.ndarray, np.ndarray]:
    """Histories (context, B, k) and what followed (H, B, k), spread evenly over all data."""
    steps = max(1, min(HORIZON, (max(map(len, sequences)) - context) // 2))
    rows = context + steps
    starts = [(z, i) for z in sequences for i in range(len(z) - rows + 1)]
    pick = np.unique(np.linspace(0, len(starts) - 1, FOLDS).round().astype(int))
    chosen = np.stack([z[i : i + rows] for z, i in (starts[n] for n in pick)], axis=1)
    return chosen[:context], chosen[context:]


def _score(z: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(- mean steps until the error passes USABLE, log10 of the error): smaller is better."""
    mse = np.mean((z - truth) ** 2, axis=2)  # normalised latents: variance 1
    late = np.concatenate([mse > USABLE**2, np.ones((1, mse.shape[1]), dtype=bool)])
    return -float(late.argmax(axis=0).mean()), float(np.log10(mse.mean(axis=0) + 1e-30).mean())
