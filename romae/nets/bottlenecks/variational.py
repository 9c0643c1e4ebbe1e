"""Variational bottleneck: latents that follow a normal distribution.

With h = (m, l), both (B, k), and s_i the standard deviation of latent i at the start,

    mu = m / s,      log var = log(start^2) + l,      z = mu + sqrt(var) eps,   eps ~ N(0, 1)
    P  = beta(progress) sum_i KL_i,      KL_i = (mu_i^2 + var_i - 1 - log var_i) / 2
    y  = s z,        code(h) = mu

beta rises linearly over the first ``warmup`` of the training. J counts the share of the energy that
is lost, so that beta is what one nat of information is worth: a latent that saves less energy than
beta times its nats is given up (its mu goes to 0, its variance to 1), which makes the number of
latents in use parsimonious. Division by s makes every latent begin with the variance of the prior,
and the small ``start`` lets the training begin near POD.

Sources: Kingma & Welling 2014, "Auto-encoding variational Bayes"; Higgins et al. 2017, "beta-VAE";
Eivazi, Le Clainche, Hoyas & Vinuesa 2022, "Towards extraction of orthogonal and parsimonious
non-linear modes from turbulent flows". Here reconstruction is by the mean and beta is relative to
the fluctuation energy.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from romae.nets.bottlenecks.base import Bottleneck, Squeeze

LEAST = 1e-4  # of the largest spread: a latent without fluctuation is not blown up
ACTIVE = 0.01  # variance of mu from which a latent counts as used (Burda et al. 2016)


class _Normal(Squeeze):
    surveys: ClassVar[bool] = True
    spread: Tensor  # s
    variance: Tensor  # of mu over the training snapshots

    def __init__(self, latent: int, settings: "Variational") -> None:
        super().__init__(latent, 2 * latent)
        self.beta, self.warmup = settings.beta, settings.warmup
        self.log_start = 2 * math.log(settings.start)
        self.register_buffer("spread", torch.ones(latent))
        self.register_buffer("variance", torch.ones(latent))

    def code(self, h: Tensor) -> Tensor:
        return h[:, : self.latent] / self.spread

    def expand(self, z: Tensor) -> Tensor:
        return z * self.spread

    def forward(self, h: Tensor, progress: float) -> tuple[Tensor, Tensor | float]:
        mu, log_var = self.code(h), self.log_start + h[:, self.latent :]
        z = mu + (log_var / 2).exp() * torch.randn_like(mu)
        nats = 0.5 * (mu.square() + log_var.exp() - 1 - log_var).sum(1).mean()
        rise = min(1.0, progress / self.warmup) if self.warmup else 1.0
        return z, self.beta * rise * nats

    def begin(self, h: Tensor) -> None:
        s = h[:, : self.latent].std(0, correction=0)
        self.spread.copy_(s.clamp_min(LEAST * float(s.max())))

    def finish(self, h: Tensor) -> None:
        self.variance.copy_(self.code(h).var(0, correction=0))

    def report(self) -> dict[str, float]:
        return {"active": float((self.variance > ACTIVE).sum())}

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.latent, generator=generator)


@dataclass(frozen=True, kw_only=True)
class Variational(Bottleneck):
    """Latents near the prior N(0, 1), from which new states can be drawn; see the module.

    ``beta``: share of the energy that one nat is worth; ``warmup``: share of the training in which
    it rises; ``start``: standard deviation of the noise at the start, in units of the latents.
    """

    beta: float = 1e-3
    warmup: float = 0.2
    start: float = 0.1
    kind: ClassVar[str] = "variational"

    def __post_init__(self) -> None:
        """Refuse options out of range."""
        self._check("beta", 0 <= self.beta < math.inf, "a number of 0 or more such as 1e-3")
        self._check("warmup", 0 <= self.warmup <= 1, "a share of the training such as 0.2")
        self._check("start", 0 < self.start <= 1, "a standard deviation in (0, 1] such as 0.1")

    def module(self, latent: int) -> Squeeze:
        """Mean and variance of every latent."""
        return _Normal(latent, self)
