"""Scaling of tensors: z = (x - mean) / scale per field, zero at masked points.

The same numbers as :class:`romae.fields.Scaling`, in float32 on the device of the data.
"""

import numpy as np
import torch
from torch import Tensor

from romae.fields import Scaling


class TensorScaling:
    """:class:`romae.fields.Scaling` for tensors (B, C, *space) on one device."""

    def __init__(self, scaling: Scaling, device: torch.device | str = "cpu") -> None:
        scale = np.asarray(scaling.scale).reshape(-1, *([1] * (scaling.mean.ndim - 1)))
        self.mean = torch.as_tensor(scaling.mean, dtype=torch.float32, device=device)
        self.scale = torch.as_tensor(scale, dtype=torch.float32, device=device)
        mask = scaling.valid
        self.masked = None if mask is None else torch.as_tensor(~mask, device=device)

    def forward(self, x: Tensor) -> Tensor:
        """Physical units -> dimensionless, zero where masked."""
        z = (x - self.mean).div_(self.scale)
        return z if self.masked is None else z.masked_fill_(self.masked, 0.0)

    def inverse(self, z: Tensor) -> Tensor:
        """Dimensionless -> physical units, NaN where masked."""
        x = torch.addcmul(self.mean, z, self.scale)
        return x if self.masked is None else x.masked_fill_(self.masked, torch.nan)
