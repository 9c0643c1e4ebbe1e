"""Multilayer perceptron h -> W_n act(... act(W_1 h + b_1) ...) + b_n.

With ``zero_last`` the last layer starts at W_n = 0, b_n = 0, so that a residual
model f(a) = a + mlp(a) starts as the identity (Linot & Graham 2022).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from romae.nets.activations import Activation, activation, start_for


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
        self.layers = nn.Sequential(*layers, last)

    def forward(self, h: Tensor) -> Tensor:
        """(B, inputs) -> (B, outputs)."""
        return self.layers(h)
