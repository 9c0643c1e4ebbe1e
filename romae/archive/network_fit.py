"""Making a fitted reducer ready for an archive: precision, steps of the latents, rounding.

A step of latent j is right when rounding to it costs a small share of the bound: with g_j the
change of D per unit of z_j in units of the bound, half its peak over the grid,

    step_j = noise sqrt(12 / k) / g_j.

``noise``, and how coarsely fields and weights of an embedded decoder are rounded, are those with
the fewest bytes, side information and a sample of chunks counted, found one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from romae.archive.decoder import Shrinker
from romae.archive.method import UnsuitableError
from romae.archive.network import Network, on_host
from romae.archive.parent import Parent
from romae.archive.threads import one_thread
from romae.errors import OptionError
from romae.fields.layout import Layout

LATENT_NOISE = (0.08, 0.03, 0.2, 0.4)  # rms error that rounded latents make, over eps
FIELD_NOISE = (0.4, 0.25, 0.7, 1.2, 2.5, 5.0)  # the same for the mean and the modes
WEIGHT_BITS = (8, 10, 12, 14, 16, 18, 6, 5)  # of every other tensor
DOUBLE_ABOVE = 1 / 16  # of eps: a larger margin in single precision means double precision
FRAMES = 24  # snapshots of each chunk on which bytes are counted
TRIED = 2  # chunks
LATENTS = 96  # snapshots whose latents are the sample


def check_reducer(reducer: Any, layout: Layout) -> None:
    """Refuse what cannot predict these snapshots.

    Raises :class:`~romae.errors.NotFittedError`, :class:`~romae.errors.GridMismatchError` for other
    fields, grid or mask, :class:`OptionError` for a reducer that needs more than snapshots.
    """
    from romae.reducers import Aligned, ConditionalAutoencoder

    reducer.device  # noqa: B018  raises before a fit
    if isinstance(reducer, Aligned):
        raise OptionError(
            "model: archives keep decoders of one module, and Aligned holds a reducer of its own "
            "besides. Expected a reducer without alignment; fit PODAutoencoder, or model='auto'"
        )
    if isinstance(reducer, ConditionalAutoencoder):
        raise OptionError(
            "model: a ConditionalAutoencoder needs the parameters of the case, which chunks do not "
            "carry. Expected a reducer of snapshots alone; fit PODAutoencoder, or model='auto'"
        )
    reducer.layout.check_same(layout, "data to compress with this model")


def fit_network(
    reducer: Any,
    runs: Sequence[np.ndarray],
    eps: np.ndarray,
    share: float,
    parent: Parent | None = None,
) -> Network | None:
    """The method, or None where the model cannot predict within the margin.

    ``runs``: chunks (n, C', *space) of the fields with a bound; ``eps``: (C,), 0 for the others;
    ``share``: chunks in all per chunk here; ``parent``: holds the decoder, else it is embedded.
    """
    with one_thread():
        return _Fit(on_host(reducer), runs, eps, share, parent).best()


class _Fit:
    def __init__(
        self,
        reducer: Any,
        runs: Sequence[np.ndarray],
        eps: np.ndarray,
        share: float,
        parent: Parent | None,
    ) -> None:
        self.reducer, self.parent = reducer, parent
        self.channels = tuple(np.flatnonzero(eps).tolist())
        self.eps, self.all_eps = eps[list(self.channels)], np.where(eps > 0, eps, np.inf)
        valid = reducer.layout.valid[list(self.channels)]
        masked = [np.where(valid, run, np.nan) for run in runs]
        step = max(1, len(runs) // TRIED)
        self.tried = [run[:FRAMES] for run in masked[::step][:TRIED]]
        frames = sum(map(len, runs)) * share
        self.share = frames / sum(map(len, self.tried))
        each = max(1, -(-LATENTS // len(masked)))
        self.sample = [run[:: max(1, len(run) // each)][:each] for run in masked]

    def best(self) -> Network | None:
        try:
            z = np.concatenate([self._latents(run) for run in self.sample])
        except UnsuitableError:
            return None
        self.gain = self._gain(z)
        whole = bool(np.all(z == np.rint(z)))  # numbers of codes stay whole
        noises: Sequence[float] = (0.0,) if whole else LATENT_NOISE
        double = self._double(z, self._steps(noises[0]))
        if double is None:
            return None
        self.double = double
        self.shrinker = None if self.parent else Shrinker(self.reducer, z, self.all_eps)
        grids: list[Sequence[float]] = [noises]
        if self.shrinker is not None:
            grids = [FIELD_NOISE, WEIGHT_BITS, noises]
        at = [grid[0] for grid in grids]
        method, fewest = self._trial(at)
        # Weights first: while they are too coarse, finer fields bring nothing.
        for place in (1, 0, 2) if len(grids) > 1 else (0,):
            worse = 0
            for value in grids[place][1:]:
                choice = [*at[:place], value, *at[place + 1 :]]
                trial, size = self._trial(choice)
                if size < fewest:
                    method, fewest, at, worse = trial, size, choice, 0
                else:
                    worse += 1
                if worse > 2:
                    break
        return method

    def _latents(self, run: np.ndarray) -> np.ndarray:
        """E(x) (n, k), without rounding."""
        return self._method(np.ones(self.reducer.latent)).encoded(run)

    def _method(self, steps: np.ndarray, double: bool = False) -> Network:
        method = Network(b"", steps, self.channels, double, self.reducer)
        method._open[False] = self.reducer
        return method

    def _gain(self, z: np.ndarray) -> np.ndarray:
        """g (k,) at some of the latents ``z``."""
        method = self._method(np.full(z.shape[1], 1.0))
        z = z[:: max(1, len(z) // 8)][:8]
        spread = np.maximum(np.std(z, axis=0), 1e-3 * max(float(np.abs(z).max()), 1e-30))
        unit = self.eps.reshape(-1, *(1,) * (len(self.reducer.layout.shape)))
        p, gain = method.predict(z), np.empty(z.shape[1])
        for j in range(z.shape[1]):
            delta = np.zeros(z.shape[1])
            delta[j] = 0.01 * spread[j]
            moved = (method.predict(z + delta) - p) / unit
            gain[j] = 0.5 * np.max(np.sqrt(np.mean(moved**2, axis=0))) / delta[j]
        return np.maximum(gain, 1e-3 * np.max(gain, initial=0.0) + 1e-30)

    def _steps(self, noise: float) -> np.ndarray:
        if noise == 0:
            return np.ones(len(self.gain))
        return noise * np.sqrt(12.0 / len(self.gain)) / self.gain

    def _double(self, z: np.ndarray, steps: np.ndarray) -> bool | None:
        """Whether double precision is needed; None where even that does not do."""
        whole = np.rint(z / steps).astype(np.int64)
        for double in (False, True):
            method = self._method(steps, double)
            m = method.margin(whole, method.predict(whole))
            if np.all(m <= DOUBLE_ABOVE * self.eps):
                return double
        return None

    def _trial(self, at: list[float]) -> tuple[Network, float]:
        """The method with these choices, and all its bytes."""
        if self.shrinker is None:
            assert self.parent is not None
            held: bytes | Parent = self.parent
        else:
            held = self.shrinker.to_bytes(at[0], int(at[1]))
        method = Network(held, self._steps(at[-1]), self.channels, self.double, self.reducer)
        if isinstance(held, Parent):
            method._open[False] = self.reducer
        try:
            size = sum(len(method.encode(run, self.eps)[0]) for run in self.tried)
        except UnsuitableError:
            return method, np.inf
        return method, len(method.to_bytes()) + self.share * size
