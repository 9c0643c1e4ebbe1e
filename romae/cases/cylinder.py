"""Flow past a circular cylinder, shedding a vortex street (case W).

Lengths in diameters D, velocities in the inflow U, times in D/U; Re = U D / nu:

    du/dt + div(u u) = -grad p + (1/Re) lap u + f,      div u = 0

u = (1, 0) at the inlet, v = 0 and du/dy = 0 (free slip) at the lateral sides, du/dt + du/dx = 0
at the outlet; f holds the fluid at rest inside the cylinder r < 1/2. The blockage is D/height.

Space: staggered grid (Harlow & Welch 1965, "Numerical calculation of time-dependent viscous
incompressible flow"), u on x faces, v on y faces, central fluxes, spacing h = 1/cells. The flux of
u through a face carries advection and viscosity together, so that one difference gives both.

Time: incremental projection (van Kan 1986, "A second-order accurate pressure-correction scheme"),
second-order Adams-Bashforth N = (3 N^n - N^(n-1)) / 2 with N = -div(u u - grad u / Re):

    u*      = (1 - chi) (u^n + dt (N - grad p^n))
    lap phi = div u* / dt,    u^(n+1) = u* - dt grad phi,    p^(n+1) = p^n + phi

chi is the solid fraction of the volume around each velocity (Kajishima et al. 2001, "Turbulence
structure of particle-laden flow at high Reynolds numbers"). The discrete Laplacian with Neumann
sides is diagonal under the cosine transform DCT-II, so div u vanishes to rounding.

The stored fields are means over faces and over coarsen x coarsen cells, cut to a window around the
wake; the mask is r >= 1/2 at the centres of the stored points.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from scipy import fft

from romae.cases.base import Axis, Case, axis
from romae.errors import OptionError

Array = np.ndarray


@dataclass(frozen=True)
class Cylinder(Case):
    """Cylinder wake: one trajectory of (u, v) on the limit cycle, shape (time, 2, y, x).

    Raises :class:`~romae.errors.OptionError` for a window that does not fit into the domain and for
    a time step beyond the scheme's limit.
    """

    reynolds: float = 100.0  # U D / nu
    cells: int = 16  # solver cells per diameter
    coarsen: int = 1  # solver cells per stored point, along each axis
    upstream: float = 8.0  # D, inlet to centre of the cylinder
    downstream: float = 15.0  # D, centre to outlet
    height: float = 16.0  # D, between the free-slip sides
    window: tuple[float, float, float] = (2.0, 14.0, 6.0)  # D, stored: upstream, downstream, height
    dt: float = 0.0155  # D/U
    save_every: int = 9  # steps between snapshots
    transient: float = 100.0  # D/U, computed and not stored
    snapshots: int = 600

    name: ClassVar[str] = "cylinder"
    title: ClassVar[str] = "Vortex street behind a circular cylinder"
    source: ClassVar[str] = (
        "staggered-grid projection method (Harlow & Welch 1965, van Kan 1986), "
        "volume-fraction forcing in the cylinder (Kajishima et al. 2001)"
    )
    variables: ClassVar[dict[str, dict[str, Any]]] = {
        "u": {"long_name": "streamwise velocity over inflow velocity", "units": "1"},
        "v": {"long_name": "transverse velocity over inflow velocity", "units": "1"},
    }

    def __post_init__(self) -> None:
        up, down, height = self.window
        if up > self.upstream or down > self.downstream or height > self.height:
            raise OptionError(
                f"the cylinder's window {tuple(self.window)} (upstream, downstream, height in D) "
                f"exceeds the domain {(self.upstream, self.downstream, self.height)}; "
                "make the window smaller or the domain larger"
            )
        if any(length * self.cells % self.coarsen for length in (up + down, height)):
            raise OptionError(
                f"the cylinder's window of {up + down:g} x {height:g} D has "
                f"{(up + down) * self.cells:g} x {height * self.cells:g} solver cells, not a "
                f"multiple of coarsen = {self.coarsen}; change coarsen or window"
            )
        # 1.8 U is above the largest velocity beside the cylinder at the blockages of interest.
        limit = min(0.6 / (1.8 * self.cells), self.reynolds / (8.0 * self.cells**2))
        if self.dt > limit:
            raise OptionError(
                f"the cylinder's dt = {self.dt} D/U is unstable with {self.cells} cells per "
                f"diameter at Re = {self.reynolds:g}; set dt to at most {limit:.3g}"
            )

    def coords(self) -> dict[str, Axis]:
        """Centres of the stored points, in diameters from the cylinder's centre."""
        up, down, height = self.window
        h = self.coarsen / self.cells
        x = h * (np.arange(round((up + down) / h)) + 0.5) - up
        y = h * (np.arange(round(height / h)) + 0.5) - 0.5 * height
        return {
            "y": axis(y, "transverse position over diameter", axis="Y"),
            "x": axis(x, "streamwise position over diameter", axis="X"),
        }

    def times(self) -> Axis:
        """Times since the first stored snapshot, in D/U."""
        values = self.dt * self.save_every * np.arange(self.snapshots)
        return axis(values, "time times inflow velocity over diameter", axis="T")

    def mask(self) -> Array:
        """True outside the cylinder, (y, x)."""
        y, x = (a.values for a in self.coords().values())
        return np.hypot(x, y[:, None]) >= 0.5

    def trajectories(self) -> Iterator[Iterator[Array]]:
        """The one trajectory, snapshot by snapshot, (1, 2, y, x) of float32."""
        yield self._snapshots()

    def _snapshots(self) -> Iterator[Array]:
        flow = Flow(self)
        for _ in range(round(self.transient / self.dt)):
            flow.step()
        for n in range(self.snapshots):
            for _ in range(self.save_every if n else 0):
                flow.step()
            yield self._store(flow)[None].astype(np.float32)

    def _store(self, flow: "Flow") -> Array:
        """Cell means of u and v in the window, shape (2, y, x)."""
        up, down, height = self.window
        n, c = self.cells, self.coarsen
        i, j = round((self.upstream - up) * n), round((self.height - height) * n / 2)
        cut = np.s_[j : j + round(height * n), i : i + round((up + down) * n)]
        cells = np.stack([flow.centred_u()[cut], flow.centred_v()[cut]])
        _, ny, nx = cells.shape
        return cells.reshape(2, ny // c, c, nx // c, c).mean(axis=(2, 4))


class Flow:
    """State and time step of the solver; arrays are (y, x).

    `u`: x faces with a ghost row on either side, shape (ny + 2, nx + 1); `v`: y faces with a ghost
    column on either side, shape (ny + 1, nx + 2); `p`: cells, shape (ny, nx). All float64.
    """

    def __init__(self, case: Cylinder) -> None:
        self.dt, self.h, self.nu = case.dt, 1.0 / case.cells, 1.0 / case.reynolds
        nx = round((case.upstream + case.downstream) * case.cells)
        ny = round(case.height * case.cells)
        x = self.h * np.arange(nx + 1) - case.upstream
        y = self.h * np.arange(ny + 1) - 0.5 * case.height
        xc, yc = x[:-1] + 0.5 * self.h, y[:-1] + 0.5 * self.h
        self.fluid_u = 1.0 - self._solid(x[1:-1], yc)  # 1 - chi at the faces that are solved for
        self.fluid_v = 1.0 - self._solid(xc, y[1:-1])
        self.u = np.ones((ny + 2, nx + 1))
        self.v = np.zeros((ny + 1, nx + 2))
        self.p = np.zeros((ny, nx))
        # A transverse gust behind the cylinder: the symmetric flow would shed only by rounding.
        self.v[1:-1, 1:-1] = 0.5 * np.exp(-((xc - 1.0) ** 2) - y[1:-1, None] ** 2)
        self.old: tuple[Array, Array] | None = None

    def _solid(self, x: Array, y: Array) -> Array:
        """Solid fraction from the signed distance to the circle, linear across one spacing."""
        return np.clip(0.5 + (0.5 - np.hypot(x, y[:, None])) / self.h, 0.0, 1.0)

    @cached_property
    def eigenvalues(self) -> Array:
        """Of the Laplacian with Neumann sides under DCT-II, (ny, nx); the constant's zero is 1."""
        waves = [(2.0 * np.cos(np.pi * np.arange(n) / n) - 2.0) / self.h**2 for n in self.p.shape]
        values = waves[0][:, None] + waves[1]
        values[0, 0] = 1.0
        return values

    def centred_u(self) -> Array:
        """u at the cell centres, (ny, nx)."""
        return 0.5 * (self.u[1:-1, 1:] + self.u[1:-1, :-1])

    def centred_v(self) -> Array:
        """v at the cell centres, (ny, nx)."""
        return 0.5 * (self.v[1:, 1:-1] + self.v[:-1, 1:-1])

    def divergence(self) -> Array:
        """div u in the cells, (ny, nx)."""
        return (np.diff(self.u[1:-1], axis=1) + np.diff(self.v[:, 1:-1], axis=0)) / self.h

    def tendencies(self) -> tuple[Array, Array]:
        """N = -div(u u - nu grad u) at the inner faces: (ny, nx - 1) for u, (ny - 1, nx) for v."""
        u, v, r = self.u, self.v, self.nu / self.h
        cross = 0.25 * (u[1:] + u[:-1]) * (v[:, 1:] + v[:, :-1])  # u v at the corners
        xx = self.centred_u() ** 2 - r * np.diff(u[1:-1], axis=1)
        yy = self.centred_v() ** 2 - r * np.diff(v[:, 1:-1], axis=0)
        yx = cross - r * np.diff(u, axis=0)  # of u, through the faces above and below
        xy = cross - r * np.diff(v, axis=1)  # of v, through the faces left and right
        nu = -(np.diff(xx, axis=1) + np.diff(yx[:, 1:-1], axis=0)) / self.h
        nv = -(np.diff(yy, axis=0) + np.diff(xy[1:-1], axis=1)) / self.h
        return nu, nv

    def step(self) -> None:
        """Advance by dt."""
        dt, h, u, v = self.dt, self.h, self.u, self.v
        new = self.tendencies()
        old = new if self.old is None else self.old
        self.old = new
        outlet = u[1:-1, -1] - dt / h * (u[1:-1, -1] - u[1:-1, -2])
        v[:, -1] -= dt / h * (v[:, -1] - v[:, -2])
        for face, fluid, n, o, along in (
            (u[1:-1, 1:-1], self.fluid_u, new[0], old[0], 1),
            (v[1:-1, 1:-1], self.fluid_v, new[1], old[1], 0),
        ):
            face += dt * (1.5 * n - 0.5 * o) - (dt / h) * np.diff(self.p, axis=along)
            face *= fluid
        u[1:-1, -1] = outlet + (1.0 - outlet.mean())  # what flows in flows out
        phi = fft.dctn(self.divergence() / dt) / self.eigenvalues
        phi[0, 0] = 0.0
        phi = fft.idctn(phi)
        u[1:-1, 1:-1] -= (dt / h) * np.diff(phi, axis=1)
        v[1:-1, 1:-1] -= (dt / h) * np.diff(phi, axis=0)
        self.p += phi
        u[0], u[-1] = u[1], u[-2]  # free slip
        v[:, 0] = -v[:, 1]  # v = 0 on the inlet, which lies between ghost and first column
