"""Vector-quantised bottleneck: a snapshot becomes a few small integers.

The k numbers of h are cut into k / d groups of d numbers, each with a codebook e_1 ... e_K (K, d).
A group becomes its nearest code,

    n = argmin_j |h - e_j|^2,      z = e_n,      (groups) * log2 K bits per snapshot,

gradients pass straight through (dz/dh = 1), P = commitment <|h - e_n|^2> keeps the encoder near the
codes, and the codes follow the encoder by running means of the h that chose them, while training:

    N_j <- g N_j + (1 - g) #j,      e_j <- (g N_j e_j + (1 - g) sum_{n = j} h) / N_j

A code that hardly anything chooses is moved to a random h of the batch. Codebooks begin at the
k-means centres of the POD coordinates, so that the training begins near POD with rounded
coordinates. The perplexity exp(-sum_j p_j log p_j) says how many codes are in use: as many as if
all of these were chosen equally often.

Sources: van den Oord, Vinyals & Kavukcuoglu 2017, "Neural discrete representation learning" (with
the running means of its appendix); Dhariwal et al. 2020, "Jukebox" (revival of codes); Arthur &
Vassilvitskii 2007, "k-means++". Here codebooks begin from the data.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from romae.errors import OptionError, check_whole
from romae.nets.bottlenecks.base import Bottleneck, Squeeze

DEAD = 0.02  # of the mean use: a code chosen less often is moved
ROWS = 64  # of h per code, for k-means
ROUNDS = 10


class _Quantiser(Squeeze):
    surveys: ClassVar[bool] = True
    codes: Tensor  # e (G, K, d)
    counts: Tensor  # N (G, K)

    def __init__(self, latent: int, settings: "VectorQuantised") -> None:
        super().__init__(latent)
        self.commitment, self.keep = settings.commitment, settings.keep
        K, d = settings.codes, settings.group
        self.register_buffer("codes", torch.zeros(latent // d, K, d))
        self.register_buffer("counts", torch.ones(latent // d, K))

    def code(self, h: Tensor) -> Tensor:
        return self.look_up(self.indices(h))

    def indices(self, h: Tensor) -> Tensor:
        """(B, k) latents, quantised or not, -> (B, G) numbers of the nearest codes."""
        return _nearest(self._cut(h), self.codes)

    def look_up(self, n: Tensor) -> Tensor:
        """(B, G) numbers of codes -> (B, k) latents."""
        groups = torch.arange(len(self.codes), device=n.device)
        return self.codes[groups, n].flatten(1)

    def forward(self, h: Tensor, progress: float) -> tuple[Tensor, Tensor | float]:
        n = self.indices(h)
        z = self.look_up(n)
        far = (h - z).square().sum(1).mean()
        if self.training:
            self._follow(h.detach(), n)
        return h + (z - h).detach(), self.commitment * far

    def begin(self, h: Tensor) -> None:
        K = self.codes.shape[1]
        rows = h.cpu()[torch.randperm(len(h))[: ROWS * K]]
        for g, x in enumerate(self._cut(rows).unbind(1)):
            self.codes[g] = _centres(x, K)
        self.counts.fill_(1.0)

    def finish(self, h: Tensor) -> None:
        self.counts.copy_(self._uses(self.indices(h)))

    @property
    def bits(self) -> float:
        return len(self.codes) * math.log2(self.codes.shape[1]) / self.latent

    def report(self) -> dict[str, float]:
        p = self.counts / self.counts.sum(1, keepdim=True)
        perplexity = torch.special.entr(p).sum(1).exp().mean()
        used = (self.counts > DEAD * self.counts.mean(1, keepdim=True)).sum(1).float().mean()
        return {"codes": float(used), "perplexity": float(perplexity)}

    def _cut(self, h: Tensor) -> Tensor:
        return h.reshape(len(h), len(self.codes), -1)

    def _uses(self, n: Tensor) -> Tensor:
        """How often each code was chosen, (G, K)."""
        ones = torch.ones_like(n.T, dtype=self.counts.dtype)
        return torch.zeros_like(self.counts).scatter_add_(1, n.T, ones)

    @torch.no_grad()
    def _follow(self, h: Tensor, n: Tensor) -> None:
        """Move codes to the running mean of what chose them; revive those that nothing chose."""
        x, keep = self._cut(h).transpose(0, 1), self.keep  # (G, B, d)
        sums = torch.zeros_like(self.codes)
        sums.scatter_add_(1, n.T[..., None].expand_as(x), x)
        old = keep * self.counts
        self.counts.copy_(old + (1 - keep) * self._uses(n))
        total = old[..., None] * self.codes + (1 - keep) * sums
        self.codes.copy_(total / self.counts[..., None].clamp_min(1e-12))
        mean = self.counts.mean(1, keepdim=True).expand_as(self.counts)
        dead = self.counts < DEAD * mean
        picks = torch.randint(len(h), self.counts.shape, device=h.device)
        fresh = x.gather(1, picks[..., None].expand_as(self.codes))
        self.codes.copy_(torch.where(dead[..., None], fresh, self.codes))
        self.counts.copy_(torch.where(dead, mean, self.counts))


def _nearest(x: Tensor, codes: Tensor) -> Tensor:
    """Number of the nearest of ``codes`` (G, K, d) for each x (B, G, d): (B, G)."""
    # |x|^2 is the same for all codes and is left out.
    far = codes.square().sum(-1) - 2 * torch.einsum("bgd,gkd->bgk", x, codes)
    return far.argmin(-1)


def _centres(x: Tensor, K: int) -> Tensor:
    """k-means++ of ``x`` (N, d), then Lloyd's rounds: (K, d)."""
    centres = x[:1]
    far = (x - centres).square().sum(1)
    while len(centres) < K:
        # Where fewer points differ than there are codes, the rest repeat them.
        p = far if float(far.sum()) > 0 else torch.ones_like(far)
        centres = torch.cat([centres, x[torch.multinomial(p, 1)]])
        far = torch.minimum(far, (x - centres[-1]).square().sum(1))
    for _ in range(ROUNDS):
        n = _nearest(x[:, None], centres[None])[:, 0]
        count = torch.bincount(n, minlength=K)[:, None]
        sums = torch.zeros_like(centres).index_add_(0, n, x)
        centres = torch.where(count > 0, sums / count.clamp_min(1), centres)
    return centres


@dataclass(frozen=True, kw_only=True)
class VectorQuantised(Bottleneck):
    """Latents out of learnt codebooks; see the module.

    ``codes`` K per codebook; ``group``: latents d that share a codebook, a divisor of their number;
    ``commitment`` weight; ``keep`` g of the running means.
    """

    codes: int = 256
    group: int = 1
    commitment: float = 0.25
    keep: float = 0.99
    kind: ClassVar[str] = "quantised"

    def __post_init__(self) -> None:
        """Refuse options out of range."""
        check_whole("codes of the bottleneck 'quantised'", self.codes, 2)
        check_whole("group of the bottleneck 'quantised'", self.group)
        ok = 0 <= self.commitment < math.inf
        self._check("commitment", ok, "a number of 0 or more such as 0.25")
        self._check("keep", 0 <= self.keep < 1, "a number in [0, 1) such as 0.99")

    def check(self, latent: int) -> None:
        """Groups must fill the latents."""
        if latent % self.group:
            sizes = [d for d in range(1, latent + 1) if latent % d == 0]
            raise OptionError(
                f"group of the bottleneck 'quantised' is {self.group}, and {latent} latents cannot "
                f"be cut into such. Type a group of {', '.join(map(str, sizes))}."
            )

    def module(self, latent: int) -> Squeeze:
        """Codebooks for ``latent`` numbers."""
        return _Quantiser(latent, self)
