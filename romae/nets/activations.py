"""Activations by name, so that a saved model can say which it used."""

from typing import Literal, get_args

from torch import nn

from romae.errors import check_option

Activation = Literal["gelu", "relu", "silu", "tanh"]
_MODULES: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


def activation(name: Activation) -> nn.Module:
    """The activation called ``name``; :class:`OptionError` lists the valid ones."""
    check_option("activation", name, get_args(Activation))
    return _MODULES[name]()
