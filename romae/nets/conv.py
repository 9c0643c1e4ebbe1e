"""Convolutional encoder and decoder for fields on a grid of any size, in 1 to 3 dimensions.

Encoder   x -> unshuffle by a patch -> conv -> [halve the grid, widen, conv] ... -> dense -> h
Decoder   h -> dense -> [conv, double the grid, narrow] ... -> conv -> shuffle by the patch -> x

The grid is halved per level by a strided convolution or by unshuffle; it is doubled by
convolution and shuffle (PixelShuffle), which has no checkerboard of transposed
convolutions. Convolutions have odd kernels, padded circularly on periodic axes and by
edge values elsewhere. Axes stop being halved when they would fall below four cells, so
that long and short axes may be mixed. Sizes that do not divide are extended and cropped.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeVar

from torch import Tensor, nn

from romae.nets.activations import Activation, activation
from romae.nets.grid import ConvSpec
from romae.nets.padding import PadToMultiple, pad_axes
from romae.nets.shuffle import shuffle, unshuffle

Layer = TypeVar("Layer", nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


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
        zero: bool = False,
    ) -> None:
        super().__init__()
        d = len(periodic)
        self.periodic = tuple(periodic)
        self.conv = _CONV[d](inputs, outputs, kernel, stride=stride)
        if zero:
            zero_(self.conv)
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
            AxisConv(width, width, periodic=periodic, kernel=kernel, zero=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, *space) -> the same shape."""
        return x + self.body(x)


class ConvEncoder(nn.Module):
    """(B, fields, *grid.shape) -> (B, outputs), starting at zero."""

    def __init__(self, fields: int, outputs: int, spec: ConvSpec) -> None:
        super().__init__()
        periodic, kernel = spec.grid.periodic, spec.kernel
        self.pad = PadToMultiple(spec.grid.shape, spec.total, periodic)
        self.patch = spec.plan[0]
        folded = fields * math.prod(self.patch)
        layers: list[nn.Module] = [
            AxisConv(folded, spec.widths[0], periodic=periodic, kernel=kernel)
        ]
        for level, factors in enumerate(spec.plan[1:]):
            narrow, wide = spec.widths[level : level + 2]
            layers += _residuals(narrow, spec)
            layers += [activation(spec.act), Halve(narrow, wide, factors, spec)]
        self.layers = nn.Sequential(*layers, activation(spec.act))
        coarse = math.prod(n // f for n, f in zip(self.pad.padded, spec.total, strict=True))
        last = zero_(nn.Linear(spec.head, outputs))
        self.head = nn.Sequential(
            nn.Linear(spec.widths[-1] * coarse, spec.head), activation(spec.act), last
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, fields, *space) -> (B, outputs)."""
        return self.head(self.layers(unshuffle(self.pad.extend(x), self.patch)).flatten(1))


class Halve(nn.Module):
    """Coarsen the grid by ``factors``: a strided convolution, or unshuffle then 1 x 1."""

    def __init__(self, inputs: int, outputs: int, factors: tuple[int, ...], spec: ConvSpec) -> None:
        super().__init__()
        self.factors, self.fold = factors, spec.down == "unshuffle"
        if self.fold:
            folded = inputs * math.prod(factors)
            self.conv = AxisConv(folded, outputs, periodic=spec.grid.periodic, kernel=1)
        else:
            self.conv = AxisConv(
                inputs, outputs, periodic=spec.grid.periodic, kernel=spec.kernel, stride=factors
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *space) -> (B, outputs, *space / factors)."""
        return self.conv(unshuffle(x, self.factors) if self.fold else x)


class ConvDecoder(nn.Module):
    """(B, inputs) -> (B, fields, *grid.shape), starting at zero; mirrors :class:`ConvEncoder`."""

    def __init__(self, inputs: int, fields: int, spec: ConvSpec) -> None:
        super().__init__()
        self.pad = PadToMultiple(spec.grid.shape, spec.total, spec.grid.periodic)
        self.coarse = tuple(n // f for n, f in zip(self.pad.padded, spec.total, strict=True))
        self.width = spec.widths[-1]
        self.head = nn.Sequential(
            nn.Linear(inputs, spec.head),
            activation(spec.act),
            nn.Linear(spec.head, spec.head),
            activation(spec.act),
            nn.Linear(spec.head, self.width * math.prod(self.coarse)),
        )
        layers: list[nn.Module] = []
        for level in reversed(range(len(spec.plan) - 1)):
            narrow, wide = spec.widths[level : level + 2]
            layers += [activation(spec.act), Double(wide, narrow, spec.plan[level + 1], spec)]
            layers += _residuals(narrow, spec)
        last = Double(spec.widths[0], fields, spec.plan[0], spec, zero=True)
        self.layers = nn.Sequential(*layers, activation(spec.act), last)

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
        factors: tuple[int, ...],
        spec: ConvSpec,
        *,
        zero: bool = False,
    ) -> None:
        super().__init__()
        self.factors = factors
        self.conv = AxisConv(
            inputs,
            outputs * math.prod(factors),
            periodic=spec.grid.periodic,
            kernel=spec.kernel,
            zero=zero,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *space) -> (B, outputs, *space * factors)."""
        return shuffle(self.conv(x), self.factors)


def _residuals(width: int, spec: ConvSpec) -> list[nn.Module]:
    make = partial(Residual, periodic=spec.grid.periodic, kernel=spec.kernel, act=spec.act)
    return [make(width) for _ in range(spec.blocks)]


def zero_(layer: Layer) -> Layer:
    """Set weights and bias of ``layer`` to zero: what it is added to passes unchanged."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
