"""Kolmogorov flow: a periodic square driven by a standing sine (case F).

    du/dt + u . grad u = -grad p + (1/Re) lap u + (sin(n y), 0),     div u = 0

on [0, 2 pi]^2, everything dimensionless. At n = 4 the flow is quasi-periodic at Re = 30 and chaotic
at Re = 34 (Racca, Doan & Magri 2023, "Predicting turbulent dynamics with the convolutional
autoencoder echo state network"). In terms of vorticity w and stream function psi,

    w = dv/dx - du/dy,   -lap psi = w,   u = d psi/dy,   v = -d psi/dx
    dw/dt = L w + N(w),  L = (1/Re) lap,  N(w) = -div(u w) - n cos(n y)

Space: Fourier series, products on the grid, waves with |kx| or |ky| of at least points/3 dropped,
which removes all aliasing from quadratic terms. Velocities are free of divergence to rounding.

Time: ETDRK4 (:mod:`romae.cases.etdrk4`) with step h: L is integrated exactly, so laminar flow and
the decay of a Taylor-Green vortex have no error in time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import fft

from romae.cases.base import Axis, Case, axis
from romae.cases.etdrk4 import ETDRK4
from romae.errors import OptionError

Array = np.ndarray


@dataclass(frozen=True)
class Kolmogorov(Case):
    """Kolmogorov flow: one trajectory of (u, v) per Reynolds number, shape (time, 2, y, x).

    Raises :class:`~romae.errors.OptionError` for a grid that cannot hold the forcing.
    """

    reynolds: tuple[float, ...] = (30.0, 34.0)
    points: int = 48  # along each axis
    wavenumber: int = 4  # n of the forcing sin(n y)
    dt: float = 0.05  # step h of the time integration
    save_every: int = 2  # steps between snapshots
    transient: float = 500.0  # time computed and not stored
    snapshots: int = 20000  # per trajectory
    seed: int = 0  # of the random large-scale initial vorticity

    name: ClassVar[str] = "kolmogorov"
    title: ClassVar[str] = "Kolmogorov flow, quasi-periodic and chaotic"
    source: ClassVar[str] = (
        "dealiased Fourier series for the vorticity, ETDRK4 (Kassam & Trefethen 2005); "
        "set-up of Racca, Doan & Magri 2023"
    )
    variables: ClassVar[dict[str, dict[str, Any]]] = {
        "u": {"long_name": "velocity along x, the direction of the forcing", "units": "1"},
        "v": {"long_name": "velocity along y", "units": "1"},
    }

    def __post_init__(self) -> None:
        if 3 * self.wavenumber >= self.points:
            raise OptionError(
                f"kolmogorov's forcing has wave number {self.wavenumber}, and {self.points} points "
                f"keep waves below {self.points / 3:g}; set points to {3 * self.wavenumber + 1} "
                "or more"
            )

    def coords(self) -> dict[str, Axis]:
        """Positions along y and x; both axes are periodic."""
        s = 2.0 * np.pi * np.arange(self.points) / self.points
        return {dim: axis(s, f"{dim} position", axis=dim.upper(), periodic=1) for dim in ("y", "x")}

    def times(self) -> Axis:
        """Times since the first stored snapshot."""
        return axis(self.dt * self.save_every * np.arange(self.snapshots), "time")

    def parameters(self) -> dict[str, Axis]:
        """The Reynolds number of each trajectory."""
        return {"reynolds": axis(np.array(self.reynolds), "Reynolds number")}

    def trajectories(self) -> Iterator[Iterator[Array]]:
        """Per Reynolds number the snapshots one by one, (1, 2, y, x) of float32."""
        for reynolds in self.reynolds:
            yield self._snapshots(Spectral(self.points, reynolds, self.dt, self.wavenumber))

    def _snapshots(self, flow: "Spectral") -> Iterator[Array]:
        w = self.initial(flow)
        for _ in range(round(self.transient / self.dt)):
            w = flow.step(w)
        for n in range(self.snapshots):
            for _ in range(self.save_every if n else 0):
                w = flow.step(w)
            yield flow.velocity(w)[None].astype(np.float32)

    def initial(self, flow: "Spectral") -> Array:
        """Spectrum of a random vorticity of unit variance with waves of |k| < 4."""
        rng = np.random.default_rng(self.seed)
        w = flow.spectrum(rng.standard_normal((self.points, self.points)))
        w[(flow.k2 == 0.0) | (flow.k2 >= 16.0)] = 0.0
        return w / np.std(flow.field(w))


class Spectral:
    """Vorticity spectra w, complex (points, points // 2 + 1) for (ky, kx), and their time step."""

    def __init__(self, points: int, reynolds: float, dt: float, wavenumber: int) -> None:
        self.points, self.nu = points, 1.0 / reynolds
        self.kx = np.arange(points // 2 + 1.0)
        self.ky = (np.fft.fftfreq(points) * points)[:, None]
        self.k2 = self.kx**2 + self.ky**2
        self.keep = (self.kx < points / 3) & (np.abs(self.ky) < points / 3)
        y = 2.0 * np.pi * np.arange(points) / points
        curl = -wavenumber * np.cos(wavenumber * y)[:, None] * np.ones(points)
        self.forcing = self.spectrum(curl)
        safe = np.where(self.k2 == 0.0, 1.0, self.k2)
        # From w to (u, v, w); the mean flow is zero, since nothing drives it.
        self.to_fields = np.stack([1j * self.ky / safe, -1j * self.kx / safe, self.keep])
        self.to_fields[:, 0, 0] = 0.0
        self.step = ETDRK4(-self.nu * self.k2, dt, self.nonlinear).step

    def spectrum(self, field: Array) -> Array:
        """Dealiased spectrum of fields (..., y, x)."""
        return fft.rfft2(field) * self.keep

    def field(self, spectrum: Array) -> Array:
        """Fields (..., y, x) of spectra."""
        return fft.irfft2(spectrum, s=(self.points, self.points))

    def velocity(self, w: Array) -> Array:
        """(u, v) on the grid, shape (2, y, x)."""
        return self.field(self.to_fields[:2] * w)

    def nonlinear(self, w: Array) -> Array:
        """N(w) = -div(u w) + curl of the forcing."""
        u, v, vorticity = self.field(self.to_fields * w)
        flux = self.spectrum(np.stack([u * vorticity, v * vorticity]))
        return self.forcing - 1j * (self.kx * flux[0] + self.ky * flux[1])
