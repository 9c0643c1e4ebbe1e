"""Proper orthogonal decomposition with coded modes, for flows of low rank.

With every field in units of its bound, x / eps,

    x(t) ~ psi_0 + sum_r a_r(t) psi_r,     mean square of a_r(t) = 1,

so that an error of variance D in any psi costs the same: rounding all wavelet coefficients of
mean and modes (:mod:`romae.archive.wavelet`) to *one* step is optimal at high rate. The
coefficients a are refitted by least squares to the decoded modes, rounded to steps that cost about
a tenth of the bound, predicted in time by a linear recurrence per mode, and entropy coded; what is
left goes to the 2 eps lattice and is nearly empty. Raw float32 modes would not pay.

A mirror-symmetric flow has modes that are even or odd along an axis: the sums and differences
(f(y) +- f(-y)) / sqrt(2) are coded instead where that is shorter.

Decoding is element-wise in a written order, the same bits on every machine.

Source: Sirovich 1987, "Turbulence and the dynamics of coherent structures"; that modes should be
weighted by their coefficients and coded is rate allocation, Gersho & Gray 1992, chapter 8.
Learning: :mod:`romae.archive.coded_pod_fit`.
"""

import json
import struct
from functools import cached_property
from typing import ClassVar, Self

import numpy as np

from romae.archive.compiled import compiled
from romae.archive.entropy import decode_integers, encode_integers
from romae.archive.lattice import LARGEST, quantise
from romae.archive.method import Method, UnsuitableError
from romae.archive.wavelet import forward, inverse
from romae.errors import ArchiveError

ORDER = 6  # of the recurrence of each coefficient
BLOCK = 2048  # points that are summed at a time
HEAD = struct.Struct("<I")


class CodedPOD(Method):
    """Wavelet coefficients `q` (r + 1, C, *space) in `step`; mean first.

    ``eps``: (C,) bounds that were the units. ``fold``: axes of space that are coded as sums and
    differences. ``steps``: (r,) of the rounded a. ``recurrence``: (r, ORDER), newest first.
    """

    name: ClassVar[str] = "coded-pod"
    causal: ClassVar[bool] = True

    def __init__(
        self,
        q: np.ndarray,
        step: float,
        eps: np.ndarray,
        fold: tuple[int, ...],
        steps: np.ndarray,
        recurrence: np.ndarray,
    ) -> None:
        self.q, self.step, self.fold = q, float(step), tuple(fold)
        self.eps = np.asarray(eps, np.float64)
        self.steps = np.asarray(steps, np.float64)
        self.recurrence = np.asarray(recurrence, np.float32).astype(np.float64)

    @property
    def rank(self) -> int:
        """Number of modes r."""
        return len(self.q) - 1

    @cached_property
    def modes(self) -> np.ndarray:
        """Mean and modes in physical units, (r + 1, C points), decoded."""
        out = np.empty((len(self.q), self.q[0].size))
        for row, q in zip(out, self.q, strict=True):  # one by one: stays in the cache
            psi = from_wavelets(q[None] * self.step, self.fold)
            row[:] = (psi * _tall(self.eps, psi.ndim)).reshape(-1)
        return out

    @cached_property
    def projection(self) -> np.ndarray:
        """(r, C points): least squares in units of the bound."""
        unit = np.repeat(1.0 / self.eps, self.modes.shape[1] // len(self.eps))
        psi = self.modes[1:] * unit
        inverse_gram = np.linalg.pinv(psi @ psi.T, rcond=1e-13, hermitian=True)
        answer: np.ndarray = (inverse_gram @ psi) * unit
        return answer

    def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
        """See :class:`Method`."""
        self._check(x.shape)
        flat = x.reshape(len(x), -1)
        a = (flat - self.modes[0]) @ self.projection.T
        a = np.clip(np.rint(a / self.steps), -LARGEST, LARGEST).astype(np.int64)
        p = combine(a * self.steps, self.modes).reshape(x.shape)
        q = quantise(x, p, _tall(eps, x.ndim))
        difference = np.empty_like(a)
        recur(a, difference, self.recurrence, True)
        coded = encode_integers(difference)
        return HEAD.pack(len(coded)) + coded + encode_integers(q), _add(p, q, eps)

    def decode(self, payload: bytes, shape: tuple[int, ...], eps: np.ndarray) -> np.ndarray:
        """See :class:`Method`."""
        return self.decode_from(0, payload, shape, eps)

    def decode_from(
        self, start: int, payload: bytes, shape: tuple[int, ...], eps: np.ndarray
    ) -> np.ndarray:
        """See :class:`Method`; modes are summed for these snapshots alone."""
        self._check(shape)
        if len(payload) < HEAD.size or HEAD.unpack_from(payload)[0] > len(payload) - HEAD.size:
            raise ArchiveError("coded-pod: the payload is cut off; restore the archive from a copy")
        end = HEAD.size + HEAD.unpack_from(payload)[0]
        difference = decode_integers(payload[HEAD.size : end], (shape[0], self.rank))
        a = np.empty_like(difference)
        recur(a, difference, self.recurrence, False)
        p = combine(a[start:] * self.steps, self.modes).reshape(shape[0] - start, *shape[1:])
        return _add(p, decode_integers(payload[end:], shape)[start:], eps)

    def _check(self, shape: tuple[int, ...]) -> None:
        if tuple(shape[1:]) != self.q.shape[1:]:
            raise UnsuitableError(
                f"coded-pod: snapshots of {tuple(shape[1:])}; its modes have {self.q.shape[1:]}; "
                "use another method"
            )

    def to_bytes(self) -> bytes:
        """Header in JSON, steps, recurrence, coded modes."""
        head = json.dumps(
            {
                "shape": self.q.shape,
                "step": self.step,
                "eps": self.eps.tolist(),
                "fold": self.fold,
            },
            separators=(",", ":"),
        ).encode()
        return b"".join(
            [
                HEAD.pack(len(head)),
                head,
                self.steps.astype("<f8").tobytes(),
                self.recurrence.astype("<f4").tobytes(),
                encode_integers(arrange(self.q, self.fold)),
            ]
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """See :class:`Method`."""
        end = HEAD.size + HEAD.unpack_from(data)[0]
        facts = json.loads(data[HEAD.size : end])
        shape, fold = tuple(facts["shape"]), tuple(facts["fold"])
        rank = shape[0] - 1
        steps = np.frombuffer(data, "<f8", rank, end)
        recurrence = np.frombuffer(data, "<f4", rank * ORDER, end + 8 * rank)
        coded = data[end + (8 + 4 * ORDER) * rank :]
        q = disarrange(decode_integers(coded, arranged(shape, fold)), shape, fold)
        return cls(q, facts["step"], facts["eps"], fold, steps, recurrence.reshape(rank, ORDER))


def _tall(eps: np.ndarray, ndim: int) -> np.ndarray:
    return np.asarray(eps).reshape(-1, *(1,) * (ndim - 2))


def _add(p: np.ndarray, q: np.ndarray, eps: np.ndarray) -> np.ndarray:
    """p + 2 eps q, in place, snapshot by snapshot: few have any q, and what is small stays near."""
    if q.any():
        step = 2.0 * np.asarray(eps).reshape(-1, *(1,) * (p.ndim - 2))
        for x, one in zip(p, q, strict=True):
            x += step * one if one.any() else 0.0  # -0.0 becomes 0.0 in all of them
    return p


def to_wavelets(psi: np.ndarray, fold: tuple[int, ...]) -> np.ndarray:
    """Wavelet coefficients of ``psi`` (r, C, *space); halves of folded axes lie side by side."""
    for axis in fold:
        half = psi.shape[axis + 2] // 2
        ends = np.moveaxis(psi, axis + 2, 0)
        low, high = ends[:half], ends[::-1][:half]
        psi = np.moveaxis(
            np.concatenate([(low + high) * np.sqrt(0.5), (low - high) * np.sqrt(0.5)]), 0, axis + 2
        )
    return _over_halves(forward, np.ascontiguousarray(psi), fold)


def from_wavelets(y: np.ndarray, fold: tuple[int, ...]) -> np.ndarray:
    """The fields of :func:`to_wavelets`."""
    psi = _over_halves(inverse, y, fold)
    for axis in reversed(fold):
        half = psi.shape[axis + 2] // 2
        parts = np.moveaxis(psi, axis + 2, 0)
        even, odd = parts[:half], parts[half:]
        low, high = (even + odd) * np.sqrt(0.5), (even - odd) * np.sqrt(0.5)
        psi = np.moveaxis(np.concatenate([low, high[::-1]]), 0, axis + 2)
    return np.ascontiguousarray(psi)


def _over_halves(function, y: np.ndarray, fold: tuple[int, ...]) -> np.ndarray:
    shape = y.shape
    z = function(_halves(y, fold), len(shape) - 2)
    return _whole(z, shape, fold)


def _halves(y: np.ndarray, fold: tuple[int, ...]) -> np.ndarray:
    """(r, C, [2, ...] *half space): halves of folded axes as further fields."""
    shape, kept = y.shape, list(range(2))
    split: list[int] = list(shape[:2])
    halves, rest = [], []
    for axis, n in enumerate(shape[2:]):
        if axis in fold:
            halves.append(len(split))
            split.append(2)
            n //= 2
        rest.append(len(split))
        split.append(n)
    return y.reshape(split).transpose(kept + halves + rest)


def _whole(z: np.ndarray, shape: tuple[int, ...], fold: tuple[int, ...]) -> np.ndarray:
    order, halves, rest = [0, 1], 2, 2 + len(fold)
    for axis in range(len(shape) - 2):
        if axis in fold:
            order.append(halves)
            halves += 1
        order.append(rest)
        rest += 1
    return np.ascontiguousarray(z.transpose(order)).reshape(shape)


def arranged(shape: tuple[int, ...], fold: tuple[int, ...]) -> tuple[int, ...]:
    """Shape in which the coefficients are entropy coded: half fields as fields."""
    space = [n // 2 if axis in fold else n for axis, n in enumerate(shape[2:])]
    return (shape[0], shape[1] * 2 ** len(fold), *space)


def arrange(q: np.ndarray, fold: tuple[int, ...]) -> np.ndarray:
    """Coefficients (r + 1, C 2^folds, *half space)."""
    return np.ascontiguousarray(_halves(q, fold)).reshape(arranged(q.shape, fold))


def disarrange(q: np.ndarray, shape: tuple[int, ...], fold: tuple[int, ...]) -> np.ndarray:
    """The inverse of :func:`arrange`."""
    space = arranged(shape, fold)[2:]
    return _whole(q.reshape(*shape[:2], *[2] * len(fold), *space), shape, fold)


def combine(a: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """modes[0] + sum_r a_r modes[r], (n, points), summed in the order of r."""
    out = np.empty((len(a), modes.shape[1]))
    sum_modes(np.ascontiguousarray(a, np.float64), modes, out)
    return out


@compiled
def sum_modes(a, modes, out):
    """In the order of r; four at a time stay in registers between loading and storing a sum."""
    n, points = out.shape
    rank = a.shape[1]
    for start in range(0, points, BLOCK):
        end = min(start + BLOCK, points)
        for t in range(n):
            row = out[t, start:end]
            row[:] = modes[0, start:end]
            r = 0
            while r + 4 <= rank:
                a0, a1, a2, a3 = a[t, r], a[t, r + 1], a[t, r + 2], a[t, r + 3]
                m0 = modes[r + 1, start:end]
                m1 = modes[r + 2, start:end]
                m2 = modes[r + 3, start:end]
                m3 = modes[r + 4, start:end]
                for k in range(row.shape[0]):
                    row[k] = (((row[k] + a0 * m0[k]) + a1 * m1[k]) + a2 * m2[k]) + a3 * m3[k]
                r += 4
            while r < rank:
                m = modes[r + 1, start:end]
                for k in range(row.shape[0]):
                    row[k] = row[k] + a[t, r] * m[k]
                r += 1


@compiled
def recur(a, difference, recurrence, encoding):
    """d_t = a_t - round(sum_j w_j a_(t-j)); the first ORDER frames by straight lines."""
    n, rank = a.shape
    for t in range(n):
        for r in range(rank):
            p = 0.0
            if t >= ORDER:
                for j in range(ORDER):
                    p += recurrence[r, j] * a[t - 1 - j, r]
            elif t >= 2:
                p = 2.0 * a[t - 1, r] - a[t - 2, r]
            elif t == 1:
                p = 1.0 * a[0, r]
            p = np.rint(p)
            guess = int(p) if abs(p) <= 70368744177664.0 else 0
            if encoding:
                difference[t, r] = a[t, r] - guess
            else:
                a[t, r] = difference[t, r] + guess
