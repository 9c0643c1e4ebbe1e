"""Advected pulse: the hard case for linear reduction, with one exact degree of freedom.

    s_t + c s_x = 0,    s(x, t) = (pi w)^(-1/2) exp(-(x - x0 - c t)^2 / w)

on [0, 1] with w = 2e-4, x0 = 0.1, c = 10 and t in [0, 0.1]: the pulse crosses the
domain, and has left it on the right at the last time (the domain is not periodic).
The states lie on a curve, while POD needs a mode per pulse width. Even snapshots
are for training and odd ones for testing, so a test state lies between two training
states: interpolation along the curve, not extrapolation.

Source: Schwerdtner & Peherstorfer (2024), "Greedy construction of quadratic manifolds
for nonlinear dimensionality reduction and nonlinear model reduction".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from romae.cases.base import Attrs, Axis, Case, axis

BLOCK = 128  # snapshots per block: 2 MiB at full size


@dataclass(frozen=True)
class Pulse(Case):
    """A Gaussian of unit area moving at constant speed; nondimensional."""

    points: int = 4096
    snapshots: int = 2000
    end: float = 0.1  # last time
    speed: float = 10.0  # c
    start: float = 0.1  # x0, centre at t = 0
    width: float = 2e-4  # w, twice the variance

    name: ClassVar[str] = "pulse"
    title: ClassVar[str] = "Advected Gaussian pulse"
    source: ClassVar[str] = (
        "closed form: Schwerdtner and Peherstorfer (2024), Greedy construction of quadratic "
        "manifolds for nonlinear dimensionality reduction and nonlinear model reduction"
    )
    variables: ClassVar[dict[str, Attrs]] = {"s": {"long_name": "concentration"}}

    def coords(self) -> dict[str, Axis]:
        return {"x": axis(np.linspace(0, 1, self.points), "position")}

    def times(self) -> Axis:
        return axis(np.linspace(0, self.end, self.snapshots), "time")

    def trajectories(self) -> Iterator[Iterator[np.ndarray]]:
        yield self._blocks()

    def state(self, x: np.ndarray, t: np.ndarray) -> np.ndarray:
        """s(x, t), float64; ``x`` and ``t`` broadcast against each other."""
        xi = x - self.start - self.speed * t
        return np.exp(-(xi**2) / self.width) / np.sqrt(np.pi * self.width)

    def _blocks(self) -> Iterator[np.ndarray]:
        x, t = self.coords()["x"].values, self.times().values
        for start in range(0, self.snapshots, BLOCK):
            values = self.state(x, t[start : start + BLOCK, None])
            yield values[:, None].astype(np.float32)
