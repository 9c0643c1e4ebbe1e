"""Coarser and finer grids between the levels of a convolutional network, by a factor per axis.

=================  =============================================================================
down strided       convolution with that stride: learns what to keep
down unshuffle     cells folded into channels, then 1 x 1: keeps everything, many weights
down pooled        mean of the cells, then convolution: no aliasing, drops what a mean loses
up shuffle         convolution to many channels, then unfolded into cells: no checkerboard
up transposed      transposed convolution whose cells overlap by half
up interpolated    linear interpolation, then convolution: smooth, for fields without fronts
=================  =============================================================================

All of them know periodic axes: a shift by the factor on the fine grid is a shift by one on the
coarse one.

Sources: Shi et al. 2016 (shuffle); Odena, Dumoulin & Olah 2016, "Deconvolution and checkerboard
artifacts" (overlap, interpolation).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from romae.nets.axis import AxisConv, AxisConvTranspose
from romae.nets.grid import ConvSpec
from romae.nets.padding import pad_axes
from romae.nets.shuffle import shuffle, unshuffle

_POOL: dict[int, Any] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


class Coarsen(nn.Module):
    """Divide the grid by ``factors`` as ``spec.down`` says."""

    def __init__(self, inputs: int, outputs: int, factors: tuple[int, ...], spec: ConvSpec) -> None:
        super().__init__()
        self.factors, self.down = factors, spec.down
        periodic = spec.grid.periodic
        if spec.down == "unshuffle":
            folded = inputs * math.prod(factors)
            self.conv = AxisConv(folded, outputs, periodic=periodic, kernel=1)
        else:
            stride = factors if spec.down == "strided" else 1
            self.conv = AxisConv(
                inputs, outputs, periodic=periodic, kernel=spec.kernel, stride=stride
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *space) -> (B, outputs, *space / factors)."""
        if self.down == "unshuffle":
            x = unshuffle(x, self.factors)
        elif self.down == "pooled":
            x = _POOL[len(self.factors)](x, self.factors)
        return self.conv(x)


class Refine(nn.Module):
    """Multiply the grid by ``factors`` as ``spec.up`` says."""

    conv: nn.Module

    def __init__(self, inputs: int, outputs: int, factors: tuple[int, ...], spec: ConvSpec) -> None:
        super().__init__()
        self.factors, self.up, self.periodic = factors, spec.up, spec.grid.periodic
        if spec.up == "transposed":
            self.conv = AxisConvTranspose(
                inputs, outputs, periodic=self.periodic, factors=self.factors
            )
        else:
            unfolded = math.prod(factors) if spec.up == "shuffle" else 1
            self.conv = AxisConv(
                inputs, outputs * unfolded, periodic=self.periodic, kernel=spec.kernel
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *space) -> (B, outputs, *space * factors)."""
        if self.up == "interpolated":
            return self.conv(interpolate(x, self.factors, self.periodic))
        y = self.conv(x)
        return shuffle(y, self.factors) if self.up == "shuffle" else y


def interpolate(x: Tensor, factors: Sequence[int], periodic: Sequence[bool]) -> Tensor:
    """Linear between cell centres, around periodic axes: (B, C, *space * factors)."""
    space = x.shape[2:]
    y = pad_axes(x, [(1, 1)] * len(space), periodic)
    size = [(n + 2) * f for n, f in zip(space, factors, strict=True)]
    y = F.interpolate(y, size=size, mode=_LINEAR[len(size)], align_corners=False)
    for axis, (n, f) in enumerate(zip(space, factors, strict=True), start=2):
        y = y.narrow(axis, f, n * f)
    return y
