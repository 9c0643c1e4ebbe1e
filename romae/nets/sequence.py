"""Networks on windows of states: (B, window, m) -> (B, outputs), and back from (B, inputs).

    gru, lstm      recurrent, h_j = cell(a_j, h_{j-1}); the code is a linear map of the last h
    transformer    self-attention over the window with learnt positions; the code is read at its end

The decoder sees the same code at every place of the window, with the place. Last layers start at
zero. Sources: Cho et al. 2014 (GRU); Hochreiter & Schmidhuber 1997 (LSTM); Srivastava et al. 2015
(recurrent autoencoders); Vaswani et al. 2017 (attention).
"""

from typing import Literal

import torch
from torch import Tensor, nn

from romae.nets.conv import zero_

Cell = Literal["gru", "lstm", "transformer"]
HEADS = 4


class Body(nn.Module):
    """(B, window, width) -> (B, window, width)."""

    def __init__(self, cell: Cell, width: int, layers: int) -> None:
        super().__init__()
        self.net: nn.Module
        if cell == "transformer":
            heads = HEADS if width % HEADS == 0 else 1
            layer = nn.TransformerEncoderLayer(
                width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True
            )
            self.net = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        else:
            kind = nn.GRU if cell == "gru" else nn.LSTM
            self.net = kind(width, width, layers, batch_first=True)
        self.recurrent = cell != "transformer"

    def forward(self, h: Tensor) -> Tensor:
        """(B, window, width) -> the same shape."""
        return self.net(h)[0] if self.recurrent else self.net(h)


class SequenceEncoder(nn.Module):
    """(B, window, m) -> (B, outputs), starting at zero."""

    def __init__(
        self, m: int, outputs: int, window: int, *, cell: Cell, width: int, layers: int
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(m, width)
        self.place = nn.Parameter(0.02 * torch.randn(window, width))
        self.body = Body(cell, width, layers)
        self.leave = zero_(nn.Linear(width, outputs))

    def forward(self, a: Tensor) -> Tensor:
        """(B, window, m) -> (B, outputs)."""
        return self.leave(self.body(self.enter(a) + self.place)[:, -1])


class SequenceDecoder(nn.Module):
    """(B, inputs) -> (B, window, m), starting at zero."""

    def __init__(
        self, inputs: int, m: int, window: int, *, cell: Cell, width: int, layers: int
    ) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, width))
        self.place = nn.Parameter(0.02 * torch.randn(window, width))
        self.body = Body(cell, width, layers)
        self.leave = nn.Sequential(nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.last = zero_(nn.Linear(width, m))

    def forward(self, z: Tensor) -> Tensor:
        """(B, inputs) -> (B, window, m)."""
        return self.last(self.leave(self.body(self.enter(z)[:, None] + self.place)))
