"""What errors a reducer makes on ordinary snapshots, and the scores of others beside them.

Two passes over the validation snapshots, in blocks: the first adds up smoothed errors, of each half
apart; the second scores each half by the other, which is what the thresholds come from.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from romae.compare.coding import BLOCK_BYTES, decode, encode, finite_blocks
from romae.compare.deviations import Deviation, Moments, smoothed
from romae.compare.ladders import Rung, along
from romae.conventions import CASE, TIME
from romae.errors import DataError
from romae.fields import Snapshots
from romae.metrics import FluctuationSums, energy, nrmse, unit_groups
from romae.progress import track

KINDS = ("global", "local")


class Watch:
    """Scores by the errors of ``reducer`` beside those on ``ordinary`` snapshots.

    ``ordinary_scores`` (T, 2): global and local scores of the ordinary snapshots.
    """

    def __init__(self, reducer: Any, ordinary: Snapshots, smooth: float) -> None:
        self.reducer, self.layout, self.smooth = reducer, reducer.layout, smooth
        self.groups = unit_groups([f.units for f in self.layout.fields])
        halves = self._add_up(ordinary)
        scale = np.asarray(reducer.scaling.scale, float)
        parts = (halves[1], halves[0], halves[0] + halves[1])
        *other, self.deviation = (Deviation.fit(self.layout, smooth, m, scale) for m in parts)
        self.ordinary_scores = self._crosswise(ordinary, other)

    def _add_up(self, ordinary: Snapshots) -> list[Moments]:
        """Moments of the smoothed errors of the first and second halves of the cases."""
        mean = np.asarray(self.reducer.scaling.mean, float)
        fluctuation = FluctuationSums(self.layout.quadrature, mean)
        halves = [Moments(), Moments()]
        with track(len(ordinary), "ordinary errors") as task:
            for case, start, values, error in self._errors(ordinary):
                fluctuation.add(values)
                e, cut = self._smooth(error), _cut(ordinary, case, start, len(values))
                halves[0].add(e[:cut])
                halves[1].add(e[cut:])
                task.advance(len(values))
        self.energy = fluctuation.energy
        if not (self.energy > 0).any():
            raise DataError(
                f"no field of {ordinary.source} differs from the training mean. Expected ordinary "
                f"snapshots that change; give others as validation."
            )
        return halves

    def _crosswise(self, ordinary: Snapshots, other: list[Deviation]) -> np.ndarray:
        """Scores (T, 2) of each half with the mean and sigma of the other."""
        found = []
        with track(len(ordinary), "ordinary scores") as task:
            for case, start, values, error in self._errors(ordinary):
                e, cut = self._smooth(error), _cut(ordinary, case, start, len(values))
                q = np.concatenate([other[0].of(e[:cut]), other[1].of(e[cut:])])
                found.append(np.stack([self._nrmse(error)[:, -1], _largest(q)], axis=1))
                task.advance(len(values))
        return np.concatenate(found)

    def scores(self, snapshots: Snapshots) -> list[np.ndarray]:
        """Per case (T, columns): both scores, NRMSE of the fields and of all, place in indices."""
        rows: list[list[np.ndarray]] = [[] for _ in range(snapshots.cases)]
        with track(len(snapshots), "detecting") as task:
            for case, _, values, error in self._errors(snapshots):
                smooth = self._smooth(error)
                q = self.deviation.of(smooth)
                relative = self._nrmse(error)
                place = np.stack([self.deviation.place(one) for one in smooth])
                head = np.stack([relative[:, -1], _largest(q)], axis=1)
                rows[case].append(np.concatenate([head, relative, place], axis=1))
                task.advance(len(values))
        return [np.concatenate(r) for r in rows]

    def lazily(self, snapshots: Snapshots, like: xr.DataArray) -> xr.DataArray:
        """Deviation maps (..., *space) for ``like`` (time) or (case, time), of dask.

        A block of snapshots is read, encoded and decoded when its maps are asked for.
        """
        import dask
        import dask.array as da

        before = getattr(self.reducer, "window", 1) - 1  # snapshots that a latent looks back

        def block(case: int, start: int, stop: int) -> np.ndarray:
            first = max(0, start - before)
            values = snapshots.read(first, stop, case)
            error = self._error(along(self.reducer, snapshots, case), values)[start - first :]
            return self.deviation.of(self._smooth(error)).astype(np.float32)

        later, shape = dask.delayed(block, pure=False), self.layout.shape
        parts: list[list[Any]] = [[] for _ in range(snapshots.cases)]
        for case, a, b in snapshots.block_ranges(BLOCK_BYTES):
            parts[case].append(da.from_delayed(later(case, a, b), (b - a, *shape), np.float32))
        for part, n in zip(parts, snapshots.lengths, strict=True):
            if n < like.sizes[TIME]:  # a case that ends early
                part.append(da.full((like.sizes[TIME] - n, *shape), np.nan, np.float32))
        cases = [da.concatenate(part) for part in parts]
        maps = da.stack(cases) if CASE in like.dims else cases[0]
        coords = {**self.layout.coords.variables, **like.coords.variables}
        attrs = {"units": "1", "long_name": "deviation of the error, in standard deviations"}
        return xr.DataArray(maps, coords, (*like.dims, *self.layout.space), attrs=attrs)

    def _errors(self, snapshots: Snapshots) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        """(case, index in the case, values, their errors) batch by batch."""
        now, start, own = -1, 0, self.reducer
        for case, values in finite_blocks(snapshots, BLOCK_BYTES):
            if case != now:
                now, start, own = case, 0, along(self.reducer, snapshots, case)
            yield case, start, values, self._error(own, values)
            start += len(values)

    def _error(self, reducer: Any, values: np.ndarray) -> np.ndarray:
        rung = Rung(reducer.name, reducer.latent, reducer)
        guess = decode(rung, encode(reducer, values))
        return np.where(self.layout.valid, guess - values, 0.0)

    def _smooth(self, error: np.ndarray) -> np.ndarray:
        return smoothed(error, self.layout.valid, self.layout, self.smooth)

    def _nrmse(self, error: np.ndarray) -> np.ndarray:
        return nrmse(energy(error, self.layout.quadrature), self.energy, self.groups)


def _largest(q: np.ndarray) -> np.ndarray:
    return np.nanmax(q.reshape(len(q), -1), axis=1)


def _cut(snapshots: Snapshots, case: int, start: int, count: int) -> int:
    """How many of ``count`` snapshots from ``start`` on lie in the first half of their case."""
    return int(np.clip(snapshots.lengths[case] // 2 - start, 0, count))
