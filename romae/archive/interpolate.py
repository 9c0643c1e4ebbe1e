"""One pass of interpolation: predict the points between known ones, code what is left.

A **pass** takes the points of a grid (n, a, b, c) at start + step * m along each axis, which lie
s_d beside known points along the axes d of a set S, and predicts each from

    line_d = (x(-s) + x(+s)) / 2,    bend_d = (x(-s) + x(+s) - x(-3s) - x(+3s)) / 16      (d in S)
    p = line_1 + sum_d w_d (line_d - line_1) + sum_d v_d bend_d + w_0 (mean - line_1),

line + bend is cubic interpolation. Beyond the ends of an axis that is not periodic, missing values
are continued (quadratic, or linear where x(+s) itself is missing). Then q = rint((x - p) / 2 eps)
is coded in the context of the |q| around it, and x' = p + 2 eps q joins the known points.

p depends on points of earlier passes only, so all p of a line of points along the last axis are
found first, in loops without branches over contiguous rows (numba makes vector instructions of
them: a third of the time of one point after the other), and then its q one by one. Rows in use:

    rows (9, c)    p, line_1, roughness, sum of line + bend over axes with x(+s), how many of
                   them; x(-s), x(+s), x(-3s), x(+3s) of one axis
    cross (4, c)   sums of |q| at the neighbours; two of them; level of roughness
"""

import numpy as np

from romae.archive.compiled import inlined, tight
from romae.archive.rangecoder import code_value, started

CONTEXTS = 12 * 8  # levels of magnitude, levels of roughness
ROWS, CROSS = 9, 4  # float64 and int32 rows in use
SUMS = 2049  # sums of magnitudes from 2048 on are one level


def sum_levels() -> np.ndarray:
    """Level 0 .. 11, times 8, of each sum of magnitudes (four times their mean)."""
    bounds = np.array([1, 2, 3, 5, 8, 12, 20, 36, 80, 256, 2048])
    return (8 * np.searchsorted(bounds, np.arange(SUMS), side="right")).astype(np.int32)


@inlined
def rough_level(r):
    """Level 0 .. 7 of the roughness r, in units of eps; 7 if it is not a number."""
    level = 0 if r < 0.25 else 1
    level += 0 if r < 0.5 else 1
    level += 0 if r < 1.0 else 1
    level += 0 if r < 2.0 else 1
    level += 0 if r < 4.0 else 1
    level += 0 if r < 8.0 else 1
    level += 0 if r < 16.0 else 1
    return level


@inlined
def _neighbours(i, n, s, m, periodic):
    """What there is beside point i of n along an axis: kind, offsets in memory of -s, s, -3s, 3s.

    Kind 0: all, 1: none at 3s, 2: none at -3s, 3: none at s. Where both at 3s and -3s are missing,
    those at s and -s stand for them.
    """
    kind = 0
    left = -s
    right = s
    left3 = -3 * s
    right3 = 3 * s
    if periodic == 1:
        right = right if i + s < n else s - n
        left3 = (i + n + n - 3 * s) % n - i
        right3 = (i + 3 * s) % n - i
    elif i + s >= n:
        kind = 3
        right = left
        right3 = left
        left3 = left3 if i >= 3 * s else left
    elif i + 3 * s >= n:
        right3 = right
        if i >= 3 * s:
            kind = 1
        else:
            left3 = left
    elif i < 3 * s:
        kind = 2
        left3 = left
    return kind, left * m, right * m, left3 * m, right3 * m


@inlined
def _take(source, at, hop, out, count):
    """out = source[at], source[at + hop], ...

    A view of the rest: the compiler then sees that no index is negative.
    """
    part = source[at:]
    if hop == 2:
        for k in range(count):
            out[k] = part[2 * k]
    else:
        for k in range(count):
            out[k] = part[hop * k]


@inlined
def _add_axis(d, M, rows, cross, at, hop, begin, end, first, kind, offsets, w, v, mean):
    """What one axis adds to points ``begin`` to ``end`` of a line that begins ``at``."""
    at += hop * begin
    count = end - begin
    left, right, left3, right3 = offsets
    um = rows[5]
    up = rows[6]
    um3 = rows[7]
    up3 = rows[8]
    _take(d, at + left, hop, um, count)
    _take(d, at + right, hop, up, count)
    _take(d, at + left3, hop, um3, count)
    _take(d, at + right3, hop, up3, count)
    total = cross[0, begin:]
    Mm = cross[1]
    Mp = cross[2]
    _take(M, at + left, hop, Mm, count)
    _take(M, at + right, hop, Mp, count)
    if kind == 1:
        for k in range(count):
            up3[k] = 3.0 * (up[k] - um[k]) + um3[k]
    elif kind == 2:
        for k in range(count):
            um3[k] = 3.0 * (um[k] - up[k]) + up3[k]
    elif kind == 3:
        for k in range(count):
            up[k] = 2.0 * um[k] - um3[k]
            up3[k] = 3.0 * um[k] - 2.0 * um3[k]
    p = rows[0, begin:]
    line1 = rows[1, begin:]
    rough = rows[2, begin:]
    plain = rows[3, begin:]
    good = rows[4, begin:]
    near = 0.0 if kind == 3 else 1.0
    if first == 1:
        for k in range(count):
            line = 0.5 * (um[k] + up[k])
            bend = 0.0625 * ((um[k] + up[k]) - (um3[k] + up3[k]))
            line1[k] = line
            p[k] = line + v * bend + w * (mean - line)
            rough[k] = abs(bend)
            plain[k] = line + bend if near > 0.0 else 0.0
            good[k] = near
        for k in range(count):
            total[k] = Mm[k] + Mp[k]
    else:
        for k in range(count):
            line = 0.5 * (um[k] + up[k])
            bend = 0.0625 * ((um[k] + up[k]) - (um3[k] + up3[k]))
            p[k] += w * (line - line1[k]) + v * bend
            rough[k] = rough[k] + abs(bend) + 0.5 * abs(line - line1[k])
            plain[k] += line + bend if near > 0.0 else 0.0
            good[k] += near
        for k in range(count):
            total[k] += Mm[k] + Mp[k]


@inlined
def _predict(d, M, rows, cross, grid, place, weights, mean, eps, many):
    """p, level of roughness, and sum of known |q| of a line of points.

    ``place``: i0, i1, i2, i3 of its first point, where that is in memory, number of points.
    """
    p = rows[0]
    rough = rows[2]
    plain = rows[3]
    good = rows[4]
    at, count = place[4], place[5]
    hop = int(grid[3, 3])
    first = 1
    for a in range(4):
        s = int(grid[4, a])
        if s == 0:
            continue
        n = int(grid[0, a])
        begin = 0
        while begin < count:
            i = place[a]
            end = count
            if a == 3:
                i += begin * hop
                end = begin + 1
                if i >= 3 * s and i + 3 * s < n:
                    end = (n - 3 * s - 1 - place[3]) // hop + 1
            kind, l1, r1, l3, r3 = _neighbours(i, n, s, int(grid[1, a]), int(grid[5, a]))
            w = weights[0, a]
            v = weights[1, a]
            offsets = (l1, r1, l3, r3)
            _add_axis(d, M, rows, cross, at, hop, begin, end, first, kind, offsets, w, v, mean)
            begin = end
        first = 0
    total = cross[0]
    if many == 0:
        for k in range(count):
            p[k] = mean
            rough[k] = 0.0
            good[k] = 0.0
            total[k] = 0
    for k in range(count):
        q = plain[k] / max(good[k], 1.0)
        q = q if 0.0 < good[k] < many else p[k]  # leave out the axes that end here
        p[k] = q if abs(q) < 1e300 else mean
    level = cross[3]
    for k in range(count):
        level[k] = rough_level(rough[k] / eps)
    if many == 1:
        for k in range(count):
            total[k] *= 2
    before = cross[1]
    for a in range(3):
        e = int(grid[3, a])
        if place[a] >= e:
            _take(M, at - e * int(grid[1, a]), hop, before, count)
            for k in range(count):
                total[k] += before[k]


@inlined
def _code_pass(
    buffer, state, x, d, M, P, Z, grid, weights, mean, eps, rows, cross, levels, reading
):
    """Code one pass in place; 0 if the buffer is too small, or ends too early.

    ``x``: values to code, flat; ``d``: decoded values, flat; ``M``: |q|, int32, flat. ``grid``
    (6, 4): sizes, strides in memory, start, step, s (0 outside S), periodic. ``weights`` (2, 4):
    w_d, v_d; w_0 stands at w of the first axis of S. ``levels``: :func:`sum_levels`.
    """
    twice = 2.0 * eps
    stand, how = started(state, reading)
    many = 0
    for a in range(4):
        if int(grid[4, a]) > 0:
            many += 1
    n3 = int(grid[0, 3])
    hop = int(grid[3, 3])
    start = int(grid[2, 3])
    count = (n3 - start + hop - 1) // hop
    m0, m1, m2 = int(grid[1, 0]), int(grid[1, 1]), int(grid[1, 2])
    p = rows[0]
    total = cross[0]
    level = cross[3]
    for i0 in range(int(grid[2, 0]), int(grid[0, 0]), int(grid[3, 0])):
        for i1 in range(int(grid[2, 1]), int(grid[0, 1]), int(grid[3, 1])):
            for i2 in range(int(grid[2, 2]), int(grid[0, 2]), int(grid[3, 2])):
                if stand[2] + 64 * n3 + 256 > buffer.shape[0] and (
                    reading == 0 or stand[2] > buffer.shape[0] + 16
                ):
                    return 0
                at = i0 * m0 + i1 * m1 + i2 * m2 + start
                place = (i0, i1, i2, start, at, count)
                _predict(d, M, rows, cross, grid, place, weights, mean, eps, many)
                last = 0
                for k in range(count):
                    j = at + hop * k
                    v = 0
                    if reading == 0:
                        f = (x[j] - p[k]) / twice
                        if abs(f) < 70368744177664.0:
                            v = int(np.rint(f))
                    c = int(levels[min(int(total[k]) + last, 2048)]) + int(level[k])
                    v, stand = code_value(buffer, stand, how, P, Z, c * 20, v)
                    d[j] = p[k] + twice * v
                    last = min(abs(v), 4095)
                    M[j] = last
    state[0], state[1], state[2] = stand
    return 1


@tight
def read_pass(buffer, state, x, d, M, P, Z, grid, weights, mean, eps, rows, cross, levels):
    return _code_pass(
        buffer, state, x, d, M, P, Z, grid, weights, mean, eps, rows, cross, levels, 1
    )


@tight
def write_pass(buffer, state, x, d, M, P, Z, grid, weights, mean, eps, rows, cross, levels):
    return _code_pass(
        buffer, state, x, d, M, P, Z, grid, weights, mean, eps, rows, cross, levels, 0
    )
