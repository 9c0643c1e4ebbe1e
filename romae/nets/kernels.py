"""Element-wise loops of small networks in float32, compiled: one pass over memory for each.

As operations of a tensor library the activation and its slope are a dozen passes, and an update
of the weights is ten. Sums over many elements stay with the library; nothing here adds across
elements, so that results do not depend on how a loop is cut.

GELU needs two functions in vector registers, which no C library offers everywhere:

    erf z = z P(z^2) / Q(z^2),  |z| <= 4        exp a = 2^n exp r,  |r| <= log(2) / 2,  a <= 0

with the rational function of Eigen and the polynomial of Cephes; GELU is off by less than torch's.
"""

import math

import numpy as np
from numpy import float32 as f

from romae.compiling import jit

HALF_ROOT, DENSITY, LOG2_E = f(math.sqrt(0.5)), f(1 / math.sqrt(2 * math.pi)), f(1 / math.log(2))
LOG2_HIGH, LOG2_LOW = f(0.693359375), f(-2.12194440e-4)  # their sum is log 2
ONE, HALF, FOUR, LEAST = f(1), f(0.5), f(4), f(-87)


@jit(fastmath={"contract"})
def gelu(u, b, y, slope):
    """y = x Phi(x) and slope = Phi(x) + x phi(x) for x = u + b; u, y, slope (B, n), b (n,)."""
    for i in range(u.shape[0]):
        for j in range(u.shape[1]):
            x = u[i, j] + b[j]
            z = min(max(x * HALF_ROOT, -FOUR), FOUR)
            q = z * z
            p = f(-2.72614225801306e-10)
            p = p * q + f(2.77068142495902e-08)
            p = p * q + f(-2.10102402082508e-06)
            p = p * q + f(-5.69250639462346e-05)
            p = p * q + f(-7.34990630326855e-04)
            p = p * q + f(-2.95459980854025e-03)
            p = p * q + f(-1.60960333262415e-02)
            d = f(-1.45660718464996e-05)
            d = d * q + f(-2.13374055278905e-04)
            d = d * q + f(-1.68282697438203e-03)
            d = d * q + f(-7.37332916720468e-03)
            d = d * q + f(-1.42647390514189e-02)
            phi = HALF + HALF * (z * p / d)
            a = max(-HALF * x * x, LEAST)
            n = np.floor(a * LOG2_E + HALF)
            r = a - n * LOG2_HIGH - n * LOG2_LOW
            e = f(1.9875691500e-4)
            e = e * r + f(1.3981999507e-3)
            e = e * r + f(8.3334519073e-3)
            e = e * r + f(4.1665795894e-2)
            e = e * r + f(1.6666665459e-1)
            e = e * r + HALF
            e = e * r * r + r + ONE
            power = (np.int32(n) + np.int32(127)) << np.int32(23)
            y[i, j] = x * phi
            slope[i, j] = phi + DENSITY * x * (e * np.int32(power).view(np.float32))


@jit(fastmath={"contract"})
def adamw(g, w, m, v, rate, kept, beta, gamma, unbias, eps):
    """One update by :mod:`romae.train.adamw`, in place; arrays (n,), rate = lr / (1 - beta^t)."""
    for i in range(w.size):
        m[i] += (ONE - beta) * (g[i] - m[i])
        v[i] = gamma * v[i] + (ONE - gamma) * g[i] * g[i]
        w[i] = kept * w[i] - rate * m[i] / (np.sqrt(v[i]) * unbias + eps)
