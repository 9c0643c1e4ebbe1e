"""Exponential time differencing, Runge-Kutta of fourth order: du/dt = c u + N(u), c diagonal.

With e = exp(h c), e2 = exp(h c / 2) and n(.) = N(.),

    a = e2 u + q n(u)        b = e2 u + q n(a)        d = e2 a + q (2 n(b) - n(u))
    u <- e u + f1 n(u) + f2 (n(a) + n(b)) + f3 n(d)

The linear part is exact, however stiff. q, f1, f2 and f3 are quotients that cancel badly at
small h c, so they are means over a circle around it (Cauchy's integral).

Source: Kassam & Trefethen 2005, "Fourth-order time-stepping for stiff PDEs", after Cox &
Matthews 2002.
"""

from collections.abc import Callable

import numpy as np

CONTOUR_POINTS = 32  # on the upper half of the unit circle; the lower half is its conjugate


class ETDRK4:
    """Steps of size ``h`` for coefficients u of the shape of ``c`` (real)."""

    def __init__(
        self, c: np.ndarray, h: float, nonlinear: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self.nonlinear = nonlinear
        angles = np.pi * (np.arange(CONTOUR_POINTS) + 0.5) / CONTOUR_POINTS
        z = h * c[..., None] + np.exp(1j * angles)
        self.e, self.e2 = np.exp(h * c), np.exp(h * c / 2)
        exp = np.exp(z)
        self.q = h * _mean((np.exp(z / 2) - 1) / z)
        self.f1 = h * _mean((-4 - z + exp * (4 - 3 * z + z**2)) / z**3)
        self.f2 = h * _mean((4 + 2 * z + exp * (2 * z - 4)) / z**3)
        self.f3 = h * _mean((-4 - 3 * z - z**2 + exp * (4 - z)) / z**3)

    def step(self, u: np.ndarray) -> np.ndarray:
        """u one step later."""
        n_u = self.nonlinear(u)
        a = self.e2 * u + self.q * n_u
        n_a = self.nonlinear(a)
        b = self.e2 * u + self.q * n_a
        n_b = self.nonlinear(b)
        d = self.e2 * a + self.q * (2 * n_b - n_u)
        n_d = self.nonlinear(d)
        return self.e * u + self.f1 * n_u + self.f2 * (n_a + n_b) + self.f3 * n_d


def _mean(on_circle: np.ndarray) -> np.ndarray:
    """Mean over the contour; the conjugate half makes it real."""
    return on_circle.mean(axis=-1).real
