"""Where a reconstruction error is larger than it was on ordinary snapshots.

e = x^ - x is the error of one snapshot, G a Gaussian of ``smooth`` grid points over the valid
points (renormalised at masks and edges). From validation snapshots come, point by point,

    mu_ci = mean_t (G e)_tci,      sigma_ci² = mean_t ((G e)_tci - mu_ci)² + floor² s_c²

with s_c the rms of G e of field c. The deviation of a snapshot is

    q_ti = sqrt( mean_c ((G e)_tci - mu_ci)² / sigma_ci² ),      local score  q_t = max_i q_ti

in standard deviations of the ordinary error at that very point. A wake's error is large where
its vortices pass; what is unusual upstream is far below it, and far above what is usual
there. G comes before the square, so that errors of changing sign (noise, unresolved small scales)
cancel and a disturbance as wide as G does not.

The place is where q is largest, made exact by the energy beyond the ordinary, which is not
distorted by a sigma that changes from point to point:

    E_i = sum_c max( ((G e)_ci - mu_ci)² - 9 sigma_ci², 0 ) / mean_j sigma_cj²

The centroid is of the part of G E around that point, down to a quarter of its value there: a vortex
is a ring of velocity errors, and its centre is meant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from romae.fields import Layout

FLOOR = 0.02  # of the rms error of a field: no point counts as more exact than that
SHARE = 0.25  # of the peak: what belongs to it
ORDINARY = 3.0  # deviations below it count for nothing in the place


@dataclass
class Moments:
    """Sums over smoothed errors (C, *space), as one part of the validation data gives them."""

    count: int = 0
    first: Any = 0.0
    second: Any = 0.0

    def add(self, error: np.ndarray) -> None:
        """Account for ``error`` (b, C, *space), smoothed."""
        self.count += len(error)
        self.first = self.first + error.sum(0)
        self.second = self.second + (error**2).sum(0)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(
            self.count + other.count, self.first + other.first, self.second + other.second
        )


@dataclass
class Deviation:
    """``mean`` and ``sigma`` (C, *space) of ordinary smoothed errors on ``layout``."""

    layout: Layout
    smooth: float
    mean: np.ndarray
    sigma: np.ndarray

    @classmethod
    def fit(cls, layout: Layout, smooth: float, moments: Moments, scale: np.ndarray) -> "Deviation":
        """From the sums over validation snapshots; ``scale`` (C,) as the reducer's scaling has it.

        A field that is reproduced to rounding at all points still has a sigma: 1e-6 of ``scale``.
        """
        mean = moments.first / moments.count
        square = moments.second / moments.count
        valid, axes = layout.valid, tuple(range(1, 1 + len(layout.space)))
        total = np.where(valid, square, 0.0).sum(axes) / np.maximum(valid.sum(axes), 1)
        floor = FLOOR**2 * total + (1e-6 * scale) ** 2
        sigma = np.sqrt(np.maximum(square - mean**2, 0.0) + _columns(floor, mean.ndim))
        return cls(layout, smooth, mean, sigma)

    def of(self, error: np.ndarray) -> np.ndarray:
        """Deviations q (b, *space) of smoothed errors (b, C, *space); NaN where no field is."""
        valid = self.layout.valid
        square = np.where(valid, ((error - self.mean) / self.sigma) ** 2, 0.0)
        number = valid.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.sqrt(np.where(number > 0, square.sum(1) / number, np.nan))

    def place(self, error: np.ndarray) -> np.ndarray:
        """Indices (n_dims,), fractional, of the centre of what deviates most in ``error``.

        ``error`` (C, *space), smoothed.
        """
        from scipy.ndimage import label

        q = self.of(error[None])[0]
        there = np.isfinite(q)
        if self.layout.unstructured:  # the next in the list is no neighbour
            return np.array([float(np.nanargmax(q))])
        both = np.stack([np.where(there, q, 0.0) ** 2, self._excess(error)])[:, None]
        square, excess = smoothed(both, there[None], self.layout, self.smooth)[:, 0]
        peak = np.unravel_index(int(np.argmax(np.where(there, square, -1.0))), q.shape)
        # Periodic axes are turned until the peak is in the middle, and the centre back.
        turn = [
            n // 2 - p if wrap else 0
            for n, p, wrap in zip(q.shape, peak, self.layout.periodic, strict=True)
        ]
        axes = tuple(range(q.ndim))
        excess, here = np.roll(excess, turn, axes), np.roll(there, turn, axes)
        peak = tuple((p + t) % n for p, t, n in zip(peak, turn, q.shape, strict=True))
        parts, _ = label(here & (excess > 0) & (excess >= SHARE * excess[peak]))
        inside = np.nonzero(parts == parts[peak]) if parts[peak] else tuple([p] for p in peak)
        weight = excess[inside] if parts[peak] else None
        centre = [float(np.average(i, weights=weight)) for i in inside]
        wraps = zip(centre, turn, q.shape, strict=True)
        return np.array([(c - t) % n if t else c for c, t, n in wraps])

    def _excess(self, error: np.ndarray) -> np.ndarray:
        """Energy of the error (*space) beyond what is ordinary, each field by its own sigma."""
        more = np.maximum((error - self.mean) ** 2 - (ORDINARY * self.sigma) ** 2, 0.0)
        axes = tuple(range(1, error.ndim))
        valid = self.layout.valid
        scale = np.where(valid, self.sigma**2, 0).sum(axes) / np.maximum(valid.sum(axes), 1)
        return np.where(valid, more / _columns(scale, error.ndim), 0.0).sum(0)


def smoothed(x: np.ndarray, valid: np.ndarray, layout: Layout, smooth: float) -> np.ndarray:
    """G x of ``x`` (b, C, *space): over the valid points (C, *space), 0 elsewhere.

    ``smooth``: standard deviation of G in grid points. Lists of points are left as they are.
    """
    x = np.where(valid, x, 0.0)
    if smooth == 0 or layout.unstructured:
        return x
    weight = _gaussian(valid.astype(float), layout, smooth)
    return np.where(valid, _gaussian(x, layout, smooth) / np.where(valid, weight, 1.0), 0.0)


def _gaussian(x: np.ndarray, layout: Layout, smooth: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    first = x.ndim - len(layout.space)
    for i, periodic in enumerate(layout.periodic):
        mode = "wrap" if periodic else "constant"
        x = gaussian_filter1d(x, smooth, axis=first + i, mode=mode)
    return x


def coordinates(layout: Layout, index: np.ndarray) -> Iterator[tuple[str, np.ndarray, dict]]:
    """(name, values (T,), attributes) of every space coordinate at ``index`` (T, n_dims)."""
    known = set()
    for name, variable in layout.coords.variables.items():
        dims = tuple(map(str, variable.dims))
        if not dims or variable.dtype.kind not in "fiu" or not set(dims) <= set(layout.space):
            continue
        along = [index[:, layout.space.index(d)] for d in dims]
        values = variable.values.astype(float)
        if len(dims) == 1 and not layout.unstructured:
            found = np.interp(along[0], np.arange(len(values)), values)
        else:
            nearest = (np.rint(i).astype(int) for i in along)
            at = tuple(np.minimum(i, n - 1) for i, n in zip(nearest, variable.shape, strict=True))
            found = values[at]
        known |= set(dims)
        yield str(name), found, dict(variable.attrs)
    for i, dim in enumerate(layout.space):
        if dim not in known:
            yield dim, index[:, i], {"long_name": f"index along {dim}"}


def _columns(x: np.ndarray, ndim: int) -> np.ndarray:
    return x.reshape(-1, *(1,) * (ndim - 1))
