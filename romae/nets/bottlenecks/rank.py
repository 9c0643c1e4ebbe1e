"""Rank-finding bottleneck: how many latents do the data need?

    g = W_L ... W_1 h,      P = decay * sum_l |W_l|_F^2

with square W_l that begin as the identity. For a product W of singular values sigma_i the least P
is decay * L * sum_i sigma_i^(2/L): a penalty on the rank, the sharper the more layers. Directions
that save less energy than they cost die out. After the training, with m the mean and V the
principal axes of g over the training snapshots, largest variance first,

    z = V (g - m),      y = V^T z + m,

so that latents are uncorrelated and ordered by their standard deviations s_i, and

    rank = #{ i : s_i > threshold * s_1 }.

``truncate(rank)`` then loses next to nothing.

Sources: Jing, Zbontar & LeCun 2020, "Implicit rank-minimizing autoencoder"; Zeng, Perez De Jesus,
Fox & Graham 2024, "Autoencoders for discovering manifold dimension and coordinates in data from
complex dynamical systems" (with weight decay). Here the layers begin as the identity, which keeps
the start at POD, and the decay is a term of J, as that of the optimiser is one for all weights.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from romae.errors import check_whole
from romae.nets.bottlenecks.base import Bottleneck, Squeeze


class _LowRank(Squeeze):
    surveys: ClassVar[bool] = True
    mean: Tensor  # m
    axes: Tensor  # V
    deviations: Tensor  # s

    def __init__(self, latent: int, settings: "RankFinding") -> None:
        super().__init__(latent)
        self.decay, self.threshold = settings.decay, settings.threshold
        eye = torch.eye(latent)
        self.layers = nn.ParameterList(eye.clone() for _ in range(settings.layers))
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("axes", eye.clone())
        self.register_buffer("deviations", torch.ones(latent))

    def _product(self, h: Tensor) -> Tensor:
        for W in self.layers:
            h = h @ W.T
        return h

    def code(self, h: Tensor) -> Tensor:
        return (self._product(h) - self.mean) @ self.axes.T

    def expand(self, z: Tensor) -> Tensor:
        return z @ self.axes + self.mean

    def forward(self, h: Tensor, progress: float) -> tuple[Tensor, Tensor | float]:
        cost = torch.stack([W.square().sum() for W in self.layers]).sum()
        return self.code(h), self.decay * cost

    @torch.no_grad()
    def finish(self, h: Tensor) -> None:
        g = self._product(h).double()
        m = g.mean(0)
        _, s, V = torch.linalg.svd(g - m, full_matrices=False)
        # Fewer snapshots than latents do not occur: the size is checked before the fit.
        signs = V.gather(1, V.abs().argmax(1, keepdim=True)).sign()
        self.mean.copy_(m)
        self.axes.copy_(V * signs)
        self.deviations.copy_(s / len(g) ** 0.5)

    def report(self) -> dict[str, float]:
        return {"rank": float((self.deviations > self.threshold * self.deviations[0]).sum())}


@dataclass(frozen=True, kw_only=True)
class RankFinding(Bottleneck):
    """As few latents as the data need, ordered; ``findings["rank"]`` counts them. See the module.

    ``layers`` L; ``decay``: cost of a latent, about L times it, beside the share of the energy that
    is lost; ``threshold``: standard deviation over the largest, above which a latent counts.
    """

    layers: int = 8
    decay: float = 1e-4
    threshold: float = 1e-2
    kind: ClassVar[str] = "rank"
    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse options out of range."""
        check_whole("layers of the bottleneck 'rank'", self.layers)
        self._check("decay", 0 <= self.decay < math.inf, "a number of 0 or more such as 1e-4")
        self._check("threshold", 0 < self.threshold < 1, "a share in (0, 1) such as 1e-2")

    def module(self, latent: int) -> Squeeze:
        """Linear layers, then the principal axes."""
        return _LowRank(latent, self)
