"""Closed loop around a learned partial differential equation, for periodic lines and squares.

A frame is predicted by integrating the equation of :mod:`romae.archive.pseudospectral` over one
interval from the *decoded* frame before, and only the innovation is stored:

    p_t = Phi(x'_(t-1)),    q_t = round((x_t - p_t) / (2 eps)),    x'_t = p_t + 2 eps q_t.

Where the equation holds, q is nearly empty, because rounding errors do not grow faster than the
flow lets neighbouring states part. The first frame of a chunk is a rounded half spectrum (waves
that the equation keeps; rms error `rho` eps), with a q_0 of its own. Fields: one on a line, a
vorticity, or velocities (u, v) without divergence on a square.

Payload: length of the key frame u32 | rounded spectrum | mean velocity 2 f64 (two fields) | q.
Coefficients are learned from the data: :mod:`romae.archive.equation_fit`.

Source: the idea of predicting by a simulation, but learned: Brunton, Proctor & Kutz 2016,
"Discovering governing equations from data by sparse identification", with a one-interval integral
in place of derivatives in time.
"""

import json
import struct
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from romae.archive.entropy import decode_integers, encode_integers
from romae.archive.equation_grid import LINE, VELOCITY, VORTICITY, Grid, loop
from romae.archive.fourier import radices
from romae.archive.lattice import LARGEST
from romae.archive.method import Method, UnsuitableError
from romae.archive.pseudospectral import advance, etd_draft, etd_tables
from romae.errors import ArchiveError

LINEAR = 4  # c0 ... c3
TERMS = {LINE: 7, VORTICITY: 3, VELOCITY: 3}
LARGEST_FACTOR = 13


class Equation(Method):
    """Fields of `kind` on `space`; coefficients `c` (4,), `theta`, `forcing` {(row, column): f}.

    Rates are per interval between frames. Raises :class:`UnsuitableError` for grids whose
    lengths have prime factors above 13.
    """

    name: ClassVar[str] = "equation"
    causal: ClassVar[bool] = True

    def __init__(
        self,
        kind: int,
        space: tuple[int, ...],
        c: np.ndarray,
        theta: np.ndarray,
        forcing: dict[tuple[int, int], complex] | None = None,
        substeps: int = 1,
        rho: float = 0.25,
    ) -> None:
        self.kind, self.space, self.substeps, self.rho = kind, tuple(space), substeps, rho
        self.c, self.theta = np.array(c, np.float64), np.array(theta, np.float64)
        self.forcing = dict(forcing or {})
        self.draft = False  # while it is learned: quick tables, not the same bits everywhere
        if any(radices(n) is None for n in space) or min(space) < 8:
            raise UnsuitableError(
                f"equation: a grid of {space} points; expected lengths from 8 on with prime "
                f"factors up to {LARGEST_FACTOR}; use another method"
            )

    @cached_property
    def grid(self) -> Grid:
        """Wave numbers and tables of the transforms."""
        return Grid(self.space)

    @cached_property
    def parts(self) -> tuple[Any, ...]:
        """What :func:`advance` takes after the state and the number of steps."""
        g = self.grid
        s = np.clip(g.k2 / g.k2.max(), 0, 1)
        c = self.c[0] + s * (self.c[1] + s * (self.c[2] + s * self.c[3]))
        forcing = np.zeros((2, g.rows, g.m0))
        for (row, column), value in self.forcing.items():
            forcing[:, row, column] = value.real, value.imag
        tables = etd_draft if self.draft else etd_tables
        etd = tables(c.ravel(), 1.0 / self.substeps)
        return etd, self.theta, forcing.reshape(2, -1)

    def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
        """See :class:`Method`."""
        self._check(x.shape)
        n, fields = x.shape[:2]
        values = np.ascontiguousarray(x, np.float64).reshape(n, fields, -1)
        key, w, mean = self._key(values[0], float(eps.min()))
        q = np.zeros(values.shape, np.int64)
        decoded = np.empty(values.shape)
        self._loop(w, mean, values, q, decoded, eps, True)
        head = struct.pack("<I", len(key)) + key
        return head + encode_integers(q.reshape(x.shape)), decoded.reshape(x.shape)

    def decode(self, payload: bytes, shape: tuple[int, ...], eps: np.ndarray) -> np.ndarray:
        """See :class:`Method`."""
        self._check(shape)
        if len(payload) < 4 or struct.unpack("<I", payload[:4])[0] > len(payload) - 4:
            raise ArchiveError("equation: the payload is cut off; restore the archive from a copy")
        end = 4 + struct.unpack("<I", payload[:4])[0]
        w, mean = self._key_from(payload[4:end], float(eps.min()))
        q = np.ascontiguousarray(decode_integers(payload[end:], shape), np.int64)
        q = q.reshape(shape[0], shape[1], -1)
        decoded = np.empty(q.shape)
        self._loop(w, mean, decoded, q, decoded, eps, False)
        return decoded.reshape(shape)

    def step(self, x: np.ndarray) -> np.ndarray:
        """Phi(x): fields (C, points) one interval later, points flat."""
        w, mean = self.grid.half(x, self.kind)
        return self.grid.fields(self.flow(w, mean), mean, self.kind)

    def flow(self, w: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Half spectrum one interval later (2, size), a new array."""
        g, w = self.grid, w.copy()
        etd, theta, forcing = self.parts
        advance(
            w, mean, self.substeps, etd, g.work(), g.stages(), theta, forcing, *g.waves, *g.tables
        )
        return w

    def _loop(self, w, mean, x, q, decoded, eps, encoding):
        g = self.grid
        etd, theta, forcing = self.parts
        loop(
            self.kind, w, mean, x, q, decoded, 2.0 * eps, encoding, self.substeps, etd,
            g.work(), g.stages(), theta, forcing, *g.waves, *g.tables,
        )  # fmt: skip

    def _key(self, x: np.ndarray, eps: float) -> tuple[bytes, np.ndarray, np.ndarray]:
        w, mean = self.grid.half(x, self.kind)
        steps = np.clip(np.rint(w / self._spacing(eps)), -LARGEST, LARGEST).astype(np.int64)
        g = self.grid
        shifted = np.roll(steps.reshape(2, g.rows, g.m0), g.m0 // 2, axis=2)
        key = np.asarray(mean, "<f8").tobytes() if self.kind == VELOCITY else b""
        key += encode_integers(np.ascontiguousarray(shifted))
        return key, *self._key_from(key, eps)

    def _key_from(self, key: bytes, eps: float) -> tuple[np.ndarray, np.ndarray]:
        g, mean = self.grid, np.zeros(2)
        if self.kind == VELOCITY:
            mean, key = np.frombuffer(key[:16], "<f8").astype(np.float64), key[16:]
        steps = decode_integers(key, (2, g.rows, g.m0))
        steps = np.roll(steps, -(g.m0 // 2), axis=2).reshape(2, -1)
        return steps * self._spacing(eps), mean

    def _spacing(self, eps: float) -> np.ndarray:
        """Of the rounded key spectrum (size,): N errors of spacing^2 / 6 add up to (rho eps)^2."""
        g = self.grid
        kept = (2 * g.rows - 1) * g.m0
        spacing = self.rho * eps * np.sqrt(6.0 / kept)
        if self.kind != VELOCITY:
            return np.full(g.k2.shape, spacing)
        return spacing * np.sqrt(np.where(g.k2 == 0, 1.0, g.k2))

    def _check(self, shape: tuple[int, ...]) -> None:
        fields = 2 if self.kind == VELOCITY else 1
        if tuple(shape[1:]) != (fields, *self.space):
            raise UnsuitableError(
                f"equation: snapshots of {tuple(shape[1:])}; it was learned on "
                f"{(fields, *self.space)}; use another method"
            )

    def to_bytes(self) -> bytes:
        """JSON: coefficients with all digits."""
        facts = {
            "kind": self.kind,
            "space": self.space,
            "c": self.c.tolist(),
            "theta": self.theta.tolist(),
            "forcing": [[*k, v.real, v.imag] for k, v in self.forcing.items()],
            "substeps": self.substeps,
            "rho": self.rho,
        }
        return json.dumps(facts, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """See :class:`Method`."""
        facts = json.loads(data)
        forcing = {(r, c): complex(a, b) for r, c, a, b in facts.pop("forcing")}
        return cls(**{**facts, "space": tuple(facts["space"]), "forcing": forcing})
