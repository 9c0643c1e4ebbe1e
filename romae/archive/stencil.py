"""Closed loop around learned stencils: for flows whose equation nobody wrote down.

With z = (x - mean) / scale, the change of each field over one interval is a polynomial of the two
decoded frames before, in the neighbourhood of the point, on one or two axes of space:

    z_t - z_(t-1) = b + sum W z_(t-1)[s] + sum W z_(t-2)[s]              linear
                      + sum W z z'[s] + sum W (z z')[s]                  quadratic, at t - 1
                      + sum W (z z' z'')[s]                              cubic, at t - 1

for shifts s within a diamond or a box: a discretised partial differential equation with unknown
coefficients, found by least squares (:mod:`romae.archive.stencil_fit`). What it misses is rounded
to the 2 eps lattice, q_t = round((x_t - p_t) / (2 eps)). Edges are periodic or repeat their value.

The first frame is wavelet coefficients (:mod:`romae.archive.wavelet`) with a q of its own. The
second is predicted by another, smaller polynomial of the first alone (`start`), or, where that does
not pay, is coded like the first, by its change.

    payload := length:u32 wavelets q           wavelets: of one frame with `start`, of two without
    side    := length:u32 facts weights        facts: JSON; weights: coded integers, in units of
                                               `step`, those of `start` after those of the loop;
                                               float32 where facts have no `step` (version 1)

Arithmetic is element-wise float64 in a written order.

Source: a polynomial cellular map in the sense of Brunton, Proctor & Kutz 2016, "Discovering
governing equations from data"; as a predictor in a codec: DPCM, Cutler 1952.
"""

import json
import struct
from typing import Any, ClassVar, Self

import numpy as np

from romae.archive.entropy import decode_integers, encode_integers
from romae.archive.lattice import LARGEST
from romae.archive.method import Method, UnsuitableError
from romae.archive.stencil_loop import Sizes, first_sizes, loop, make_terms
from romae.archive.wavelet import forward, inverse
from romae.errors import ArchiveError

LAGS = 2
RHO = 0.5  # rms error of the first frames before their q, in eps
HEAD = struct.Struct("<I")


class Polynomial:
    """``weights`` (C, 1 + features), first the constant, of the terms that ``sizes`` give."""

    def __init__(self, fields: int, axes: int, sizes: Sizes, weights: np.ndarray) -> None:
        self.sizes = Sizes(*sizes)
        self.terms = make_terms(fields, axes, self.sizes)
        self.weights = np.ascontiguousarray(weights, np.float64)

    @staticmethod
    def shape(fields: int, axes: int, sizes: Sizes) -> tuple[int, int]:
        """Of the weights."""
        return fields, 1 + len(make_terms(fields, axes, Sizes(*sizes)).plane)


class Stencil(Method):
    """`mean`, `scale` (C,); `step` (C,): of the weights, None in version 1; axes periodic or not.

    `main`: predicts from the third frame on; `start`: the second frame, or None.
    """

    name: ClassVar[str] = "stencil"
    causal: ClassVar[bool] = True

    def __init__(
        self,
        space: tuple[int, ...],
        periodic: tuple[bool, ...],
        mean: np.ndarray,
        scale: np.ndarray,
        main: Polynomial,
        start: Polynomial | None = None,
        step: np.ndarray | None = None,
    ) -> None:
        self.space, self.periodic = tuple(space), tuple(bool(p) for p in periodic)
        self.mean, self.scale = np.array(mean, np.float64), np.array(scale, np.float64)
        self.main, self.start = main, start
        self.step = None if step is None else np.array(step, np.float64)

    @property
    def first(self) -> int:
        """Frames of a chunk that are not predicted."""
        return LAGS if self.start is None else 1

    def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
        """See :class:`Method`."""
        self._check(x.shape)
        q, decoded = np.zeros(x.shape, np.int64), np.empty(x.shape)
        coded = self._first(x, q, decoded, eps)
        self._loop(np.ascontiguousarray(x, np.float64), q, decoded, eps, True)
        return HEAD.pack(len(coded)) + coded + encode_integers(q), decoded

    def decode(self, payload: bytes, shape: tuple[int, ...], eps: np.ndarray) -> np.ndarray:
        """See :class:`Method`."""
        self._check(shape)
        if len(payload) < HEAD.size or HEAD.unpack_from(payload)[0] > len(payload) - HEAD.size:
            raise ArchiveError("stencil: the payload is cut off; restore the archive from a copy")
        end = HEAD.size + HEAD.unpack_from(payload)[0]
        q = decode_integers(payload[end:], shape)
        decoded = np.empty(shape)
        first = (min(self.first, shape[0]), *shape[1:])
        changes = self._changes(decode_integers(payload[HEAD.size : end], first), eps)
        two_eps = _tall(2.0 * eps, len(shape) - 2)
        for t, change in enumerate(changes):
            before = decoded[t - 1] if t else _tall(self.mean, len(shape) - 2)
            decoded[t] = before + change + two_eps * q[t]
        self._loop(decoded, q, decoded, eps, False)
        return decoded

    def _first(self, x: np.ndarray, q: np.ndarray, decoded: np.ndarray, eps: np.ndarray) -> bytes:
        """The first frames: wavelet coefficients as bytes; ``q`` and ``decoded`` are filled in."""
        axes = len(self.space)
        two_eps, kept = _tall(2.0 * eps, axes), []
        for t in range(min(self.first, len(x))):
            before = decoded[t - 1] if t else _tall(self.mean, axes)
            wavelets = forward(x[t] - before, axes) / _tall(self._spacing(eps), axes)
            kept.append(np.clip(np.rint(wavelets), -LARGEST, LARGEST).astype(np.int64))
            p = before + self._changes(kept[-1][None], eps)[0]
            q[t] = np.clip(np.rint((x[t] - p) / two_eps), -LARGEST, LARGEST)
            decoded[t] = p + two_eps * q[t]
        return encode_integers(np.array(kept))

    def _changes(self, kept: np.ndarray, eps: np.ndarray) -> np.ndarray:
        axes = len(self.space)
        return inverse(kept * _tall(self._spacing(eps), axes), axes)

    @staticmethod
    def _spacing(eps: np.ndarray) -> np.ndarray:
        return RHO * np.sqrt(12.0) * np.asarray(eps)

    def _loop(
        self, x: np.ndarray, q: np.ndarray, decoded: np.ndarray, eps: np.ndarray, encoding: bool
    ) -> None:
        """Frames that are predicted: ``decoded``, and when encoding ``q``, are filled in."""
        n = len(q)
        if self.start is not None and n > 1:
            self._frames(1, min(n, LAGS), self.start, x, q, decoded, eps, encoding)
        if n > LAGS:
            self._frames(LAGS, n, self.main, x, q, decoded, eps, encoding)

    def _frames(self, first, last, polynomial, x, q, decoded, eps, encoding):
        n, fields = q.shape[:2]
        rows, columns = (1, *self.space)[-2:]
        shape, terms = (n, fields, rows, columns), polynomial.terms
        tall = terms.halo if len(self.space) == 2 else 0
        planes = np.zeros((len(terms.products), rows + 2 * tall, columns + 2 * terms.halo))
        wrap = (False, *self.periodic)[-2:]
        loop(
            first, last, x.reshape(shape), q.reshape(shape), decoded.reshape(shape), 2.0 * eps,
            encoding, planes, tall, wrap, self.mean, self.scale, polynomial.weights, *terms,
        )  # fmt: skip

    def _check(self, shape: tuple[int, ...]) -> None:
        if tuple(shape[1:]) != (len(self.mean), *self.space):
            raise UnsuitableError(
                f"stencil: snapshots of {tuple(shape[1:])}; it was learned on "
                f"{(len(self.mean), *self.space)}; use another method"
            )

    def to_bytes(self) -> bytes:
        """Facts in JSON, then the weights."""
        facts: dict[str, Any] = {
            "space": self.space,
            "periodic": self.periodic,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }
        if self.step is None:
            weights = self.main.weights.astype("<f4").tobytes()
        else:
            both = [p for p in (self.main, self.start) if p is not None]
            facts["step"] = self.step.tolist()
            facts["sizes"] = [p.sizes for p in both]
            units = np.concatenate([p.weights for p in both], axis=1) / self.step[:, None]
            weights = encode_integers(np.rint(units).astype(np.int64))
        head = json.dumps(facts, separators=(",", ":")).encode()
        return HEAD.pack(len(head)) + head + weights

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """See :class:`Method`."""
        end = HEAD.size + HEAD.unpack_from(data)[0]
        facts = json.loads(data[HEAD.size : end])
        space, fields, axes = facts["space"], len(facts["mean"]), len(facts["space"])
        given = (space, facts["periodic"], facts["mean"], facts["scale"])
        if "step" not in facts:
            weights = np.frombuffer(data, "<f4", -1, end).reshape(fields, -1)
            return cls(*given, Polynomial(fields, axes, first_sizes(fields, axes), weights))
        counts = [Polynomial.shape(fields, axes, s)[1] for s in facts["sizes"]]
        units = decode_integers(data[end:], (fields, sum(counts)))
        parts = np.split(units * np.array(facts["step"])[:, None], np.cumsum(counts)[:-1], axis=1)
        main, *more = (
            Polynomial(fields, axes, s, w) for s, w in zip(facts["sizes"], parts, strict=True)
        )
        return cls(*given, main, more[0] if more else None, facts["step"])


def _tall(values: np.ndarray, axes: int) -> np.ndarray:
    return np.asarray(values).reshape(-1, *(1,) * axes)
