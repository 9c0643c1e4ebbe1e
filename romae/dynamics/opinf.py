"""Operator inference: a polynomial law of the latents by regularised least squares.

    f(z, u; mu) = sum_p theta_p(mu) (c_p + A_p z + H_p (z x z) [+ G_p (z x z x z)]) + B u
    theta(mu)   = (1, mu_1, .., mu_p)             affine in the parameters, where given
    z_{n+1} = f(z_n, u_n)     or     dz/dt = f(z, u)
    min_O  1/T || D O - R ||^2 + lambda_1 || c, A, B ||^2 + lambda_2 || H, G ||^2

The rows of D are the features of each state, those of R the next state or the derivative (order 6);
products z_i z_j occur once (i <= j). This is the form that Galerkin projection of an equation with
quadratic nonlinearity on POD modes has, learned without the solver.

(lambda_1, lambda_2) decide whether a rollout blows up. Every pair of a grid is rolled out from
starts in the training data; the best is the first, in the order of those errors, that also stays
bounded in a long rollout. Costs d^3 a pair with d features: 45 for k = 8 quadratic, 861 for 40.

Fails where the law is no polynomial of the latents (latents of an autoencoder need not have one),
and where too few snapshots excite the products.
"""

from typing import Any, ClassVar, Literal

import numpy as np

from romae.dynamics.base import Dynamics
from romae.dynamics.between import between
from romae.dynamics.laws import Library, derivative, parts_of, roll
from romae.dynamics.regression import Array, TimeForm, Trials, first_healthy
from romae.errors import DataError, OptionError, check_option

DEGREES = {"linear": 1, "quadratic": 2, "cubic": 3}
GRID_1 = tuple(10.0**p for p in (-12, -9, -7, -5, -3, -1))
GRID_2 = tuple(10.0**p for p in (-12, -9, -7, -5, -3, -1, 1))
SINGULAR = 1e-13  # of the largest singular value of D


class OperatorInference(Dynamics):
    """Polynomial operators by regression, regularised until rollouts stay bounded.

    ``terms``: "linear", "quadratic" or "cubic". ``time``: "discrete" learns the map of one
    step, whatever dt is; "continuous" learns the rate and needs a dt that resolves the motion.
    ``ridge``: lambda_1; ``ridge_products``: lambda_2, both of normalised latents; None searches,
    0 is plain least squares. Takes ``params`` (affine) and ``inputs``.

    After fit, ``operators`` holds O, ``chosen`` (lambda_1, lambda_2) and ``history`` the search.
    Raises DataError for a singular regression without regularisation.

    Source: B. Peherstorfer, K. Willcox, Data-driven operator inference for nonintrusive
    projection-based model reduction, 2016; S. McQuarrie, C. Huang, K. Willcox, Data-driven
    reduced-order models via regularised operator inference for a single-injector combustion
    process, 2021. Deviates in rolling out from many starts instead of the first state alone, which
    lets chaotic data be scored, and in the discrete form as default.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"params", "inputs"})
    fitted = ("operators", "chosen", "parts")
    operators: Array  # (d, k)
    chosen: Array  # (2,)
    parts: Array  # () substeps of RK4, 0 when discrete

    def __init__(
        self,
        terms: Literal["linear", "quadratic", "cubic"] = "quadratic",
        *,
        time: TimeForm = "discrete",
        ridge: float | None = None,
        ridge_products: float | None = None,
    ):
        check_option("terms", terms, DEGREES)
        check_option("time", time, ["discrete", "continuous"])
        if min(ridge or 0.0, ridge_products or 0.0) < 0:
            raise OptionError(
                f"OperatorInference(ridge={ridge}, ridge_products={ridge_products}). Expected "
                "numbers of at least 0, or None, which searches."
            )
        self.terms, self.time = terms, time
        self.continuous = time == "continuous"
        self.ridge, self.ridge_products = ridge, ridge_products

    def unknowns(self, latent: int) -> int:
        return latent + 1

    def _fit(
        self,
        sequences: list[Array],
        *,
        params: Array | None = None,
        inputs: list[Array] | None = None,
    ) -> None:
        continuous = self.time == "continuous"
        self.parts = np.array(parts_of(sequences) if continuous else 0)
        rows, right = [], []
        for c, z in enumerate(sequences):
            theta = self._features(
                z, None if params is None else params[c], None if inputs is None else inputs[c]
            )
            rows.append(theta if continuous else theta[:-1])
            right.append(derivative(z) if continuous else z[1:])
        D, R = np.concatenate(rows), np.concatenate(right)
        pairs, candidates = self._candidates(D, R, params)
        trials = Trials.spread(sequences, 1, params, inputs)
        scores = [trials.score(self._trial(o, trials, trials.steps)) for o in candidates]
        order = sorted(range(len(pairs)), key=scores.__getitem__)
        long = trials.some()
        best = first_healthy(
            order, long, self.span, lambda n: self._trial(candidates[n], long, long.trial)
        )
        self.operators, self.chosen = candidates[best], np.array(pairs[best])
        self.history = [
            {
                "ridge": pairs[n][0],
                "ridge_products": pairs[n][1],
                "horizon": -scores[n][0],
                "log_mse": scores[n][1],
            }
            for n in order
        ]

    def _candidates(
        self, D: Array, R: Array, params: Array | None
    ) -> tuple[list[tuple[float, float]], list[Array]]:
        """Pairs (lambda_1, lambda_2) and their operators (d, k)."""
        T, d = D.shape
        k = R.shape[1]
        s = np.linalg.svd(D, compute_uv=False)
        regular = d <= T and bool(s[-1] > SINGULAR * s[0])
        ones = (0.0, *GRID_1) if self.ridge is None else (self.ridge,)
        twos = (0.0, *GRID_2) if self.ridge_products is None else (self.ridge_products,)
        degree = DEGREES[self.terms]
        if degree == 1:
            twos = (0.0,)
        n = len(Library(k, degree))
        product = np.zeros(d, dtype=bool)
        for p in range(1 if params is None else 1 + params.shape[1]):
            product[p * n + 1 + k : (p + 1) * n] = True
        G, DR = D.T @ D / T, D.T @ R / T
        pairs, found = [], []
        for one in ones:
            for two in twos:
                diagonal = np.where(product, two, one)
                if diagonal.all():
                    found.append(np.linalg.solve(G + np.diag(diagonal), DR))
                elif not diagonal.any():
                    if not regular:
                        continue
                    found.append(np.linalg.lstsq(D, R, rcond=None)[0])
                elif degree > 1 and (one == 0) != (two == 0) and self._searches:
                    continue  # the grid holds regularised pairs close to these
                else:
                    weights = np.diag(np.sqrt(T * diagonal))
                    system = np.concatenate([D, weights])
                    found.append(
                        np.linalg.lstsq(system, np.pad(R, ((0, d), (0, 0))), rcond=None)[0]
                    )
                pairs.append((one, two))
        if not found:
            raise DataError(
                f"operator inference: {T} snapshots give a singular regression for {d} features "
                f"(smallest singular value {s[-1]:.2g}, largest {s[0]:.2g}). Expected "
                "independent features; take ridge=None, which regularises, terms='linear', fewer "
                "latents, or more snapshots."
            )
        return pairs, found

    @property
    def _searches(self) -> bool:
        return self.ridge is None and self.ridge_products is None

    def _features(self, z: Array, params: Array | None, inputs: Array | None) -> Array:
        """Rows of D (T, d) of one case: (1, mu) x theta(z), then the inputs."""
        theta = Library(z.shape[1], DEGREES[self.terms])(z)
        mu = np.ones(1) if params is None else np.concatenate([[1.0], params])
        D = (mu[:, None] * theta[:, None]).reshape(len(z), -1)
        return D if inputs is None else np.concatenate([D, inputs], axis=1)

    def _trial(self, operators: Array, trials: Trials, steps: int) -> Array:
        start = trials.history[:, -1]
        with np.errstate(over="ignore", invalid="ignore"):
            return self._roll(operators, start, steps, trials.params, trials.inputs)

    def _roll(
        self,
        operators: Array,
        z: Array,
        steps: int,
        params: Array | None,
        inputs: Array | None,
        span: Array | None = None,
    ) -> Array:
        """Rollouts (B, steps, k) from states (B, k)."""
        library = Library(z.shape[1], DEGREES[self.terms])
        split = len(library) * (1 if params is None else 1 + params.shape[1])
        C = operators[:split].reshape(-1, len(library), library.k)
        if params is not None:
            C = C[0] + np.einsum("bp,pnk->bnk", params, C[1:])
        return roll(
            library,
            C,
            z,
            steps,
            parts=int(self.parts),
            B=operators[split:],
            inputs=inputs,
            span=span,
        )

    def _rollout(
        self,
        history: Array,
        steps: int,
        *,
        params: Array | None = None,
        inputs: Array | None = None,
    ) -> Array:
        return self._roll(self.operators, history[:, -1], steps, params, inputs)

    def _at(self, history: Array, times: Array, **known: Any) -> Array:
        def part(z: Array, share: Array, params: Any = None, inputs: Any = None) -> Array:
            return self._roll(self.operators, z, 1, params, inputs, share)

        return between(self, history, times, part, **known)
