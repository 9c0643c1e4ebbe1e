"""Proper orthogonal decomposition of snapshots read in blocks.

Y (T, n) holds one snapshot a row: fluctuations, scaled, times the square root of the
quadrature weights, so that Euclidean products of rows are the weighted products of fields.

    Y = V S U^T,    V (T, T) orthonormal,  U (n, T) orthonormal,  s_1 >= s_2 >= ...

The first k columns of U minimise |Y - Y U_k U_k^T|_F over all k-dimensional subspaces,
and the square of that error is s_{k+1}^2 + ... (Eckart & Young 1936). Three exact ways
(:mod:`.exact`), and one for matrices of which both sides are large:

* ``svd``        of Y itself, in float64; small data, full relative accuracy of small s;
* ``snapshots``  Y Y^T = V S^2 V^T, then U = Y^T V / s (Sirovich 1987); few snapshots;
* ``covariance`` Y^T Y = U S^2 U^T; few points;
* ``randomized`` a sketch and a few passes, error within 1 % of the optimum (:mod:`.randomized`).

The squared ways resolve s down to 4 sqrt(eps) s_1 = 6e-8 s_1 in float64; what lies below is
rounding of Y Y^T (up to 2 sqrt(eps) s_1 for matrices of low rank), and gives no modes.

``auto`` takes ``svd`` up to ``SVD_ENTRIES``, else the exact way of the shorter side, unless that
is both slow and dear beside ``randomized``: with the nominal rates below,

    exact:       T n min(T, n) / F64  + passes bytes / READ,    passes = ceil(bytes / panel_bytes)
    randomized:  2 · 2 T n l / F32    + 2 bytes / READ  where T <= n (a sketch, and the modes),
                 3 · 4 T n l / F32    + 3 bytes / READ  else,           l = k + 16

and bytes that fit read once. ``randomized`` must save half of the time, and exact take longer than
``PATIENCE`` seconds.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from romae.linalg import exact
from romae.linalg.exact import count
from romae.linalg.rows import Blocks, Checkpoint, Rows

Method = Literal["auto", "svd", "snapshots", "covariance", "randomized"]

SVD_ENTRIES = 4_000_000  # Y of up to so many entries is decomposed directly, in about a second
PANEL_BYTES = 1 << 30  # rows held at once, in the type they are stored in
READ, F32, F64 = 1e9, 2e11, 1e11  # bytes and operations a second, for the choice of a method
PATIENCE = 1.0  # seconds an exact method may take before it has to be worth it


@dataclass(frozen=True)
class Decomposition:
    """Modes, singular values and the energy |Y|_F^2.

    ``modes`` (k, n) rows, float64; ``s`` (min(T, n),). By ``randomized``, modes may be float32,
    ``s`` has k entries, and ``excess`` estimates the error relative to the best one, less 1.
    """

    modes: np.ndarray
    s: np.ndarray
    method: str
    total: float
    excess: float = 0.0


def decompose(
    blocks: Blocks,
    shape: tuple[int, int],
    rank: int | float | None,
    method: Method = "auto",
    *,
    shift: np.ndarray | None = None,
    factor: np.ndarray | None = None,
    dtype: np.dtype | type = np.float64,
    total: float | None = None,
    panel_bytes: int = PANEL_BYTES,
    device: Any = "cpu",
    checkpoint: Path | None = None,
    identity: str = "",
    sketched: Any = None,
) -> Decomposition:
    """Leading modes and singular values of Y = (X - shift) factor.

    ``blocks()`` yields the rows of X, finite, of type ``dtype``; each call is one pass over the
    data. ``shift`` and ``factor`` (n,) default to 0 and 1. ``shape`` is (T, n). ``rank`` is a
    number of modes, an energy fraction in (0, 1), or None for all; modes below rounding are never
    returned. ``total`` saves the randomized method one look at the data: |Y|_F^2; ``sketched``
    (T, m), a sketch of Y (:mod:`.sketch`), saves it a pass.

    Up to ``panel_bytes`` of rows are held, besides the modes and one block (``svd``: Y in
    float64; ``snapshots`` and ``covariance``: two square matrices). Data that fit are read once.

    What is read in passes keeps its state in the folder ``checkpoint``, so that a killed run goes
    on after the last block saved, if ``identity`` and shape are the same; then ``blocks(first)``
    must yield the blocks from row ``first`` on. ``randomized`` computes on ``device``.
    """
    rows = Rows(blocks, shape, shift, factor, dtype, total)
    if method == "auto":
        method = choose(shape, dtype, rank, panel_bytes)
    belongs = {"of": identity, "shape": list(shape), "rank": rank, "method": method}
    saved = Checkpoint(checkpoint, belongs)
    if method == "randomized":
        from romae.linalg.operands import operand
        from romae.linalg.randomized import randomized

        size = min(shape) if rank is None else rank
        A = operand(rows, device, panel_bytes)
        found = randomized(A, size, total=total, sketched=sketched, checkpoint=saved)
        modes = signed(found.modes[: count(found.s, None)])
        return Decomposition(modes, found.s, method, found.total, found.excess)
    if method == "svd":
        s, modes = exact.svd(rows, rank)
    elif method == "covariance":
        s, modes = exact.covariance(rows, rank, saved)
    else:
        s, modes = exact.snapshots(rows, rank, panel_bytes, saved)
    return Decomposition(signed(modes), s, method, float(np.sum(s**2)))


def choose(
    shape: tuple[int, int], dtype: np.dtype | type, rank: int | float | None, panel_bytes: int
) -> Method:
    """The cost model of the module docstring."""
    T, n = shape
    if T * n <= SVD_ENTRIES:
        return "svd"
    side: Method = "snapshots" if n >= T else "covariance"
    if rank is None:
        return side
    nbytes = T * n * np.dtype(dtype).itemsize
    reads, fits = nbytes / READ, nbytes <= panel_bytes
    passes = -(-nbytes // panel_bytes) if side == "snapshots" else 1
    dear = T * n * min(T, n) / F64 + passes * reads
    size, passes = (rank if isinstance(rank, int) else 64) + 16, 2 if n >= T else 3
    fast = (4 if n >= T else 12) * T * n * size / F32 + (1 if fits else passes) * reads
    return "randomized" if dear > max(PATIENCE, 2 * fast) else side


def signed(modes: np.ndarray) -> np.ndarray:
    """Signs fixed, in place, so that the entry of largest magnitude of each mode is positive."""
    for mode in modes:
        if mode[np.abs(mode).argmax()] < 0:
            mode *= -1  # np.negative with out= is wrong for strided rows in numpy 2.4
    return modes
