"""Viscous Burgers equation in closed form, over the Reynolds number.

    u_t + u u_x = u_xx / Re,    0 <= x <= 1,    0 <= t <= 2

    u(x, t) = [x / (t + 1)] / [1 + sqrt((t + 1) / t0) exp(Re x^2 / (4 t + 4))],
    t0 = exp(Re / 8)

A front that steepens with Re while it moves right. With the logistic function
s(z) = 1 / (1 + exp(-z)) the same formula reads

    u = x / (t + 1) s(-E),    E = Re (x^2 / (4 t + 4) - 1/16) + log(t + 1) / 2

which does not overflow: t0 alone would at Re > 5678. u vanishes at x = 0 exactly; at
x = 1 it is small (at t = 2: 6e-2 for Re 50, 2e-23 for Re 2450) and not zero, although the
publication calls the boundary a homogeneous Dirichlet one.

Source: Maulik, Lusch & Balaprakash (2021), "Reduced-order modeling of
advection-dominated systems with recurrent neural networks and convolutional
autoencoders", Physics of Fluids 33, 037106. The three validation cases are ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from romae.cases.base import Attrs, Axis, Case, axis


@dataclass(frozen=True)
class Burgers(Case):
    """One trajectory for each Reynolds number, in the order given: train, valid, test."""

    reynolds: tuple[float, ...]  # nondimensional, as everything here
    points: int = 128
    snapshots: int = 100
    end: float = 2.0  # last time

    name: ClassVar[str] = "burgers"
    title: ClassVar[str] = "Viscous Burgers equation, closed form over the Reynolds number"
    source: ClassVar[str] = (
        "closed form: Maulik, Lusch and Balaprakash (2021), Reduced-order modeling of "
        "advection-dominated systems, Physics of Fluids 33, 037106"
    )
    variables: ClassVar[dict[str, Attrs]] = {"u": {"long_name": "velocity"}}

    def coords(self) -> dict[str, Axis]:
        return {"x": axis(np.linspace(0, 1, self.points), "position")}

    def times(self) -> Axis:
        return axis(np.linspace(0, self.end, self.snapshots), "time")

    def parameters(self) -> dict[str, Axis]:
        return {"Re": axis(np.array(self.reynolds, float), "Reynolds number")}

    def trajectories(self) -> Iterator[Iterator[np.ndarray]]:
        x, t = self.coords()["x"].values, self.times().values
        for re in self.reynolds:
            yield iter([velocity(x, t[:, None], re)[:, None].astype(np.float32)])


def velocity(x: np.ndarray, t: np.ndarray, re: float) -> np.ndarray:
    """u(x, t) by the closed form, float64 (or complex, for derivatives by complex steps).

    ``x`` and ``t`` broadcast against each other.
    """
    E = re * (x**2 / (4 * (t + 1)) - 1 / 16) + np.log(t + 1) / 2
    # exp of a negative number on either side of the front
    decay = np.exp(-np.where(np.real(E) > 0, E, -E))
    return x / (t + 1) * np.where(np.real(E) > 0, decay, 1) / (1 + decay)
