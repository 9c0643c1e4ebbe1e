"""Convolutional encoder and decoder for fields on a grid of any size, in 1 to 3 dimensions.

Encoder   x -> unshuffle by a patch -> conv -> [halve the grid, widen, conv] ... -> dense -> h
Decoder   h -> dense -> [double the grid, narrow, conv] ... -> conv -> shuffle by the patch -> x

The patch is folded into channels and back whole; how the grid is halved and doubled between the
levels is an option (:mod:`romae.nets.resize`). Convolutions have odd kernels, padded circularly on
periodic axes and by edge values elsewhere (:mod:`romae.nets.axis`). Axes stop being halved when
they would fall below four cells, so that long and short axes may be mixed. Sizes that do not
divide are extended and cropped.
"""

import math
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from romae.nets.activations import Activation, activation, start_for
from romae.nets.axis import AxisConv, zero_
from romae.nets.grid import ConvSpec
from romae.nets.padding import PadToMultiple
from romae.nets.resize import Coarsen, Refine
from romae.nets.shuffle import shuffle, unshuffle

__all__ = ["AxisConv", "ConvDecoder", "ConvEncoder", "Residual", "zero_"]


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
        start_for(act, self.body[1].conv)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, *space) -> the same shape."""
        return x + self.body(x)


class ConvEncoder(nn.Module):
    """(B, fields, *grid.shape) -> (B, outputs), starting at zero."""

    def __init__(self, fields: int, outputs: int, spec: ConvSpec) -> None:
        super().__init__()
        self.pad = PadToMultiple(spec.grid.shape, spec.total, spec.grid.periodic)
        self.patch, act = spec.plan[0], spec.act
        folded = fields * math.prod(self.patch)
        stem = AxisConv(folded, spec.widths[0], periodic=spec.grid.periodic, kernel=spec.kernel)
        start_for(act, stem.conv, first=True)
        layers: list[nn.Module] = [stem]
        for level, factors in enumerate(spec.plan[1:]):
            narrow, wide = spec.widths[level : level + 2]
            coarsen = Coarsen(narrow, wide, factors, spec)
            start_for(act, coarsen.conv.conv)
            layers += [*_residuals(narrow, spec), activation(act), coarsen]
        self.layers = nn.Sequential(*layers, activation(act))
        coarse = math.prod(n // f for n, f in zip(self.pad.padded, spec.total, strict=True))
        self.head = nn.Sequential(
            start_for(act, nn.Linear(spec.widths[-1] * coarse, spec.head)),
            activation(act),
            zero_(nn.Linear(spec.head, outputs)),
        )

    def features(self, x: Tensor) -> Tensor:
        """(B, fields, *space) -> (B, width, *coarse): all but the dense layers."""
        return self.layers(unshuffle(self.pad.extend(x), self.patch))

    def forward(self, x: Tensor) -> Tensor:
        """(B, fields, *space) -> (B, outputs)."""
        return self.head(self.features(x).flatten(1))


class ConvDecoder(nn.Module):
    """(B, inputs) -> (B, fields, *grid.shape), starting at zero; mirrors :class:`ConvEncoder`."""

    def __init__(self, inputs: int, fields: int, spec: ConvSpec) -> None:
        super().__init__()
        self.pad = PadToMultiple(spec.grid.shape, spec.total, spec.grid.periodic)
        self.coarse = tuple(n // f for n, f in zip(self.pad.padded, spec.total, strict=True))
        self.width, self.patch, act = spec.widths[-1], spec.plan[0], spec.act
        self.head = nn.Sequential(
            start_for(act, nn.Linear(inputs, spec.head), first=True),
            activation(act),
            start_for(act, nn.Linear(spec.head, spec.head)),
            activation(act),
            start_for(act, nn.Linear(spec.head, self.width * math.prod(self.coarse))),
        )
        layers: list[nn.Module] = []
        for level in reversed(range(len(spec.plan) - 1)):
            narrow, wide = spec.widths[level : level + 2]
            refine = Refine(wide, narrow, spec.plan[level + 1], spec)
            start_for(act, refine.conv.conv)
            layers += [activation(act), refine, *_residuals(narrow, spec)]
        last = AxisConv(
            spec.widths[0],
            fields * math.prod(self.patch),
            periodic=spec.grid.periodic,
            kernel=spec.kernel,
            zero=True,
        )
        self.layers = nn.Sequential(*layers, activation(act), last)

    def field(self, coarse: Tensor) -> Tensor:
        """(B, width, *coarse) -> (B, fields, *space): all but the dense layers."""
        return self.pad.crop(shuffle(self.layers(coarse), self.patch))

    def forward(self, h: Tensor) -> Tensor:
        """(B, inputs) -> (B, fields, *space)."""
        return self.field(self.head(h).reshape(h.shape[0], self.width, *self.coarse))


def _residuals(width: int, spec: ConvSpec) -> list[nn.Module]:
    make = partial(Residual, periodic=spec.grid.periodic, kernel=spec.kernel, act=spec.act)
    return [make(width) for _ in range(spec.blocks)]
