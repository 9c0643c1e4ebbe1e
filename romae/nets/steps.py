"""Networks that step a state: z_{n+1} = A [z_n, x_n] + b + g(z_n, x_n, memory).

z (B, k) is the state, x (B, m) what acts from outside during the step (parameters, inputs),
memory what the network keeps of the past. A and b come from outside, the linear least-squares
fit; the last layer of g starts at zero, so that every network starts as that linear model.

    memory = net.start(z, x)               z (B, C - 1, k), x (B, C - 1, m): the steps before
    z, memory = net(z, x, memory)          one step

All parameters are plain tensors with one name each, stacked over layers; the closed loops of
:mod:`romae.dynamics.loops` compute the same in float64 without torch.

Sources: K. Cho et al., Learning phrase representations using RNN encoder-decoder, 2014 (GRU); S.
Hochreiter, J. Schmidhuber, Long short-term memory, 1997; A. Vaswani et al., Attention is all
you need, 2017; C. Raffel et al., Exploring the limits of transfer learning, 2020 (positions).
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm, silu, softmax

from romae.errors import ForecastError, MissingDependencyError

MOST = 1000  # substeps of an adaptive solver in one step


class Step(nn.Module):
    """The linear part, from ``A`` (k, k + m) and ``b`` (k,)."""

    timed = False  # whether the last of x is the length of the step

    def __init__(self, A: Tensor, b: Tensor) -> None:
        super().__init__()
        self.latent, self.width = A.shape  # k, k + m
        self.linear = nn.Parameter(A.clone())
        self.bias = nn.Parameter(b.clone())

    def start(self, z: Tensor, x: Tensor) -> Any:
        """Memory before the last state of the history; none."""
        return None

    def forward(self, z: Tensor, x: Tensor, memory: Any) -> tuple[Tensor, Any]:
        """The next state (B, k) and the memory after it."""
        raise NotImplementedError


class RecurrentStep(Step):
    """g = W h, where h (B, H) is the state of a gated cell that reads [z, x].

    ``gates``: 3 for a GRU, 4 for an LSTM, which keeps a second vector c.
    """

    def __init__(self, A: Tensor, b: Tensor, hidden: int, gates: int) -> None:
        super().__init__(A, b)
        self.hidden, self.gates = hidden, gates
        self.weight_ih = _uniform(gates * hidden, self.width, fan=hidden)
        self.weight_hh = _uniform(gates * hidden, hidden, fan=hidden)
        self.bias_ih = _uniform(gates * hidden, fan=hidden)
        self.bias_hh = _uniform(gates * hidden, fan=hidden)
        self.weight_out = nn.Parameter(torch.zeros(self.latent, hidden))

    def start(self, z: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        memory = tuple(z.new_zeros(len(z), self.hidden) for _ in range(self.gates - 2))
        for fed in torch.cat([z, x], -1).unbind(1):
            memory = self._cell(fed, memory)
        return memory

    def forward(self, z: Tensor, x: Tensor, memory: Any) -> tuple[Tensor, Any]:
        fed = torch.cat([z, x], -1)
        memory = self._cell(fed, memory)
        return linear(fed, self.linear, self.bias) + linear(memory[0], self.weight_out), memory

    def _cell(self, fed: Tensor, memory: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        weights = (self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
        if self.gates == 3:
            return (torch.gru_cell(fed, memory[0], *weights),)
        return torch.lstm_cell(fed, memory, *weights)


class AttentionStep(Step):
    """g = W t, where t (B, D) is the last token of a causal transformer over the past.

    Every layer looks back over a band of W = (C - 1) // layers + 1 tokens, itself included. So
    the last token depends on just the last C states, and what earlier tokens gave (keys and
    values) can be kept from step to step: a step costs one token, not C. Positions enter as
    a learned bias of the scores by distance and head.
    """

    def __init__(
        self, A: Tensor, b: Tensor, *, hidden: int, layers: int, heads: int, context: int
    ) -> None:
        super().__init__(A, b)
        D, self.layers, self.heads = hidden, layers, heads
        self.band = (context - 1) // layers + 1
        self.embed = _uniform(D, self.width, fan=self.width)
        self.embed_bias = _uniform(D, fan=self.width)
        self.norm_attention = nn.Parameter(torch.ones(layers, D))
        self.qkv = _uniform(layers, 3 * D, D, fan=D)
        self.position = nn.Parameter(torch.zeros(layers, heads, self.band))  # oldest first
        self.mix = _uniform(layers, D, D, fan=D)
        self.norm_mlp = nn.Parameter(torch.ones(layers, D))
        self.up = _uniform(layers, 4 * D, D, fan=D)
        self.up_bias = nn.Parameter(torch.zeros(layers, 4 * D))
        self.down = _uniform(layers, D, 4 * D, fan=4 * D)
        self.norm_out = nn.Parameter(torch.ones(D))
        self.weight_out = nn.Parameter(torch.zeros(self.latent, D))

    def start(self, z: Tensor, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        S = z.shape[1]
        away = torch.arange(S, device=z.device)
        away = away[:, None] - away  # tokens back
        seen = (away >= 0) & (away < self.band)
        at = (self.band - 1 - away).clamp(0, self.band - 1)
        bias = [p[:, at].masked_fill(~seen, -math.inf) for p in self.position]
        none = z.new_zeros(len(z), 0, self.embed.shape[0])
        return self._tokens(torch.cat([z, x], -1), [(none, none)] * self.layers, bias)[1]

    def forward(self, z: Tensor, x: Tensor, memory: Any) -> tuple[Tensor, Any]:
        fed = torch.cat([z, x], -1)
        bias = list(self.position[:, :, None])
        tokens, memory = self._tokens(fed[:, None], memory, bias)
        g = linear(rms_norm(tokens[:, -1], self.norm_out.shape, self.norm_out), self.weight_out)
        return linear(fed, self.linear, self.bias) + g, memory

    def _tokens(
        self, fed: Tensor, memory: list[tuple[Tensor, Tensor]], bias: list[Tensor]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Tokens (B, S, D) of ``fed`` (B, S, k + m), after those in ``memory``."""
        h, kept = linear(fed, self.embed, self.embed_bias), []
        D = h.shape[-1]
        for n, (K, V) in enumerate(memory):
            q, k, v = linear(rms_norm(h, (D,), self.norm_attention[n]), self.qkv[n]).chunk(3, -1)
            K, V = torch.cat([K, k], 1), torch.cat([V, v], 1)
            scores = self._split(q) @ self._split(K).transpose(-1, -2) / math.sqrt(D / self.heads)
            mixed = softmax(scores + bias[n], -1) @ self._split(V)
            h = h + linear(mixed.transpose(1, 2).flatten(2), self.mix[n])
            up = linear(rms_norm(h, (D,), self.norm_mlp[n]), self.up[n], self.up_bias[n])
            h = h + linear(silu(up), self.down[n])
            past = K.shape[1] - (self.band - 1)
            kept.append((K[:, past:], V[:, past:]))
        return h, kept

    def _split(self, h: Tensor) -> Tensor:
        """(B, S, D) -> (B, heads, S, D / heads)."""
        return h.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FlowStep(Step):
    """z_{n+1} = z(1) of dz/dt = A [z, x] + b + g(z, x), z(0) = z_n: one step is one unit of time.

    g = W_3 silu(W_2 silu(W_1 [s, x] + b_1) + b_2), where s = c tanh(z / c) is z as long as it lies
    in the range of data, and bounds g outside; ``squash``: c. ``free``: whether A is trained.
    ``method``: rk4 with ``substeps`` equal steps, or an adaptive one of torchdiffeq. ``timed``: the
    last of x is no drive but the length of the step, of each row its own; 1 otherwise.
    """

    def __init__(
        self,
        A: Tensor,
        b: Tensor,
        *,
        hidden: int,
        free: bool,
        squash: float,
        method: str,
        substeps: int,
    ) -> None:
        super().__init__(A, b)
        self.squash = squash
        self.linear.requires_grad_(free)
        self.method, self.substeps = method, substeps
        self.weight_1 = _uniform(hidden, self.width, fan=self.width)
        self.bias_1 = _uniform(hidden, fan=self.width)
        self.weight_2 = _uniform(hidden, hidden, fan=hidden)
        self.bias_2 = _uniform(hidden, fan=hidden)
        self.weight_out = nn.Parameter(torch.zeros(self.latent, hidden))

    def rates(self, z: Tensor, x: Tensor) -> Tensor:
        """dz/dt (B, k)."""
        h = torch.cat([self.squash * torch.tanh(z / self.squash), x], -1)
        h = silu(linear(h, self.weight_1, self.bias_1))
        h = silu(linear(h, self.weight_2, self.bias_2))
        rates = linear(torch.cat([z, x], -1), self.linear, self.bias)
        return rates + linear(h, self.weight_out)

    def forward(self, z: Tensor, x: Tensor, memory: Any) -> tuple[Tensor, Any]:
        if self.timed:
            return self.flow(z, x[:, :-1], x[:, -1:]), None
        return self.flow(z, x, None), None

    def flow(self, z: Tensor, x: Tensor, span: Tensor | None) -> Tensor:
        """State after ``span`` (B, 1) units of time, 1 when None; x held.

        Time is scaled by the span, so that the rows of a batch may take steps of their own.
        """
        try:
            from torchdiffeq import odeint
        except ImportError as error:
            raise MissingDependencyError(
                "NeuralODE needs torchdiffeq, which is not installed. Type: pip install "
                "'romae[dynamics]'; or take romae.GRU, which does without"
            ) from error
        times = torch.tensor([0.0, 1.0], device=z.device, dtype=z.dtype)
        if self.method == "rk4":
            settings: dict[str, Any] = {"options": {"step_size": 1.0 / self.substeps}}
        else:
            settings = {"rtol": 1e-6, "atol": 1e-6, "options": {"max_num_steps": MOST}}
        rates: Callable[[Tensor, Tensor], Tensor] = lambda t, y: self.rates(y, x)  # noqa: E731
        if span is not None:
            rates = lambda t, y: span * self.rates(y, x)  # noqa: E731
        try:
            return odeint(rates, z, times, method=self.method, **settings)[-1]
        except AssertionError as error:  # how torchdiffeq says that it cannot go on
            raise ForecastError(
                f"the solver {self.method} stalled within one step of the data ({error}). Expected "
                f"at most {MOST} substeps: the equation is stiff or leaves the data there. Take "
                "method='rk4', fit a stabilised NeuralODE(damping=0.1), or a smaller learning_rate."
            ) from error


def _uniform(*shape: int, fan: int) -> nn.Parameter:
    """Uniform within 1 / sqrt(fan), as torch starts its own layers."""
    return nn.Parameter((2 * torch.rand(*shape) - 1) / math.sqrt(fan))
