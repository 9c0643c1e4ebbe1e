"""The maps of a reducer behind an alignment, and which axes can be aligned."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from romae.errors import DataError, OptionError, nearest
from romae.fields import Layout
from romae.fields.axes import numeric_coordinate
from romae.reducers.coder import Coder
from romae.reducers.phases import Phases

EVEN = 1e-3  # of a step: how far a coordinate may be from even spacing


class AlignedCoder(Coder):
    """Phases, and the coder of the aligned snapshots in its own scaling: inner = gain y + bias.

    ``offset`` turns scaled snapshots into ones that are scaled alike at all places.
    """

    offset: Tensor
    gain: Tensor
    bias: Tensor

    def __init__(
        self, phases: Phases, inner: Coder | None, offset: Tensor, gain: Tensor, bias: Tensor
    ) -> None:
        super().__init__()
        self.phases, self.inner = phases, inner
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer("gain", gain, persistent=False)
        # With an inner coder the bias follows from both scalings; without, it is the one shape.
        self.register_buffer("bias", bias, persistent=inner is None)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Phasors (B, 2 axes), and aligned snapshots in the scaling of the inner coder."""
        x = x + self.offset
        phasors = self.phases(x)
        return phasors, self.phases.align(x, phasors) * self.gain + self.bias

    def join(self, phasors: Tensor, y: Tensor) -> Tensor:
        """The inverse of :meth:`split`."""
        return self.phases.restore((y - self.bias) / self.gain, phasors) - self.offset

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *space) -> (B, k)."""
        phasors, y = self.split(x)
        return phasors if self.inner is None else torch.cat([phasors, self.inner.encode(y)], 1)

    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space)."""
        phasors, rest = self.cut(z)
        y = torch.zeros_like(self.bias) if self.inner is None else self.inner.decode(rest)
        return self.join(phasors, y.expand(len(z), *self.bias.shape))

    def cut(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Phasors, and the latents of the inner coder."""
        return z[:, : 2 * len(self.phases.axes)], z[:, 2 * len(self.phases.axes) :]


def positions(layout: Layout, axes: Sequence[str] | None) -> tuple[int, ...]:
    """Positions in ``space`` of the axes to align along; None is every periodic one.

    Raises :class:`OptionError` for unknown names, :class:`DataError` for axes along which a shift
    would not be a symmetry of the grid.
    """
    periodic = [d for d, wraps in zip(layout.space, layout.periodic, strict=True) if wraps]
    for name in axes or ():
        if name not in layout.space:
            raise OptionError(f"Aligned axes: unknown axis {name!r}. {nearest(name, layout.space)}")
    if not periodic and axes is None:
        raise DataError(
            f"Aligned needs a periodic axis, and none of {', '.join(layout.space)} is. If one "
            f"wraps around, open the data with periodic=[{layout.space[-1]!r}]; else take the "
            "reducer without Aligned."
        )
    chosen = tuple(layout.space.index(name) for name in axes or periodic)
    for i in chosen:
        if trouble := _trouble(layout, i):
            name = layout.space[i]
            rest = [d for d in axes or periodic if d != name]
            other = f"axes={rest}" if rest else "the reducer without Aligned"
            raise DataError(f"Aligned along {name!r}: {trouble} Or leave it out: type {other}.")
    return chosen


def _trouble(layout: Layout, i: int) -> str:
    """Why the axis ``i`` cannot be aligned, or nothing."""
    name, n = layout.space[i], layout.shape[i]
    if not layout.periodic[i]:
        return (
            "it is not periodic, and shifted copies would leave the domain. If it wraps around, "
            f"open the data with periodic=[{name!r}]."
        )
    if n < 3:
        return f"it has {n} points. Expected 3 or more, which hold one wave."
    if layout.mask is not None:
        mask = np.moveaxis(layout.mask, 1 + i, 0)
        if (mask != mask[0]).any():
            return (
                "the mask varies along it: a body or a coast stays where it is and a shifted copy "
                "would lie in it. Expected a mask that is the same all along."
            )
    w = np.moveaxis(layout.weights, i, 0)
    x = numeric_coordinate(layout.coords, name)
    steps = np.ones(1) if x is None else np.abs(np.diff(x))
    uneven = np.ptp(steps) > EVEN * steps.mean() or np.ptp(w, axis=0).max() > EVEN * w.max()
    if uneven:
        return (
            f"its spacing or its weights vary (steps of {steps.min():.4g} to {steps.max():.4g}). "
            f"Expected even steps around one whole period, its first point not repeated at the "
            f"end: drop it with ds.isel({name}=slice(0, -1)), or interpolate to an even grid."
        )
    return ""
