"""Convolutions on grids of one to three dimensions, padded per axis by what lies beyond the edge.

Circularly on periodic axes and by edge values elsewhere, so that there is no border of zeros and
a shift along a periodic axis passes through. A stride f divides an axis, a transposed convolution
multiplies it: there each coarse cell reaches over 2 f fine ones, half a cell beyond either side,
and since f divides 2 f every fine cell has the same number of contributions.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from torch import Tensor, nn

from romae.nets.padding import pad_axes

Layer = TypeVar("Layer", bound=nn.Module)
_CONV: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


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


class AxisConvTranspose(nn.Module):
    """Transposed convolution that multiplies each axis by its factor f; kernel 2 f, or 3 for 1."""

    def __init__(
        self, inputs: int, outputs: int, *, periodic: Sequence[bool], factors: Sequence[int]
    ) -> None:
        super().__init__()
        self.periodic, self.factors = tuple(periodic), tuple(factors)
        kernel = tuple(2 * f if f > 1 else 3 for f in factors)
        # Cell j lands on fine cells from (j + 1) f on, one cell of padding before it; it belongs
        # half a cell before j f.
        self.first = tuple(f + f // 2 if f > 1 else 2 for f in factors)
        self.conv = _TRANSPOSED[len(self.factors)](inputs, outputs, kernel, stride=self.factors)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, *space) -> (B, outputs, *space * factors)."""
        space = x.shape[2:]
        y = self.conv(pad_axes(x, [(1, 1)] * len(space), self.periodic))
        for axis, (n, f, first) in enumerate(
            zip(space, self.factors, self.first, strict=True), start=2
        ):
            y = y.narrow(axis, first, n * f)
        return y


def zero_(layer: Layer) -> Layer:
    """Set weights and bias of ``layer`` to zero: what it is added to passes unchanged."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
