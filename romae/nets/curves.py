"""Activations together with their slopes, for derivatives written by hand.

    y = act(u + b),     s = act'(u + b)

Half of the work of both is the same: the error function of GELU, the exponential of SiLU. Each may
overwrite u, and gives arrays that nothing else holds.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from romae import compiling
from romae.nets.activations import W0

Curve = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # u (B, n), b (n,) -> y, s
SERIAL = 1 << 15  # elements that torch, too, computes on one thread


@cache
def compiled_kernels() -> Any:
    """Compiled loops, or None where numba is not installed."""
    if compiling.numba is None:
        return None
    from romae.nets import kernels

    return kernels


def _gelu(u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """u Phi(u) and Phi(u) + u phi(u)."""
    kernels = compiled_kernels() if u.numel() <= SERIAL or torch.get_num_threads() <= 4 else None
    if kernels is not None:
        y, slope = torch.empty_like(u), torch.empty_like(u)
        kernels.gelu(u.numpy(), b.numpy(), y.numpy(), slope.numpy())
        return y, slope
    u.add_(b)
    half = (u * math.sqrt(0.5)).erf_().add_(1).mul_(0.5)  # Phi
    slope = (u * u).mul_(-0.5).exp_().mul_(u).mul_(1 / math.sqrt(2 * math.pi)).add_(half)
    return half.mul_(u), slope


def _tanh(u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    y = u.add_(b).tanh_()
    return y, (y * y).neg_().add_(1)


def _relu(u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    y = u.add_(b).clamp_min_(0)
    return y, (y > 0).to(y)


def _silu(u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """u q and q + u q (1 - q), q the logistic function."""
    q = u.add_(b).sigmoid()
    y = u.mul_(q)
    return y, (1 - q).mul_(y).add_(q)


def _sine(u: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    u.add_(b).mul_(W0)
    return u.sin(), u.cos_().mul_(W0)


CURVES: dict[str, Curve] = {
    "gelu": _gelu,
    "relu": _relu,
    "silu": _silu,
    "tanh": _tanh,
    "sine": _sine,
}
