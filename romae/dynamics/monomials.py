"""Monomials of many variables, and closed loops of a map that is linear in them.

    phi(x) = (1, x_1, .., x_m, x_1^2, x_1 x_2, .., x_m^d)      C(m + d, d) of them
    z_{t+1} = z_t + phi(x_t) W

Each monomial of degree 1 and more is another one, its parent, times one variable: a product each.
"""

import itertools
from functools import lru_cache
from math import comb

import numpy as np

from romae.compiling import jit

Array = np.ndarray

WIDE = 2.0  # x = z / WIDE lies mostly in [-1, 1], where powers stay of one size


@lru_cache
def table(variables: int, degree: int) -> tuple[Array, Array]:
    """Monomial i is monomial ``parent[i]`` times variable ``factor[i]``; the first is 1."""
    rows: list[tuple[int, ...]] = []
    for d in range(degree + 1):
        rows += itertools.combinations_with_replacement(range(variables), d)
    place = {row: i for i, row in enumerate(rows)}
    parent = [0] + [place[row[:-1]] for row in rows[1:]]
    return np.array(parent), np.array([0] + [row[-1] for row in rows[1:]])


def monomials(x: Array, degree: int) -> Array:
    """phi of rows (n, m): (n, monomials)."""
    parent, factor = table(x.shape[1], degree)
    phi, xT = np.ones((len(parent), len(x))), np.ascontiguousarray(x.T)
    begin = 1
    for d in range(1, degree + 1):  # a degree at a time: parents are one degree lower
        end = comb(x.shape[1] + d, d)
        phi[begin:end] = phi[parent[begin:end]] * xT[factor[begin:end]]
        begin = end
    return phi.T


@jit()
def roll(history, extra, steps, parent, factor, W, low, high):
    """Closed loops from (B, c, k), newest first, with known variables (B, steps, q).

    After every step z lies between ``low`` and ``high`` (k,).
    """
    B, c, k = history.shape
    q, F = extra.shape[2], len(W)
    out = np.empty((B, steps, k))
    x, phi, z = np.empty(c * k + q), np.empty(F), np.empty(k)
    phi[0] = 1.0
    for b in range(B):
        x[: c * k] = history[b].ravel() / WIDE
        z[:] = history[b, 0]
        for n in range(steps):
            x[c * k :] = extra[b, n]
            for i in range(1, F):
                phi[i] = phi[parent[i]] * x[factor[i]]
            for i in range(F):
                p = phi[i]
                for j in range(k):
                    z[j] += p * W[i, j]
            for j in range(k):
                z[j] = min(max(z[j], low[j]), high[j])
            out[b, n] = z
            for i in range(c * k - 1, k - 1, -1):
                x[i] = x[i - k]
            x[:k] = z / WIDE
    return out
