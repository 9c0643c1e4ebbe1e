"""Activations by name, so that a saved model can say which it used.

``sine`` is sin(w0 x), with which networks are smooth in all derivatives and take up fine detail
quickly. It needs its own start, so that pre-activations keep unit variance through any depth:
weights uniform in +-1/n in the first layer and in +-sqrt(6/n)/w0 in the others, n inputs per
output (Sitzmann et al. 2020, "Implicit neural representations with periodic activation
functions", w0 = 30). Their inputs are positions; latents and fields bend less, and here w0 = 5.
"""

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from romae.errors import check_option

Activation = Literal["gelu", "relu", "silu", "tanh", "sine"]
W0 = 5.0


class Sine(nn.Module):
    """sin(w0 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return torch.sin(W0 * x)


_MODULES: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sine": Sine,
}


def activation(name: Activation) -> nn.Module:
    """The activation called ``name``; :class:`OptionError` lists the valid ones."""
    check_option("activation", name, get_args(Activation))
    return _MODULES[name]()


def start_for(act: Activation, layer: Any, *, first: bool = False) -> Any:
    """``layer``, its weights set anew where ``act`` needs a start of its own; see the module.

    ``layer`` is linear or a convolution next to ``act``; ``first``: it sees the data themselves.
    """
    if act == "sine":
        inputs = layer.weight[0].numel()
        if getattr(layer, "transposed", False):  # weights come as (inputs, outputs, *kernel)
            overlap = (k // s for k, s in zip(layer.kernel_size, layer.stride, strict=True))
            inputs = layer.in_channels * math.prod(overlap)
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / W0
        nn.init.uniform_(layer.weight, -bound, bound)
        if layer.bias is not None:
            nn.init.uniform_(layer.bias, -bound, bound)
    return layer
