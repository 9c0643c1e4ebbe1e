"""One pass of interpolation: predict the points between known ones, code what is left.

A **pass** takes the points of a grid (n, a, b, c) at start + step * m along each axis, which lie
s_d beside known points along the axes d of a set S, and predicts each from

    line_d = (x(-s) + x(+s)) / 2,    bend_d = (x(-s) + x(+s) - x(-3s) - x(+3s)) / 16      (d in S)
    p = line_1 + sum_d w_d (line_d - line_1) + sum_d v_d bend_d + w_0 (mean - line_1),

line + bend is cubic interpolation. Beyond the ends of an axis that is not periodic, missing values
are continued (quadratic, or linear where x(+s) itself is missing). Then q = rint((x - p) / 2 eps)
is coded in the context of the |q| around it, and x' = p + 2 eps q joins the known points.
"""

import numpy as np

from romae.archive.compiled import inlined, tight
from romae.archive.rangecoder import code_value

CONTEXTS = 12 * 8  # levels of magnitude, levels of roughness


@inlined
def sum_level(m):
    """Level 0 .. 11 of a sum of magnitudes (four times their mean)."""
    if m < 3:
        return m
    if m < 5:
        return 3
    if m < 8:
        return 4
    if m < 12:
        return 5
    if m < 20:
        return 6
    if m < 36:
        return 7
    if m < 80:
        return 8
    if m < 256:
        return 9
    if m < 2048:
        return 10
    return 11


@inlined
def rough_level(r):
    """Level 0 .. 7 of the roughness r, in units of eps."""
    if r < 1.0:
        if r < 0.25:
            return 0
        if r < 0.5:
            return 1
        return 2
    if r < 4.0:
        if r < 2.0:
            return 3
        return 4
    if r < 16.0:
        if r < 8.0:
            return 5
        return 6
    return 7


@tight
def code_pass(buffer, state, x, d, M, P, Z, grid, weights, mean, eps):
    """Code one pass in place; 0 if the buffer is too small, or ends too early.

    ``x``: values to code, flat; ``d``: decoded values, flat; ``M``: |q|, flat. ``grid`` (6, 4):
    sizes, strides in memory, start, step, s (0 outside S), periodic. ``weights`` (2, 4): w_d, v_d;
    w_0 stands at w of the first axis of S.
    """
    writing = int(state[3]) == 0
    twice = 2.0 * eps
    n0, n1, n2, n3 = int(grid[0, 0]), int(grid[0, 1]), int(grid[0, 2]), int(grid[0, 3])
    m0, m1, m2, m3 = int(grid[1, 0]), int(grid[1, 1]), int(grid[1, 2]), int(grid[1, 3])
    e0, e1, e2, e3 = int(grid[3, 0]), int(grid[3, 1]), int(grid[3, 2]), int(grid[3, 3])
    first = -1
    many = 0
    for a in range(4):
        if int(grid[4, a]) > 0:
            if first < 0:
                first = a
            many += 1
    for i0 in range(int(grid[2, 0]), n0, e0):
        for i1 in range(int(grid[2, 1]), n1, e1):
            for i2 in range(int(grid[2, 2]), n2, e2):
                row = i0 * m0 + i1 * m1 + i2 * m2
                if writing:
                    if int(state[2]) + 64 * n3 + 256 > buffer.shape[0]:
                        return 0
                elif int(state[2]) > buffer.shape[0] + 16:
                    return 0
                for i3 in range(int(grid[2, 3]), n3, e3):
                    at = row + i3 * m3
                    p = 0.0
                    rough = 0.0
                    cross = 0
                    good = 0
                    plain = 0.0
                    line1 = 0.0
                    for a in range(4):
                        s = int(grid[4, a])
                        if s == 0:
                            continue
                        i = i0 if a == 0 else (i1 if a == 1 else (i2 if a == 2 else i3))
                        n = int(grid[0, a])
                        m = int(grid[1, a])
                        near = 1
                        if int(grid[5, a]) == 1:
                            right = i + s if i + s < n else i + s - n
                            left3 = (i + n + n - 3 * s) % n
                            right3 = (i + 3 * s) % n
                            um = d[at - s * m]
                            up = d[at + (right - i) * m]
                            um3 = d[at + (left3 - i) * m]
                            up3 = d[at + (right3 - i) * m]
                            cross += int(M[at - s * m]) + int(M[at + (right - i) * m])
                        else:
                            um = d[at - s * m]
                            cross += int(M[at - s * m])
                            if i + s < n:
                                up = d[at + s * m]
                                cross += int(M[at + s * m])
                                if i >= 3 * s:
                                    um3 = d[at - 3 * s * m]
                                    if i + 3 * s < n:
                                        up3 = d[at + 3 * s * m]
                                    else:
                                        up3 = 3.0 * (up - um) + um3
                                elif i + 3 * s < n:
                                    up3 = d[at + 3 * s * m]
                                    um3 = 3.0 * (um - up) + up3
                                else:
                                    um3 = um
                                    up3 = up
                            else:
                                near = 0
                                cross += int(M[at - s * m])
                                um3 = um
                                if i >= 3 * s:
                                    um3 = d[at - 3 * s * m]
                                up = 2.0 * um - um3
                                up3 = 3.0 * um - 2.0 * um3
                        line = 0.5 * (um + up)
                        bend = 0.0625 * ((um + up) - (um3 + up3))
                        rough += abs(bend)
                        if near == 1:
                            good += 1
                            plain += line + bend
                        if a == first:
                            line1 = line
                            p = line + weights[1, a] * bend + weights[0, a] * (mean - line)
                        else:
                            p += weights[0, a] * (line - line1) + weights[1, a] * bend
                            rough += 0.5 * abs(line - line1)
                    if good < many and good > 0:  # leave out the axes that end here
                        p = plain / good
                    if many == 0 or not abs(p) < 1e300:
                        p = mean
                    same = 0
                    if i3 >= e3:
                        same += int(M[at - e3 * m3])
                    if i2 >= e2:
                        same += int(M[at - e2 * m2])
                    if i1 >= e1:
                        same += int(M[at - e1 * m1])
                    if i0 >= e0:
                        same += int(M[at - e0 * m0])
                    v = 0
                    if writing:
                        f = (x[at] - p) / twice
                        if abs(f) < 70368744177664.0:
                            v = int(np.rint(f))
                    if many == 1:
                        cross *= 2
                    c = sum_level(same + cross) * 8 + rough_level(rough / eps)
                    v = code_value(buffer, state, P, Z, c * 20, v)
                    d[at] = p + twice * v
                    M[at] = min(abs(v), 4095)
    return 1
