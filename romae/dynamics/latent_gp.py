"""One latent law per case, its coefficients interpolated over parameters by Gaussian processes.

    dz/dt = theta(z) C_i                      case i of parameters mu_i; theta = [1, z (, z x z)]
    C_0   = least squares over all cases
    C_i   = argmin 1/T_i || theta C - dz/dt ||^2 + lambda || C - C_0 ||^2
    c(mu) ~ GP(mean of c_i, s^2 exp(-|| (mu - mu') / l ||^2 / 2) + n^2 [mu = mu'])   each c of C
    z(t)  : RK4 with C = E c(mu); members of an ensemble draw C from the posterior

Shrinking towards the law common to all cases, instead of towards zero, leaves what a single
trajectory cannot tell to the others, and so coefficients that are smooth over mu. lambda is the one
whose rollouts of the training cases are best and bounded.

The spread of the draws says how well the parameter is covered: it grows between the training cases
and returns to the scatter of all cases far outside, where the mean law is all that is left. It does
not know of errors of the law itself. Fails where cases differ in kind, a steady and a shedding
wake, and where the latents obey no law of this form.
"""

import warnings
import zlib
from typing import Any, ClassVar, Literal

import numpy as np

from romae.dynamics.base import Dynamics
from romae.dynamics.laws import Library, derivative, parts_of, roll
from romae.dynamics.regression import Array, Trials, first_healthy
from romae.errors import DataError, MissingDependencyError, OptionError, check_option

DEGREES = {"linear": 1, "quadratic": 2, "cubic": 3}
RIDGES = tuple(10.0**p for p in (-10, -8, -6, -4, -3, -2, -1))
LENGTHS = (0.1, 10.0)  # bounds of l, in standard deviations of the parameters
NOISES = (1e-8, 0.5)  # bounds of n^2, of the variance over cases
CASES = 3  # fewer say nothing of a length


class LatentGP(Dynamics):
    """Latent laws of single cases, interpolated over their parameters by Gaussian processes.

    ``terms``: "linear", "quadratic" or "cubic" law. ``ridge``: lambda; None searches. ``seed``:
    of the restarts of the processes' hyper-parameters. Needs ``params`` in fit and forecast, and
    ``pip install 'romae[dynamics]'`` for fit.

    Raises DataError without params or with fewer than three cases.

    Source: C. Bonneville, Y. Choi, D. Ghosh, J. Belof, GPLaSDI: Gaussian process-based
    interpretable latent space dynamics identification through deep autoencoder, 2024. Deviates in
    taking the latents as they are, where GPLaSDI trains the autoencoder along, and in shrinking.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"params"})
    fitted = ("centres", "laws", "middle", "size", "lengths", "signal", "noise", "chosen", "parts")
    centres: Array  # (cases, p) normalised parameters
    laws: Array  # (cases, d, k)
    middle: Array  # (d k,) mean of the coefficients over cases
    size: Array  # (d k,) their standard deviation
    lengths: Array  # (d k, p)
    signal: Array  # (d k,) s^2, of normalised coefficients
    noise: Array  # (d k,) n^2
    chosen: Array  # () lambda
    parts: Array  # () substeps of RK4

    def __init__(
        self,
        terms: Literal["linear", "quadratic", "cubic"] = "linear",
        *,
        ridge: float | None = None,
        seed: int = 0,
    ):
        check_option("terms", terms, DEGREES)
        if ridge is not None and ridge < 0:
            raise OptionError(f"LatentGP(ridge={ridge}). Expected at least 0, or None.")
        self.terms, self.ridge, self.seed = terms, ridge, seed

    def _fit(self, sequences: list[Array], *, params: Array | None = None) -> None:
        if params is None:
            raise DataError(
                "LatentGP interpolates over parameters and got none. Expected one row of numbers "
                "for every case: fit(latents, params=...); without parameters take "
                "romae.OperatorInference."
            )
        if len(np.unique(params, axis=0)) < CASES:
            raise DataError(
                f"LatentGP got {len(np.unique(params, axis=0))} different parameters in "
                f"{len(params)} cases. Expected at least {CASES}; give more cases, or take "
                "romae.OperatorInference."
            )
        self.parts = np.array(parts_of(sequences))
        systems = [(self._library(z), derivative(z)) for z in sequences]
        ridges = RIDGES if self.ridge is None else (self.ridge,)
        found = [_laws(systems, ridge) for ridge in ridges]
        # which case each trial belongs to rides along as its parameter
        index = np.arange(len(sequences), dtype=float)[:, None]
        trials, long = (t := Trials.spread(sequences, 1, index)), t.some(len(sequences))
        steps = trials.truth.shape[1]
        scores = [trials.score(self._trial(laws, trials, steps)) for laws in found]
        order = sorted(range(len(ridges)), key=scores.__getitem__)
        best = first_healthy(
            order, long, self.span, lambda n: self._trial(found[n], long, long.trial)
        )
        self.chosen, self.laws, self.centres = np.array(ridges[best]), found[best], params
        self.history = [
            {"ridge": ridges[n], "horizon": -scores[n][0], "log_mse": scores[n][1]} for n in order
        ]
        self._learn(self.laws.reshape(len(params), -1))

    def _trial(self, laws: Array, trials: Trials, steps: int) -> Array:
        assert trials.params is not None
        each = laws[trials.params[:, 0].astype(int)]
        with np.errstate(over="ignore", invalid="ignore"):
            return self._roll(each, trials.starts[:, -1], steps)

    def _learn(self, coefficients: Array) -> None:
        """Hyper-parameters of one process for each of the coefficients (cases, n)."""
        GP, kernels = _sklearn()
        self.middle = coefficients.mean(axis=0)
        spread = coefficients.std(axis=0)
        varies = spread > 1e-12 * np.maximum(np.abs(self.middle), 1e-6)
        self.size = np.where(varies, spread, 0.0)
        n, p = coefficients.shape[1], self.centres.shape[1]
        self.lengths, self.signal, self.noise = np.ones((n, p)), np.ones(n), np.full(n, NOISES[0])
        for i in np.flatnonzero(varies):
            kernel = kernels.ConstantKernel(1.0, (0.05, 100.0)) * kernels.RBF(
                np.ones(p), LENGTHS
            ) + kernels.WhiteKernel(1e-3, NOISES)
            gp = GP(kernel, alpha=0.0, n_restarts_optimizer=2, random_state=self.seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that a bound is reached is no failure
                gp.fit(self.centres, (coefficients[:, i] - self.middle[i]) / self.size[i])
            theta = np.exp(gp.kernel_.theta)
            self.signal[i], self.lengths[i], self.noise[i] = theta[0], theta[1:-1], theta[-1]

    def posterior(self, params: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the law (B, d, k) at normalised ``params`` (B, p)."""
        cases, d, k = self.laws.shape
        mean, variance = np.empty((len(params), d * k)), np.zeros((len(params), d * k))
        known = self.laws.reshape(cases, -1)
        for i in range(d * k):
            if not self.size[i]:
                mean[:, i] = self.middle[i]
                continue
            y = (known[:, i] - self.middle[i]) / self.size[i]
            K = self._kernel(i, self.centres) + self.noise[i] * np.eye(cases)
            near = self._kernel(i, params)
            both = np.linalg.solve(K, np.concatenate([y[:, None], near.T], axis=1))
            mean[:, i] = self.middle[i] + self.size[i] * near @ both[:, 0]
            left = self.signal[i] + self.noise[i] - np.einsum("bc,cb->b", near, both[:, 1:])
            variance[:, i] = self.size[i] ** 2 * np.maximum(left, 0.0)
        shape = (len(params), d, k)
        return mean.reshape(shape), np.sqrt(variance).reshape(shape)

    def _kernel(self, i: int, params: Array) -> Array:
        apart = (params[:, None] - self.centres) / self.lengths[i]
        return np.asarray(self.signal[i] * np.exp(-0.5 * np.sum(apart**2, axis=-1)))

    @property
    def _library(self) -> Library:
        return Library(self.latent, DEGREES[self.terms])

    def _roll(self, laws: Array, z: Array, steps: int) -> Array:
        """Rollouts (B, steps, k) from states (B, k) under a law (B, d, k) for each."""
        return roll(self._library, laws, z, steps, parts=int(self.parts))

    def _rollout(self, history: Array, steps: int, *, params: Array | None = None) -> Array:
        assert params is not None
        laws, _ = self.posterior(params)
        return self._roll(laws, history[:, -1], steps)

    def _members(
        self, starts: Array, steps: int, *, params: Array | None = None, **known: Any
    ) -> Array:
        """Each member (N, B, context, k) has a law of its own, drawn from the posterior."""
        assert params is not None
        mean, spread = self.posterior(params)
        # other starts, other laws: the seed of the ensemble is in the starts
        rng = np.random.default_rng([self.seed, zlib.crc32(starts.tobytes())])
        laws = mean + spread * rng.standard_normal((len(starts), *mean.shape))
        z = starts[:, :, -1].reshape(-1, starts.shape[-1])
        rolled = self._roll(laws.reshape(-1, *mean.shape[1:]), z, steps)
        return rolled.reshape(*starts.shape[:2], steps, -1)


def _laws(systems: list[tuple[Array, Array]], ridge: float) -> Array:
    """C_i (cases, d, k): each shrunk towards the law of all cases."""
    G = [D.T @ D / len(D) for D, _ in systems]
    b = [D.T @ R / len(D) for D, R in systems]
    eye = np.eye(len(G[0]))
    common = np.linalg.lstsq(np.mean(G, axis=0), np.mean(b, axis=0), rcond=1e-12)[0]
    return np.stack(
        [
            common + np.linalg.lstsq(g + ridge * eye, r - g @ common, rcond=1e-14)[0]
            for g, r in zip(G, b, strict=True)
        ]
    )


def _sklearn() -> tuple[Any, Any]:
    try:
        from sklearn.gaussian_process import GaussianProcessRegressor, kernels
    except ImportError as error:
        raise MissingDependencyError(
            "LatentGP needs scikit-learn, which is not installed. Type: pip install "
            "'romae[dynamics]'; or take romae.OperatorInference, which takes parameters too"
        ) from error
    return GaussianProcessRegressor, kernels
