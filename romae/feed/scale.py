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
        d = scaling.mean.ndim - 1
        # A masked point's mean is NaN, which turns to zero after scaling.
        self.mean = torch.as_tensor(scaling.mean, dtype=torch.float32, device=device)
        scale = np.asarray(scaling.scale).reshape(-1, *([1] * d))
        self.scale = torch.as_tensor(scale, dtype=torch.float32, device=device)

    def forward(self, x: Tensor) -> Tensor:
        """Physical units -> dimensionless, zero where masked."""
        z = (x - self.mean) / self.scale
        return z.masked_fill_(z.isnan(), 0.0)

    def inverse(self, z: Tensor) -> Tensor:
        """Dimensionless -> physical units, NaN where masked."""
        return z * self.scale + self.mean
