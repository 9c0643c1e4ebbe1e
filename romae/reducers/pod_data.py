"""Fields as the rows of a matrix, and what is learnt of them while they are surveyed.

A row of X is one snapshot as stored, 0 at masked points; with the temporal mean as shift and
sqrt(quadrature) / scale as factor, Y = (X - shift) factor has the products of the scaled
fluctuations (:mod:`romae.linalg`).

The survey reads every value. :class:`FirstLook` watches it and keeps what the decomposition would
read again: X itself where it fits into the memory given, and the sketch B of the randomized way.
Buckets of B are not shared between fields, whose scales are only known after the survey.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from romae.fields import Snapshots, Survey, survey
from romae.fields.blocks import read_ahead
from romae.linalg import Decomposition, decompose
from romae.linalg.pod import PANEL_BYTES, Method, choose
from romae.linalg.randomized import sketch_for
from romae.linalg.rows import Blocks
from romae.linalg.sketch import Sketcher
from romae.reducers.data import BLOCK_BYTES, FitData

LARGE_BLOCK_BYTES = 256 << 20  # products with more rows at a time go over large factors less often


def block_bytes(memory: int) -> int:
    """Bytes of a block: a quarter of the memory, within limits."""
    return max(BLOCK_BYTES, min(memory // 4, LARGE_BLOCK_BYTES))


def rows(
    snapshots: Snapshots, first: int = 0, *, memory: int = 0
) -> Iterator[tuple[int, np.ndarray]]:
    """Snapshots as stored from row ``first`` on, (row, (b, n)), 0 at masked points.

    The memory of a block is used again: it is valid until the next one is asked for.
    """
    mask = snapshots.layout.mask
    firsts = np.cumsum([0, *snapshots.lengths])
    ranges = snapshots.block_ranges(block_bytes(memory))
    buffers = Buffers(snapshots)

    def read(case: int, start: int, stop: int) -> tuple[int, np.ndarray]:
        values = buffers.read(case, start, stop)
        if mask is not None:
            np.copyto(values, 0, where=~mask)
        return int(firsts[case]) + start, values.reshape(len(values), -1)

    return read_ahead(partial(read, *r) for r in ranges if firsts[r[0]] + r[1] >= first)


class Buffers:
    """Blocks read into two arrays in turn: fresh memory would cost as much as the reading."""

    def __init__(self, snapshots: Snapshots) -> None:
        self.snapshots = snapshots
        self.spare: list[np.ndarray] = []

    def read(self, case: int, start: int, stop: int) -> np.ndarray:
        """(b, C, *space) as stored, valid until the second read after this one."""
        used = self.spare.pop(0) if len(self.spare) == 2 else np.empty(0)
        if len(used) < stop - start:
            shape = (stop - start, *self.snapshots.shape[1:])
            used = np.empty(shape, self.snapshots.dtype)
        self.spare.append(used)
        return self.snapshots.read_raw(start, stop, case, out=used[: stop - start])


class FirstLook:
    """The survey of ``snapshots``, and what a POD of them needs besides: see the module.

    ``X`` (T, n) where it is held; ``B`` (T, m) once surveyed, if ``method`` is randomized and a
    sketch pays.
    """

    def __init__(
        self, snapshots: Snapshots, rank: int | float, method: Method, memory: int
    ) -> None:
        layout, T = snapshots.layout, len(snapshots)
        self.snapshots, self.memory = snapshots, memory
        shape = (T, layout.size)
        self.method = choose(shape, snapshots.dtype, rank, memory) if method == "auto" else method
        self.view = _in_memory(snapshots)
        self.X: np.ndarray | None = None
        self.B: Tensor | None = None
        if snapshots.nbytes <= memory or self.view is not None:
            self.X = np.empty(shape, snapshots.dtype) if self.view is None else self.view
        self.buffers = Buffers(snapshots)
        self.sketcher: Sketcher | None = None
        sizes = (layout.size // layout.channels,) * layout.channels
        self.sketch = sketch_for(sizes, rank, T) if self.method == "randomized" else None
        self.firsts = np.cumsum([0, *snapshots.lengths])

    def survey(self) -> Survey:
        """One pass over the snapshots."""
        found = survey(
            self.snapshots, nbytes=block_bytes(self.memory), read=self._read, each=self._each
        )
        self.buffers.spare.clear()
        return found

    def start(self, scale: np.ndarray) -> Tensor | None:
        """B of the scaled fluctuations; ``scale`` (C,)."""
        if self.B is not None and self.sketch is not None:
            for buckets, own in zip(self.sketch.ranges(), scale, strict=True):
                self.B[:, buckets] /= own
        return self.B

    def _read(self, start: int, stop: int, case: int) -> np.ndarray:
        if self.X is None:
            return self.buffers.read(case, start, stop)
        first = int(self.firsts[case])
        own = self.X[first + start : first + stop].reshape(-1, *self.snapshots.shape[1:])
        if self.view is None:
            self.snapshots.read_raw(start, stop, case, out=own)
        return own

    def _each(self, case: int, start: int, block: np.ndarray) -> None:
        row = int(self.firsts[case]) + start
        mask = self.snapshots.layout.mask
        if mask is not None:
            np.copyto(block, 0, where=~mask)
        if self.sketch is None:
            return
        X = block.reshape(len(block), -1)
        if self.sketcher is None:
            root = np.sqrt(self.snapshots.layout.quadrature).reshape(-1)
            self.sketcher = Sketcher(self.sketch, X[0].copy(), root)
            self.B = self.sketcher.empty(len(self.snapshots))
        assert self.B is not None
        self.sketcher.rows(X, self.B[row : row + len(X)])


def _in_memory(snapshots: Snapshots) -> np.ndarray | None:
    """X (T, n) where the snapshots are one plain array in memory already: nothing is copied."""
    layout, parts = snapshots.layout, snapshots.trajectories[0].segments
    if snapshots.cases > 1 or len(parts) > 1 or layout.channels > 1 or layout.mask is not None:
        return None
    if not parts[0].as_stored:
        return None
    steps, variable = parts[0].steps, parts[0].dataset.variables[layout.names[0]]
    values: Any = variable._data  # `data` would read a lazy variable
    if not isinstance(values, np.ndarray) or values.dtype != snapshots.dtype:
        return None
    if not values.flags.c_contiguous or steps.step != 1:
        return None
    if variable.dims != (layout.time, *layout.space):
        return None
    return values[steps.start : steps.stop].reshape(len(steps), -1)


def decompose_fields(
    data: FitData,
    rank: int | float | None,
    method: Method = "auto",
    memory: int = PANEL_BYTES,
    look: FirstLook | None = None,
) -> Decomposition:
    """POD of the scaled fluctuations of ``data``; modes (k, n) in scaled physical space.

    ``look`` has surveyed them: what it holds is not read again.
    """
    layout, scaling = data.snapshots.layout, data.scaling
    root = np.sqrt(layout.quadrature).reshape(layout.channels, -1)
    blocks: Blocks = partial(rows, data.snapshots, memory=memory)
    sketched = None
    if look is not None:
        method, sketched = look.method, look.start(scaling.scale)
        if look.X is not None:
            blocks, memory = partial(_held, look.X), max(memory, look.X.nbytes)
    found = decompose(
        blocks,
        (len(data.snapshots), root.size),
        rank,
        method,
        shift=scaling.mean.reshape(-1),
        factor=(root / scaling.scale[:, None]).reshape(-1),
        dtype=data.snapshots.dtype,
        total=float(
            data.survey.count * ((data.survey.std / scaling.scale) ** 2 @ (root**2).sum(1))
        ),
        panel_bytes=memory,
        device=data.device,
        checkpoint=data.folder,
        identity=f"{data.snapshots.fingerprint} {scaling.kind}" if data.folder else "",
        sketched=sketched,
    )
    del sketched, look
    weights, modes = root.reshape(-1), found.modes
    np.divide(modes, weights, out=modes, where=weights > 0, casting="same_kind")
    modes[:, weights == 0] = 0
    return found


def _held(X: np.ndarray, first: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    yield 0, X
