"""Closed loop around learned stencils: for flows whose equation nobody wrote down.

With z = (x - mean) / scale, the change of each field over one interval is a polynomial of the two
decoded frames before, in the neighbourhood of the point, on one or two axes of space:

    z_t - z_(t-1) = b + sum W z_(t-1)[s] + sum W z_(t-2)[s]              linear
                      + sum W z z'[s] + sum W (z z')[s]                  quadratic, at t - 1
                      + sum W (z z' z'')[s]                              cubic, at t - 1

for shifts s within a diamond or a box: a discretised partial differential equation with unknown
coefficients, found by least squares (:mod:`romae.archive.stencil_fit`). What it misses is rounded
to the 2 eps lattice, q_t = round((x_t - p_t) / (2 eps)). Edges are periodic or repeat their value.

The first two frames are wavelet coefficients (:mod:`romae.archive.wavelet`), the second frame's of
its change, with a q of their own. Arithmetic is element-wise float64 in a written order.

Source: a polynomial cellular map in the sense of Brunton, Proctor & Kutz 2016, "Discovering
governing equations from data"; as a predictor in a codec: DPCM, Cutler 1952.
"""

import json
import struct
from functools import cached_property, lru_cache
from itertools import combinations_with_replacement
from typing import ClassVar, NamedTuple, Self

import numpy as np

from romae.archive.compiled import compiled
from romae.archive.entropy import decode_integers, encode_integers
from romae.archive.lattice import LARGEST
from romae.archive.method import Method, UnsuitableError
from romae.archive.wavelet import forward, inverse
from romae.errors import ArchiveError

LAGS = 2
RHO = 0.5  # rms error of the first frames before their q, in eps
HEAD = struct.Struct("<I")


class Terms(NamedTuple):
    """Polynomial of C fields. Planes are products at one point, shifted copies are the features.

    ``products``: (planes, 3) indices into z_(t-1) (0 ... C - 1) and z_(t-2) (C ... 2 C - 1), -1 for
    a missing factor. ``plane``, ``dy``, ``dx``, ``gate``: (features,); a gate c >= 0 multiplies the
    feature by z_(t-1) of field c at the point. ``halo``: the largest shift.
    """

    products: np.ndarray
    plane: np.ndarray
    dy: np.ndarray
    dx: np.ndarray
    gate: np.ndarray
    halo: int


def _shifts(radius: int, axes: int, box: bool = False) -> list[tuple[int, int]]:
    if radius < 0:
        return []
    side = range(-radius, radius + 1)
    rows = side if axes == 2 else (0,)
    return [(i, j) for i in rows for j in side if box or abs(i) + abs(j) <= radius]


@lru_cache(maxsize=8)
def make_terms(fields: int, axes: int) -> Terms:
    """The polynomial for ``fields`` on ``axes`` axes: richer where there are few fields."""
    if axes == 1:
        now, before, gated, squares, cubes = (8, 6, 6, 6, 3) if fields == 1 else (5, 3, 3, 3, 1)
    elif fields == 1:
        now, before, gated, squares, cubes = 3, 3, 3, 3, 2
    else:
        now, before, gated, squares, cubes = 3, 2, 2, 2, 1
    if fields > 3:
        gated, squares, cubes = -1, 1 if fields <= 6 else -1, -1
    products = [(c, -1, -1) for c in range(2 * fields)]
    features: list[tuple[int, int, int, int]] = []

    def add(plane: int, shifts: list[tuple[int, int]], gate: int = -1) -> None:
        features.extend((plane, i, j, gate) for i, j in shifts)

    for c in range(fields):
        add(c, _shifts(now, axes, box=fields == 1))
        add(fields + c, _shifts(before, axes))
    for gate in range(fields):
        for c in range(fields):
            shifts = [s for s in _shifts(gated, axes) if s != (0, 0)]
            add(c, shifts, gate)
    for order, radius in ((2, squares), (3, cubes)):
        if radius >= 0:
            for factors in combinations_with_replacement(range(fields), order):
                add(len(products), _shifts(radius, axes))
                products.append((*factors, *(-1,) * (3 - order)))  # type: ignore[arg-type]
    features.sort(key=lambda f: f[3])
    plane, dy, dx, gate_of = np.array(features, np.int64).T.copy()
    halo = int(max(abs(dy).max(), abs(dx).max()))
    return Terms(np.array(products, np.int64), plane, dy, dx, gate_of, halo)


class Stencil(Method):
    """`weights` (C, 1 + features), first the constant; `mean`, `scale` (C,); periodic axes."""

    name: ClassVar[str] = "stencil"

    def __init__(
        self,
        space: tuple[int, ...],
        periodic: tuple[bool, ...],
        mean: np.ndarray,
        scale: np.ndarray,
        weights: np.ndarray,
    ) -> None:
        self.space, self.periodic = tuple(space), tuple(bool(p) for p in periodic)
        self.mean, self.scale = np.array(mean, np.float64), np.array(scale, np.float64)
        self.weights = np.asarray(weights, np.float32).astype(np.float64)

    @cached_property
    def terms(self) -> Terms:
        """The polynomial."""
        return make_terms(len(self.mean), len(self.space))

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
        first = (min(LAGS, shape[0]), *shape[1:])
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
        for t in range(min(LAGS, len(x))):
            before = decoded[t - 1] if t else _tall(self.mean, axes)
            wavelets = forward(x[t] - before, axes) / _tall(self._step(eps), axes)
            kept.append(np.clip(np.rint(wavelets), -LARGEST, LARGEST).astype(np.int64))
            p = before + self._changes(kept[-1][None], eps)[0]
            q[t] = np.clip(np.rint((x[t] - p) / two_eps), -LARGEST, LARGEST)
            decoded[t] = p + two_eps * q[t]
        return encode_integers(np.array(kept))

    def _changes(self, kept: np.ndarray, eps: np.ndarray) -> np.ndarray:
        axes = len(self.space)
        return inverse(kept * _tall(self._step(eps), axes), axes)

    @staticmethod
    def _step(eps: np.ndarray) -> np.ndarray:
        return RHO * np.sqrt(12.0) * np.asarray(eps)

    def _loop(self, x, q, decoded, eps, encoding):
        if len(q) <= LAGS:
            return
        n, fields = q.shape[:2]
        rows, columns = (1, *self.space)[-2:]
        shape = (n, fields, rows, columns)
        halo = self.terms.halo
        tall = halo if len(self.space) == 2 else 0
        planes = np.zeros((len(self.terms.products), rows + 2 * tall, columns + 2 * halo))
        wrap = (False, *self.periodic)[-2:]
        q4, d4 = q.reshape(shape), decoded.reshape(shape)
        loop(
            x.reshape(shape), q4, d4, 2.0 * eps, encoding, planes, tall, wrap, self.mean,
            self.scale, self.weights, *self.terms,
        )  # fmt: skip

    def _check(self, shape: tuple[int, ...]) -> None:
        if tuple(shape[1:]) != (len(self.mean), *self.space):
            raise UnsuitableError(
                f"stencil: snapshots of {tuple(shape[1:])}; it was learned on "
                f"{(len(self.mean), *self.space)}; use another method"
            )

    def to_bytes(self) -> bytes:
        """Header in JSON and weights in float32."""
        facts = {
            "space": self.space,
            "periodic": self.periodic,
            "mean": self.mean.tolist(),
            "scale": self.scale.tolist(),
        }
        head = json.dumps(facts, separators=(",", ":")).encode()
        return HEAD.pack(len(head)) + head + self.weights.astype("<f4").tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """See :class:`Method`."""
        end = HEAD.size + HEAD.unpack_from(data)[0]
        facts = json.loads(data[HEAD.size : end])
        weights = np.frombuffer(data, "<f4", -1, end).reshape(len(facts["mean"]), -1)
        return cls(**facts, weights=weights)


def _tall(values: np.ndarray, axes: int) -> np.ndarray:
    return np.asarray(values).reshape(-1, *(1,) * axes)


@compiled
def fill_planes(now, before, mean, scale, products, planes, tall, wide, wrap):
    """Products of the scaled frames (C, rows, columns), with ghost points around."""
    fields, rows, columns = now.shape
    for p in range(len(products)):
        for i in range(rows):
            line = planes[p, i + tall]
            first = int(products[p, 0])
            if products[p, 1] < 0:
                c = first % fields
                frame = now if first < fields else before
                for j in range(columns):
                    line[j + wide] = (frame[c, i, j] - mean[c]) / scale[c]
            else:
                a = planes[first, i + tall]
                b = planes[int(products[p, 1]), i + tall]
                for j in range(wide, wide + columns):
                    line[j] = a[j] * b[j]
                if products[p, 2] >= 0:
                    d = planes[int(products[p, 2]), i + tall]
                    for j in range(wide, wide + columns):
                        line[j] = line[j] * d[j]
            for j in range(wide):
                line[j] = line[j + columns] if wrap[1] else line[wide]
            for j in range(wide):
                line[wide + columns + j] = line[wide + j] if wrap[1] else line[wide + columns - 1]
        for i in range(tall):
            top = (i + rows) if wrap[0] else tall
            low = (tall + i) if wrap[0] else tall + rows - 1
            for j in range(columns + 2 * wide):
                planes[p, i, j] = planes[p, top, j]
                planes[p, tall + rows + i, j] = planes[p, low, j]


@compiled
def predict_row(i, planes, tall, halo, weights, plane, dy, dx, gate, sums, out):
    """out (C, columns): scaled change of row i; sums (C, columns) is a buffer."""
    fields, columns = out.shape
    current = -1
    for c in range(fields):
        for j in range(columns):
            out[c, j] = weights[c, 0]
            sums[c, j] = 0.0
    for f in range(len(plane) + 1):
        g = int(gate[f]) if f < len(plane) else -2
        if g != current:
            for c in range(fields):
                if current < 0:
                    for j in range(columns):
                        out[c, j] += sums[c, j]
                        sums[c, j] = 0.0
                else:
                    z = planes[current, i + tall]
                    for j in range(columns):
                        out[c, j] += z[j + halo] * sums[c, j]
                        sums[c, j] = 0.0
            current = g
        if f < len(plane):
            start = halo + int(dx[f])
            line = planes[int(plane[f]), i + tall + int(dy[f]), start : start + columns]
            for c in range(fields):
                w = weights[c, f + 1]
                total = sums[c]
                for j in range(columns):
                    total[j] += w * line[j]


@compiled
def loop(
    x, q, decoded, steps, encoding, planes, tall, wrap, mean, scale, weights,
    products, plane, dy, dx, gate, halo,
):  # fmt: skip
    """Frames from the third on: ``decoded`` from q, and q from ``x`` when encoding."""
    n, fields, rows, columns = q.shape
    out = np.zeros((fields, columns))
    sums = np.zeros((fields, columns))
    for t in range(2, n):
        fill_planes(decoded[t - 1], decoded[t - 2], mean, scale, products, planes, tall, halo, wrap)
        for i in range(rows):
            predict_row(i, planes, tall, halo, weights, plane, dy, dx, gate, sums, out)
            for c in range(fields):
                step = steps[c]
                for j in range(columns):
                    p = decoded[t - 1, c, i, j] + scale[c] * out[c, j]
                    if encoding:
                        v = np.rint((x[t, c, i, j] - p) / step)
                        q[t, c, i, j] = int(v) if abs(v) <= 70368744177664.0 else 0
                    decoded[t, c, i, j] = p + step * q[t, c, i, j]
