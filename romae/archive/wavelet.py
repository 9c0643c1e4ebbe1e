"""Wavelets for modes: CDF 9/7 by lifting, over all axes of space, any lengths.

One level splits a signal into a smooth half s and details d, by four lifting steps

    d += A (s + s')    s += B (d + d')    d += C (s + s')    s += D (d + d')     then scaling,

with mirror images at the ends, and goes on with the smooth half. The scaling makes the transform
nearly orthonormal, so rounding the coefficients to a step rounds the field by about the same
root mean square. Arithmetic is element-wise float64 in a written order: the same bits everywhere.

Source: Daubechies & Sweldens 1998, "Factoring wavelet transforms into lifting steps"; the filter
of JPEG 2000 and of SPERR (Li, Lindstrom & Clyne 2023, "Lossy scientific data compression with
SPERR").
"""

from typing import Any

import numpy as np

A, B, C, D = -1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971
SCALE = 1.1496043988602418  # of the smooth half in this sign convention; details by its inverse
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
    y = np.array(x, np.float64)
    for box in levels(y.shape[y.ndim - axes :]):
        corner: Any = (..., *map(slice, box))
        part = y[corner]
        for axis, n in enumerate(box):
            if n >= SHORTEST:
                view = np.moveaxis(part, axis - axes, -1)
                view[...] = _split(view)
    return y


def inverse(y: np.ndarray, axes: int) -> np.ndarray:
    """The field of coefficients ``y``."""
    x = np.array(y, np.float64)
    for box in reversed(levels(x.shape[x.ndim - axes :])):
        corner: Any = (..., *map(slice, box))
        part = x[corner]
        for axis in reversed(range(axes)):
            if box[axis] >= SHORTEST:
                view = np.moveaxis(part, axis - axes, -1)
                view[...] = _join(view)
    return x


def _neighbours(s: np.ndarray, count: int, left: bool) -> np.ndarray:
    """Sum of the two neighbours: of details among s (left=False), of smooth among d (left=True)."""
    if left:  # s_i has d_(i-1), d_i; mirrored at both ends
        padded = np.concatenate([s[..., :1], s, s[..., -1:]], axis=-1)
    else:  # d_i has s_i, s_(i+1)
        padded = np.concatenate([s, s[..., -1:]], axis=-1)
    total: np.ndarray = padded[..., :count] + padded[..., 1 : count + 1]
    return total


def _split(x: np.ndarray) -> np.ndarray:
    s, d = x[..., ::2].copy(), x[..., 1::2].copy()
    ns, nd = s.shape[-1], d.shape[-1]
    d += A * _neighbours(s, nd, False)
    s += B * _neighbours(d, ns, True)
    d += C * _neighbours(s, nd, False)
    s += D * _neighbours(d, ns, True)
    return np.concatenate([s * SCALE, d / SCALE], axis=-1)


def _join(y: np.ndarray) -> np.ndarray:
    ns = (y.shape[-1] + 1) // 2
    s, d = y[..., :ns] / SCALE, y[..., ns:] * SCALE
    nd = d.shape[-1]
    s = s - D * _neighbours(d, ns, True)
    d = d - C * _neighbours(s, nd, False)
    s = s - B * _neighbours(d, ns, True)
    d = d - A * _neighbours(s, nd, False)
    x = np.empty_like(y)
    x[..., ::2], x[..., 1::2] = s, d
    return x
