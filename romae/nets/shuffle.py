"""Space to channels and back, in one to three dimensions and by a factor per axis.

``unshuffle``: (B, C, n_1 f_1, ..., n_d f_d) -> (B, C f_1...f_d, n_1, ..., n_d)
``shuffle`` is its exact inverse (Shi et al. 2016, "Real-time single image
super-resolution using an efficient sub-pixel convolutional neural network"). torch's
own PixelShuffle is 2-D with one factor; these are plain views and one copy.
"""

import math
from collections.abc import Sequence

from torch import Tensor


def unshuffle(x: Tensor, factors: Sequence[int]) -> Tensor:
    """Fold blocks of ``factors`` cells into channels; sizes must be divisible."""
    B, C, *space = x.shape
    d = len(factors)
    split = [v for n, f in zip(space, factors, strict=True) for v in (n // f, f)]
    x = x.reshape(B, C, *split)
    coarse = [2 + 2 * i for i in range(d)]
    fine = [3 + 2 * i for i in range(d)]
    x = x.permute(0, 1, *fine, *coarse)
    return x.reshape(
        B, C * math.prod(factors), *(n // f for n, f in zip(space, factors, strict=True))
    )


def shuffle(x: Tensor, factors: Sequence[int]) -> Tensor:
    """Inverse of :func:`unshuffle`."""
    B, C, *space = x.shape
    d = len(factors)
    x = x.reshape(B, C // math.prod(factors), *factors, *space)
    order = [v for i in range(d) for v in (2 + d + i, 2 + i)]
    x = x.permute(0, 1, *order)
    return x.reshape(B, x.shape[1], *(n * f for n, f in zip(space, factors, strict=True)))
