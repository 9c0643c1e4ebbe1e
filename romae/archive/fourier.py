"""Fourier transforms that give the same bits everywhere.

    X_k = sum_j x_j exp(-2 pi i j k / n),   n = product of radices 4, 2, 3, 5, 7, 11, 13

by Stockham's self-sorting algorithm on the first axis of a flat array (n, batch): every pass reads
whole contiguous rows, so compilers vectorise over the batch, and an element's value never depends
on how. Arithmetic is element-wise float64 in a written order; the roots of unity are computed in
decimal arithmetic and rounded once, because the last bit of sin and cos differs between libraries.
Libraries' transforms differ by machine and version: a closed loop cannot use them.

Source: Van Loan 1992, "Computational Frameworks for the Fast Fourier Transform", section 1.7.
"""

from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np

from romae.archive.compiled import compiled

DIGITS = 40
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


@lru_cache(maxsize=32)
def roots(n: int) -> tuple[np.ndarray, np.ndarray]:
    """cos and -sin of 2 pi k / n for k = 0 ... n - 1, correctly rounded."""
    cosines, sines = np.empty(n), np.empty(n)
    with localcontext() as context:
        context.prec = DIGITS
        for k in range(n):
            turn = 2 * PI * min(k, n - k) / n  # in [0, pi]
            cosine, sine, term, j = Decimal(0), Decimal(0), Decimal(1), 0
            while abs(term) > Decimal(10) ** -35 or j < 4:
                if j % 2:
                    sine += term if j % 4 == 1 else -term
                else:
                    cosine += term if j % 4 == 0 else -term
                j += 1
                term = term * turn / j
            cosines[k] = float(round(cosine, 30))
            sines[k] = float(round(sine, 30)) * (1.0 if 2 * k > n else -1.0)
    return cosines, sines


@lru_cache(maxsize=32)
def radices(n: int) -> np.ndarray | None:
    """Factors of ``n`` in the order of the passes; None if one is above 13."""
    found = []
    for radix in (4, 2, 3, 5, 7, 11, 13):
        while n % radix == 0:
            found.append(radix)
            n //= radix
    return np.array(found, np.int64) if n == 1 else None


@compiled
def transform(xr, xi, yr, yi, n, batch, factors, cosines, sines):
    """Forward transform of xr + i xi (n, batch), flat; True: the result is in y, else in x.

    Both pairs are overwritten. For the inverse times n pass (xi, xr, yi, yr): the swap conjugates.
    """
    length = n
    s = batch
    flipped = False
    for f in range(len(factors)):
        radix = int(factors[f])
        step = n // length
        if flipped:
            ar, ai, br, bi = yr, yi, xr, xi
        else:
            ar, ai, br, bi = xr, xi, yr, yi
        m = length // radix
        if radix == 4:
            _pass4(ar, ai, br, bi, m, s, step, cosines, sines)
        elif radix == 2:
            _pass2(ar, ai, br, bi, m, s, step, cosines, sines)
        else:
            _pass(ar, ai, br, bi, m, s, step, radix, n, cosines, sines)
        flipped = not flipped
        length = m
        s *= radix
    return flipped


@compiled
def _pass2(ar, ai, br, bi, m, s, step, cosines, sines):
    for p in range(m):
        c = cosines[p * step]
        d = sines[p * step]
        r0 = ar[s * p : s * p + s]
        i0 = ai[s * p : s * p + s]
        r1 = ar[s * (p + m) : s * (p + m) + s]
        i1 = ai[s * (p + m) : s * (p + m) + s]
        o0r = br[s * 2 * p : s * 2 * p + s]
        o0i = bi[s * 2 * p : s * 2 * p + s]
        o1r = br[s * (2 * p + 1) : s * (2 * p + 1) + s]
        o1i = bi[s * (2 * p + 1) : s * (2 * p + 1) + s]
        for q in range(s):
            a = r0[q]
            b = i0[q]
            e = r1[q]
            g = i1[q]
            o0r[q] = a + e
            o0i[q] = b + g
            tr = a - e
            ti = b - g
            o1r[q] = tr * c - ti * d
            o1i[q] = tr * d + ti * c


@compiled
def _pass4(ar, ai, br, bi, m, s, step, cosines, sines):
    for p in range(m):
        c1 = cosines[p * step]
        d1 = sines[p * step]
        c2 = cosines[2 * p * step]
        d2 = sines[2 * p * step]
        c3 = cosines[3 * p * step]
        d3 = sines[3 * p * step]
        r0 = ar[s * p : s * p + s]
        i0 = ai[s * p : s * p + s]
        r1 = ar[s * (p + m) : s * (p + m) + s]
        i1 = ai[s * (p + m) : s * (p + m) + s]
        r2 = ar[s * (p + 2 * m) : s * (p + 2 * m) + s]
        i2 = ai[s * (p + 2 * m) : s * (p + 2 * m) + s]
        r3 = ar[s * (p + 3 * m) : s * (p + 3 * m) + s]
        i3 = ai[s * (p + 3 * m) : s * (p + 3 * m) + s]
        o = s * 4 * p
        o0r = br[o : o + s]
        o0i = bi[o : o + s]
        o1r = br[o + s : o + 2 * s]
        o1i = bi[o + s : o + 2 * s]
        o2r = br[o + 2 * s : o + 3 * s]
        o2i = bi[o + 2 * s : o + 3 * s]
        o3r = br[o + 3 * s : o + 4 * s]
        o3i = bi[o + 3 * s : o + 4 * s]
        for q in range(s):
            apr = r0[q] + r2[q]
            api = i0[q] + i2[q]
            amr = r0[q] - r2[q]
            ami = i0[q] - i2[q]
            bpr = r1[q] + r3[q]
            bpi = i1[q] + i3[q]
            bmr = r1[q] - r3[q]
            bmi = i1[q] - i3[q]
            o0r[q] = apr + bpr
            o0i[q] = api + bpi
            tr = amr + bmi  # (a - c) - i (b - d)
            ti = ami - bmr
            o1r[q] = tr * c1 - ti * d1
            o1i[q] = tr * d1 + ti * c1
            tr = apr - bpr
            ti = api - bpi
            o2r[q] = tr * c2 - ti * d2
            o2i[q] = tr * d2 + ti * c2
            tr = amr - bmi
            ti = ami + bmr
            o3r[q] = tr * c3 - ti * d3
            o3i[q] = tr * d3 + ti * c3


@compiled
def _pass(ar, ai, br, bi, m, s, step, radix, n, cosines, sines):
    """Any radix: the short transform by its definition."""
    for p in range(m):
        for k in range(radix):
            c = cosines[k * p * step]
            d = sines[k * p * step]
            o = s * (radix * p + k)
            for q in range(s):
                tr = 0.0
                ti = 0.0
                for j in range(radix):
                    w = (j * k % radix) * (n // radix)
                    r = ar[s * (p + j * m) + q]
                    i = ai[s * (p + j * m) + q]
                    tr += r * cosines[w] - i * sines[w]
                    ti += r * sines[w] + i * cosines[w]
                br[o + q] = tr * c - ti * d
                bi[o + q] = tr * d + ti * c
