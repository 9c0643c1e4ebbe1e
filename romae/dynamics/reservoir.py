"""Echo state network: a fixed random recurrent net with a least-squares readout.

    r_{t+1} = (1 - a) r_t + a tanh(sigma W_in [z_t; params; inputs_t; 1] + rho W r_t)    r (N,)
    z_{t+1} = z_t + W_out phi(r_{t+1}, z_t),   phi = [r^2 or r in turn; z; 1]
    W_out   = R Phi^T (Phi Phi^T + beta I)^-1                                   float64

W has three non-zeros a row and spectral radius 1; r = 0 at the start, and ``context`` steps
bring it to the data. The readout gives the change of z, so that what it leaves out is persistence.
Inputs carry noise while the states for W_out are collected, which teaches the closed
loop to return to the attractor. rho, sigma, a, the noise and beta decide everything and are
searched by recycled validation (:mod:`romae.dynamics.recycled`): Bayesian optimisation on a
smaller reservoir, the best of which are tried in full; a long trial rollout of the winner, from
starts off the data, must stay inside the training span. Candidates whose loops do not come
back from there lose score already in the search.

|r| <= 1 bounds every change. Fails when the latents hide slow state that ``context`` steps do not
reveal. Cost: T N^2 for the normal equations of one candidate, N (k + 3) for a step.
"""

import math
from typing import Any, ClassVar, Literal

import numpy as np

from romae.dynamics.base import Dynamics
from romae.dynamics.echo import Reservoir, closed_loops, fed_ahead, fed_in_training, open_loop
from romae.dynamics.recycled import Normal, Windows, refine
from romae.errors import OptionError, check_option
from romae.progress import track

Array = np.ndarray

BOUNDS = {  # of the search; all but the leak on a logarithmic axis
    "radius": (0.01, 1.2),
    "input_scale": (0.02, 2.0),
    "leak": (0.2, 1.0),
    "noise": (1e-5, 3e-2),
}
RIDGES = tuple(10.0**p for p in (-12, -9, -6, -4))  # of the mean squared feature
FIRST, THEN, FINAL = 8, 10, 3  # points: spread, by expected improvement, and tried in full
SMALL, ROWS = 300, 8000  # units and steps of the search
COPIES = 6
SHORTEST = 4  # context of short cases
STARTS, HORIZON, TRIAL = 32, 200, 2000  # closed loops of validation and their steps, the trial's
BLOCK = 2048


class EchoState(Dynamics):
    """Echo state network with hyper-parameters found by recycled validation.

    ``units``: N. ``context``: steps that synchronise the reservoir before a forecast; where a
    training case is shorter than two of them a quarter of its length, at least 4, is taken, at
    a cost: what the start r = 0 left behind decays as (1 - a)^context at best.
    ``radius`` rho, ``input_scale`` sigma, ``leak`` a, ``noise`` of the inputs in training (standard
    deviations) and ``ridge`` beta (of the mean squared feature): None searches.
    ``readout``: "quadratic" squares every second state. ``seed`` fixes reservoir, noise and
    search. Takes ``params`` and ``inputs``, which enter the reservoir beside the latents.

    After fit, ``chosen`` holds (rho, sigma, a, noise, beta) and ``history`` the whole search.

    Source: A. Racca, L. Magri, Robust optimization and validation of echo state networks for
    learning chaotic dynamics, 2021; quadratic readout: J. Pathak et al., Model-free prediction
    of large spatiotemporally chaotic systems from data, 2018. Deviates in reading out changes
    from r and z, in searching leak and noise too, on a smaller reservoir first, in the trial
    rollout, and in tanh, a rational function that is within 3e-7 of it and five times as fast.
    """

    takes: ClassVar[frozenset[str]] = frozenset({"params", "inputs"})
    fitted = ("W_data", "W_indices", "W_in", "W_out", "chosen")
    W_data: Array  # (N, DEGREE), rho included
    W_indices: Array  # (N, DEGREE) columns
    W_in: Array  # (k + p + m + 1, N), sigma included
    W_out: Array  # (N + k + 1, k)
    chosen: Array  # (5,)

    def __init__(
        self,
        units: int = 1000,
        *,
        context: int = 32,
        radius: float | None = None,
        input_scale: float | None = None,
        leak: float | None = None,
        noise: float | None = None,
        ridge: float | None = None,
        readout: Literal["linear", "quadratic"] = "quadratic",
        seed: int = 0,
    ):
        check_option("readout", readout, ["linear", "quadratic"])
        wrong = units < 1 or context < 1 or (leak is not None and not 0 < leak <= 1)
        if wrong or min(noise or 0.0, ridge or 0.0, radius or 0.0, input_scale or 0.0) < 0:
            raise OptionError(
                f"EchoState(units={units}, context={context}, radius={radius}, input_scale="
                f"{input_scale}, leak={leak}, noise={noise}, ridge={ridge}). Expected units and "
                "context of at least 1, 0 < leak <= 1, the others at least 0, or None to search."
            )
        self.units, self.context, self.leak = units, context, leak
        self._context = context  # what was asked for
        self.radius, self.input_scale, self.ridge = radius, input_scale, ridge
        self.noise, self.readout, self.seed = noise, readout, seed

    @property
    def minimum(self) -> int:
        return 2 * SHORTEST + 2  # as many steps to learn from as to synchronise

    # fit

    def _fit(
        self,
        sequences: list[Array],
        *,
        params: Array | None = None,
        inputs: list[Array] | None = None,
    ) -> None:
        # A case that is too short for the context leaves a quarter of itself for it.
        shortest = min(map(len, sequences))
        enough = shortest >= 2 * self._context + 2
        self.context = self._context if enough else min(self._context, max(SHORTEST, shortest // 4))
        driven = fed_in_training(sequences, params, inputs)
        known: dict[str, Any] = {"context": self.context, "params": params, "inputs": inputs}
        windows = Windows.spread(sequences, self.span.scale, count=STARTS, steps=HORIZON, **known)
        free = [name for name in BOUNDS if getattr(self, name) is None]
        with track(FIRST + THEN + FINAL if free else 1, "echo state search") as task:
            points = (
                self._search(free, driven, windows, task)
                if free
                else [self._point([], np.empty(0))]
            )
            found = []
            drawn = Reservoir.draw(self.units, driven[0].shape[1], self.seed)
            for point in points:
                found += self._candidates(drawn, point, driven, windows)
                task.advance()
        found.sort(key=lambda item: -item[0])
        self.history += [_row(self.units, *item[:4]) for item in found]
        trial = windows.shaken(4)
        for _, _, point, beta, W_out in [*found, found[0]]:  # the best when none stays
            self._take(drawn, point, W_out)
            self.chosen = np.array([*point.values(), beta])
            if self.span.contains(trial.roll(self._rollout, TRIAL)).all():
                break

    def _search(
        self, free: list[str], driven: list[Array], windows: Windows, task: Any
    ) -> list[dict[str, float]]:
        """The FINAL best points: Bayesian optimisation on a small reservoir, part of the data."""
        drawn = Reservoir.draw(min(SMALL, self.units), driven[0].shape[1], self.seed)
        rows = sum(map(len, driven))
        share = max(1, math.ceil(rows / ROWS))
        part = driven[::share] if len(driven) > share else [u[: len(u) // share] for u in driven]
        part = [u for u in part if len(u) >= self.minimum] or driven

        def score(x: Array) -> float:
            point = self._point(free, x)
            rows = self._candidates(drawn, point, part, windows)
            best = max(rows, key=lambda row: row[0])
            self.history.append(_row(len(drawn.data), *best[:4]))
            task.advance()
            return best[0]

        points, scores = refine(score, len(free), first=FIRST, then=THEN, seed=self.seed)
        return [self._point(free, points[i]) for i in np.argsort(-scores)[:FINAL]]

    def _point(self, free: list[str], x: Array) -> dict[str, float]:
        """radius, input_scale, leak, noise: what was given, and ``x`` in the unit cube."""
        point = {name: getattr(self, name) for name in BOUNDS}
        for name, u in zip(free, x, strict=True):
            low, high = BOUNDS[name]
            point[name] = low + (high - low) * u if name == "leak" else low * (high / low) ** u
        return {name: float(value) for name, value in point.items()}

    def _candidates(
        self, drawn: Reservoir, point: dict[str, float], driven: list[Array], windows: Windows
    ) -> list[tuple[float, float, dict[str, float], float, Array]]:
        """(score, horizon, point, beta, W_out) for every beta."""
        k, ridges = self.latent, RIDGES if self.ridge is None else (self.ridge,)
        self._take(drawn, point, np.empty((len(drawn.data) + k + 1, k)))
        rng = np.random.default_rng(self.seed)
        normal = Normal(len(self.W_out), k, alike=False)
        copies = int(np.clip(ROWS // sum(map(len, driven)), 1, COPIES)) if point["noise"] else 1
        for clean in driven * copies:  # short data are gone through again with new noise
            noisy = clean.copy()
            noisy[:, :k] += point["noise"] * rng.standard_normal((len(clean), k))
            r = np.zeros(len(drawn.data))
            for i in range(0, len(clean) - 1, BLOCK):
                u = noisy[i : min(i + BLOCK, len(clean) - 1)]
                states = np.empty((len(u), len(r)))
                open_loop(u @ self.W_in, self.W_data, self.W_indices, point["leak"], r, states)
                late = max(0, self.context - 1 - i)  # until then r remembers its start
                phi = self._features(states[late:], u[late:, :k])
                normal.add(phi, clean[i + 1 + late : i + 1 + len(u), :k] - u[late:, :k])
        found, shaken = [], windows.shaken(4)  # loops that do not come back cost their share
        for beta, W_out in zip(ridges, normal.solve(ridges), strict=True):
            self.W_out = W_out
            value, horizon = windows.score(windows.roll(self._rollout))
            stays = self.span.contains(shaken.roll(self._rollout, 2 * HORIZON)).mean()
            found.append((value - 2 * (1 - stays), horizon, point, beta, W_out))
        return found

    def _features(self, r: Array, z: Array) -> Array:
        """phi of states (n, N) and latents (n, k): (n, N + k + 1)."""
        phi = np.concatenate([r, z, np.ones((len(r), 1))], axis=1)
        if self.readout == "quadratic":
            phi[:, : r.shape[1] : 2] **= 2
        return phi

    def _take(self, drawn: Reservoir, point: dict[str, float], W_out: Array) -> None:
        self.W_data, self.W_indices = point["radius"] * drawn.data, drawn.indices
        self.W_in, self.W_out = point["input_scale"] * drawn.W_in, W_out
        self.chosen = np.array([*point.values(), 0.0])

    # forecast

    def _rollout(
        self,
        history: Array,
        steps: int,
        *,
        params: Array | None = None,
        inputs: Array | None = None,
    ) -> Array:
        c, k = history.shape[1:]
        u = fed_ahead(history, steps, len(self.W_in), params, inputs)
        square = self.readout == "quadratic"
        net = (self.W_data, self.W_indices, self.W_in, self.W_out)
        return np.asarray(closed_loops(u, c, k, *net, float(self.chosen[2]), square))


def _row(
    units: int, score: float, horizon: float, point: dict[str, float], beta: float
) -> dict[str, float]:
    return {"units": units, "score": score, "horizon": horizon, **point, "ridge": beta}
