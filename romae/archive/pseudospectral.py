"""Learned equations on periodic grids, integrated in exact arithmetic: the compiled part.

In Fourier space, with wave vector k (units: cycles per longest side),

    d w / dt = c(k^2) w + N(w),     c(s) = c0 + c1 s + c2 s^2 + c3 s^3      (s = k^2 / kmax^2)

line:    N = i k (a1 u + a3 k^2 u + [b1 u^2 + b2 u^3]) + [b3 u^2 + b4 u^3 + b5 u_x^2] + f
square:  N = -a0 [u . grad w] + i (a1 kx + a2 ky) w + f,     u = curl of psi, lap psi = -w

[.] are products on the grid, of which waves with 3 |k| < n are kept, so quadratic terms have no
aliasing. Two real fields travel in one complex transform: u + i u_x and (u, v) as u + i v;
the advection term needs only v^2 - u^2 and u v:

    u . grad w = d2/dxdy (v^2 - u^2) + (d2/dx2 - d2/dy2) (u v)

Time: ETDRK4 (Kassam & Trefethen 2005, "Fourth-order time-stepping for stiff PDEs"), as in
:mod:`romae.cases.etdrk4`; its tables come from decimal arithmetic, rounded once.

Layout: spectra are half ones, kx = 0 ... K1 and ky = 0 ... K0, -K0 ... -1, flat (K1 + 1, 2 K0 + 1);
a line has ky = 0 only. Grids are flat (n0, n1), y first; a line has n0 = 1.
"""

from decimal import Decimal, localcontext

import numpy as np

from romae.archive.compiled import compiled, inlined, tight
from romae.archive.fourier import transform


@compiled
def to_grid(pr, pi, gr, gi, tr, ti, n0, n1, m0, fac0, cos0, sin0, fac1, cos1, sin1):
    """Complex spectrum (n1, m0) in pr, pi -> grid (n0, n1) in gr, gi; all buffers are lost."""
    # inverse: swap the parts; unnormalised
    flipped = transform(pi, pr, ti, tr, n1, m0, fac1, cos1, sin1)
    if flipped:
        sr, si = tr, ti
        br, bi = pr, pi
    else:
        sr, si = pr, pi
        br, bi = tr, ti
    if n0 == 1:
        for x in range(n1):
            gr[x] = sr[x]
            gi[x] = si[x]
        return
    k0 = (m0 - 1) // 2
    for j in range(n0):
        o = j * n1
        if j <= k0 or j >= n0 - k0:
            c = j if j <= k0 else j - n0 + m0
            for x in range(n1):
                gr[o + x] = sr[x * m0 + c]
                gi[o + x] = si[x * m0 + c]
        else:
            for x in range(n1):
                gr[o + x] = 0.0
                gi[o + x] = 0.0
    if transform(gi, gr, bi, br, n0, n1, fac0, cos0, sin0):
        for x in range(n0 * n1):
            gr[x] = br[x]
            gi[x] = bi[x]


@compiled
def to_spectrum(gr, gi, pr, pi, tr, ti, n0, n1, m0, fac0, cos0, sin0, fac1, cos1, sin1):
    """Grid (n0, n1) -> complex spectrum (n1, m0) in pr, pi, divided by n0 n1; the grid is lost."""
    scale = 1.0 / (n0 * n1)
    if n0 == 1:
        for x in range(n1):
            pr[x] = gr[x] * scale
            pi[x] = gi[x] * scale
    else:
        if transform(gr, gi, tr, ti, n0, n1, fac0, cos0, sin0):
            sr, si = tr, ti
        else:
            sr, si = gr, gi
        k0 = (m0 - 1) // 2
        for c in range(m0):
            j = c if c <= k0 else c - m0 + n0
            for x in range(n1):
                pr[x * m0 + c] = sr[j * n1 + x] * scale
                pi[x * m0 + c] = si[j * n1 + x] * scale
    if transform(pr, pi, tr, ti, n1, m0, fac1, cos1, sin1):
        for x in range(n1 * m0):
            pr[x] = tr[x]
            pi[x] = ti[x]


@compiled
def velocity(wr, wi, mean, pr, pi, kx, ky, ik2, n1, m0, rows):
    """Spectrum of u + i v (square), (kx + i ky) w / k^2, or of u + i u_x (line), in pr, pi."""
    for x in range(rows * m0, (n1 - rows + 1) * m0):
        pr[x] = 0.0
        pi[x] = 0.0
    if m0 == 1:
        for r in range(rows):
            a = 1.0 - kx[r]
            d = 1.0 + kx[r]
            pr[r] = a * wr[r]
            pi[r] = a * wi[r]
            if r > 0:
                pr[n1 - r] = d * wr[r]
                pi[n1 - r] = -(d * wi[r])
        return
    for r in range(rows):
        x = kx[r]
        i = r * m0
        vr = pr[i : i + m0]
        vi = pi[i : i + m0]
        zr = wr[i : i + m0]
        zi = wi[i : i + m0]
        g = ik2[i : i + m0]
        for c in range(m0):
            a = x * g[c]
            b = ky[c] * g[c]
            vr[c] = a * zr[c] - b * zi[c]
            vi[c] = a * zi[c] + b * zr[c]
        if r > 0:
            # at -k: -(kx + i ky) conj(w) / k^2
            j = (n1 - r) * m0
            ur = pr[j : j + m0]
            ui = pi[j : j + m0]
            a = x * g[0]
            b = ky[0] * g[0]
            ur[0] = -(a * zr[0] + b * zi[0])
            ui[0] = a * zi[0] - b * zr[0]
            for c in range(1, m0):
                a = x * g[c]
                b = ky[c] * g[c]
                ur[m0 - c] = -(a * zr[c] + b * zi[c])
                ui[m0 - c] = a * zi[c] - b * zr[c]
    pr[0] = mean[0]
    pi[0] = mean[1]


@compiled
def rate(w, nr, ni, mean, work, theta, forcing, kx, ky, ik2, n0, n1, m0, rows, tables):
    """N(w) in nr, ni."""
    fac0, cos0, sin0, fac1, cos1, sin1 = tables
    pr, pi, gr, gi, tr, ti = work
    wr, wi = w[0], w[1]
    velocity(wr, wi, mean, pr, pi, kx, ky, ik2, n1, m0, rows)
    to_grid(pr, pi, gr, gi, tr, ti, n0, n1, m0, fac0, cos0, sin0, fac1, cos1, sin1)
    if m0 == 1:
        b1 = theta[2]
        b2 = theta[3]
        b3 = theta[4]
        b4 = theta[5]
        b5 = theta[6]
        for x in range(n1):
            u = gr[x]
            s = u * u
            gr[x] = s * (b1 + b2 * u)
            gi[x] = s * (b3 + b4 * u) + b5 * (gi[x] * gi[x])
    else:
        for x in range(n0 * n1):
            u = gr[x]
            v = gi[x]
            gr[x] = v * v - u * u
            gi[x] = u * v
    to_spectrum(gr, gi, pr, pi, tr, ti, n0, n1, m0, fac0, cos0, sin0, fac1, cos1, sin1)
    for r in range(rows):
        x = kx[r]
        i = r * m0
        mirrored(pr, pi, tr, ti, (n1 - r) * m0 if r else 0, m0)
        if m0 == 1:
            ar, ai, br, bi = parts(pr[i], pi[i], tr[0], ti[0])
            linear = x * (theta[0] + theta[1] * (x * x))
            nr[i] = br - x * ai - linear * wi[i] + forcing[0, i]
            ni[i] = bi + x * ar + linear * wr[i] + forcing[1, i]
        else:
            square_row(
                pr[i : i + m0], pi[i : i + m0], tr, ti, wr[i : i + m0], wi[i : i + m0],
                forcing[0, i : i + m0], forcing[1, i : i + m0], x, ky, theta,
                nr[i : i + m0], ni[i : i + m0],
            )  # fmt: skip


@inlined
def parts(pr, pi, mr, mi):
    """Spectra a and b of two real fields from that of a + i b, at k and at -k."""
    return 0.5 * (pr + mr), 0.5 * (pi - mi), 0.5 * (pi + mi), 0.5 * (mr - pr)


@tight
def mirrored(pr, pi, mr, mi, j, m0):
    """Waves 0, -1, ... of the row that begins at j."""
    mr[0] = pr[j]
    mi[0] = pi[j]
    for c in range(1, m0):
        mr[c] = pr[j + m0 - c]
        mi[c] = pi[j + m0 - c]


@tight
def square_row(pr, pi, mr, mi, wr, wi, fr, fi, x, ky, theta, nr, ni):
    """Rates of a row of waves, from the transforms of v^2 - u^2 and u v."""
    for c in range(len(nr)):
        ar, ai, br, bi = parts(pr[c], pi[c], mr[c], mi[c])
        y = ky[c]
        a = theta[0] * (x * y)
        b = theta[0] * (x * x - y * y)
        linear = theta[1] * x + theta[2] * y
        nr[c] = a * ar + b * br - linear * wi[c] + fr[c]
        ni[c] = a * ai + b * bi + linear * wr[c] + fi[c]


@compiled
def advance(w, mean, substeps, etd, work, stages, theta, forcing, kx, ky, ik2, sizes, tables):
    """Half spectrum w (2, size) after ``substeps`` ETDRK4 steps, in place."""
    n0, n1, m0, rows = sizes
    e, e2, q, f1, f2, f3 = etd
    u, a, ar, ai, br, bi, nr, ni = stages  # u: stage; a: first stage's state; n: its rate
    size = rows * m0
    for _ in range(substeps):
        for i in range(size):
            u[0, i] = w[0, i]
            u[1, i] = w[1, i]
        for stage in range(4):  # one call to `rate`: compilers copy it to each
            rate(u, nr, ni, mean, work, theta, forcing, kx, ky, ik2, n0, n1, m0, rows, tables)
            for i in range(size):
                if stage == 0:
                    ar[i] = nr[i]
                    ai[i] = ni[i]
                    a[0, i] = e2[i] * w[0, i] + q[i] * nr[i]
                    a[1, i] = e2[i] * w[1, i] + q[i] * ni[i]
                    u[0, i] = a[0, i]
                    u[1, i] = a[1, i]
                elif stage == 1:
                    br[i] = nr[i]
                    bi[i] = ni[i]
                    u[0, i] = e2[i] * w[0, i] + q[i] * nr[i]
                    u[1, i] = e2[i] * w[1, i] + q[i] * ni[i]
                elif stage == 2:
                    br[i] += nr[i]
                    bi[i] += ni[i]
                    u[0, i] = e2[i] * a[0, i] + q[i] * (2.0 * nr[i] - ar[i])
                    u[1, i] = e2[i] * a[1, i] + q[i] * (2.0 * ni[i] - ai[i])
                else:
                    w[0, i] = e[i] * w[0, i] + f1[i] * ar[i] + f2[i] * br[i] + f3[i] * nr[i]
                    w[1, i] = e[i] * w[1, i] + f1[i] * ai[i] + f2[i] * bi[i] + f3[i] * ni[i]


def etd_tables(c: np.ndarray, h: float) -> tuple[np.ndarray, ...]:
    """e, e2, q, f1, f2, f3 of :class:`romae.cases.etdrk4.ETDRK4` for real ``c``, rounded once."""
    values, where = np.unique(c, return_inverse=True)
    table = np.array([_etd(float(v), h) for v in values])
    return tuple(np.ascontiguousarray(column[where]) for column in table.T)


def etd_draft(c: np.ndarray, h: float) -> tuple[np.ndarray, ...]:
    """The same to about 1e-12 and quickly, as means over a circle around z (Kassam & Trefethen)."""
    values, where = np.unique(c, return_inverse=True)
    x = np.clip(values * h, -5000.0, 20.0)
    z = x[:, None] + np.exp(1j * np.pi * (np.arange(16) + 0.5) / 16)
    e = np.exp(z)
    q = (np.exp(z / 2) - 1) / z
    f1 = (-4 - z + e * (4 - 3 * z + z * z)) / z**3
    f2 = 2 * (2 + z + e * (z - 2)) / z**3
    f3 = (-4 - 3 * z - z * z + e * (4 - z)) / z**3
    table = [np.exp(x), np.exp(x / 2), *(h * f.real.mean(axis=1) for f in (q, f1, f2, f3))]
    return tuple(np.ascontiguousarray(column[where]) for column in table)


def _etd(c: float, h: float) -> list[float]:
    with localcontext() as context:
        context.prec = 50
        step = Decimal(h)
        z = max(min(Decimal(c) * step, Decimal(20)), Decimal(-5000))
        e, e2 = z.exp(), (z / 2).exp()
        if abs(z) < Decimal("1e-9"):  # limits; the next order is below rounding
            sixth = step / 6
            return [float(v) for v in (e, e2, step / 2, sixth, 2 * sixth, sixth)]
        z3 = z * z * z
        q = step * (e2 - 1) / z
        f1 = step * (-4 - z + e * (4 - 3 * z + z * z)) / z3
        f2 = 2 * step * (2 + z + e * (z - 2)) / z3
        f3 = step * (-4 - 3 * z - z * z + e * (4 - z)) / z3
        return [float(v) for v in (e, e2, q, f1, f2, f3)]
