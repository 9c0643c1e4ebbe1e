"""Padding per axis: circular where the field is periodic, replicated elsewhere.

One call of ``F.pad`` has one mode for all axes, so axes are padded mode by mode; the
corners come out right because the second pad sees the first one's values.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def pad_axes(x: Tensor, widths: Sequence[tuple[int, int]], periodic: Sequence[bool]) -> Tensor:
    """Pad the space axes of ``x`` (B, C, *space) by ``widths`` (before, after)."""
    for wrap, mode in ((True, "circular"), (False, "replicate")):
        now = [w if p == wrap else (0, 0) for w, p in zip(widths, periodic, strict=True)]
        if wrap and any(max(w) > n for w, n in zip(now, x.shape[2:], strict=True)):
            x = _wrap(x, now)
        elif any(max(w) > 0 for w in now):
            x = F.pad(x, [v for pair in reversed(now) for v in pair], mode=mode)
    return x


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
