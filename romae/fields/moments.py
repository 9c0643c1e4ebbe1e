"""Statistics of parts of the snapshots, which add up to those of all.

Two parts of n and n' snapshots, with temporal means m, m' and sums of squares S, S' about them,
have together (Chan, Golub & LeVeque 1983)

    mean = m + (m' - m) n' / (n + n'),       S + S' + n n' / (n + n') Σ_x w (m' - m)²

Parts may be taken anywhere and merged in any order; the same order gives the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from romae.fields.layout import Layout
from romae.fields.snapshots import Snapshots
from romae.fields.survey import STEADY, Survey, _Channel, check_values


@dataclass(frozen=True)
class Moments:
    """Of ``count`` snapshots: ``mean`` of the valid points of each field, S (C,), extremes (C,)."""

    count: int
    mean: list[np.ndarray]
    scatter: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def merge(self, other: Moments, layout: Layout) -> Moments:
        """These snapshots and others; neither is changed."""
        n = self.count + other.count
        scatter, means = self.scatter + other.scatter, []
        for c, (a, b) in enumerate(zip(self.mean, other.mean, strict=True)):
            d, w = b - a, layout.quadrature[c][layout.valid[c]]
            scatter[c] += self.count * other.count / n * (w @ d**2)
            means.append(a + d * (other.count / n))
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Moments(n, means, scatter, low, high)

    def survey(self, layout: Layout) -> Survey:
        """The same statistics as :func:`romae.fields.survey` finds in one pass."""
        weights = layout.quadrature.reshape(layout.channels, -1).sum(axis=1)
        std = np.sqrt(np.maximum(self.scatter, 0.0) / (self.count * weights))
        steady = std <= STEADY * np.maximum(np.abs(self.low), np.abs(self.high))
        mean = np.full((layout.channels, *layout.shape), np.nan)
        for c, values in enumerate(self.mean):
            mean[c][layout.valid[c]] = values
        constant = tuple(n for n, s in zip(layout.names, steady, strict=True) if s)
        std = np.where(steady, 0.0, std)
        return Survey(mean, std, self.low, self.high, self.count, constant, layout)


class Running:
    """Moments of the blocks of ``snapshots`` taken so far."""

    def __init__(self, snapshots: Snapshots) -> None:
        layout = snapshots.layout
        self.snapshots, self.count = snapshots, 0
        self.channels = [
            _Channel(w, v) for w, v in zip(layout.quadrature, layout.valid, strict=True)
        ]

    def take(self, case: int, start: int, block: np.ndarray) -> None:
        """Add ``block`` as :meth:`Snapshots.read_raw` gives it.

        Raises :class:`romae.errors.DataError` for values that cannot be used, as ``survey`` does.
        """
        sound = [ch.take(block[:, c], self.count) for c, ch in enumerate(self.channels)]
        fixed = self.snapshots.layout.mask is not None and not self.snapshots.masked_by_user
        if fixed or not all(sound):
            check_values(self.snapshots, case, start, block)
        self.count += len(block)

    @property
    def moments(self) -> Moments:
        """What was found."""
        columns = [[ch.scatter, ch.low, ch.high] for ch in self.channels]
        scatter, low, high = np.array(columns, dtype=np.float64).T
        return Moments(self.count, [ch.mean for ch in self.channels], scatter, low, high)
