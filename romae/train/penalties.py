"""Terms of J that hold the encoder down.

**Contractive**: with J = dz/dw the Jacobian of the latents in the metric M of the fluctuation
(w^T M w = |x|_W^2), and c the unit of the latents (standard deviation of the first POD coordinate),

    term = c^2 <tr(J M^-1 J^T)> / <|z|^2>,

means over the batch: how much white noise in a snapshot moves its latents, over how far the latents
move by themselves. For POD with k modes it is k / sum_i (s_i / s_1)^2. Up to ``exact`` latents the
rows of J come one by one; above, J^T v with v = +-1 estimates the trace (Hutchinson).

Source: Rifai, Vincent, Muller, Glorot & Bengio 2011, "Contractive auto-encoders". There weights are
tied, which sets the scale of the latents; here it is free, so that the term is divided by <|z|^2>.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from romae.errors import OptionError, check_whole
from romae.train.objective import Frame, Measure, Step, Term

TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class Contractive(Term):
    """Squared Frobenius norm of the encoder's Jacobian; see the module.

    ``exact``: number of latents up to which it is computed, and above which estimated.
    """

    weight: float = 1e-3
    exact: int = 8
    kind: ClassVar[str] = "contractive"

    def __post_init__(self) -> None:
        """Refuse options out of range."""
        if not self.weight >= 0:
            raise OptionError(
                f"weight of contractive is {self.weight!r}. Expected a number of 0 or more; type "
                f"1e-3, for example."
            )
        check_whole("exact of contractive", self.exact, 0)

    def prepare(self, frame: Frame) -> Measure:
        """c^2 <tr(J M^-1 J^T)> / <|z|^2>."""

        def measure(step: Step) -> Tensor:
            coder = step.coder
            with torch.enable_grad():  # validation is done without
                w = step.seen.detach().requires_grad_()
                z = coder.squeeze.code(coder.analyse(w))
                rows = _directions(z, self.exact)
                pulled = [
                    torch.autograd.grad(z, w, v, create_graph=True, retain_graph=True)[0]
                    for v in rows
                ]
            inverse = _inverse_metric(coder, w.detach())
            trace = sum((g.square() * inverse).sum() for g in pulled) / len(w)
            return coder.unit**2 * trace / (z.square().sum(1).mean() + TINY)

        return measure


def _directions(z: Tensor, exact: int) -> list[Tensor]:
    """v (B, k): one for each latent, or a random +-1 whose v v^T is the identity on average."""
    k = z.shape[1]
    if k <= exact:
        return [row.expand_as(z) for row in torch.eye(k, device=z.device, dtype=z.dtype)]
    return [torch.randint(0, 2, z.shape, device=z.device).to(z) * 2 - 1]


def _inverse_metric(coder: Any, w: Tensor) -> Tensor:
    """1 / M of the working coordinates, of the shape of one w; 0 where M is (masked points)."""
    with torch.enable_grad():
        one = torch.ones_like(w[:1]).requires_grad_()
        (twice,) = torch.autograd.grad(coder.distance(one, torch.zeros_like(one)).sum(), one)
    M = twice / 2
    return torch.where(M > 0, 1 / M.where(M > 0, 1.0), 0.0)
