"""Leading modes of large matrices from a few products with random vectors.

A (m, n) is Y or its transpose, whichever lets the factors stay small. With P (l, n) of
orthonormal rows, l = k + 16, one pass over A computes

    C = A P^T,      D = C^T A = P A^T A,      G = C^T C = P D^T

(subspace iteration on A^T A; Halko, Martinsson & Tropp 2011, "Finding structure with
randomness"). The first P is Gaussian, the next one spans D. From the eigenpairs
G = R diag(s^2) R^T the singular values are s; the right vectors R^T P, the left ones C R / s.

What another pass would add to the energy of mode j is about |r_j|^2 / s_j^2, where
r_j = (R^T D)_j - s_j^2 (R^T P)_j is its residual. Passes end when that, summed over k modes, is
less than ``GAIN`` of the energy left out. Where it is less than ``NEARLY``, one more pass is the
last: it more than halves what is missing, and needs no D. Two passes do for spectra
that decay fast, three for turbulence.

Products are in float32, in coordinates ordered by s, which resolves s_k and errors
down to 1e-3 of s_1 and |Y|; where one is smaller, the passes go on in float64. The small
matrices are float64. Shift and factor of :class:`Rows` enter as corrections of rank one and as
scaling of the factors: X itself is only multiplied. A shift much larger than the fluctuation
would cancel in float32, and is then subtracted first.

Memory: X when it fits ``panel_bytes``, and C (l, n) float32; else a block of X, P and D (l, n).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from romae.linalg.products import Pass, Points, State, Times, gram, tiles
from romae.linalg.rows import Checkpoint, Rows

OVERSAMPLE = 16
GAIN = 0.005  # of the squared error, so a quarter of a percent of the error
NEARLY, SHARE = (
    0.012,
    0.4,
)  # a gain after which one pass is enough; what such a pass may leave of it
FINE = 1e-3  # of s_1, of |Y|: where s_k or the error is smaller, float32 is not enough
NULL = {torch.float32: 1e-12, torch.float64: 1e-15}  # of s_1^2: nothing but rounding


@dataclass(frozen=True)
class Found:
    """Modes (k, n), singular values (k,), |Y|_F^2, and the error over the best one, estimated."""

    modes: np.ndarray
    s: np.ndarray
    total: float
    excess: float


def randomized(
    rows: Rows,
    rank: int | float,
    *,
    panel_bytes: int,
    passes: int = 8,
    seed: int = 0,
    device: torch.device | str = "cpu",
    checkpoint: Checkpoint | None = None,
) -> Found:
    """Leading ``rank`` modes, or as many as hold that fraction of the energy; see the module.

    ``passes`` is the most that are made; the order of random numbers depends on ``seed`` alone.
    """
    held = rows.nbytes <= panel_bytes
    T, n = rows.shape
    A: Points | Times = Points(rows, device) if held and n >= T else Times(rows, device, held)
    most = min(T, n)
    size = min(most, (rank if isinstance(rank, int) else 32) + OVERSAMPLE)
    saved = checkpoint or Checkpoint(None, {})
    random = torch.Generator().manual_seed(seed)
    P = torch.randn((size, A.width), generator=random).to(device)
    number, total, dtype = 0, rows.total, torch.float32
    start: State | None = None
    last, gain = False, 0.0
    if (state := saved.read()) is not None:
        number, total, dtype = state[0]["number"], state[0]["total"], _DTYPES[state[0]["dtype"]]
        P, start = torch.from_numpy(state[1].pop("P")).to(device), state
        last, gain = state[0]["last"], state[0]["gain"]

    def save(row: int, part: Pass) -> None:
        if saved.due:
            arrays = {"P": P, "D": part.D, "G": part.G, "sums": part.sums}
            kept: dict[str, Any] = {
                "number": number,
                "row": row,
                "total": total,
                "partial": part.total,
            }
            kept |= {"dtype": _name(dtype), "last": last, "gain": gain}
            saved.write(kept, {k: v.cpu().numpy() for k, v in arrays.items()})

    while True:
        done = A.multiply(P, not last, total is None, save, start)
        start = None
        total = done.total if total is None else total
        s2, R = torch.linalg.eigh(done.G)
        s2, R = s2.flip(0).clamp(min=0), R.flip(1)
        if total <= 0 or float(s2[0]) == 0:
            return Found(np.zeros((1, n)), np.zeros(1), 0.0, 0.0)
        kept = int((s2 > NULL[dtype] * s2[0]).sum())
        s2, R = s2[:kept], R[:, :kept]
        D = P if last else (R / s2).T.to(dtype) @ done.D  # rows of size 1: well conditioned
        number += 1
        if number > 1:  # the first P knows nothing of A
            k, enough = _count(s2, rank, total)
            enough, k = enough or kept < len(P), min(k, kept)  # a lower rank was found whole
            left = max(total - float(s2[:k].sum()), 0.0)
            gain = SHARE * gain if last else float((_residuals(D, P, R) * s2)[:k].sum())
            precise = float(s2[k - 1]) > FINE**2 * float(s2[0]) and left > FINE**2 * total
            fine = dtype == torch.float64 or precise
            settled = gain <= max(GAIN * left, 1e-12 * total)
            if not (enough or last) and len(P) < most and number < passes:
                size = min(most, 2 * size)
            elif (fine and settled) or last or number >= passes:
                excess = (1 + gain / left) ** 0.5 - 1 if left > 1e-12 * total else 0.0
                modes = A.modes(P, done.C, R[:, :k], s2[:k].sqrt())
                saved.remove()
                return Found(modes, s2[:k].sqrt().cpu().numpy(), total, excess)
            elif not fine:
                dtype, total = torch.float64, rows.total
            last = fine and enough and gain <= NEARLY * left
        del P
        done.C = None
        P = _orthonormal(_filled(D.to(dtype), size, random))


_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _count(s2: Tensor, rank: int | float, total: float) -> tuple[int, bool]:
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


def _orthonormal(D: Tensor) -> Tensor:
    """Orthonormal rows of the same span, in place; twice, as rounding of the first is large."""
    for _ in range(2):
        e, E = torch.linalg.eigh(gram(D))
        keep = e > 1e-13 * e[-1]
        change = (E[:, keep] / e[keep].sqrt()).T
        for part in tiles(D):
            part[: len(change)] = (change @ part.double()).to(D.dtype)
        D = D[: len(change)]
    return D
