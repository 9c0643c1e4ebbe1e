"""A causal transformer over a window of past latents.

    t_n = E [z_n, x_n] + e                                   one token per step, (D,)
    t_n <- t_n + mix . softmax_j(q_n . k_j / sqrt(d) + p_{n-j}) v_j,   n - j = 0 .. W - 1
    t_n <- t_n + down silu(up t_n)                           both after RMS normalisation
    z_{n+1} = A [z_n, x_n] + b + W_out t_n                   W_out = 0 at first

Each of the L layers looks back over W = (context - 1) // L + 1 tokens, so the forecast depends
on exactly the last ``context`` states, however the rollout is cut: k steps equal k times
one step. Keys and values of past tokens stay valid, and a step costs one token.

Worth its cost where long delays matter (waves that come back, delayed forcing) and data are
plenty. With a few hundred steps, or where one state tells all, a GRU or a linear model does
better for less.
"""

from typing import TYPE_CHECKING

import numpy as np

from romae.dynamics.trained import Trained
from romae.errors import OptionError

if TYPE_CHECKING:
    from romae.nets.steps import Step

HEADS = 4


class Transformer(Trained):
    """Causal transformer. ``hidden``: D, a multiple of 4; ``layers``: L; others: :class:`Trained`.

    Source: A. Vaswani et al., Attention is all you need, 2017; positions: C. Raffel et al.,
    Exploring the limits of transfer learning, 2020; bands: I. Beltagy et al., Longformer, 2020.
    Deviates in the linear part, with which training starts.
    """

    vectors = frozenset({"norm_attention", "norm_mlp", "up_bias"})
    optimiser = "adamw"  # the matrices of all layers lie in one array, which muon cannot tell apart
    fitted = (
        "linear", "bias", "embed", "embed_bias", "norm_attention", "qkv", "position", "mix",
        "norm_mlp", "up", "up_bias", "down", "norm_out", "weight_out",
    )  # fmt: skip
    linear: np.ndarray  # (k, k + m), A; float32, as all of them
    bias: np.ndarray  # (k,), b
    embed: np.ndarray  # (D, k + m)
    embed_bias: np.ndarray  # (D,)
    norm_attention: np.ndarray  # (L, D)
    qkv: np.ndarray  # (L, 3 D, D)
    position: np.ndarray  # (L, heads, W), oldest first
    mix: np.ndarray  # (L, D, D)
    norm_mlp: np.ndarray  # (L, D)
    up: np.ndarray  # (L, 4 D, D)
    up_bias: np.ndarray  # (L, 4 D)
    down: np.ndarray  # (L, D, 4 D)
    norm_out: np.ndarray  # (D,)
    weight_out: np.ndarray  # (k, D)

    def __init__(
        self,
        hidden: int = 48,
        *,
        layers: int = 2,
        context: int = 17,
        unroll: int = 8,
        updates: int = 2000,
        learning_rate: float = 2e-3,
        noise: float = 0.003,
        seed: int = 0,
        device: str = "cpu",
    ):
        self.hidden: int
        self.layers: int
        self._set(
            hidden=hidden, layers=layers, context=context, unroll=unroll, updates=updates,
            learning_rate=learning_rate, noise=noise, seed=seed, device=device,
        )  # fmt: skip
        if hidden % HEADS:
            raise OptionError(
                f"Transformer: hidden is {hidden}. Expected a multiple of {HEADS}, the number of "
                f"heads; type {HEADS * max(1, hidden // HEADS)}."
            )

    def _network(self, A: np.ndarray, b: np.ndarray) -> "Step":
        import torch

        from romae.nets.steps import AttentionStep

        return AttentionStep(
            torch.tensor(A), torch.tensor(b), hidden=self.hidden, layers=self.layers, heads=HEADS,
            context=self.context,
        )  # fmt: skip

    def _loop(
        self, history: np.ndarray, x: np.ndarray, steps: int, *weights: np.ndarray
    ) -> np.ndarray:
        from romae.dynamics.loops import attention

        return attention(history, x, steps, *weights)
