"""One latent law per case, interpolated over parameters by Gaussian processes.

    dz/dt = theta(z) C_i                      case i of parameters mu_i; theta = [1, z (, z x z)]
    C_0   = argmin mean_i 1/T_i || theta_i C - dz_i/dt ||^2 + lambda_0 || C ||^2
    C_i   = argmin 1/T_i || theta_i C - dz_i/dt ||^2 + lambda || C - C_0 ||^2
    F C_i = F mean + sum_r a_ir P_r           principal components, F: rms of each feature
    a_r   ~ GP(0, s^2 exp(-|| (mu - mu') / l ||^2 / 2) + n^2 [mu = mu'])
    z(t)  : RK4 with the mean of C(mu); members of an ensemble draw C from the posterior

Shrinking towards the law common to all cases, instead of towards zero, leaves what a single
trajectory cannot tell to the others. Coefficients of one law are far from independent: drawn one by
one they give laws that blow up, drawn along their principal components they do not.

(degree, lambda_0, lambda) is chosen by rollouts of each training case under a law interpolated from
the other cases: leave one out, in closed form for a process of fixed length.

The spread of the draws says how well the parameter is covered: it grows between the training cases
and returns to the scatter of all cases far outside, where the mean law is all that is left. It is
scaled so that for training cases, each left out in turn, spread and error agree; errors of the
form of the law are in it by that alone. Fails where cases differ in kind, a steady and a shedding
wake, and where the latents obey no law of this form.
"""

import zlib
from typing import Any, ClassVar, Literal

import numpy as np

from romae.dynamics.base import Dynamics
from romae.dynamics.laws import Library, derivative, parts_of, roll
from romae.dynamics.processes import fit_processes
from romae.dynamics.regression import Array, Trials, first_healthy
from romae.dynamics.shrunk import Spectra, leave_one_out
from romae.errors import DataError, OptionError, check_option

DEGREES = {"linear": 1, "quadratic": 2, "cubic": 3}
COMMON = tuple(10.0**p for p in (-10, -8, -6, -4, -2))  # lambda_0
RIDGES = tuple(10.0**p for p in (-8, -6, -4, -2, 0))  # lambda, and infinity: one law for all
SMALL = 1e-6  # share of the scatter of the laws below which a component is left out
MOST = 12  # components
MOST_FEATURES = 200  # of a law that terms=None tries
LOST = 1e4  # standard deviations from the mean, beyond which a loop of the search is given up
DRAWS = 16  # members of an ensemble in calibration
CASES = 3  # fewer say nothing of a length


class LatentGP(Dynamics):
    """Latent laws of single cases, interpolated over their parameters by Gaussian processes.

    ``terms``: "linear", "quadratic" or "cubic" law. ``ridge``: lambda. None searches. ``seed``:
    of the restarts of the processes' hyper-parameters. Needs ``params`` in fit and forecast, and
    ``pip install 'romae[dynamics]'`` for fit.

    Raises DataError without params or with fewer than three cases.

    Source: C. Bonneville, Y. Choi, D. Ghosh, J. Belof, GPLaSDI: Gaussian process-based
    interpretable latent space dynamics identification through deep autoencoder, 2024. Deviates in
    taking the latents as they are, where GPLaSDI trains the autoencoder along; in shrinking,
    principal components and the scaled spread.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"params"})
    continuous = True
    fitted = (
        *("centres", "middle", "components", "scores", "size"),
        *("lengths", "signal", "noise", "inflation", "chosen", "parts"),
    )
    centres: Array  # (cases, p) normalised parameters
    middle: Array  # (d, k) mean law
    components: Array  # (r, d, k)
    scores: Array  # (cases, r) of variance 1
    size: Array  # (r,) what scores are worth along the components
    lengths: Array  # (r, p)
    signal: Array  # (r,) s^2
    noise: Array  # (r,) n^2
    inflation: Array  # () of the spread of draws
    chosen: Array  # (3,) degree, lambda_0, lambda
    parts: Array  # () substeps of RK4

    def __init__(
        self,
        terms: Literal["linear", "quadratic", "cubic"] | None = None,
        *,
        ridge: float | None = None,
        seed: int = 0,
    ):
        if terms is not None:
            check_option("terms", terms, DEGREES)
        if ridge is not None and ridge < 0:
            raise OptionError(f"LatentGP(ridge={ridge}). Expected at least 0, or None.")
        self.terms, self.ridge, self.seed = terms, ridge, seed

    def unknowns(self, latent: int) -> int:
        return latent + 1

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
        k = sequences[0].shape[1]
        degrees = [DEGREES[self.terms]] if self.terms else list(DEGREES.values())
        degrees = [n for n in degrees if n == degrees[0] or len(Library(k, n)) <= MOST_FEATURES]
        ridges = (*RIDGES, np.inf) if self.ridge is None else (self.ridge,)
        choices = [(n, common, ridge) for n in degrees for common in COMMON for ridge in ridges]
        rates = [derivative(z) for z in sequences]
        systems = {
            n: [(Library(k, n)(z), rate) for z, rate in zip(sequences, rates, strict=True)]
            for n in degrees
        }
        spectra = {n: Spectra.of(systems[n]) for n in degrees}
        found = [spectra[n].laws(common, ridge) for n, common, ridge in choices]
        others = leave_one_out(params)
        # which case each trial belongs to rides along as its parameter
        index = np.arange(len(sequences), dtype=float)[:, None]
        trials = Trials.spread(sequences, 1, index)
        long, steps = trials.some(len(sequences)), trials.steps
        interpolated = [np.tensordot(others, laws, axes=1) for laws in found]
        scores = [trials.score(self._trial(laws, trials, steps)) for laws in interpolated]
        order = sorted(range(len(found)), key=scores.__getitem__)
        edge = float(np.abs(self.span.limits()).max())  # a law that leaves is not healthy
        best = first_healthy(
            order, long, self.span, lambda n: self._trial(interpolated[n], long, long.trial, edge)
        )
        self.chosen, self.centres = np.array(choices[best], dtype=float), params
        self.history = [
            {
                "degree": choices[n][0],
                "ridge_common": choices[n][1],
                "ridge": min(choices[n][2], 1e300),  # JSON has no infinity
                "horizon": -scores[n][0],
                "log_mse": scores[n][1],
            }
            for n in order
        ]
        features = np.concatenate([D for D, _ in systems[choices[best][0]]])
        level = np.sqrt(np.mean(features**2, axis=0)) + 1e-12
        self._decompose(found[best], level)
        self.signal, self.lengths, self.noise = fit_processes(params, self.scores, self.seed)
        self.inflation = np.array(self._calibrate(trials))

    def _trial(self, laws: Array, trials: Trials, steps: int, limit: float = LOST) -> Array:
        assert trials.params is not None
        each = laws[trials.params[:, 0].astype(int)]
        with np.errstate(over="ignore", invalid="ignore"):
            return self._roll(each, trials.history[:, -1], steps, limit=limit)

    def _decompose(self, laws: Array, level: Array) -> None:
        """Principal components of laws (cases, d, k), features weighted by ``level`` (d,)."""
        cases, d, k = laws.shape
        self.middle = laws.mean(axis=0)
        weighted = ((laws - self.middle) * level[:, None]).reshape(cases, -1)
        U, s, Vt = np.linalg.svd(weighted, full_matrices=False)
        floor = max(SMALL * s[0], 1e-9 * float(np.linalg.norm(self.middle * level[:, None])))
        r = min(int(np.sum(s > floor)), MOST, cases - 1)
        self.components = Vt[:r].reshape(r, d, k) / level[:, None]
        self.scores, self.size = U[:, :r] * np.sqrt(cases), s[:r] / np.sqrt(cases)

    def _calibrate(self, trials: Trials) -> float:
        """Error over spread of ensembles of each case, its law left out of the processes."""
        assert trials.params is not None
        if not len(self.size):  # one law for all cases
            return 1.0
        case = trials.params[:, 0].astype(int)
        mean, spread = np.empty_like(self.scores), np.empty_like(self.scores)
        for i in range(len(self.size)):
            K = self._kernel(i, self.centres) + self.noise[i] * np.eye(len(self.centres))
            inverse = np.linalg.inv(K)
            mean[:, i] = self.scores[:, i] - inverse @ self.scores[:, i] / np.diag(inverse)
            spread[:, i] = np.diag(inverse) ** -0.5
        rng = np.random.default_rng(self.seed)
        scores = mean + spread * rng.standard_normal((DRAWS, *mean.shape))
        laws = self.laws(scores[:, case].reshape(-1, len(self.size)))
        start = np.concatenate([trials.history[:, -1]] * DRAWS)
        with np.errstate(over="ignore", invalid="ignore"):
            z = self._roll(laws, start, trials.steps).reshape(DRAWS, *trials.truth.shape)
            error = np.mean((z.mean(axis=0) - trials.truth) ** 2, axis=(1, 2))
            ratio = np.sqrt(error / z.var(axis=0, ddof=1).mean(axis=(1, 2)))
        ratio = ratio[np.isfinite(ratio)]
        return float(np.clip(np.median(ratio), 1.0, 10.0)) if ratio.size else 1.0

    def posterior(self, params: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the scores (B, r) at normalised ``params`` (B, p)."""
        mean = np.empty((len(params), len(self.size)))
        variance = np.empty_like(mean)
        for i in range(len(self.size)):
            K = self._kernel(i, self.centres) + self.noise[i] * np.eye(len(self.centres))
            near = self._kernel(i, params)
            mean[:, i] = near @ np.linalg.solve(K, self.scores[:, i])
            known = np.einsum("bc,cb->b", near, np.linalg.solve(K, near.T))
            variance[:, i] = np.maximum(self.signal[i] + self.noise[i] - known, 0.0)
        return mean, float(self.inflation) * np.sqrt(variance)

    def laws(self, scores: Array) -> Array:
        """Laws (..., d, k) of scores (..., r)."""
        return self.middle + np.tensordot(scores * self.size, self.components, axes=1)

    def _kernel(self, i: int, params: Array) -> Array:
        apart = (params[:, None] - self.centres) / self.lengths[i]
        return np.asarray(self.signal[i] * np.exp(-0.5 * np.sum(apart**2, axis=-1)))

    def _roll(
        self,
        laws: Array,
        z: Array,
        steps: int,
        span: Array | None = None,
        limit: float = np.inf,
    ) -> Array:
        """Rollouts (B, steps, k) from states (B, k) under a law (B, d, k) for each."""
        _, d, k = laws.shape
        degree = next(n for n in DEGREES.values() if len(Library(k, n)) == d)
        parts = int(self.parts)
        return roll(Library(k, degree), laws, z, steps, parts=parts, span=span, limit=limit)

    def _rollout(self, history: Array, steps: int, *, params: Array | None = None) -> Array:
        assert params is not None
        mean, _ = self.posterior(params)
        return self._roll(self.laws(mean), history[:, -1], steps)

    def _at(self, history: Array, times: Array, *, params: Array | None = None) -> Array:
        assert params is not None
        return self._by(self.laws(self.posterior(params)[0]), history, times)

    def _by(self, laws: Array, history: Array, times: Array) -> Array:
        """States (B, n, k) at ``times`` under a law (B, d, k) for each."""
        whole = np.floor(times).astype(int)
        z = np.concatenate([history[:, -1:], self._roll(laws, history[:, -1], whole[-1])], axis=1)
        found, off = z[:, whole], np.flatnonzero(times > whole)
        share = np.tile((times - whole)[off], len(z))
        part = self._roll(laws.repeat(len(off), 0), found[:, off].reshape(-1, z.shape[2]), 1, share)
        found[:, off] = part.reshape(len(z), len(off), -1)
        return found

    def _members(
        self,
        starts: Array,
        steps: int,
        at: Array | None = None,
        *,
        params: Array | None = None,
        **known: Any,
    ) -> Array:
        """Each member (N, B, context, k) has a law of its own, drawn from the posterior."""
        assert params is not None
        mean, spread = self.posterior(params)
        # other starts, other laws: the seed of the ensemble is in the starts
        rng = np.random.default_rng([self.seed, zlib.crc32(starts.tobytes())])
        drawn = mean + spread * rng.standard_normal((len(starts), *mean.shape))
        flat = starts.reshape(-1, *starts.shape[2:])
        laws = self.laws(drawn.reshape(len(flat), len(self.size)))
        rolled = self._roll(laws, flat[:, -1], steps) if at is None else self._by(laws, flat, at)
        return rolled.reshape(*starts.shape[:2], *rolled.shape[1:])
