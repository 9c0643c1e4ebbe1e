"""Quadratic manifold: POD whose further modes are quadratic functions of the latents.

With k modes U_k out of the first m POD modes U_m,

    z = U_k W x',     x'^ = U_k^T z + V^T (h(z) - mean),     h(z) = (z_i), (z_i z_j)_{i <= j},

V (p, n) in the span of the other m - k modes. Encoding is linear, as POD's; decoding adds what
quadratic products of the latents know about the rest: the second harmonic of a wave, the mean that
shifts with its amplitude. Everything is a linear least-squares problem in POD coordinates
(:mod:`romae.linalg.quadratic`), so that a fit costs a POD and seconds, has one optimum and no
seed.

``greedy`` chooses the k modes whose products tell most about the others, which need not be the
leading ones; for structures that travel this is what makes the method work. The ridge, and whether
greedy or leading modes, are decided on held-out snapshots; then V is fitted to all. POD, which is
V = 0, is among the choices, and one that restores the training data worse than POD is
passed over: the training error is never above POD's of the same k.

Sources: Geelen, Wright & Willcox 2023, "Operator inference for non-intrusive model reduction with
quadratic manifolds"; Schwerdtner & Peherstorfer 2024, "Greedy construction of quadratic manifolds
for nonlinear dimensionality reduction and nonlinear model reduction". Here the ridge is chosen from
the data, h has linear terms besides, and V is stored by its own few directions.
"""

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from romae.errors import OptionError, check_option, check_whole
from romae.fields import Snapshots
from romae.linalg.quadratic import QuadraticFit, fit_quadratics, greedy_columns
from romae.reducers.base import Reducer
from romae.reducers.coder import Coder
from romae.reducers.data import FitData, scaled_batches
from romae.reducers.pod import LinearCoder, decompose_fields, linear_coder

Columns = Literal["greedy", "leading"]

ENERGY = 1 - 1e-9  # of the fluctuation: what V may hope to restore
MOST_MODES = 256
RIDGES = (*(10.0**e for e in range(-14, 3)), np.inf)  # infinity: V = 0
GREEDY_RIDGES = (1e-10, 1e-8, 1e-6, 1e-4)  # each may choose other modes
NEGLIGIBLE = 1e-11  # of the fluctuation energy: directions of V below it are dropped


class QuadraticCoder(Coder):
    """The maps of the module docstring; V = coefficients times the modes of ``further``."""

    coefficients: Tensor  # (p, r)
    mean: Tensor  # of h, (p,)
    first: Tensor
    second: Tensor

    def __init__(self, basis: LinearCoder, further: LinearCoder) -> None:
        super().__init__()
        self.basis, self.further = basis, further
        k = len(basis.modes)
        first, second = torch.triu_indices(k, k)
        p = k + len(first)
        self.register_buffer("coefficients", torch.zeros(p, len(further.modes)))
        self.register_buffer("mean", torch.zeros(p))
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *space) -> (B, k)."""
        return self.basis.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space)."""
        h = torch.cat([z, z[:, self.first] * z[:, self.second]], dim=1) - self.mean
        return self.basis.decode(z) + self.further.decode(h @ self.coefficients)


class QuadraticManifold(Reducer):
    """Linear encoder, quadratic decoder, in closed form; see the module.

    Parameters
    ----------
    latent : number of latents k.
    columns : ``greedy`` chooses modes by what their products tell about the others, ``leading``
        takes the first k.
    ridge : of the least squares, for latents of unit variance; None decides on held-out
        snapshots, and then V may turn out 0.
    modes : number of POD modes m; None takes what holds all but 1e-9 of the energy, at most 256.
    candidates : number of leading modes that ``greedy`` chooses from; None: all m.
    scale : as for :class:`romae.POD`.

    After ``fit``: ``chosen`` (the modes that are latents, counted from 0) and ``chosen_ridge``
    (None where V = 0 was best).
    """

    def __init__(
        self,
        latent: int = 8,
        *,
        columns: Columns = "greedy",
        ridge: float | None = None,
        modes: int | None = None,
        candidates: int | None = None,
        scale: Literal["units", "field", "none"] = "units",
    ) -> None:
        super().__init__()
        self.latent = check_whole(f"{self.name} latent", latent)
        check_option("columns", columns, get_args(Columns))
        check_option("scale", scale, ("units", "field", "none"))
        if ridge is not None and not 0 < ridge < np.inf:
            raise OptionError(
                f"ridge is {ridge}. Expected a positive number such as 1e-6, or None, which "
                f"decides on held-out snapshots."
            )
        for what, value in (("modes", modes), ("candidates", candidates)):
            if value is not None:
                check_whole(f"{what} of {self.name}(latent={latent})", value, least=self.latent)
        self.columns, self.ridge, self.scale = columns, ridge, scale
        self.modes, self.candidates = modes, candidates
        self.chosen: list[int] = []
        self.chosen_ridge: float | None = None
        self._rank = 0

    def _fit(self, data: FitData) -> Coder:
        T, *state = data.snapshots.shape
        most = min(self.modes or max(MOST_MODES, self.latent), T - 1, int(np.prod(state)))
        pod = decompose_fields(data, most)
        if len(pod.modes) < self.latent:
            raise OptionError(
                f"{self.name}(latent={self.latent}): the snapshots have only {len(pod.modes)} "
                f"independent modes above rounding. Type a latent size of {len(pod.modes)} or less."
            )
        enough = int(np.searchsorted(np.cumsum(pod.s**2) / pod.total, ENERGY)) + 1
        m = len(pod.modes) if self.modes else min(max(enough, self.latent), len(pod.modes))
        modes = pod.modes[:m]
        best, every = self._choose(linear_coder(self.layout, modes).to(data.device), data)
        self.chosen = [int(i) for i in best.columns]
        directions, coefficients = _few_directions(best, every, NEGLIGIBLE * pod.total)
        self._rank = len(directions)
        coder = self._coder(modes[self.chosen], directions @ modes)
        coder.coefficients.copy_(torch.from_numpy(coefficients))
        coder.mean.copy_(torch.from_numpy(best.mean))
        return coder.to(data.device)

    def _choose(self, pod: LinearCoder, data: FitData) -> tuple[QuadraticFit, np.ndarray]:
        """The best fit, and the POD coordinates (T, m) of all training snapshots."""
        train, held_out = data.held_out()
        every = rows = _coordinates(pod, train, data)
        if held_out is None:
            rows, judge = np.split(every, [-max(1, len(every) // 10)])
        else:
            judge = _coordinates(pod, held_out, data)
            if data.validation is None:
                every = np.concatenate([rows, judge])
        ridges = RIDGES if self.ridge is None else (self.ridge,)
        trials = [
            (fit.lost(judge), columns, ridge)
            for columns in self._column_sets(rows)
            for ridge, fit in zip(ridges, fit_quadratics(rows, columns, ridges), strict=True)
        ]
        leading = tuple(range(self.latent))
        (best,) = fit_quadratics(every, leading, [np.inf])  # POD
        limit = best.lost(every)
        for _, columns, ridge in sorted(trials):
            (fit,) = fit_quadratics(every, columns, [ridge])
            if fit.lost(every) <= limit:
                self.chosen_ridge = None if np.isinf(ridge) else ridge
                return fit, every
        return best, every

    def _column_sets(self, rows: np.ndarray) -> list[tuple[int, ...]]:
        leading, m = tuple(range(self.latent)), rows.shape[1]
        if self.columns == "leading":
            return [leading]
        ridges = GREEDY_RIDGES if self.ridge is None else (max(self.ridge, min(GREEDY_RIDGES)),)
        most = min(self.candidates or m, m)
        found = {greedy_columns(rows, self.latent, ridge, most) for ridge in ridges}
        return [leading, *sorted(found - {leading})]

    def _build(self) -> Coder:
        n = self.layout.size
        return self._coder(np.zeros((self.latent, n)), np.zeros((self._rank, n)))

    def _coder(self, modes: np.ndarray, further: np.ndarray) -> QuadraticCoder:
        return QuadraticCoder(linear_coder(self.layout, modes), linear_coder(self.layout, further))

    def _fitted_scalars(self) -> dict[str, Any]:
        found = {"chosen": self.chosen, "chosen_ridge": self.chosen_ridge}
        return {"latent": self.latent, "_rank": self._rank, **found}


def _coordinates(pod: LinearCoder, snapshots: Snapshots, data: FitData) -> np.ndarray:
    """POD coordinates (T, m) of ``snapshots``, read once by blocks."""
    batches = scaled_batches(snapshots, data.scaling, data.device)
    return np.concatenate([pod.encode(x).cpu().numpy() for _, x in batches]).astype(np.float64)


def _few_directions(
    fit: QuadraticFit, rows: np.ndarray, drop: float
) -> tuple[np.ndarray, np.ndarray]:
    """(r, m) orthonormal and (p, r), whose product is V but for ``drop`` of squared values.

    The directions are the principal ones of what V adds to ``rows``, at most p of them.
    """
    added = fit.restore(rows)
    added[:, list(fit.columns)] = 0
    energy, directions = np.linalg.eigh(added.T @ added)
    kept = np.cumsum(energy) > drop
    kept[: max(0, len(kept) - len(fit.mean))] = False
    return directions.T[kept], fit.coefficients @ directions[:, kept]
