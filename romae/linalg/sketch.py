"""A matrix with few columns that has almost the left singular vectors of Y, made in one look.

    B = (Y - mean) S,     S (n, m): column i of Y goes to bucket h(i) with a random sign

so that E[B B^T] = Y Y^T, and for every projector Q of T-space |B - Q B|_F is close to |Y - Q Y|_F:
the leading left vectors V (T, l) of B minimise the error for Y to a factor of about 1 + k / m, and

    tail_k = |B|_F^2 - sum of its k leading s^2  <  |Y - Y_k|_F^2      (on average)

is what no basis of k modes can do better than. A product with S reads every number of Y once and
costs an addition: bandwidth of memory, no matrix product.

Columns come in runs as long as there are buckets, each turned by a random offset. Columns of
different groups (fields whose common scale is not known yet) do not share buckets.

Sources: Charikar, Chen & Farach-Colton 2002 (count sketch); Clarkson & Woodruff 2013, "Low rank
approximation and regression in input sparsity time"; Cohen, Elder, Musco, Musco & Persu 2015,
"Dimensionality reduction for k-means clustering and low rank approximation" (the tails).
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

BUCKETS, FEWEST = 160, 100  # for every direction wanted
ROWS = 64  # of X at a time: a piece of the sketch that stays in the cache
LONG = 4096  # of B at a time, in double precision
RESOLVED = 1e-3  # of s_1: smaller ones need the products of B B^T in float64


@dataclass(frozen=True)
class Sketch:
    """Which of ``buckets`` every column of X goes to; ``sizes``: columns in each group."""

    sizes: tuple[int, ...]
    buckets: int
    seed: int = 0

    @classmethod
    def of(
        cls, sizes: Sequence[int], directions: int, T: int, nbytes: int, seed: int = 0
    ) -> "Sketch | None":
        """A sketch for so many directions, at most ``nbytes`` of it; None where none pays."""
        n = sum(sizes)
        buckets = min(BUCKETS * directions, n // 4, nbytes // (4 * T))
        return (
            cls(tuple(sizes), buckets, seed) if buckets >= FEWEST * directions and n >= T else None
        )

    def ranges(self) -> list[slice]:
        """Buckets of each group, in proportion to its columns; at least one."""
        share = np.array(self.sizes) * self.buckets / sum(self.sizes)
        edges = np.cumsum([0, *np.maximum(1, share.round().astype(int))]).tolist()
        return [slice(a, b) for a, b in itertools.pairwise(edges)]

    def pieces(self) -> Iterator[tuple[slice, slice]]:
        """(columns, buckets) of equal length, which add up."""
        offsets = np.random.default_rng(self.seed)
        start = 0
        for size, own in zip(self.sizes, self.ranges(), strict=True):
            m = own.stop - own.start
            for a in range(start, start + size, m):
                b = min(a + m, start + size)
                cut = int(offsets.integers(m))  # the first `cut` columns go to the last buckets
                cut = min(cut, b - a)
                yield slice(a, a + cut), slice(own.stop - cut, own.stop)
                yield slice(a + cut, b), slice(own.start, own.start + b - a - cut)
            start += size

    def signs(self) -> Tensor:
        """(n,) of 1 and -1, float32."""
        random = torch.Generator().manual_seed(self.seed)
        bits = torch.randint(0, 2, (sum(self.sizes),), generator=random, dtype=torch.int8)
        return bits.mul_(2).sub_(1).float()


class Sketcher:
    """Rows of B from rows of X, on the host: ``origin`` (n,) is any row, ``factor`` (n,)."""

    def __init__(self, sketch: Sketch, origin: np.ndarray, factor: np.ndarray | None) -> None:
        self.sketch, self.origin = sketch, torch.from_numpy(origin)
        self.weights = sketch.signs()
        if factor is not None:
            self.weights *= torch.from_numpy(factor)
        self.pieces = [p for p in sketch.pieces() if p[0].stop > p[0].start]

    def empty(self, T: int) -> Tensor:
        """B (T, m), to be filled."""
        return torch.empty((T, self.sketch.ranges()[-1].stop))

    def rows(self, X: np.ndarray, out: Tensor | None = None) -> Tensor:
        """(b, m) float32 of ``X`` (b, n), finite: B before its mean is taken off."""
        if out is None:
            out = self.empty(len(X))
        out.zero_()
        for x, b in zip(torch.from_numpy(X).split(ROWS), out.split(ROWS), strict=True):
            for columns, buckets in self.pieces:
                d = x[:, columns] - self.origin[columns]
                b[:, buckets].addcmul_(d, self.weights[columns])
        return out


def leading(B: Tensor, rank: int | float, spare: int) -> tuple[Tensor, Tensor, float]:
    """V^T (l, T) and s^2 (l,) of B (T, m) less its mean row, falling, in float64; and |B|_F^2.

    l is ``rank``, or as many as hold that fraction of the energy, and ``spare``. B loses its mean.
    """
    B -= B.mean(0)
    for G, resolved in _grams(B):
        total = float(G.double().trace())
        e, W = (x.double() for x in eigh(G, rank + spare if isinstance(rank, int) else len(G)))
        e, W = e.flip(0).clamp(min=0), W.flip(1)
        below = e.cumsum(0) < rank * total
        size = len(e) if isinstance(rank, int) else min(int(below.sum()) + 1 + spare, len(e))
        if e[size - 1] > resolved**2 * e[0]:
            break
    W = W[:, :size]
    if len(W) < len(B):  # right vectors: V s = B W
        W = torch.cat([b.double() @ W for b in B.split(LONG)])
    Q, R = torch.linalg.qr(W)  # single precision leaves them orthonormal to 1e-6
    return (Q * torch.where(R.diagonal() < 0, -1.0, 1.0)).T.contiguous(), e[:size], total


def _grams(B: Tensor) -> Iterator[tuple[Tensor, float]]:
    """B B^T, or B^T B if that is smaller, more and more precisely; each with the smallest s over
    s_1 that it resolves. So no square has more entries than B: T may be large.
    """
    if B.dtype == torch.float32:
        G = _gram(B)
        yield G.clone(), 10 * RESOLVED
        yield G.double(), RESOLVED
    yield _gram(B.double()), 0.0


def _gram(B: Tensor) -> Tensor:
    """The smaller of B B^T and B^T B, in the type of B."""
    if len(B) > B.shape[1]:
        B = B.T
    if B.device.type == "cpu":  # numpy knows that both are the same, and does half of the work
        return torch.from_numpy(B.numpy() @ B.numpy().T)
    return B @ B.T


def eigh(G: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The ``size`` largest eigenvalues of the symmetric ``G``, rising, and their vectors."""
    n = len(G)
    if G.device.type == "cpu" and 4 * size < n:
        try:
            from scipy.linalg import eigh as some
        except ImportError:  # machines that have only torch and numpy
            pass
        else:
            e, V = some(G.numpy(), subset_by_index=[n - size, n - 1], overwrite_a=True)
            return torch.from_numpy(e), torch.from_numpy(V)
    e, V = torch.linalg.eigh(G)
    return e[-size:], V[:, -size:]
