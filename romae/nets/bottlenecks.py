"""What stands between the encoder network and the latents.

The network gives h (B, width), the bottleneck makes latents of it,

    z, P = bottleneck(h, progress)      while training: z (B, k) and a penalty P, added to J
    z    = bottleneck.code(h)           in use: no randomness

The first k entries of h begin as POD coordinates in units of the first, so that a bottleneck that
begins as the identity lets the training begin at POD. ``progress`` in [0, 1] is the share of the
training that is done, for penalties that warm up.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from romae.config import Part


class Squeeze(nn.Module, ABC):
    """The module of a bottleneck; ``width`` numbers come in, ``latent`` go out."""

    def __init__(self, latent: int, width: int | None = None) -> None:
        super().__init__()
        self.latent, self.width = latent, width or latent

    @abstractmethod
    def code(self, h: Tensor) -> Tensor:
        """(B, width) -> z (B, latent), deterministic."""

    def forward(self, h: Tensor, progress: float) -> tuple[Tensor, Tensor | float]:
        """(B, width) -> z (B, latent) and the penalty, a mean over the batch."""
        return self.code(h), 0.0


@dataclass(frozen=True, kw_only=True)
class Bottleneck(Part):
    """Settings of a bottleneck; ``module`` builds it for k latents."""

    def module(self, latent: int) -> Squeeze:
        """The module for ``latent`` numbers."""
        raise NotImplementedError


class _Same(Squeeze):
    def code(self, h: Tensor) -> Tensor:
        return h


@dataclass(frozen=True, kw_only=True)
class Plain(Bottleneck):
    """z = h."""

    kind: ClassVar[str] = "plain"

    def module(self, latent: int) -> Squeeze:
        """The identity."""
        return _Same(latent)


class _Saturating(Squeeze):
    def __init__(self, latent: int, bound: float) -> None:
        super().__init__(latent)
        self.bound = bound

    def code(self, h: Tensor) -> Tensor:
        return h * (1 + (h / self.bound).square()).rsqrt()


@dataclass(frozen=True, kw_only=True)
class Saturated(Bottleneck):
    """z = h / sqrt(1 + (h / bound)^2): latents that cannot run away, without a prior.

    Source: Rozet et al. 2025, "Lost in Latent Space" (bound 5).
    """

    bound: float = 5.0
    kind: ClassVar[str] = "saturated"

    def module(self, latent: int) -> Squeeze:
        """Bounded latents."""
        return _Saturating(latent, self.bound)
