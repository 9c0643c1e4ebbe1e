"""The grid a convolutional network works on, and how it is coarsened level by level."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from romae.nets.activations import Activation

Down = Literal["strided", "unshuffle", "pooled"]
Up = Literal["shuffle", "transposed", "interpolated"]

COARSEST = 4  # cells that every axis keeps
COARSE_CELLS = 64  # cells of the coarsest grid, which the dense layers see


@dataclass(frozen=True)
class Grid:
    """Grid a network works on: cells per axis, and which axes are periodic."""

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]

    def plan(self, patch: int | None, levels: int | None) -> list[tuple[int, ...]]:
        """Coarsening factors per level and axis; the first entry is the patch.

        ``patch`` None: the largest power of two, 8 at most, that leaves 24 cells on the
        longest axis (12 in 3-D). ``levels`` None: two halvings, and more until the coarsest grid
        has 64 cells or fewer.

        >>> Grid((96, 256), (False, False)).plan(patch=None, levels=None)
        [(8, 8), (2, 2), (1, 2)]
        """
        left = max(self.shape) / (24 if len(self.shape) < 3 else 12)
        step = patch or min(8, 2 ** max(1, int(math.log2(max(left, 1)))))
        plan = [self._factors(step, self.shape)]
        sizes = self._coarser(self.shape, plan[0])
        while len(plan) <= (2 if levels is None else levels) or (
            levels is None and math.prod(sizes) > COARSE_CELLS and max(sizes) >= 2 * COARSEST
        ):
            plan.append(self._factors(2, sizes))
            sizes = self._coarser(sizes, plan[-1])
        return plan

    @staticmethod
    def _factors(step: int, sizes: Sequence[int]) -> tuple[int, ...]:
        """``step`` per axis, halved until ``COARSEST`` cells are left on it."""
        factors = []
        for n in sizes:
            factor = step
            while factor > 1 and -(-n // factor) < COARSEST:
                factor //= 2
            factors.append(max(factor, 1))
        return tuple(factors)

    @staticmethod
    def _coarser(sizes: Sequence[int], factors: Sequence[int]) -> tuple[int, ...]:
        return tuple(-(-n // f) for n, f in zip(sizes, factors, strict=True))


@dataclass(frozen=True)
class ConvSpec:
    """Shape of a convolutional encoder and of the decoder that mirrors it.

    ``plan``: coarsening factors per level (:meth:`Grid.plan`), the patch first; ``widths``:
    channels per level; ``head``: width of the dense layers next to the latents; ``down`` and ``up``
    of the levels: :mod:`romae.nets.resize`.
    """

    grid: Grid
    plan: tuple[tuple[int, ...], ...]
    widths: tuple[int, ...]
    kernel: int = 3
    act: Activation = "gelu"
    blocks: int = 1
    head: int = 128
    down: Down = "strided"
    up: Up = "shuffle"

    @property
    def total(self) -> tuple[int, ...]:
        """Coarsening of all levels together, per axis."""
        return tuple(math.prod(factors) for factors in zip(*self.plan, strict=True))
