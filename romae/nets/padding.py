"""Padding per axis: circular where the field is periodic, replicated elsewhere.

One call of ``F.pad`` has one mode for all axes, so axes are padded mode by mode; the
corners come out right because the second pad sees the first one's values.

While training, circular padding by one cell is a function of its own: torch's is made of copies
of slices, whose derivatives fill and add a whole array for each of them, which took a
third of the time of small convolutions.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def pad_axes(x: Tensor, widths: Sequence[tuple[int, int]], periodic: Sequence[bool]) -> Tensor:
    """Pad the space axes of ``x`` (B, C, *space) by ``widths`` (before, after)."""
    for wrap, mode in ((True, "circular"), (False, "replicate")):
        now = [w if p == wrap else (0, 0) for w, p in zip(widths, periodic, strict=True)]
        if wrap and any(max(w) > n for w, n in zip(now, x.shape[2:], strict=True)):
            x = _wrap(x, now)
        elif wrap and any(max(w) > 0 for w in now) and x.requires_grad and torch.is_grad_enabled():
            x = _Around.apply(x, tuple(now))
        elif any(max(w) > 0 for w in now):
            x = F.pad(x, [v for pair in reversed(now) for v in pair], mode=mode)
    return x


class _Around(torch.autograd.Function):
    """Circular padding: y_i = x_{(i - before) mod n} along each axis."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, widths: tuple[tuple[int, int], ...]) -> Tensor:
        ctx.widths, ctx.shape = widths, x.shape
        sizes = [a + n + b for (a, b), n in zip(widths, x.shape[2:], strict=True)]
        y = x.new_empty((*x.shape[:2], *sizes))
        inner = y
        for axis, (a, _) in enumerate(widths, start=2):
            inner = inner.narrow(axis, a, x.shape[axis])
        inner.copy_(x)
        for axis, (a, b) in enumerate(widths, start=2):  # later axes put the corners right
            n = x.shape[axis]
            y.narrow(axis, 0, a).copy_(y.narrow(axis, n, a))
            y.narrow(axis, a + n, b).copy_(y.narrow(axis, a, b))
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """What the copies of a cell get is added to it."""
        whole: Tensor | None = None
        # Along each axis the cells themselves, then the copies before and after them:
        # (first in y, first in x, how many).
        runs = [
            ((a, 0, n), (0, n - a, a), (a + n, 0, b))
            for (a, b), n in zip(ctx.widths, ctx.shape[2:], strict=True)
        ]
        for run in product(*runs):
            g, place = gradients[0], whole
            for axis, (begin, first, count) in enumerate(run, start=2):
                g = g.narrow(axis, begin, count)
                place = None if place is None else place.narrow(axis, first, count)
            if place is None:
                whole = g.clone(memory_format=torch.contiguous_format)
            elif g.numel():
                place += g
        assert whole is not None
        return whole, None


def _wrap(x: Tensor, widths: Sequence[tuple[int, int]]) -> Tensor:
    """Circular padding wider than the axis, which ``F.pad`` refuses."""
    for axis, (before, after) in enumerate(widths, start=2):
        n = x.shape[axis]
        index = torch.arange(-before, n + after, device=x.device) % n
        x = x.index_select(axis, index)
    return x


class PadToMultiple:
    """Extend a grid at its end to a multiple of ``factors``, and crop it back.

    The extension wraps on periodic axes and repeats the edge elsewhere, so that odd and
    prime sizes pass through networks that halve the grid.
    """

    def __init__(
        self, shape: Sequence[int], factors: Sequence[int], periodic: Sequence[bool]
    ) -> None:
        self.shape = tuple(shape)
        self.periodic = tuple(periodic)
        self.widths = tuple((0, -n % f) for n, f in zip(shape, factors, strict=True))
        self.padded = tuple(n + after for n, (_, after) in zip(shape, self.widths, strict=True))

    def extend(self, x: Tensor) -> Tensor:
        """(B, C, *shape) -> (B, C, *padded)."""
        return pad_axes(x, self.widths, self.periodic)

    def crop(self, x: Tensor) -> Tensor:
        """(B, C, *padded) -> (B, C, *shape)."""
        for axis, n in enumerate(self.shape, start=2):
            x = x.narrow(axis, 0, n)
        return x
