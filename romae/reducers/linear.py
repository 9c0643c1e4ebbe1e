"""Linear coding: orthonormal modes U (k, n) in the weights W, z = U W x and x^ = U^T z."""

import numpy as np
import torch
from torch import Tensor, nn

from romae.fields import Layout
from romae.reducers.coder import Coder


class LinearCoder(Coder):
    """z = U W x, x^ = U^T z, with ``modes`` U (k, n) and ``weights`` W (n,) or none (uniform).

    Neither is trained: the modes are a parameter that asks for no gradient.
    """

    modes: Tensor
    weights: Tensor | None

    def __init__(self, modes: Tensor, weights: Tensor | None, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.modes = nn.Parameter(modes, requires_grad=False)
        self.register_buffer("weights", weights, persistent=False)
        self.shape = shape

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *space) -> (B, k)."""
        flat = x.flatten(1)
        return (flat if self.weights is None else flat * self.weights) @ self.modes.T

    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space)."""
        return (z @ self.modes).reshape(-1, *self.shape)

    def expansion(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z and the modes."""
        return z, self.modes


def linear_coder(layout: Layout, modes: np.ndarray) -> LinearCoder:
    """Coder of scaled ``modes`` (k, n); uniform weights are left out."""
    w = layout.quadrature.reshape(-1)
    uniform = bool(np.all((w == 1) | (w == 0)))
    weights = None if uniform else torch.from_numpy(w.astype(np.float32))
    shape = (layout.channels, *layout.shape)
    # C order as `load` gives it: products in another order of memory round differently.
    stored = np.ascontiguousarray(modes, dtype=np.float32)
    return LinearCoder(torch.from_numpy(stored), weights, shape)
