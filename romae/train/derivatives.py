"""Derivatives of fields along the axes of their grid, differentiable by torch.

    inside      d_i f = (f_{i+1} - f_{i-1}) / (c_{i+1} - c_{i-1})        c: coordinate of the axis
    periodic    the same, with c_n = c_0 + L
    ends        (f_1 - f_0) / (c_1 - c_0), and so at the other end

Second order on even grids, first order where the steps change. An axis without numbers has
steps of 1. Longitude and latitude are taken as they are written, in degrees.
"""

import numpy as np
import torch
from torch import Tensor

from romae.errors import OptionError, nearest
from romae.fields import Layout
from romae.fields.axes import numeric_coordinate


class Derivatives:
    """d/d(axis) of tensors (..., *space) on the grid of ``layout``."""

    def __init__(self, layout: Layout, device: torch.device | str = "cpu") -> None:
        self.space = layout.space
        self._stencils: list[tuple[Tensor, Tensor, Tensor]] = []
        for dim, n, periodic in zip(layout.space, layout.shape, layout.periodic, strict=True):
            c = numeric_coordinate(layout.coords, dim)
            c = np.arange(n, dtype=float) if c is None else c
            after, before = np.arange(1, n + 1), np.arange(-1, n - 1)
            if periodic and n > 1:
                steps = np.diff(c)
                turn = float(c[-1] - c[0] + 0.5 * (steps[0] + steps[-1]))  # L
                wide = np.concatenate(([c[-1] - turn], c, [c[0] + turn]))
                gap = wide[2:] - wide[:-2]
                after, before = after % n, before % n
            else:
                after, before = after.clip(max=n - 1), before.clip(min=0)
                gap = np.where(after > before, c[after] - c[before], 1.0)
            shape = (n, *(1,) * (len(layout.space) - len(self._stencils) - 1))
            inverse = torch.from_numpy((1 / gap).astype(np.float32)).reshape(shape)
            after_t, before_t = torch.from_numpy(after), torch.from_numpy(before)
            self._stencils.append((after_t.to(device), before_t.to(device), inverse.to(device)))

    def __call__(self, f: Tensor, dim: str) -> Tensor:
        """Derivative of ``f`` (..., *space) along the dimension ``dim``, same shape."""
        if dim not in self.space:
            raise OptionError(f"no axis {dim!r} on this grid. {nearest(dim, self.space)}")
        number = self.space.index(dim)
        axis = number - len(self.space)
        after, before, inverse = self._stencils[number]
        return (f.index_select(axis, after) - f.index_select(axis, before)) * inverse
