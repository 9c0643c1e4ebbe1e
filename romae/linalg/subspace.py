"""Subspace iteration: passes over Y that bring l directions nearer to the leading modes.

A (m, w) is Y or its transpose, whichever lets the factors stay small; with P (l, w) of orthonormal
rows, one pass computes

    C = A P^T,      D = C^T A = P A^T A,      G = C^T C = P D^T

(Halko, Martinsson & Tropp 2011, "Finding structure with randomness"). The next P spans D. From the
eigenpairs G = R diag(s^2) R^T the singular values are s; the right vectors R^T P, the left ones
C R / s.

What another pass would add to the energy of mode j is about |r_j|^2 / s_j^2, where
r_j = (R^T D)_j - s_j^2 (R^T P)_j is its residual. Passes end when that, summed over k modes, is
less than ``GAIN`` of the energy left out. Where it is less than ``NEARLY``, one more pass is the
last: it more than halves what is missing, and needs no D.

Products are in float32, in coordinates ordered by s, which resolves s_k and errors
down to 1e-3 of s_1 and |Y|; where one is smaller, the passes go on in float64. The small
matrices are float64.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from romae.linalg.operands import State, Times
from romae.linalg.products import Pass, gram, tiles
from romae.linalg.rows import Checkpoint

OVERSAMPLE = 16
GAIN = 0.005  # of the squared error, so a quarter of a percent of the error
NEARLY = 0.012  # a gain after which one pass is enough
SHARE = 0.4  # what such a pass may leave of it
FINE = 1e-3  # of s_1, of |Y|: where s_k or the error is smaller, float32 is not enough
NULL = {torch.float32: 1e-12, torch.float64: 1e-15}  # of s_1^2: nothing but rounding
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class Found:
    """Modes (k, n), singular values (k,), |Y|_F^2, and the error over the best one, estimated."""

    modes: np.ndarray
    s: np.ndarray
    total: float
    excess: float


@dataclass
class Start:
    """Where subspace iteration begins: P (l, w), |Y|_F^2 where known, and if P knows of Y."""

    P: Tensor
    total: float | None
    knows: bool = False
    number: int = 0
    dtype: torch.dtype = torch.float32
    last: bool = False
    gain: float = 0.0
    state: State | None = None


def iterate(
    A: Times,
    rank: int | float,
    at: Start,
    known: float | None,
    passes: int,
    seed: int,
    saved: Checkpoint,
) -> Found:
    """Subspace iteration from ``at``; ``known`` is |Y|_F^2 as it was given."""
    P, total, number, last, gain, dtype = at.P, at.total, at.number, at.last, at.gain, at.dtype
    most, size, start = min(A.shape), len(at.P), at.state
    random = torch.Generator().manual_seed(seed + 1)

    def save(row: int, part: Pass) -> None:
        if saved.due:
            arrays = {"P": P, "D": part.D, "G": part.G, "sums": part.sums}
            kept: dict[str, Any] = {"number": number, "row": row, "total": total}
            kept |= {"partial": part.total, "dtype": str(dtype).removeprefix("torch.")}
            kept |= {"last": last, "gain": gain, "knows": at.knows}
            saved.write(kept, {k: v.cpu().numpy() for k, v in arrays.items()})

    while True:
        done = A.multiply(P, not last, total is None, save, start)
        start = None
        total = done.total if total is None else total
        s2, R = eigenpairs(done.G, NULL[dtype])
        if total <= 0 or float(s2[0]) == 0:
            return nothing(A)
        kept = len(s2)
        D = P if last else (R / s2).T.to(dtype) @ done.D  # rows of size 1: well conditioned
        number += 1
        if number > 1 or at.knows:  # a random P knows nothing of A
            k, enough = count(s2, rank, total)
            enough, k = enough or kept < len(P), min(k, kept)  # a lower rank was found whole
            left = max(total - float(s2[:k].sum()), 0.0)
            gain = SHARE * gain if last else float((_residuals(D, P, R) * s2)[:k].sum())
            fine = dtype == torch.float64 or precise(s2, k, left, total)
            settled = gain <= max(GAIN * left, 1e-12 * total)
            if not (enough or last) and len(P) < most and number < passes:
                size = min(most, 2 * size)
            elif (fine and settled) or last or number >= passes:
                excess = (1 + gain / left) ** 0.5 - 1 if left > 1e-12 * total else 0.0
                modes = A.modes(P, R[:, :k], s2[:k].sqrt())
                return Found(modes, s2[:k].sqrt().cpu().numpy(), total, excess)
            elif not fine:
                dtype, total = torch.float64, known
            last = fine and enough and gain <= NEARLY * left
        del P, done
        P = orthonormal(_filled(D.to(dtype), size, random))


def nothing(A: Times) -> Found:
    """One mode of zeros, of data without fluctuations."""
    return Found(np.zeros((1, A.shape[1])), np.zeros(1), 0.0, 0.0)


def eigenpairs(G: Tensor, null: float = 0.0) -> tuple[Tensor, Tensor]:
    """s^2 and R of G = R diag(s^2) R^T, falling, those above ``null`` s_1^2."""
    s2, R = torch.linalg.eigh(G)
    s2, R = s2.flip(0).clamp(min=0), R.flip(1)
    kept = max(1, int((s2 > null * s2[0]).sum()))
    return s2[:kept], R[:, :kept]


def precise(s2: Tensor, k: int, left: float, total: float) -> bool:
    """Whether float32 resolves the last mode and the error."""
    return float(s2[k - 1]) > FINE**2 * float(s2[0]) and left > FINE**2 * total


def count(s2: Tensor, rank: int | float, total: float) -> tuple[int, bool]:
    """Modes wanted, and whether so many were found."""
    if isinstance(rank, int):
        return rank, True
    k = int((s2.cumsum(0) < rank * total).sum()) + 1
    return k, k + OVERSAMPLE // 2 <= len(s2)


def _residuals(D: Tensor, P: Tensor, R: Tensor) -> Tensor:
    """|r_j|^2 / s_j^4 in float64; ``D`` is divided by s_j^2 already."""
    turn = R.T.to(P.dtype)
    parts = zip(tiles(D), tiles(P, len(D)), strict=True)
    return torch.stack([(d - turn @ p).double().square().sum(1) for d, p in parts]).sum(0)


def _filled(D: Tensor, size: int, random: torch.Generator) -> Tensor:
    """``D`` with random rows up to ``size`` when more modes are wanted than it holds."""
    if len(D) >= size:
        return D
    fresh = torch.randn((size - len(D), D.shape[1]), generator=random).to(D)
    return torch.cat([D, fresh.div_(D.shape[1] ** 0.5)])


def orthonormal(D: Tensor) -> Tensor:
    """Orthonormal rows of the same span, in place; twice, as rounding of the first is large."""
    for _ in range(2):
        e, E = torch.linalg.eigh(gram(D))
        keep = e > 1e-13 * e[-1]
        change = (E[:, keep] / e[keep].sqrt()).T
        for part in tiles(D):
            part[: len(change)] = (change @ part.double()).to(D.dtype)
        D = D[: len(change)]
    return D
