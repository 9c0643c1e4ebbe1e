"""Scaling of tensors: z = (x - mean) / scale per field, zero at masked points.

The same numbers as :class:`romae.fields.Scaling`, as float32 on the device of the data. The
mean is subtracted in two parts, mean = high + low with high the nearest float32: pressures
near 1e5 that fluctuate by 1 would lose their third digit to a mean rounded to float32.
"""

import numpy as np
import torch
from torch import Tensor

from romae.fields import Scaling


class TensorScaling:
    """:class:`romae.fields.Scaling` for tensors (B, C, *space) on one device."""

    def __init__(self, scaling: Scaling, device: torch.device | str = "cpu") -> None:
        scale = np.asarray(scaling.scale).reshape(-1, *([1] * (scaling.mean.ndim - 1)))
        self.mean = torch.as_tensor(scaling.mean, dtype=torch.float64, device=device)
        self.scale = torch.as_tensor(scale, dtype=torch.float64, device=device)
        self.high, self.scale32 = self.mean.float(), self.scale.float()
        self.low = (self.mean - self.high).float()
        mask = scaling.valid
        self.masked = None if mask is None else torch.as_tensor(~mask, device=device)

    def forward(self, x: Tensor, *, overwrite: bool = False) -> Tensor:
        """Physical units (B, C, *space), float32 or float64 -> dimensionless float32.

        ``overwrite`` lets float32 numbers be scaled in their place, without another array.
        """
        if x.dtype == torch.float64:
            z = (x - self.mean).div_(self.scale).float()
        elif overwrite and x.device.type == "cpu":
            return self._in_place(x)
        else:
            z = x.sub_(self.high) if overwrite else x - self.high
            z = z.sub_(self.low).div_(self.scale32)
        return z if self.masked is None else z.masked_fill_(self.masked, 0.0)

    def _in_place(self, x: Tensor) -> Tensor:
        """The same by numpy: on this thread alone, which leaves the others to the reader."""
        z = x.numpy()
        z -= self.high.numpy()
        z -= self.low.numpy()
        z /= self.scale32.numpy()
        if self.masked is not None:
            np.copyto(z, 0, where=self.masked.numpy())
        return x

    def inverse(self, z: Tensor) -> Tensor:
        """Dimensionless -> physical units in the type of ``z``, NaN where masked."""
        if z.dtype == torch.float64:
            x = z * self.scale + self.mean
        else:
            x = (z * self.scale32).add_(self.low).add_(self.high)
        return x if self.masked is None else x.masked_fill_(self.masked, torch.nan)
