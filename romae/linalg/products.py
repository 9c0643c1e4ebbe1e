"""One pass over Y: what the randomized way needs of it, summed over blocks of rows.

    project    D = V Y,              V (l, T)
    multiply   C = Y P^T,  D = C^T Y,  G = C^T C,      P (l, n)

with Y = (X - shift) factor. Everything is a sum over rows: :func:`project` and :func:`multiply`
take some blocks, a :class:`Pass` holds their sums, ``merge`` adds two, and ``complete`` comes once,
after the last. None of them keeps or changes anything else, so blocks may be summed anywhere;
sums in another order differ by rounding, and the same order gives the same bits.

With 1 (T,) of ones, the products with X alone need only

    Y P^T = X (factor P)^T - 1 (P factor shift)^T,      V Y = (V X - (V 1) shift^T) factor

corrections of rank one, computed unless ``shift`` is so much larger than the fluctuation that
float32 would cancel: then it is subtracted first, from every block.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

LARGE_MEAN = 10.0  # of the fluctuation: such a shift is subtracted before products
TILE = 1 << 26  # numbers of a factor treated at once

Block = tuple[int, np.ndarray]  # first row, rows (b, n)


@dataclass(frozen=True)
class Affine:
    """Y = (X - shift) factor: ``shift``, ``factor`` (n,) float64 on the device of the products."""

    shift: Tensor
    factor: Tensor
    explicit: bool

    @classmethod
    def of(
        cls,
        shift: np.ndarray | None,
        factor: np.ndarray | None,
        n: int,
        *,
        about: float | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """From arrays (n,) or None; ``about``, |Y|_F / sqrt(T), says if the shift is large."""
        f = np.ones(n) if factor is None else factor
        explicit = False
        if shift is not None and about is not None:
            explicit = bool(np.linalg.norm(shift * f) > LARGE_MEAN * about)
        arrays = (np.zeros(n) if shift is None else shift, f)
        tensors = [torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays]
        return cls(tensors[0], tensors[1], explicit)

    def prepare(self, X: Tensor, dtype: torch.dtype, columns: slice = slice(None)) -> Tensor:
        """X in the type of the products; minus the shift where it is large."""
        if self.explicit:
            return (X.double() - self.shift[columns]).to(dtype)
        return X.to(dtype)

    def energy(self, X: Tensor, columns: slice = slice(None)) -> float:
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


@dataclass
class Pass:
    """Sums over the rows seen: D (l, n), G (l, l), ``sums`` (l,) of C or V, |Y|_F^2."""

    D: Tensor
    G: Tensor
    sums: Tensor
    total: float = 0.0

    @classmethod
    def begin(cls, P: Tensor, n: int) -> Self:
        """Nothing yet, for the rows of ``P``; ``n`` columns of D, 0 where it is not wanted."""
        G = torch.zeros((len(P), len(P)), dtype=torch.float64, device=P.device)
        return cls(torch.zeros((len(P), n), dtype=P.dtype, device=P.device), G, G.new_zeros(len(P)))

    def merge(self, other: "Pass") -> Self:
        """These sums and those of other rows: adds to ours in place."""
        self.D += other.D
        self.G += other.G
        self.sums += other.sums
        self.total += other.total
        return self

    def complete(self, affine: Affine) -> Self:
        """D of Y from D of X, in place: once, after all rows are in."""
        if self.D.shape[1]:
            for row, part in enumerate(self.D):  # one by one: no array of the size of D
                part -= (self.sums[row] * affine.shift).to(part.dtype)
                part *= affine.factor.to(part.dtype)
        return self


Save = Callable[[int, Pass], None]  # rows done, and what they gave


def multiply(
    blocks: Iterable[Block],
    P: Tensor,
    affine: Affine,
    *,
    power: bool = True,
    energy: bool = False,
    done: Pass | None = None,
    save: Save | None = None,
) -> Pass:
    """Sums of C^T Y (only for a ``power``) and C^T C over ``blocks`` of rows.

    ``P`` (l, n) is already multiplied by the factor. Goes on from ``done``, changing it;
    ``save(row, done)`` is called after each block.
    """
    done = Pass.begin(P, P.shape[1] if power else 0) if done is None else done
    origin = None if affine.explicit else (P @ affine.shift.to(P.dtype)).to(P.dtype)
    for start, block in blocks:
        X = affine.prepare(torch.from_numpy(block).to(P.device), P.dtype)
        C = torch.mm(X, P.T)
        if origin is not None:
            C -= origin
            done.sums += C.double().sum(0)
        if power:
            done.D.addmm_(C.T, X)
        done.G += gram(C.T)
        if energy:
            done.total += affine.energy(X)
        row = start + len(block)
        del block, X  # before the next is asked for
        if save is not None:
            save(row, done)
    return done


def project(
    blocks: Iterable[Block],
    V: Tensor,
    affine: Affine,
    *,
    energy: bool = False,
    done: Pass | None = None,
    save: Save | None = None,
) -> Pass:
    """Sums of V Y over ``blocks`` of rows: ``V`` (l, T) holds a column for every row of Y."""
    done = Pass.begin(V, len(affine.shift)) if done is None else done
    for start, block in blocks:
        X = affine.prepare(torch.from_numpy(block).to(V.device), V.dtype)
        own = V[:, start : start + len(X)]
        done.D.addmm_(own, X)
        if not affine.explicit:
            done.sums += own.double().sum(1)
        if energy:
            done.total += affine.energy(X)
        row = start + len(block)
        del block, X
        if save is not None:
            save(row, done)
    return done


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
