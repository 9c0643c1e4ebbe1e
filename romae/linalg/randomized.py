"""Leading modes of large matrices from a few products.

Where T <= n, a sketch B of Y with few columns (:mod:`.sketch`) gives left vectors V (l, T) with
l = k + 16 rows, nearly the best ones, and one pass over Y the modes:

    D = V Y,     D D^T = R diag(s^2) R^T,     modes R^T D / s

What they leave out is known, |Y|_F^2 less the sum of s^2; what any basis leaves out is at least
the tail of B, on average. If the first is more than ``NEAR`` above the second, or float32 does not
resolve it, or T > n, subspace iteration follows (:mod:`.subspace`), from the modes found so far or
from Gaussian vectors.

Shift and factor of :class:`Rows` enter as corrections of rank one and as scaling of the factors: X
itself is only multiplied (:mod:`.products`).

Memory: X when it fits, B (T, m), and D (l, n) float32; else a block of X, P and D (l, n).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from romae.linalg.operands import State, Times
from romae.linalg.products import Pass, gram
from romae.linalg.rows import Checkpoint
from romae.linalg.sketch import Sketch, leading
from romae.linalg.subspace import (
    DTYPES,
    OVERSAMPLE,
    Found,
    Start,
    count,
    eigenpairs,
    iterate,
    nothing,
    orthonormal,
    precise,
)

SPREAD = 32  # modes guessed at where a fraction of the energy is asked for
NEAR = 0.01  # of the error: so near to the tail of the sketch is near enough
SKETCH_BYTES = 256 << 20


def randomized(
    A: Times,
    rank: int | float,
    *,
    total: float | None = None,
    sketched: Tensor | None = None,
    passes: int = 8,
    seed: int = 0,
    checkpoint: Checkpoint | None = None,
) -> Found:
    """Leading ``rank`` modes, or as many as hold that fraction of the energy; see the module.

    ``total`` is |Y|_F^2 where it is known, ``sketched`` (T, m) a sketch of Y that was made already.
    ``passes`` is the most that subspace iteration makes; the random numbers depend on ``seed``.
    """
    saved = checkpoint or Checkpoint(None, {})
    T, n = A.shape
    state = saved.read()
    begin: Start | Found | None = None
    if state is None or "P" not in state[1]:
        if sketched is None and state is None:
            sketch = sketch_for((n,), rank, T, seed)
            sketched = None if sketch is None else A.sketch(sketch)
        if sketched is not None or state is not None:
            begin = _from_sketch(A, rank, total, sketched, saved, state)
    else:
        kept = state[0]
        P, dtype = torch.from_numpy(state[1].pop("P")).to(A.device), DTYPES[kept["dtype"]]
        at, number, last = kept["total"], kept["number"], kept["last"]
        begin = Start(P, at, kept["knows"], number, dtype, last, kept["gain"], state)
    if begin is None:
        size = min(T, n, (rank if isinstance(rank, int) else SPREAD) + OVERSAMPLE)
        random = torch.Generator().manual_seed(seed)
        begin = Start(torch.randn((size, A.width), generator=random).to(A.device), total)
    if isinstance(begin, Start):
        begin = iterate(A, rank, begin, total, passes, seed, saved)
    saved.remove()
    return begin


def sketch_for(sizes: Sequence[int], rank: int | float, T: int, seed: int = 0) -> Sketch | None:
    """The sketch to begin with, of groups of ``sizes`` columns; None where it does not pay."""
    wanted = (rank if isinstance(rank, int) else SPREAD) + OVERSAMPLE
    return Sketch.of(sizes, wanted, T, SKETCH_BYTES, seed)


def _from_sketch(
    A: Times,
    rank: int | float,
    total: float | None,
    B: Tensor | None,
    saved: Checkpoint,
    state: State | None,
) -> Start | Found:
    """Modes from the left vectors of a sketch, or where to go on from there."""
    if state is None:
        assert B is not None
        V64, tail, energy = leading(B.to(A.device), rank, OVERSAMPLE)
        V = V64.float()
    else:
        V, tail = (torch.from_numpy(state[1][name]).to(A.device) for name in ("V", "tail"))
        total, energy = state[0]["total"], state[0]["energy"]

    def save(row: int, part: Pass) -> None:
        if saved.due:
            kept = {"row": row, "partial": part.total, "total": total, "energy": energy}
            arrays = {"V": V, "tail": tail, "D": part.D, "G": part.G, "sums": part.sums}
            saved.write(kept, {k: v.cpu().numpy() for k, v in arrays.items()})

    done = A.project(V, total is None, save, state)
    total = done.total if total is None else total
    s2, R = eigenpairs(done.G if bool(done.G.any()) else gram(done.D))
    if total <= 0 or float(s2[0]) == 0:
        return nothing(A)
    k, enough = count(s2, rank, total)
    k, rest = min(k, len(s2)), max(energy - float(tail[:k].sum()), 0.0)
    left = max(total - float(s2[:k].sum()), 0.0)
    near = left <= (1 + NEAR) ** 2 * rest
    if enough and near and precise(s2, k, left, total):
        excess = max((left / rest) ** 0.5 - 1, 0.0)
        modes = ((R[:, :k] / s2[:k].sqrt()).T.to(V.dtype) @ done.D).cpu().numpy()
        return Found(modes, s2[:k].sqrt().cpu().numpy(), total, excess)
    U = (R / s2.sqrt()).T.to(V.dtype) @ done.D if A.width == A.shape[1] else done.D
    del done
    P = orthonormal(A.follow(R.T.to(V.dtype) @ V, U))
    return Start(P, total, True)
