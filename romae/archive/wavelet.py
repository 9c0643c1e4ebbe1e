"""Wavelets for modes: CDF 9/7 by lifting, over all axes of space, any lengths.

One level splits a signal into a smooth half s and details d, by four lifting steps

    d += A (s + s')    s += B (d + d')    d += C (s + s')    s += D (d + d')     then scaling,

with mirror images at the ends, and goes on with the smooth half. The scaling makes the transform
nearly orthonormal, so rounding the coefficients to a step rounds the field by about the same
root mean square. Arithmetic is element-wise float64 in a written order: the same bits everywhere,
by slices as here or by the compiled :mod:`romae.archive.wavelet_loop`.

Source: Daubechies & Sweldens 1998, "Factoring wavelet transforms into lifting steps"; the filter
of JPEG 2000 and of SPERR (Li, Lindstrom & Clyne 2023, "Lossy scientific data compression with
SPERR").
"""

import numpy as np

from romae.archive.wavelet_loop import SCALE, TILE, A, B, C, D, join, split
from romae.compiling import numba

SHORTEST = 12  # axes below this are not split further


def levels(space: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Sizes of the box that each level transforms, the whole field first."""
    boxes: list[tuple[int, ...]] = []
    while any(n >= SHORTEST for n in space) and len(boxes) < 8:
        boxes.append(space)
        space = tuple((n + 1) // 2 if n >= SHORTEST else n for n in space)
    return boxes


def forward(x: np.ndarray, axes: int) -> np.ndarray:
    """Coefficients of ``x`` (..., *space) with ``axes`` axes of space, smooth ones first."""
    y = np.array(x, np.float64, order="C")
    for one in _fields(y, axes):
        for box in levels(one.shape):
            part = one[tuple(map(slice, box))]
            for axis, n in enumerate(box):
                if n >= SHORTEST:
                    _split(np.moveaxis(part, axis, 0))
    return y


def inverse(y: np.ndarray, axes: int) -> np.ndarray:
    """The field of coefficients ``y``."""
    x = np.array(y, np.float64, order="C")
    for one in _fields(x, axes):
        for box in reversed(levels(one.shape)):
            part = one[tuple(map(slice, box))]
            for axis in reversed(range(axes)):
                if box[axis] >= SHORTEST:
                    _join(np.moveaxis(part, axis, 0))
    return x


def _fields(x: np.ndarray, axes: int) -> np.ndarray:
    """Views (*space), one by one: what is at work stays in the cache."""
    return x.reshape(-1, *x.shape[x.ndim - axes :])


def _compiled(x: np.ndarray) -> bool:
    return numba is not None and 2 <= x.ndim <= 3  # a line alone is best as slices


def _lines(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``x`` (n, ...) as (n, p, q), and room for the loops."""
    return x.reshape(len(x), *(1,) * (3 - x.ndim), *x.shape[1:]), np.empty((len(x), TILE))


def _lift(to: np.ndarray, factor: float, other: np.ndarray, left: bool) -> None:
    """to += factor * (sum of the two neighbours in ``other``), along the first axis, in place.

    Details have s_i, s_(i+1) beside them (left=False), smooth values d_(i-1), d_i (left=True);
    mirrored at the ends. Whole slices: the other axes stay in their order in memory.
    """
    n, m = len(to), len(other)
    if left:
        inner = min(n, m)
        to[1:inner] += factor * (other[: inner - 1] + other[1:inner])
        to[:1] += factor * (other[:1] + other[:1])
        if n > m:
            to[m:] += factor * (other[-1:] + other[-1:])
    else:
        inner = min(n, m - 1)
        to[:inner] += factor * (other[:inner] + other[1 : inner + 1])
        if n > inner:
            to[inner:] += factor * (other[-1:] + other[-1:])


def _split(x: np.ndarray) -> None:
    if _compiled(x):
        split(*_lines(x))
        return
    s, d = x[::2].copy("K"), x[1::2].copy("K")
    _lift(d, A, s, False)
    _lift(s, B, d, True)
    _lift(d, C, s, False)
    _lift(s, D, d, True)
    np.multiply(s, SCALE, out=x[: len(s)])
    np.divide(d, SCALE, out=x[len(s) :])


def _join(y: np.ndarray) -> None:
    if _compiled(y):
        join(*_lines(y))
        return
    ns = (len(y) + 1) // 2
    s, d = y[:ns] / SCALE, y[ns:] * SCALE
    _lift(s, -D, d, True)
    _lift(d, -C, s, False)
    _lift(s, -B, d, True)
    _lift(d, -A, s, False)
    y[::2], y[1::2] = s, d
