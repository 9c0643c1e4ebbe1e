"""Kuramoto-Sivashinsky equation: space-time chaos on a periodic line.

    u_t + u u_x + u_xx + u_xxxx = 0,        0 <= x < L,  periodic

In Fourier space, with q = 2 pi n / L,

    d u_q / dt = c u_q + N(u)_q,    c = q^2 - q^4,    N(u)_q = -(i q / 2) (u^2)_q

so that waves with q < 1 grow, short ones decay, and N carries energy from one to
the other. Time stepping is ETDRK4 (:mod:`romae.cases.etdrk4`), which treats c
exactly and N to fourth order.

Exact properties, tested: the mean of u is conserved, each small wave grows as
exp(c t), and d/dt <u^2>/2 = <u_x^2> - <u_xx^2>.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from romae.cases.base import Attrs, Axis, Case, axis
from romae.cases.etdrk4 import ETDRK4
from romae.errors import OptionError

BLOCK = 256  # snapshots per block


@dataclass(frozen=True)
class KuramotoSivashinsky(Case):
    """One trajectory on the attractor, from a seeded smooth start."""

    length: float = 22.0  # L; all quantities are nondimensional
    points: int = 64  # even
    step: float = 0.25  # h of the time stepping
    every: int = 10  # steps between snapshots
    discard: float = 1000.0  # time before the first snapshot
    snapshots: int = 28000
    seed: int = 0

    name: ClassVar[str] = "kuramoto-sivashinsky"
    title: ClassVar[str] = "Kuramoto-Sivashinsky equation"
    source: ClassVar[str] = (
        "pseudospectral, ETDRK4: Kassam and Trefethen (2005), Fourth-order time-stepping for "
        "stiff PDEs, SIAM J. Sci. Comput. 26, 1214-1233"
    )
    variables: ClassVar[dict[str, Attrs]] = {"u": {"long_name": "velocity of the flame front"}}

    def __post_init__(self) -> None:
        if self.points < 8 or self.points % 2:
            raise OptionError(
                f"Kuramoto-Sivashinsky: points = {self.points}; expected an even number from 8 on."
            )

    def coords(self) -> dict[str, Axis]:
        x = self.length * np.arange(self.points) / self.points
        return {"x": axis(x, "position", periodic=1)}

    def times(self) -> Axis:
        return axis(self.every * self.step * np.arange(self.snapshots), "time on the attractor")

    def trajectories(self) -> Iterator[Iterator[np.ndarray]]:
        yield self._blocks()

    def initial(self) -> np.ndarray:
        """Start u (points,): four longest waves of random phase, mean zero."""
        rng = np.random.default_rng(self.seed)
        x = 2 * np.pi * np.arange(self.points) / self.points
        amplitude, phase = rng.uniform(0.5, 1.0, 4), rng.uniform(0, 2 * np.pi, 4)
        waves = [a * np.cos(n * x + p) for n, (a, p) in enumerate(zip(amplitude, phase), 1)]  # noqa: B905
        return np.sum(waves, axis=0)

    def _blocks(self) -> Iterator[np.ndarray]:
        stepper = Spectral(self.length, self.points, self.step)
        u_q = np.fft.rfft(self.initial())
        u_q = stepper.advance(u_q, round(self.discard / self.step))
        for start in range(0, self.snapshots, BLOCK):
            block = np.empty((min(BLOCK, self.snapshots - start), 1, self.points), np.float32)
            for i in range(len(block)):
                if start + i:
                    u_q = stepper.advance(u_q, self.every)
                block[i, 0] = np.fft.irfft(u_q, self.points)
            yield block


class Spectral:
    """Steps of size ``step`` for half-complex coefficients u_q (points // 2 + 1,)."""

    def __init__(self, length: float, points: int, step: float):
        q = 2 * np.pi / length * np.arange(points // 2 + 1)
        self.points = points
        self.g = -0.5j * q
        self.g[-1] = 0  # the derivative of the sawtooth wave has no value at the grid points
        self.method = ETDRK4(q**2 - q**4, step, self.nonlinear)

    def nonlinear(self, u_q: np.ndarray) -> np.ndarray:
        """N(u)_q = -(i q / 2) (u^2)_q."""
        u = np.fft.irfft(u_q, self.points)
        return self.g * np.fft.rfft(u * u)

    def advance(self, u_q: np.ndarray, steps: int) -> np.ndarray:
        """u_q after ``steps`` steps."""
        for _ in range(steps):
            u_q = self.method.step(u_q)
        return u_q
