"""What stands between the encoder network and the latents.

The network gives h (B, width), the bottleneck makes latents of it, and the decoder network gets
y (B, k) back from them:

    z, P = bottleneck(h, progress)      while training: z (B, k) and a penalty P, added to J
    z    = bottleneck.code(h)           in use: no randomness
    y    = bottleneck.expand(z)         what the decoder network gets: z, unless said otherwise

The first k entries of h begin as POD coordinates in units of the first, so that a bottleneck that
begins as the identity lets the training begin at POD. ``progress`` in [0, 1] is the share of the
training that is done, for penalties that warm up.

P is a summand of J, whose first term is the share of the fluctuation energy that is lost: a penalty
of 0.01 weighs as much as 1 % of the energy.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from romae.config import Part
from romae.errors import OptionError


class Squeeze(nn.Module, ABC):
    """The module of a bottleneck; ``width`` numbers come in, ``latent`` go out.

    ``surveys``: whether ``begin`` and ``finish`` want the h of the training snapshots.
    """

    surveys: ClassVar[bool] = False

    def __init__(self, latent: int, width: int | None = None) -> None:
        super().__init__()
        self.latent, self.width = latent, width or latent

    @abstractmethod
    def code(self, h: Tensor) -> Tensor:
        """(B, width) -> z (B, latent), deterministic."""

    def expand(self, z: Tensor) -> Tensor:
        """Latents z (B, latent) -> what the decoder network gets (B, latent)."""
        return z

    def forward(self, h: Tensor, progress: float) -> tuple[Tensor, Tensor | float]:
        """(B, width) -> z (B, latent) and the penalty, a mean over the batch."""
        return self.code(h), 0.0

    @property
    def bits(self) -> float:
        """Bits of one latent, on average, when it is stored."""
        return 32.0

    def begin(self, h: Tensor) -> None:
        """Set up for ``h`` (T, width) of all training snapshots, before the training."""

    def finish(self, h: Tensor) -> None:
        """Take stock of ``h`` (T, width) of all training snapshots, after the training."""

    def report(self) -> dict[str, float]:
        """Numbers for the training curve and for ``findings``: how the latents are used."""
        return {}

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor | None:
        """(n, latent) latents of the prior, on the CPU; None where there is none."""
        return None


@dataclass(frozen=True, kw_only=True)
class Bottleneck(Part):
    """Settings of a bottleneck; ``module`` builds it for k latents.

    ``nested``: whether it orders the latents, so that the first j are of use without the others.
    """

    nested: ClassVar[bool] = False

    def module(self, latent: int) -> Squeeze:
        """The module for ``latent`` numbers."""
        raise NotImplementedError

    def check(self, latent: int) -> None:
        """:class:`OptionError` where the options do not suit ``latent`` numbers."""

    def _check(self, name: str, ok: bool, expected: str) -> None:
        """:class:`OptionError` that names the option and its value, unless ``ok``."""
        if not ok:
            value = getattr(self, name)
            raise OptionError(
                f"{name} of the bottleneck {self.kind!r} is {value!r}. Expected {expected}."
            )


class Same(Squeeze):
    """z = h."""

    def code(self, h: Tensor) -> Tensor:
        return h


@dataclass(frozen=True, kw_only=True)
class Plain(Bottleneck):
    """z = h."""

    kind: ClassVar[str] = "plain"

    def module(self, latent: int) -> Squeeze:
        """The identity."""
        return Same(latent)


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

    def __post_init__(self) -> None:
        """Refuse bounds that are none."""
        self._check("bound", self.bound > 0, "a positive number such as 5.0")

    def module(self, latent: int) -> Squeeze:
        """Bounded latents."""
        return _Saturating(latent, self.bound)
