"""Gated recurrent networks that step the latents.

    h_n = cell([z_n, x_n], h_{n-1})                 h (H,), 0 at the start of the context
    z_{n+1} = A [z_n, x_n] + b + W h_n              W = 0 at first

GRU     r, u = sigmoid(..)                          reset, update gates of [z, x] and h
        h' = (1 - u) tanh(W z + r (V h + c)) + u h
LSTM    i, f, o = sigmoid(..)                       input, forget, output gates
        c' = f c + i tanh(..),  h' = o tanh(c')

The hidden state gathers what one state does not tell: slow or hidden variables, the phase of a
cycle whose latents cross. Fails when the context is too short to reveal it, and, as every map
trained on squared errors, far beyond the horizon of a chaotic flow, where it may settle
on an attractor of its own.
"""

from typing import TYPE_CHECKING

import numpy as np

from romae.dynamics.trained import Trained

if TYPE_CHECKING:
    from romae.nets.steps import Step


class _Recurrent(Trained):
    """GRU and LSTM, told apart by the number of gates."""

    gates: int
    optimiser = "adamw"

    fitted = (
        "linear", "bias", "weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_out",
    )  # fmt: skip
    linear: np.ndarray  # (k, k + m), A; float32, as all of them
    bias: np.ndarray  # (k,), b
    weight_ih: np.ndarray  # (gates H, k + m)
    weight_hh: np.ndarray  # (gates H, H)
    bias_ih: np.ndarray  # (gates H,)
    bias_hh: np.ndarray  # (gates H,)
    weight_out: np.ndarray  # (k, H)

    def __init__(
        self,
        hidden: int = 64,
        *,
        context: int = 16,
        unroll: int = 16,
        updates: int = 2000,
        learning_rate: float = 5e-3,
        noise: float = 0.003,
        seed: int = 0,
        device: str = "cpu",
    ):
        self.hidden: int
        self._set(
            hidden=hidden, context=context, unroll=unroll, updates=updates,
            learning_rate=learning_rate, noise=noise, seed=seed, device=device,
        )  # fmt: skip

    def _network(self, A: np.ndarray, b: np.ndarray) -> "Step":
        import torch

        from romae.nets.steps import RecurrentStep

        return RecurrentStep(torch.tensor(A), torch.tensor(b), self.hidden, self.gates)

    def _loop(
        self, history: np.ndarray, x: np.ndarray, steps: int, *weights: np.ndarray
    ) -> np.ndarray:
        from romae.dynamics.loops import recurrent

        A, b, *gates, W_out = weights
        single = [w.astype(np.float32) for w in gates]  # as they were trained: nothing is lost
        return recurrent(history, x, steps, A, b, *single, W_out)


class GRU(_Recurrent):
    """Gated recurrent unit. ``hidden``: H; the others as in :class:`Trained`.

    Source: K. Cho et al., Learning phrase representations using RNN encoder-decoder, 2014.
    Deviates in the linear part, with which training starts.
    """

    gates = 3


class LSTM(_Recurrent):
    """Long short-term memory. ``hidden``: H; the others as in :class:`Trained`.

    Source: S. Hochreiter, J. Schmidhuber, Long short-term memory, 1997; F. Gers et al., Learning
    to forget, 2000. Deviates in the linear part, with which training starts.
    """

    gates = 4
