"""A drop falls into shallow water in a periodic square (case C).

Depth h = q1, velocity (u, v), momentum per unit width q2 = h u, q3 = h v:

    dq1/dt + d(q2)/dx                    + d(q3)/dy                    = 0
    dq2/dt + d(q2^2/q1 + g q1^2/2)/dx    + d(q2 q3/q1)/dy              = 0
    dq3/dt + d(q2 q3/q1)/dx              + d(q3^2/q1 + g q1^2/2)/dy    = 0

on [-1/2, 1/2]^2 with, at the start, q2 = q3 = 0 and a drop on water 1 m deep,

    q1 = 1 + exp(-r^2 / (2 width^2)),    r: distance to (x0, y0), the nearest periodic image.

The set-up is that of Maulik, Lusch & Balaprakash 2021, "Reduced-order modeling of advection-
dominated systems with recurrent neural networks and convolutional autoencoders"; the fluxes are the
conservative ones above, so mass and momentum are kept to rounding.

Method: finite volumes. Both edge values of every cell come from the WENO-Z reconstruction of fifth
order (Borges, Carmona, Costa & Don 2008, "An improved weighted essentially non-oscillatory
scheme"), one axis at a time, and meet in the local Lax-Friedrichs flux

    F = (f(q-) + f(q+)) / 2 - a (q+ - q-) / 2,    a = max(|u| + sqrt(g h)) of the two sides;

time by the third-order SSP Runge-Kutta method of Shu & Osher 1988. Fifth order for waves along an
axis, second in two dimensions (the flux at the middle of an edge stands for its mean). The y axis
is the x axis of the transposed state, so transposed initial states stay transposed bit for bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from romae.cases.base import Axis, Case, axis
from romae.errors import OptionError

Array = np.ndarray


@dataclass(frozen=True)
class ShallowWater(Case):
    """Shallow-water drops: `drops` trajectories of (q1, q2, q3), shape (time, 3, y, x).

    Raises :class:`~romae.errors.OptionError` for a time step beyond the scheme's limit.
    """

    points: int = 64  # cells along each axis
    drops: int = 100  # trajectories; centres from a Latin hypercube over the square
    snapshots: int = 96  # per trajectory, the first at t = 0
    save_every: int = 5  # steps between snapshots
    dt: float = 1e-3  # s
    gravity: float = 9.8  # m s-2
    width: float = 0.05  # m, standard deviation of the drop
    seed: int = 0

    name: ClassVar[str] = "shallow-water"
    title: ClassVar[str] = "Shallow water: waves of a falling drop in a periodic square"
    source: ClassVar[str] = (
        "finite volumes, WENO-Z (Borges et al. 2008), SSP-RK3 (Shu & Osher 1988); "
        "set-up of Maulik et al. 2021"
    )
    variables: ClassVar[dict[str, dict[str, Any]]] = {
        "q1": {"long_name": "water depth", "units": "m"},
        "q2": {"long_name": "depth times velocity along x", "units": "m2 s-1"},
        "q3": {"long_name": "depth times velocity along y", "units": "m2 s-1"},
    }

    def __post_init__(self) -> None:
        # Depth is at most 2 m; flow speeds stay below half the wave speed there.
        limit = 0.6 / (self.points * 1.5 * (2.0 * self.gravity) ** 0.5)
        if self.dt > limit:
            raise OptionError(
                f"shallow-water's dt = {self.dt} s is unstable on {self.points} x {self.points} "
                f"cells; set dt to at most {limit:.2g}"
            )

    def coords(self) -> dict[str, Axis]:
        """Cell centres along y and x, in metres; both axes are periodic."""
        centres = (np.arange(self.points) + 0.5) / self.points - 0.5
        return {
            dim: axis(centres, f"{dim} position", units="m", axis=dim.upper(), periodic=1)
            for dim in ("y", "x")
        }

    def times(self) -> Axis:
        """Times from the fall of the drop, in seconds."""
        return axis(self.dt * self.save_every * np.arange(self.snapshots), "time", units="s")

    def parameters(self) -> dict[str, Axis]:
        """Centres of the drops, in metres."""
        # A Latin hypercube: every strip of width 1 / drops, along x or y, holds one drop.
        rng = np.random.default_rng(self.seed)
        x0, y0 = (
            (rng.permutation(self.drops) + rng.random(self.drops)) / self.drops - 0.5 for _ in "xy"
        )
        return {
            "x0": axis(x0, "x position of the drop", units="m"),
            "y0": axis(y0, "y position of the drop", units="m"),
        }

    def trajectories(self) -> Iterator[Iterator[Array]]:
        """Per drop the snapshots one by one, (1, 3, y, x) of float32."""
        for x0, y0 in zip(*(p.values for p in self.parameters().values()), strict=True):
            yield self._snapshots(self.initial(x0, y0))

    def initial(self, x0: float, y0: float) -> Array:
        """State (3, y, x) at t = 0 for a drop at (`x0`, `y0`), in metres."""
        y, x = (a.values for a in self.coords().values())
        # To the nearest image; the period is 1 m.
        dx, dy = (d - np.round(d) for d in (x - x0, y - y0))
        q = np.zeros((3, self.points, self.points))
        q[0] = 1.0 + np.exp(-(dx**2 + dy[:, None] ** 2) / (2.0 * self.width**2))
        return q

    def _snapshots(self, q: Array) -> Iterator[Array]:
        for n in range(self.snapshots):
            for _ in range(self.save_every if n else 0):
                q = step(q, self.dt, 1.0 / self.points, self.gravity)
            yield q[None].astype(np.float32)


def step(q: Array, dt: float, spacing: float, gravity: float) -> Array:
    """One SSP-RK3 step of the state `q`, (3, y, x) in m and m2 s-1; `dt` s, `spacing` m."""
    q1 = q + dt * rate(q, spacing, gravity)
    q2 = 0.75 * q + 0.25 * (q1 + dt * rate(q1, spacing, gravity))
    return q / 3.0 + 2.0 / 3.0 * (q2 + dt * rate(q2, spacing, gravity))


def rate(q: Array, spacing: float, gravity: float) -> Array:
    """dq/dt of the state `q`, (3, y, x)."""
    along_x = _difference(q, gravity)
    # Swap x with y, and with them the two momenta.
    turned = np.ascontiguousarray(q[[0, 2, 1]].swapaxes(1, 2))
    along_y = _difference(turned, gravity)[[0, 2, 1]].swapaxes(1, 2)
    return -(along_x + along_y) / spacing


def _difference(q: Array, gravity: float) -> Array:
    """Flux through the right edge minus flux through the left edge, along x."""
    left, right = reconstruct(np.concatenate([q[..., -3:], q, q[..., :3]], axis=-1))
    minus, plus = right[..., :-1], left[..., 1:]  # the two sides of the n + 1 edges
    f_minus, a_minus = _flux(minus, gravity)
    f_plus, a_plus = _flux(plus, gravity)
    a = np.maximum(a_minus, a_plus)
    return np.diff(0.5 * (f_minus + f_plus) - 0.5 * a * (plus - minus), axis=-1)


def _flux(q: Array, gravity: float) -> tuple[Array, Array]:
    """Flux along x, like `q`, and the largest signal speed, (y, x)."""
    u = q[1] / q[0]
    f = q * u
    f[1] += 0.5 * gravity * q[0] ** 2
    return f, np.abs(u) + np.sqrt(gravity * q[0])


def reconstruct(q: Array) -> tuple[Array, Array]:
    """Values at the left and right edges of the cells by WENO-Z along the last axis.

    `q` are cell means, (..., n); the result has (..., n - 4): two cells are lost on either side.
    """
    a, b, c, d, e = (q[..., s : q.shape[-1] - 4 + s] for s in range(5))
    beta = (  # how rough each of the three parabolas through c is
        13 / 12 * (a - 2 * b + c) ** 2 + 0.25 * (a - 4 * b + 3 * c) ** 2,
        13 / 12 * (b - 2 * c + d) ** 2 + 0.25 * (b - d) ** 2,
        13 / 12 * (c - 2 * d + e) ** 2 + 0.25 * (3 * c - 4 * d + e) ** 2,
    )
    tau = np.abs(beta[0] - beta[2])
    s0, s1, s2 = (1.0 + (tau / (r + 1e-40)) ** 2 for r in beta)
    w0, w1, w2 = s0, 6.0 * s1, 3.0 * s2  # ideal weights 1/10, 6/10, 3/10 towards the right
    right = w0 * (2 * a - 7 * b + 11 * c) + w1 * (5 * c - b + 2 * d) + w2 * (2 * c + 5 * d - e)
    right /= 6.0 * (w0 + w1 + w2)
    w0, w1, w2 = 3.0 * s0, 6.0 * s1, s2
    left = w2 * (2 * e - 7 * d + 11 * c) + w1 * (5 * c - d + 2 * b) + w0 * (2 * c + 5 * b - a)
    left /= 6.0 * (w0 + w1 + w2)
    return left, right
