"""A critic that learns to tell reconstructions from data, and a coder that learns to pass.

    J = bce(C(x), 1) + bce(C(r(x^)), 0)

C is a small network; r is the identity whose gradient is reversed, so that one optimiser step makes
the critic better and the coder harder to tell (Ganin & Lempitsky 2015; Goodfellow et al. 2014).
It sharpens what a mean squared error blurs, at the cost of that error: give it a weight near
1e-3, and look at spectra. The critic is not saved with the model, and validation leaves it out.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from romae.nets.dense import MLP
from romae.train.objective import Frame, Measure, Step, Term


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


class _Critic(nn.Module):
    """Sees fields pooled to some ``CELLS`` an axis, with the differences that pooling hides."""

    CELLS = 16

    def __init__(self, channels: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.steps = [max(1, -(-n // self.CELLS)) for n in shape]
        coarse = 1
        for n, s in zip(shape, self.steps, strict=True):
            coarse *= -(-n // s)
        self.net = MLP(2 * channels * coarse, 1, hidden=(128, 64))

    def see(self, x: Tensor) -> Tensor:
        """Cell means and rms deviations from them, (B, 2 C coarse)."""
        mean, square = x, x.square()
        for axis, s in enumerate(self.steps, start=2):
            mean, square = _pool(mean, axis, s), _pool(square, axis, s)
        rough = (square - mean.square()).clamp(min=0).add(1e-8).sqrt()
        return torch.cat([mean.flatten(1), rough.flatten(1)], 1)

    def forward(self, step: Step) -> Tensor:
        if not self.training:
            return torch.zeros((), device=step.w.device)
        true, made = self.net(self.see(step.x)), self.net(self.see(_Reverse.apply(step.y)))
        one, zero = torch.ones_like(true), torch.zeros_like(made)
        return F.binary_cross_entropy_with_logits(true, one) + F.binary_cross_entropy_with_logits(
            made, zero
        )


def _pool(x: Tensor, axis: int, step: int) -> Tensor:
    """Means over runs of ``step`` along ``axis``; the last run may be shorter."""
    if step == 1:
        return x
    return torch.stack([part.mean(axis) for part in x.split(step, axis)], axis)


@dataclass(frozen=True, kw_only=True)
class Adversarial(Term):
    """The game of the module docstring."""

    weight: float = 1e-3
    kind: ClassVar[str] = "adversarial"

    def prepare(self, frame: Frame) -> Measure:
        """A critic of the fields of ``frame``."""
        return _Critic(frame.layout.channels, frame.layout.shape)
