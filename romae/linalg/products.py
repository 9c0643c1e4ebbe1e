"""One pass of subspace iteration over Y or its transpose, held or read in blocks.

    C = A P^T,      D = C^T A,      G = C^T C,      Y = (X - shift) factor

A is Y^T (:class:`Points`: X held, P (l, T) small, C becomes the modes) or Y (:class:`Times`: by
blocks of rows, P becomes the modes). With 1 (T,) of ones, the products with X alone need only

    Y^T P^T = factor (X^T P^T - shift 1^T P^T)

and the like for D: corrections of rank one, computed unless ``shift`` is so much larger than the
fluctuation that float32 would cancel.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from romae.linalg.rows import Rows

LARGE_MEAN = 10.0  # of the fluctuation: such a shift is subtracted before products
TILE = 1 << 26  # numbers of a factor treated at once


@dataclass
class Pass:
    """What one pass accumulates: C, D, G, column sums of C, and |A|_F^2 where it is asked for."""

    C: Tensor | None
    D: Tensor
    G: Tensor
    sums: Tensor
    total: float = 0.0

    @classmethod
    def begin(cls, P: Tensor, C: Tensor | None = None) -> "Pass":
        """Nothing yet."""
        size = len(P)
        G = torch.zeros((size, size), dtype=torch.float64, device=P.device)
        return cls(C, torch.zeros_like(P), G, torch.zeros_like(G[0]))


Save = Callable[[int, Pass], None]  # rows done, and what they gave
State = tuple[dict[str, Any], dict[str, np.ndarray]]


def tiles(D: Tensor, rows: int | None = None) -> Iterator[Tensor]:
    """Views of ranges of columns, so that float64 copies stay small."""
    yield from D.split(max(1024, TILE // (64 * (rows or len(D)))), dim=1)


def gram(C: Tensor) -> Tensor:
    """C C^T in float64."""
    G = torch.zeros((len(C), len(C)), dtype=torch.float64, device=C.device)
    for part in tiles(C):
        part = part.double()
        G.addmm_(part, part.T)
    return G


class Operand:
    """X, shift and factor on the device, in the type of the products."""

    def __init__(self, rows: Rows, device: torch.device | str) -> None:
        self.rows, self.device = rows, device
        n = rows.shape[1]
        shift = np.zeros(n) if rows.shift is None else rows.shift
        factor = np.ones(n) if rows.factor is None else rows.factor
        self.shift = torch.from_numpy(np.ascontiguousarray(shift)).to(device)
        self.factor = torch.from_numpy(np.ascontiguousarray(factor)).to(device)
        self.explicit: bool | None = None if rows.shift is not None else False

    def prepare(self, X: Tensor, columns: slice, dtype: torch.dtype) -> Tensor:
        """X in the type of the products; minus the shift where it is large."""
        if self.explicit is None:  # decided once, from the first rows
            some, f = X[:: max(1, len(X) // 8)].double(), self.factor[columns]
            about = torch.linalg.vector_norm((some - self.shift[columns]) * f) / len(some) ** 0.5
            mean = torch.linalg.vector_norm(self.shift[columns] * f)
            self.explicit = bool(mean > LARGE_MEAN * about)
        if self.explicit:
            return (X.double() - self.shift[columns]).to(dtype)
        return X.to(dtype)

    def energy(self, X: Tensor, columns: slice) -> float:
        """|Y|_F^2 of X as :meth:`prepare` gave it."""
        f, shift = self.factor[columns], self.shift[columns]
        if X.dtype == torch.float32 and not self.explicit and len(X) and bool((f == f[0]).all()):
            squares = torch.stack([torch.dot(x, x) for x in X]).double().sum()
            cross = (X @ shift.float()).double().sum()
            return float(f[0] ** 2 * (squares - 2 * cross + len(X) * shift.square().sum()))
        total = 0.0
        for some in X.split(max(1, (1 << 22) // X.shape[1])):
            Y = some.double() if self.explicit else some.double() - shift
            total += float((Y * f).square_().sum())
        return total


class Points(Operand):
    """A = Y^T, with X held in memory: P (l, T) is small, C^T (l, n) becomes the modes."""

    def __init__(self, rows: Rows, device: torch.device | str) -> None:
        super().__init__(rows, device)
        self.width = rows.shape[0]
        self.X = torch.from_numpy(rows.gather()).to(device)

    def multiply(
        self, P: Tensor, power: bool, energy: bool, save: Save, state: State | None
    ) -> Pass:
        """One pass over ranges of columns of X; D only for a ``power``."""
        n, size = self.X.shape[1], len(P)
        C = torch.empty((size, n), dtype=P.dtype, device=P.device)
        done = Pass.begin(P, C)
        width = max(1024, TILE // size)
        if self.explicit or self.explicit is None or P.dtype != self.X.dtype:
            width = max(1024, TILE // (2 * self.width))  # X is copied
        whole = P.double().sum(1)
        for a in range(0, n, width):
            part = slice(a, min(a + width, n))
            X = self.prepare(self.X[:, part], part, P.dtype)
            shift, f = self.shift[part], self.factor[part]
            c = torch.mm(P, X)
            if not self.explicit:
                c -= torch.outer(whole, shift).to(P.dtype)
            c *= f.to(P.dtype)
            C[:, part] = c
            done.G += gram(c)
            if power:
                c = c * f.to(P.dtype)
                done.D.addmm_(c, X.T)
            if power and not self.explicit:
                done.D -= (c @ shift.to(P.dtype))[:, None]
            if energy:
                done.total += self.energy(X, part)
        return done

    def modes(self, P: Tensor, C: Tensor | None, R: Tensor, s: Tensor) -> np.ndarray:
        """Left vectors of A."""
        assert C is not None
        out = torch.empty((R.shape[1], C.shape[1]), dtype=C.dtype, device=C.device)
        torch.mm((R / s).T.to(C.dtype), C, out=out)
        return out.cpu().numpy()


class Times(Operand):
    """A = Y by blocks of rows, read in every pass or held: P and D are (l, n)."""

    def __init__(self, rows: Rows, device: torch.device | str, held: bool) -> None:
        super().__init__(rows, device)
        self.width = rows.shape[1]
        self.X = rows.gather() if held else None

    def multiply(
        self, P: Tensor, power: bool, energy: bool, save: Save, state: State | None
    ) -> Pass:
        """One pass over blocks of rows; ``save(row, part)`` after each, to go on from there."""
        f, done = self.factor.to(P.dtype), Pass.begin(P)
        first = 0
        if state is None:
            P.mul_(f)  # undone below: one array of this size less
        else:
            first, done.total = state[0]["row"], state[0]["partial"]
            arrays = {k: torch.from_numpy(v).to(P.device) for k, v in state[1].items()}
            done.D, done.G, done.sums = arrays["D"], arrays["G"], arrays["sums"]
        origin = (P @ self.shift.to(P.dtype)).double()
        every = slice(None)
        for start, block in self._blocks(first):
            X = self.prepare(torch.from_numpy(block).to(P.device), every, P.dtype)
            C = torch.mm(X, P.T)
            if not self.explicit:
                C -= origin.to(P.dtype)
                done.sums += C.double().sum(0)
            if power:
                done.D.addmm_(C.T, X)
            done.G += gram(C.T)
            if energy:
                done.total += self.energy(X, every)
            row = start + len(block)
            del block, X  # before the next is asked for
            save(row, done)
        for part in range(len(P) if power else 0):  # row by row: no array of the size of P
            done.D[part] -= (done.sums[part] * self.shift).to(P.dtype)
        done.D.mul_(f)
        P.div_(torch.where(f == 0, 1, f))
        return done

    def _blocks(self, first: int) -> Iterator[tuple[int, np.ndarray]]:
        if self.X is not None:
            step = max(1, TILE // self.X.shape[1])
            return ((a, self.X[a : a + step]) for a in range(0, len(self.X), step))
        return self.rows.blocks(first) if first else self.rows.blocks()

    def modes(self, P: Tensor, C: Tensor | None, R: Tensor, s: Tensor) -> np.ndarray:
        """Right vectors of A."""
        return (R.T.to(P.dtype) @ P).cpu().numpy()
