"""What the randomized way multiplies: Y held in memory, or read in blocks of rows.

Both give a :class:`~romae.linalg.products.Pass`; any object with the attributes and methods of
:class:`Times` will do, such as one whose blocks are summed on other machines.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from romae.linalg.products import TILE, Affine, Pass, Save, gram, multiply, project
from romae.linalg.rows import Rows
from romae.linalg.sketch import Sketch, Sketcher

State = tuple[dict[str, Any], dict[str, np.ndarray]]
WIDTH = 2048  # columns of X at a time: those of C stay in the cache


def operand(rows: Rows, device: torch.device | str, nbytes: int) -> "Points | Times":
    """X is held where it takes no more than ``nbytes``, else read in every pass."""
    held = rows.nbytes <= nbytes
    T, n = rows.shape
    return Points(rows, device) if held and n >= T else Times(rows, device, held)


class Times:
    """Y by blocks of rows, read in every pass or held: P, U and D are (l, n)."""

    def __init__(self, rows: Rows, device: torch.device | str, held: bool = False) -> None:
        self.rows, self.shape, self.device = rows, rows.shape, device
        self.width = rows.shape[1]  # columns of P
        self.X = rows.gather() if held else None

    def sketch(self, sketch: Sketch) -> Tensor:
        """B (T, m) of the rows, its mean not taken off, on the host."""
        B, sketcher = torch.empty((self.shape[0], sketch.ranges()[-1].stop)), None
        for start, block in self._blocks(0):
            if sketcher is None:
                sketcher = Sketcher(sketch, block[0].copy(), self.rows.factor)
            sketcher.rows(block, B[start : start + len(block)])
        return B

    def project(
        self, V: Tensor, energy: bool, save: Save | None = None, state: State | None = None
    ) -> Pass:
        """D = V Y of ``V`` (l, T)."""
        affine, first, done = self._begin(V, state)
        done = project(self._blocks(first), V, affine, energy=energy, done=done, save=save)
        return done.complete(affine)

    def multiply(
        self,
        P: Tensor,
        power: bool,
        energy: bool,
        save: Save | None = None,
        state: State | None = None,
    ) -> Pass:
        """C = Y P^T of ``P`` (l, n): C^T C, and D = C^T Y for a ``power``; P is left as it was."""
        affine, first, done = self._begin(P, state)
        factor = affine.factor.to(P.dtype)
        if state is None:  # a saved P is multiplied already: the products go on with its bits
            P.mul_(factor)  # undone below: one array of this size less
        done = multiply(
            self._blocks(first), P, affine, power=power, energy=energy, done=done, save=save
        )
        P.div_(torch.where(factor == 0, 1, factor))
        return done.complete(affine)

    def follow(self, V: Tensor, U: Tensor) -> Tensor:
        """The next P, of left vectors ``V`` (l, T) and right ones ``U`` (l, n)."""
        return U

    def modes(self, P: Tensor, R: Tensor, s: Tensor) -> np.ndarray:
        """Right vectors of Y (k, n) from the last P, given G = R s^2 R^T."""
        return (R.T.to(P.dtype) @ P).cpu().numpy()

    @cached_property
    def affine(self) -> Affine:
        """Shift and factor on the device."""
        rows, about = self.rows, None
        if rows.shift is not None:
            about = rows.about(self.X)
        return Affine.of(rows.shift, rows.factor, self.shape[1], about=about, device=self.device)

    def _begin(self, P: Tensor, state: State | None) -> tuple[Affine, int, Pass | None]:
        affine = self.affine
        if state is None:
            return affine, 0, None
        D, G, sums = (torch.from_numpy(state[1][name]).to(P.device) for name in ("D", "G", "sums"))
        return affine, state[0]["row"], Pass(D, G, sums, state[0]["partial"])

    def _blocks(self, first: int) -> Iterator[tuple[int, np.ndarray]]:
        if self.X is not None:
            step = max(1, TILE // self.X.shape[1])
            return ((a, self.X[a : a + step]) for a in range(first, len(self.X), step))
        return self.rows.blocks(first)


class Points(Times):
    """Y held, with few rows: products with Y^T; P (l, T) is small, C (l, n) gives the modes."""

    def __init__(self, rows: Rows, device: torch.device | str) -> None:
        super().__init__(rows, device, held=True)
        assert self.X is not None
        self.width = rows.shape[0]
        self.C: Tensor | None = None
        self.Y = torch.from_numpy(self.X).to(device)  # as stored

    def project(
        self, V: Tensor, energy: bool, save: Save | None = None, state: State | None = None
    ) -> Pass:
        """D = V Y of ``V`` (l, T)."""
        done = self.multiply(V, False, energy)
        assert self.C is not None
        return replace(done, D=self.C)

    def multiply(
        self,
        P: Tensor,
        power: bool,
        energy: bool,
        save: Save | None = None,
        state: State | None = None,
    ) -> Pass:
        """C = P Y of ``P`` (l, T): C C^T, and D = C Y^T for a ``power``."""
        affine, n = self.affine, self.shape[1]
        f, done = affine.factor.to(P.dtype), Pass.begin(P, P.shape[1] if power else 0)
        C = torch.empty((len(P), n), dtype=P.dtype, device=P.device)
        whole = P.double().sum(1).to(P.dtype)
        for a in range(0, n, WIDTH):
            part = slice(a, min(a + WIDTH, n))
            X = affine.prepare(self.Y[:, part], P.dtype, part)
            shift = affine.shift[part].to(P.dtype)
            c = torch.mm(P, X, out=C[:, part])
            if not affine.explicit:
                c.addr_(whole, shift, alpha=-1)
            c *= f[part]
            if power:
                c = c * f[part]
                done.D.addmm_(c, X.T)
            if power and not affine.explicit:
                done.D -= (c @ shift)[:, None]
            if energy:
                done.total += affine.energy(X, part)
        done.G += gram(C)
        self.C = C
        return done

    def follow(self, V: Tensor, U: Tensor) -> Tensor:
        """The next P: left vectors."""
        return V

    def modes(self, P: Tensor, R: Tensor, s: Tensor) -> np.ndarray:
        """Left vectors of Y^T."""
        assert self.C is not None
        return ((R / s).T.to(self.C.dtype) @ self.C).cpu().numpy()
