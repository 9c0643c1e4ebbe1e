"""Bottlenecks: what stands between the encoder network and the latents."""

from romae.nets.bottlenecks.base import Bottleneck, Plain, Saturated, Squeeze
from romae.nets.bottlenecks.ordered import Ordered
from romae.nets.bottlenecks.quantised import VectorQuantised
from romae.nets.bottlenecks.rank import RankFinding
from romae.nets.bottlenecks.sparse import Sparse
from romae.nets.bottlenecks.variational import Variational

__all__ = [
    "Bottleneck",
    "Ordered",
    "Plain",
    "RankFinding",
    "Saturated",
    "Sparse",
    "Squeeze",
    "Variational",
    "VectorQuantised",
]
