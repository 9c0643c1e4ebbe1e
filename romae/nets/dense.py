"""Multilayer perceptron h -> W_n act(... act(W_1 h + b_1) ...) + b_n.

With ``zero_last`` the last layer starts at W_n = 0, b_n = 0, so that a residual
model f(a) = a + mlp(a) starts as the identity (Linot & Graham 2022).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from romae.nets.activations import Activation, activation, start_for
from romae.nets.stack import Stack


class MLP(nn.Module):
    """Dense network (B, inputs) -> (B, outputs) with hidden layers of the given widths."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        hidden: Sequence[int] = (128, 128),
        act: Activation = "gelu",
        zero_last: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = inputs
        for size in hidden:
            layer = start_for(act, nn.Linear(width, size), first=not layers)
            layers += [layer, activation(act)]
            width = size
        last = start_for(act, nn.Linear(width, outputs), first=not layers)
        if zero_last:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.layers, self.act = nn.Sequential(*layers, last), act
        self.stack: Stack | None = None  # while it is trained

    def forward(self, h: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        return self.layers(h) if self.stack is None else self.stack(h)

    def __getstate__(self) -> dict[str, Any]:
        """A copy, or what is pickled, has layers of its own: nobody would train its stack."""
        return self.__dict__ | {"stack": None}


def stack_layers(module: nn.Module) -> list[Stack]:
    """Let every MLP in ``module`` that is trained as a whole compute on one vector."""
    owners = Counter(id(p) for m in module.modules() for p in m.parameters(recurse=False))
    stacks = []
    for part in module.modules():
        if isinstance(part, MLP) and _plain(part, owners):
            part.stack = Stack(part.layers, part.act)
            stacks.append(part.stack)
    return stacks


def _plain(net: MLP, owners: Mapping[int, int]) -> bool:
    """Whether all of it is trained, and is just layers: not hooked, parametrised or shared."""
    hooked = any(m._forward_hooks or m._forward_pre_hooks for m in net.layers.modules())
    linear = all(type(layer) is nn.Linear for layer in list(net.layers)[::2])
    return (
        linear
        and not hooked
        and all(p.requires_grad and owners[id(p)] == 1 for p in net.parameters())
    )


def unstack_layers(module: nn.Module) -> None:
    """The opposite: layers with parameters of their own, at their present values."""
    for part in module.modules():
        if isinstance(part, MLP) and part.stack is not None:
            part.stack.release()
            part.stack = None
