"""Rows of Y read in blocks, and the state of a pass that was interrupted.

    Y = (X - shift) factor          X (T, n) as stored, shift and factor (n,)

X is read by blocks of rows and kept in its own type; it is finite everywhere, and a masked
point has factor 0. Scaling happens where the numbers are used, in float64 on a tile of columns
(:meth:`Rows.scaled`), or inside the products (:mod:`romae.linalg.randomized`), so that no
scaled copy of X is ever made.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from romae.files import atomic_file

Blocks = Callable[..., Iterator[tuple[int, np.ndarray]]]  # (first row, rows (b, n))

TILE_BYTES = 32 << 20  # of float64 columns scaled at a time
CHECKPOINT_SECONDS = 30.0  # between two saved states


@dataclass(frozen=True)
class Rows:
    """X in blocks, and what makes Y of it; ``total`` is |Y|_F^2 where it is known.

    ``blocks()`` yields all rows in order, and ``blocks(first)`` those of the blocks that begin at
    row ``first`` or later.
    """

    blocks: Blocks
    shape: tuple[int, int]
    shift: np.ndarray | None = None
    factor: np.ndarray | None = None
    dtype: np.dtype | type = np.float64
    total: float | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of X in its own type."""
        return self.shape[0] * self.shape[1] * np.dtype(self.dtype).itemsize

    def scaled(self, X: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        """Y in float64 of the ``columns`` of some rows ``X`` (b, n)."""
        Y = X[:, columns].astype(np.float64)
        if self.shift is not None:
            Y -= self.shift[columns]
        if self.factor is not None:
            Y *= self.factor[columns]
        return Y

    def about(self, X: np.ndarray | None = None) -> float:
        """|Y|_F / sqrt(T): from ``total``, or from a few of the rows ``X``, or of the first."""
        if self.total is not None:
            return float((self.total / self.shape[0]) ** 0.5)
        some = next(iter(self.blocks()))[1] if X is None else X
        Y = self.scaled(some[:: max(1, len(some) // 8)])
        return float(np.linalg.norm(Y) / len(Y) ** 0.5)

    def tiles(self, rows: int) -> Iterator[slice]:
        """Ranges of columns such that so many rows of them take ``TILE_BYTES`` in float64."""
        width = max(64, TILE_BYTES // (8 * max(rows, 1)))
        for a in range(0, self.shape[1], width):
            yield slice(a, min(a + width, self.shape[1]))

    def gather(self) -> np.ndarray:
        """X (T, n) in memory: one pass; the block itself where there is only one."""
        X: np.ndarray | None = None
        for start, block in self.blocks():
            if len(block) == self.shape[0]:
                return block
            if X is None:
                X = np.empty(self.shape, self.dtype)
            X[start : start + len(block)] = block
        assert X is not None
        return X


class Checkpoint:
    """State of a long computation in one file of ``folder``, written atomically.

    ``identity`` says what the state belongs to: another one is not read. ``due`` is true once
    ``CHECKPOINT_SECONDS`` have gone by since the last write.
    """

    def __init__(self, folder: Path | None, identity: dict[str, Any]) -> None:
        self.path = None if folder is None else folder / "decomposition.safetensors"
        self.identity = identity
        self.written = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return self.path is not None and time.monotonic() - self.written >= CHECKPOINT_SECONDS

    def write(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Replace the saved state."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"identity": self.identity, "state": state})
        with atomic_file(self.path, overwrite=True) as temporary:
            contiguous = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
            save_file(contiguous, temporary, {"romae": text})
        self.written = time.monotonic()

    def read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """The saved state, or None when there is none that belongs to us."""
        if self.path is None or not self.path.exists():
            return None
        try:
            with safe_open(self.path, "np") as file:
                found = json.loads((file.metadata() or {})["romae"])
                if found["identity"] != json.loads(json.dumps(self.identity)):
                    return None
                return found["state"], {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
        except (SafetensorError, KeyError, ValueError):
            return None

    def remove(self) -> None:
        """Forget the state: the computation is complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
