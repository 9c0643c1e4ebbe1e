"""SINDy: a sparse law of the latents, short enough to be read.

    theta(w) = [1, w_i, w_i w_j, ..]  [, sin(m w_i), cos(m w_i)]     the library
    dw/dt = theta(w) X     or     w_{n+1} - w_n = theta(w_n) X
    X: least squares, then in turn every |X_ij| below the threshold is set to zero and the
       others are fitted again (STLSQ), until nothing changes

The threshold decides how many terms stay. Each of a series is tried and its law rolled out
from starts in the training data; of those that are about as good as the best and stay bounded in a
long rollout, the one with fewest terms is taken. The regression is pysindy's, repeated in the
search by :mod:`romae.dynamics.thresholded`; rollouts evaluate
the library for all starts at once, which its own simulation does not.

w = (z - origin) / scale. With origin "mean" the law is that of deviations from the mean, and the
same wherever the latents lie. Sparsity depends on where zero is: a law known to be sparse in the
latents themselves, as that of Lorenz, takes origin "zero".

Works when the latents are few (up to about 6), smooth in time and the law is sparse in them;
latents of a network rarely are, and the library grows as k^degree.
"""

from typing import Literal

import numpy as np

from romae.dynamics.base import Dynamics
from romae.dynamics.between import between
from romae.dynamics.laws import Library, derivative, parts_of, roll
from romae.dynamics.regression import Array, TimeForm, Trials, first_healthy
from romae.dynamics.thresholded import RIDGES, folded, pysindy, search, stlsq
from romae.errors import DataError, OptionError, check_option

THRESHOLDS = (0.0, 1e-3, 3e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)  # rates scaled to variance 1
LOST = 1e4  # standard deviations from the mean, beyond which a loop of the search is given up
AS_GOOD = (0.95, 0.3)  # share of the best horizon, and decades above the best error


class SINDy(Dynamics):
    """Sparse identification of the latents' law.

    ``degree``: of the polynomials. ``frequencies``: M adds sin(m w), cos(m w), m = 1 .. M, of each
    scaled latent. ``threshold``: smallest coefficient that stays, of rates scaled to variance
    one; None searches. ``time``: "continuous" learns the rate, "discrete" the change in a step.
    ``origin``: where w is zero, "mean" or "zero".

    After fit, :meth:`equations` prints the law, ``coefficients`` holds X and ``history`` the
    search. Needs ``pip install 'romae[dynamics]'`` for fit, and nothing to forecast. Raises
    DataError when every term falls below the threshold.

    Source: S. Brunton, J. Proctor, J. N. Kutz, Discovering governing equations from data by
    sparse identification of nonlinear dynamical systems, 2016; A. Kaptanoglu et al., PySINDy, 2022.
    Deviates in the choice of the threshold by rollouts.
    """

    fitted = ("coefficients", "chosen", "parts")
    coefficients: Array  # (d, k), dw/dt per step of the data
    chosen: Array  # () threshold
    parts: Array  # () substeps of RK4, 0 when discrete

    def __init__(
        self,
        degree: int = 3,
        *,
        frequencies: int = 0,
        threshold: float | None = None,
        time: TimeForm = "continuous",
        origin: Literal["mean", "zero"] = "mean",
    ):
        check_option("time", time, ["discrete", "continuous"])
        check_option("origin", origin, ["mean", "zero"])
        if degree < 1 or frequencies < 0 or (threshold or 0.0) < 0:
            raise OptionError(
                f"SINDy(degree={degree}, frequencies={frequencies}, threshold={threshold}). "
                "Expected a degree of at least 1, frequencies and threshold of at least 0."
            )
        self.degree, self.frequencies, self.threshold = degree, frequencies, threshold
        self.time, self.origin = time, origin
        self.continuous = time == "continuous"

    @property
    def _shift(self) -> Array:
        """w - zn of normalised latents zn = (z - mean) / scale, (k,)."""
        moved = self.span.mean / self.span.scale
        return moved if self.origin == "zero" else np.zeros_like(moved)

    def unknowns(self, latent: int) -> int:
        return latent + 1

    def _fit(self, sequences: list[Array]) -> None:
        continuous = self.time == "continuous"
        self.parts = np.array(parts_of(sequences) if continuous else 0)
        w = [z + self._shift for z in sequences]
        theta = [self._library(z if continuous else z[:-1]) for z in w]
        right = [derivative(z) if continuous else np.diff(z, axis=0) for z in sequences]
        D, R = np.concatenate(theta), np.concatenate(right)
        thresholds = THRESHOLDS if self.threshold is None else (self.threshold,)
        tried = [(t, ridge) for ridge in RIDGES for t in thresholds]
        pysindy()  # missing, it is missed before the search
        D, R = folded(D, R)
        laws = search(D, R, tried)
        if not laws:
            raise DataError(
                f"SINDy: every one of {D.shape[1]} terms falls below the threshold "
                f"{thresholds[0]:g} in some latent. Expected at least one that stays; take a "
                "smaller threshold, or None, which searches."
            )
        labels, found = [t for t, _, _ in laws], [X for _, _, X in laws]
        trials = Trials.spread(sequences)
        steps = trials.steps
        start = trials.history[:, -1]
        scores = [trials.score(self._roll(X, start, steps, limit=LOST)) for X in found]
        terms = [int(np.count_nonzero(X)) for X in found]
        order = sorted(range(len(found)), key=scores.__getitem__)
        horizon, error = scores[order[0]]
        close = [
            n
            for n in order
            if scores[n][0] <= AS_GOOD[0] * horizon and scores[n][1] <= error + AS_GOOD[1]
        ]
        close.sort(key=terms.__getitem__)
        long = trials.some()
        edge = float(np.abs(self.span.limits()).max())  # a law that leaves is not healthy
        best = first_healthy(
            [*close, *(n for n in order if n not in close)],
            long,
            self.span,
            lambda n: self._roll(found[n], long.history[:, -1], long.trial, limit=edge),
        )
        law = stlsq(D, R, *laws[best][:2])
        # where rounding decides on a term, the law that was judged stays
        same = law is not None and np.array_equal(law != 0, found[best] != 0)
        self.coefficients = law if same and law is not None else found[best]
        self.chosen = np.array(labels[best])
        self.history = [
            {
                "threshold": labels[n],
                "terms": terms[n],
                "horizon": -scores[n][0],
                "log_mse": scores[n][1],
            }
            for n in order
        ]

    def features(self, latent: int) -> int:
        """Functions in the library of so many latents: a fit costs their number cubed."""
        return len(Library(latent, self.degree, self.frequencies))

    @property
    def _library(self) -> Library:
        return Library(self.latent, self.degree, self.frequencies)

    def _roll(
        self, X: Array, z: Array, steps: int, span: Array | None = None, limit: float = np.inf
    ) -> Array:
        """Rollouts (B, steps, k) of a law (d, k) from normalised states (B, k)."""
        if self.time == "discrete":
            X = X.copy()
            X[1 : 1 + self.latent] += np.eye(self.latent)
        with np.errstate(over="ignore", invalid="ignore"):
            far = limit + float(np.abs(self._shift).max())
            w = roll(
                self._library,
                X,
                z + self._shift,
                steps,
                parts=int(self.parts),
                span=span,
                limit=far,
            )
        return w - self._shift

    def _rollout(self, history: Array, steps: int) -> Array:
        return self._roll(self.coefficients, history[:, -1], steps)

    def _at(self, history: Array, times: Array) -> Array:
        return between(
            self, history, times, lambda z, share: self._roll(self.coefficients, z, 1, share)
        )

    def equations(self, digits: int = 4) -> list[str]:
        """The law, one line a latent, in the units of latents and time axis.

        ``z0' = ...`` is the rate per unit of the axis (per second for dates), ``z0+ = ...`` the
        next state. With origin "mean", z0 stands for the deviation from the mean, which is said
        first. Sines keep their argument scaled, ``sin(2 z0/3.1)``.
        """
        self._check_fitted()
        k, scale = self.latent, self.span.scale
        lines = []
        if self.origin == "mean":
            lines = [f"z{i} counts from {m:.{digits}g}" for i, m in enumerate(self.span.mean)]
        names, sizes = self._terms(digits)
        unit = scale / (self._seconds if self.time == "continuous" else 1.0)
        X = self.coefficients * unit / sizes[:, None]
        for i in range(k):
            law = [
                f"{X[n, i]:.{digits}g}" + f" {name}" * bool(name)
                for n, name in enumerate(names)
                if X[n, i]
            ]
            sign = "'" if self.time == "continuous" else "+"
            start = [] if self.time == "continuous" else [f"z{i}"]
            text = " + ".join([*start, *law]).replace("+ -", "- ") or "0"
            lines.append(f"z{i}{sign} = {text}")
        return lines

    @property
    def _seconds(self) -> float:
        return self.dt.size if self.dt.kind == "number" else self.dt.size / 1e9

    def _terms(self, digits: int) -> tuple[list[str], Array]:
        """Names of the features in the latents' units, and what each has to be divided by."""
        k, scale = self.latent, self.span.scale
        names, sizes = [], []
        for factors in self._library.factors:
            powers = {f"z{i}": factors.count(i) for i in factors}
            names.append(" ".join(n if p == 1 else f"{n}^{p}" for n, p in powers.items()))
            sizes.append(float(np.prod(scale[list(factors)])))
        for m in range(1, self.frequencies + 1):
            for f in ("sin", "cos"):
                many = "" if m == 1 else f"{m} "
                names += [f"{f}({many}z{i}/{scale[i]:.{digits}g})" for i in range(k)]
                sizes += [1.0] * k
        return names, np.array(sizes)
