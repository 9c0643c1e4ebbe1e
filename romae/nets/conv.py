"""Convolutional encoder and decoder for fields on a grid of any size, in 1 to 3 dimensions.

Encoder   x -> unshuffle by a patch -> conv -> [halve the grid, widen, conv] ... -> dense -> h
Decoder   h -> dense -> [conv, double the grid, narrow] ... -> conv -> shuffle by the patch -> x

The grid is halved per level by a strided convolution or by unshuffle; it is doubled by
convolution and shuffle (PixelShuffle), which has no checkerboard of transposed
convolutions. Convolutions have odd kernels, padded circularly on periodic axes and by
edge values elsewhere. Axes stop being halved when they have ``coarsest`` cells or fewer,
so that long and short axes may be mixed. Sizes that do not divide are extended and cropped.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from romae.nets.activations import Activation, activation
from romae.nets.padding import PadToMultiple, pad_axes
from romae.nets.shuffle import shuffle, unshuffle

_CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


@dataclass(frozen=True)
class Grid:
    """Grid a network works on: cells per axis, and which axes are periodic."""

    shape: tuple[int, ...]
    periodic: tuple[bool, ...]

    def plan(self, patch: int, levels: int, coarsest: int = 4) -> list[tuple[int, ...]]:
        """Coarsening factors per level and axis; the first entry is the patch.

        >>> Grid((96, 256), (False, False)).plan(patch=4, levels=3)
        [(4, 4), (2, 2), (2, 2), (1, 2)]
        """
        sizes = list(self.shape)
        plan = []
        for step in [patch] + [2] * levels:
            factors = []
            for i, n in enumerate(sizes):
                factor = step
                while factor > 1 and -(-n // factor) < coarsest:
                    factor //= 2
                factors.append(factor)
                sizes[i] = -(-n // factor)
            plan.append(tuple(factors))
        return plan


class AxisConv(nn.Module):
    """Convolution with odd kernel, padded per axis; a stride divides the axes it names."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        periodic: Sequence[bool],
        kernel: int = 3,
        stride: Sequence[int] | int = 1,
    ) -> None:
        super().__init__()
        d = len(periodic)
        self.periodic = tuple(periodic)
        self.conv = _CONV[d](inputs, outputs, kernel, stride=stride)
        self.widths = [(kernel // 2, kernel // 2)] * d

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *space) -> (B, outputs, *ceil(space / stride))."""
        return self.conv(pad_axes(x, self.widths, self.periodic))


class Residual(nn.Module):
    """x + conv(act(conv(act(x)))), the second convolution starting at zero."""

    def __init__(self, width: int, *, periodic: Sequence[bool], kernel: int, act: Activation):
        super().__init__()
        self.body = nn.Sequential(
            activation(act),
            AxisConv(width, width, periodic=periodic, kernel=kernel),
            activation(act),
            AxisConv(width, width, periodic=periodic, kernel=kernel),
        )
        nn.init.zeros_(self.body[3].conv.weight)
        nn.init.zeros_(self.body[3].conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, *space) -> the same shape."""
        return x + self.body(x)


class ConvEncoder(nn.Module):
    """(B, fields, *grid.shape) -> (B, outputs)."""

    def __init__(
        self,
        fields: int,
        outputs: int,
        grid: Grid,
        *,
        plan: Sequence[Sequence[int]],
        widths: Sequence[int],
        kernel: int = 3,
        act: Activation = "gelu",
        down: Literal["strided", "unshuffle"] = "strided",
        blocks: int = 1,
        head: int = 128,
    ) -> None:
        super().__init__()
        total = [math.prod(f) for f in zip(*plan, strict=True)]
        self.pad = PadToMultiple(grid.shape, total, grid.periodic)
        self.patch = tuple(plan[0])
        layers: list[nn.Module] = [
            AxisConv(
                fields * math.prod(self.patch), widths[0], periodic=grid.periodic, kernel=kernel
            )
        ]
        for level, factors in enumerate(plan[1:]):
            narrow, wide = widths[level], widths[level + 1]
            layers += [
                Residual(narrow, periodic=grid.periodic, kernel=kernel, act=act)
                for _ in range(blocks)
            ]
            layers += [activation(act), Halve(narrow, wide, factors, grid.periodic, kernel, down)]
        self.layers = nn.Sequential(*layers, activation(act))
        coarse = math.prod(n // f for n, f in zip(self.pad.padded, total, strict=True))
        self.head = nn.Sequential(
            nn.Linear(widths[-1] * coarse, head), activation(act), nn.Linear(head, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, fields, *space) -> (B, outputs)."""
        return self.head(self.layers(unshuffle(self.pad.extend(x), self.patch)).flatten(1))


class Halve(nn.Module):
    """Coarsen the grid by ``factors``: a strided convolution, or unshuffle then 1 x 1."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        factors: Sequence[int],
        periodic: Sequence[bool],
        kernel: int,
        down: Literal["strided", "unshuffle"],
    ) -> None:
        super().__init__()
        self.factors = tuple(factors)
        self.fold = down == "unshuffle"
        if self.fold:
            folded = inputs * math.prod(factors)
            self.conv = AxisConv(folded, outputs, periodic=periodic, kernel=1)
        else:
            self.conv = AxisConv(
                inputs, outputs, periodic=periodic, kernel=kernel, stride=self.factors
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *space) -> (B, outputs, *space / factors)."""
        return self.conv(unshuffle(x, self.factors) if self.fold else x)


class ConvDecoder(nn.Module):
    """(B, inputs) -> (B, fields, *grid.shape); the mirror of :class:`ConvEncoder`."""

    def __init__(
        self,
        inputs: int,
        fields: int,
        grid: Grid,
        *,
        plan: Sequence[Sequence[int]],
        widths: Sequence[int],
        kernel: int = 3,
        act: Activation = "gelu",
        blocks: int = 1,
        head: int = 128,
    ) -> None:
        super().__init__()
        total = [math.prod(f) for f in zip(*plan, strict=True)]
        self.pad = PadToMultiple(grid.shape, total, grid.periodic)
        self.coarse = tuple(n // f for n, f in zip(self.pad.padded, total, strict=True))
        self.width = widths[-1]
        self.head = nn.Sequential(
            nn.Linear(inputs, head),
            activation(act),
            nn.Linear(head, head),
            activation(act),
            nn.Linear(head, self.width * math.prod(self.coarse)),
        )
        layers: list[nn.Module] = []
        for level in reversed(range(len(plan) - 1)):
            narrow, wide = widths[level], widths[level + 1]
            layers += [activation(act), Double(wide, narrow, plan[level + 1], grid.periodic, kernel)]
            layers += [
                Residual(narrow, periodic=grid.periodic, kernel=kernel, act=act)
                for _ in range(blocks)
            ]
        last = Double(widths[0], fields, plan[0], grid.periodic, kernel)
        nn.init.zeros_(last.conv.conv.weight)
        nn.init.zeros_(last.conv.conv.bias)
        self.layers = nn.Sequential(*layers, activation(act), last)

    def forward(self, h: Tensor) -> Tensor:
        """(B, inputs) -> (B, fields, *space)."""
        coarse = self.head(h).reshape(h.shape[0], self.width, *self.coarse)
        return self.pad.crop(self.layers(coarse))


class Double(nn.Module):
    """Refine the grid by ``factors``: convolution to more channels, then shuffle."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        factors: Sequence[int],
        periodic: Sequence[bool],
        kernel: int,
    ) -> None:
        super().__init__()
        self.factors = tuple(factors)
        self.conv = AxisConv(inputs, outputs * math.prod(factors), periodic=periodic, kernel=kernel)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *space) -> (B, outputs, *space * factors)."""
        return shuffle(self.conv(x), self.factors)
