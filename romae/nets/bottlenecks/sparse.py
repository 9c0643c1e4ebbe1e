"""Sparse latents: few of them are at work at a time.

z = h, with a penalty P that is one of

    l1   P = weight / sqrt(k) * sum_i <|z_i|> / sqrt(sum_i <z_i^2>)
    kl   P = weight / k * sum_i [ t log(t / a_i) + (1 - t) log((1 - t) / (1 - a_i)) ],
         a_i = < z_i^2 / (z_i^2 + <z_i^2>) >,   t the target

<> means over the batch. Both are the same for latents of any scale. Without that the encoder
would shrink what the decoder blows up again, and nothing would become sparse. a_i is the share of
time in which latent i is at work: 0.34 for a normal distribution, 0.5 for one that never rests.

Sources: Ng 2011, "Sparse autoencoder" (KL of the mean activation; there sigmoid units, here
latents have a sign and rest at 0, so that z^2 / (z^2 + <z^2>) takes the place of the sigmoid);
Hoyer 2004, "Non-negative matrix factorization with sparseness constraints" (L1 over L2).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from romae.nets.bottlenecks.base import Bottleneck, Squeeze

TINY = 1e-12
IDLE = 0.1  # of the rms of all latents: below it a latent counts as at rest


class _Sparse(Squeeze):
    surveys: ClassVar[bool] = True
    idle: Tensor

    def __init__(self, latent: int, settings: "Sparse") -> None:
        super().__init__(latent)
        self.target, self.weight = settings.target, settings.weight
        self.register_buffer("idle", torch.zeros(()))

    def code(self, h: Tensor) -> Tensor:
        return h

    def forward(self, h: Tensor, progress: float) -> tuple[Tensor, Tensor | float]:
        power = h.square().mean(0) + TINY
        if self.target is None:
            return h, self.weight * h.abs().mean(0).sum() / (self.latent * power.sum()).sqrt()
        t, a = self.target, (h.square() / (h.square() + power)).mean(0)
        a = a.clamp(1e-6, 1 - 1e-6)
        divergence = t * (t / a).log() + (1 - t) * ((1 - t) / (1 - a)).log()
        return h, self.weight * divergence.mean()

    def finish(self, h: Tensor) -> None:
        self.idle.copy_((h.abs() < IDLE * h.square().mean().sqrt()).float().mean())

    def report(self) -> dict[str, float]:
        return {"idle": float(self.idle)}


@dataclass(frozen=True, kw_only=True)
class Sparse(Bottleneck):
    """Few latents at work at a time; see the module.

    ``target``: share of time in which a latent works (KL); None takes the L1 norm. ``weight`` of
    the penalty, beside the share of the energy that is lost.
    """

    target: float | None = None
    weight: float = 1e-3
    kind: ClassVar[str] = "sparse"

    def __post_init__(self) -> None:
        """Refuse options out of range."""
        ok = self.target is None or 0 < self.target < 0.5
        self._check("target", ok, "None for the L1 norm, or a share in (0, 0.5) such as 0.05")
        self._check("weight", 0 <= self.weight < math.inf, "a number of 0 or more such as 1e-3")

    def module(self, latent: int) -> Squeeze:
        """The identity, with the penalty."""
        return _Sparse(latent, self)
