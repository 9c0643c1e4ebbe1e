"""Statistics of snapshots, added up block by block: what truth and rollouts are compared by.

Per field c: histogram of its values; power over wavenumber along each even axis; time series at
some points, for power over frequency. Over all fields: functionals, one number per snapshot,
and a joint histogram. Memory holds the bins and the series at the points, not the snapshots.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from romae.compare.statistics import space_spectrum, spectrum
from romae.fields import Layout
from romae.metrics import energy, over_groups, unit_groups

BINS, JOINT_BINS = 400, 48
POINTS = 64  # at which time series are kept, per field
WIDER = 0.5  # of the range of the truth, on each side of the bins

Functional = Callable[[np.ndarray], np.ndarray]  # values (b, C, *space) -> (b,)
Pair = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # -> two arrays of one shape


@dataclass
class Frame:
    """What all tallies of one comparison share: bins, axes, points, functionals."""

    layout: Layout
    mean: np.ndarray  # (C, *space)
    low: np.ndarray  # (C,) of the bins
    high: np.ndarray
    functionals: Mapping[str, Functional]
    joint: Pair | None
    joint_range: tuple[tuple[float, float], tuple[float, float]] = ((-1, 1), (-1, 1))
    points: np.ndarray = field(init=False)  # flat indices of valid points
    axes: dict[str, tuple[int, float, bool]] = field(init=False)  # name: axis, spacing, periodic

    def __post_init__(self) -> None:
        valid = np.flatnonzero((self.layout.quadrature > 0).all(0).ravel())
        pick = np.linspace(0, len(valid) - 1, min(POINTS, len(valid))).round().astype(int)
        self.points = valid[pick]
        self.axes = even_axes(self.layout)

    @property
    def width(self) -> np.ndarray:
        """Of the bins of each field, (C,)."""
        return (self.high - self.low) / BINS

    @property
    def centres(self) -> np.ndarray:
        """(C, BINS)."""
        return self.low[:, None] + self.width[:, None] * (np.arange(BINS) + 0.5)


def even_axes(layout: Layout) -> dict[str, tuple[int, float, bool]]:
    """Space axes with even coordinates: index from the left of *space, spacing, periodic."""
    found: dict[str, tuple[int, float, bool]] = {}
    if layout.unstructured:
        return found
    for i, name in enumerate(layout.space):
        x = layout.coords.get(name)
        if layout.shape[i] < 8:
            continue
        if x is None:
            found[name] = (i, 1.0, layout.periodic[i])
            continue
        values = np.asarray(x.values)
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            continue
        steps = np.diff(values.astype(float))
        if np.ptp(steps) <= 1e-3 * abs(steps.mean()) and steps.mean() != 0:
            found[name] = (i, abs(float(steps.mean())), layout.periodic[i])
    return found


class Tally:
    """Statistics of one model, or of the truth, in a :class:`Frame`."""

    def __init__(self, frame: Frame) -> None:
        C = frame.layout.channels
        self.frame, self.count = frame, 0
        self.histogram = np.zeros((C, BINS))
        self.space = {n: np.zeros((C, frame.layout.shape[i] // 2 + 1))
                      for n, (i, _, _) in frame.axes.items()}  # fmt: skip
        self.joint = np.zeros((JOINT_BINS, JOINT_BINS))
        self.values: dict[str, list[np.ndarray]] = {n: [] for n in frame.functionals}
        self.series: list[list[np.ndarray]] = []

    def begin(self) -> None:
        """A new trajectory: time series do not go on from the one before."""
        self.series.append([])

    def add(self, x: np.ndarray) -> None:
        """Account for the next snapshots ``x`` (b, C, *space), physical units, NaN where masked."""
        frame, flat = self.frame, x.reshape(*x.shape[:2], -1)
        weights = frame.layout.quadrature
        for c in range(x.shape[1]):
            # Outside the bins is as far as it gets: infinity is not a place.
            wide = frame.width[c] or 1.0
            at = np.nan_to_num((flat[:, c] - frame.low[c]) / wide, posinf=BINS, neginf=0)
            place = np.clip(at, 0, BINS - 1).astype(int)
            each = np.broadcast_to(weights[c].ravel(), place.shape)
            self.histogram[c] += np.bincount(place.ravel(), each.ravel(), minlength=BINS)
        fluctuation = np.where(weights > 0, x - frame.mean, 0.0)
        for name, (axis, spacing, periodic) in frame.axes.items():
            for c in range(x.shape[1]):
                _, power = space_spectrum(fluctuation[:, c], axis + 1, spacing, periodic=periodic)
                self.space[name][c] += len(x) * power
        for name, functional in frame.functionals.items():
            self.values[name].append(np.asarray(functional(x), dtype=float))
        if frame.joint is not None:
            a, b = (np.asarray(v).ravel() for v in frame.joint(x))
            (la, ha), (lb, hb) = frame.joint_range
            a, b = np.clip(a, la, ha), np.clip(b, lb, hb)
            good = np.isfinite(a) & np.isfinite(b)
            self.joint += np.histogram2d(a[good], b[good], JOINT_BINS, frame.joint_range)[0]
        self.series[-1].append(flat[:, :, frame.points].astype(np.float32))
        self.count += len(x)

    def time_spectrum(self, dt: float, segment: int) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies (F,) and mean power (C, F) over points and trajectories."""
        total: np.ndarray | float = 0.0
        f, weight = np.zeros(0), 0
        for parts in self.series:
            x = np.concatenate(parts)
            if len(x) < segment:
                continue
            f, power = spectrum(x, dt, segment=segment)
            total, weight = total + len(x) * power.mean(-1).T, weight + len(x)
        return f, np.asarray(total) / weight

    def space_spectra(self) -> dict[str, np.ndarray]:
        """Power (C, K) over angular wavenumber, per axis."""
        return {n: p / max(self.count, 1) for n, p in self.space.items()}


def default_functionals(
    layout: Layout, mean: np.ndarray, reference: np.ndarray
) -> dict[str, Functional]:
    """``energy``: fluctuation energy over its mean ``reference`` (C,); ``gradient``: mean squared
    gradient of the fluctuation of the first field along even axes, to which dissipation is
    proportional in an incompressible flow, in (units / length)^2."""
    groups = unit_groups([f.units for f in layout.fields])
    weights, axes = layout.quadrature, even_axes(layout)

    def total(x: np.ndarray) -> np.ndarray:
        return over_groups(energy(x - mean, weights), reference, groups) ** 2

    def gradient(x: np.ndarray) -> np.ndarray:
        u = np.where(weights[0] > 0, x[:, 0] - mean[0], 0.0)
        found = np.zeros(len(x))
        for axis, spacing, periodic in axes.values():
            found += (_derivative(u, axis + 1, spacing, periodic) ** 2).reshape(len(x), -1).mean(1)
        return found

    return {"energy": total, **({"gradient": gradient} if axes else {})}


def default_joint(layout: Layout) -> Pair | None:
    """First and second derivative of the first field along the last even axis."""
    axes = even_axes(layout)
    if not axes:
        return None
    axis, spacing, periodic = axes[list(axes)[-1]]

    def derivatives(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        u = x[:, 0]
        first = _derivative(u, axis + 1, spacing, periodic)
        return first, _derivative(first, axis + 1, spacing, periodic)

    return derivatives


def _derivative(u: np.ndarray, axis: int, spacing: float, periodic: bool) -> np.ndarray:
    """du/dx along ``axis``: by Fourier where periodic and whole, else central differences."""
    if periodic and np.isfinite(u).all():
        n = u.shape[axis]
        k = 2 * np.pi * np.fft.rfftfreq(n, spacing)
        if n % 2 == 0:
            k[-1] = 0.0  # the highest wave has no derivative on the grid
        shape = [1] * u.ndim
        shape[axis] = len(k)
        return np.fft.irfft(1j * k.reshape(shape) * np.fft.rfft(u, axis=axis), n, axis=axis)
    return np.gradient(u, spacing, axis=axis)
