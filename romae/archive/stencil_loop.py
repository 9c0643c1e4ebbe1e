"""Polynomials of a neighbourhood, applied in a closed loop: the compiled part of stencils.

For every point, field c and frame t, with z = (x' - mean) / scale of the frames decoded before,

    p = x'_(t-1) + scale_c (W_c0 + sum_f W_cf f),     f = shifted products of z, some times z at the
                                                          point itself (their gate),

summed feature by feature, in the order of :class:`Terms`, element-wise in float64: the same bits
everywhere. **Planes** hold the products with ghost points around; a shifted feature is a view.
"""

from functools import lru_cache
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np

from romae.archive.compiled import compiled


class Sizes(NamedTuple):
    """Radii of the neighbourhoods; -1: none.

    ``now``, ``before``: linear, at t - 1 and t - 2; ``gated``: z at the point times z around;
    ``squares``, ``cubes``: products at one point, around.
    """

    now: int
    before: int
    gated: int
    squares: int
    cubes: int


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


def first_sizes(fields: int, axes: int) -> Sizes:
    """Of archives whose side information names no sizes: richer where there are few fields."""
    if axes == 1:
        now, before, gated, squares, cubes = (8, 6, 6, 6, 3) if fields == 1 else (5, 3, 3, 3, 1)
    elif fields == 1:
        now, before, gated, squares, cubes = 3, 3, 3, 3, 2
    else:
        now, before, gated, squares, cubes = 3, 2, 2, 2, 1
    if fields > 3:
        gated, squares, cubes = -1, 1 if fields <= 6 else -1, -1
    return Sizes(now, before, gated, squares, cubes)


@lru_cache(maxsize=32)
def make_terms(fields: int, axes: int, sizes: Sizes) -> Terms:
    """The polynomial for ``fields`` on ``axes`` axes."""
    products = [(c, -1, -1) for c in range(2 * fields)]
    features: list[tuple[int, int, int, int]] = []

    def add(plane: int, shifts: list[tuple[int, int]], gate: int = -1) -> None:
        features.extend((plane, i, j, gate) for i, j in shifts)

    for c in range(fields):
        add(c, _shifts(sizes.now, axes, box=fields == 1))
        add(fields + c, _shifts(sizes.before, axes))
    for gate in range(fields):
        for c in range(fields):
            shifts = [s for s in _shifts(sizes.gated, axes) if s != (0, 0)]
            add(c, shifts, gate)
    for order, radius in ((2, sizes.squares), (3, sizes.cubes)):
        if radius >= 0:
            for factors in combinations_with_replacement(range(fields), order):
                add(len(products), _shifts(radius, axes))
                products.append((*factors, *(-1,) * (3 - order)))  # type: ignore[arg-type]
    features.sort(key=lambda f: f[3])
    plane, dy, dx, gate_of = np.array(features, np.int64).T.copy()
    halo = int(max(abs(dy).max(), abs(dx).max()))
    return Terms(np.array(products, np.int64), plane, dy, dx, gate_of, halo)


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
def shifted(planes, plane, dy, dx, f, row, halo, columns):
    """Feature f along a row, a view."""
    start = halo + int(dx[f])
    return planes[int(plane[f]), row + int(dy[f]), start : start + columns]


@compiled
def predict_row(i, planes, tall, halo, weights, plane, dy, dx, gate, sums, out):
    """out (C, columns): scaled change of row i; sums (C, columns) is a buffer."""
    fields, columns = out.shape
    for c in range(fields):
        for j in range(columns):
            out[c, j] = weights[c, 0]
    f = 0
    while f < len(plane):  # features of one gate at a time
        current = int(gate[f])
        stop = f
        while stop < len(plane) and gate[stop] == current:
            stop += 1
        for c in range(fields):
            for j in range(columns):
                sums[c, j] = 0.0
        while f < stop:
            a = shifted(planes, plane, dy, dx, f, i + tall, halo, columns)
            if f + 3 < stop:  # four by four: the same additions in the same order, fewer stores
                b = shifted(planes, plane, dy, dx, f + 1, i + tall, halo, columns)
                d = shifted(planes, plane, dy, dx, f + 2, i + tall, halo, columns)
                e = shifted(planes, plane, dy, dx, f + 3, i + tall, halo, columns)
                for c in range(fields):
                    u = weights[c, f + 1]
                    v = weights[c, f + 2]
                    w = weights[c, f + 3]
                    y = weights[c, f + 4]
                    total = sums[c]
                    for j in range(columns):
                        s = total[j] + u * a[j]
                        s = s + v * b[j]
                        s = s + w * d[j]
                        total[j] = s + y * e[j]
                f += 4
            else:
                for c in range(fields):
                    w = weights[c, f + 1]
                    total = sums[c]
                    for j in range(columns):
                        total[j] += w * a[j]
                f += 1
        for c in range(fields):
            if current < 0:
                for j in range(columns):
                    out[c, j] += sums[c, j]
            else:
                z = planes[current, i + tall]
                for j in range(columns):
                    out[c, j] += z[j + halo] * sums[c, j]


@compiled
def loop(
    first, last, x, q, decoded, steps, encoding, planes, tall, wrap, mean, scale, weights,
    products, plane, dy, dx, gate, halo,
):  # fmt: skip
    """Frames ``first`` to ``last``: ``decoded`` from q, and q from ``x`` when encoding."""
    _, fields, rows, columns = q.shape
    out = np.zeros((fields, columns))
    sums = np.zeros((fields, columns))
    for t in range(first, last):
        before = decoded[max(t - 2, 0)]  # polynomials of the first step do not use it
        fill_planes(decoded[t - 1], before, mean, scale, products, planes, tall, halo, wrap)
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
