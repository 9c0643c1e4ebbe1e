"""Ordered latents: one model for every size up to its own.

While training, a snapshot keeps its first j latents and loses the others,

    z = (h_1 ... h_j, 0 ... 0),      j ~ p on {1 ... k},

so that the first latents must hold what matters most, as the first modes of POD do. p is uniform,
or geometric, p(j) ~ (1 - rate)^(j - 1), which makes the first latents matter more. The sizes of a
batch are spread as evenly as p allows, which makes the gradient less noisy than independent draws.

Source: Rippel, Gelbart & Adams 2014, "Learning ordered representations with nested dropout"
(geometric; there without the even spread).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from romae.nets.bottlenecks.base import Bottleneck, Squeeze


class _Nested(Squeeze):
    cumulative: Tensor

    def __init__(self, latent: int, rate: float) -> None:
        super().__init__(latent)
        p = (1 - rate) ** torch.arange(latent, dtype=torch.float64)
        # Non-persistent: it follows from the arguments.
        self.register_buffer("cumulative", (p / p.sum()).cumsum(0).float(), persistent=False)

    def code(self, h: Tensor) -> Tensor:
        return h

    def forward(self, h: Tensor, progress: float) -> tuple[Tensor, Tensor | float]:
        B = len(h)
        u = (torch.randperm(B, device=h.device) + torch.rand(1, device=h.device)) / B
        last = torch.searchsorted(self.cumulative, u.clamp_max(1 - 1e-6))
        keep = torch.arange(self.latent, device=h.device) <= last[:, None]
        return h * keep, 0.0


@dataclass(frozen=True, kw_only=True)
class Ordered(Bottleneck):
    """Latents in order of importance; ``reducer.truncate(j)`` keeps the first j. See the module.

    ``rate``: 0 trains all sizes alike; nearer to 1 the small ones more (geometric).
    """

    rate: float = 0.0
    kind: ClassVar[str] = "ordered"
    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse rates that are none."""
        self._check("rate", 0 <= self.rate < 1, "a number in [0, 1) such as 0.1")

    def module(self, latent: int) -> Squeeze:
        """Nested dropout of ``latent`` numbers."""
        return _Nested(latent, self.rate)
