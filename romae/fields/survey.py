"""One streaming pass: temporal mean, fluctuation, extremes, and whether the data are sound.

Blocks A and B of n_A and n_B snapshots merge exactly (Chan, Golub & LeVeque 1983, "Algorithms
for computing the sample variance"):

    n = n_A + n_B,   δ = mean_B - mean_A
    mean = mean_A + δ n_B / n
    S    = S_A + S_B + n_A n_B / n · Σ_x w δ²,      S = Σ_t Σ_x w (x_t - mean)²

in float64. The fluctuation of field c is std_c = sqrt(S_c / (n Σ_x w)), the weighted rms about
the temporal mean field.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from romae.errors import DataError
from romae.fields.blocks import BLOCK_BYTES
from romae.fields.layout import Layout
from romae.fields.snapshots import Snapshots

STEADY = 1e-12  # of the largest value: fluctuations below it are rounding


@dataclass(frozen=True)
class Survey:
    """What one pass over snapshots found.

    ``mean``: temporal mean field (C, *space) float64, NaN where masked; ``std``: weighted rms of
    the fluctuation about it (C,); ``minimum``, ``maximum``: (C,); ``count``: snapshots;
    ``constant``: names of fields that do not change in time. Physical units.
    """

    mean: np.ndarray
    std: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    count: int
    constant: tuple[str, ...]
    layout: Layout

    @property
    def mask(self) -> np.ndarray | None:
        """Valid points (C, *space), or None when all are."""
        return self.layout.mask


def survey(snapshots: Snapshots, *, nbytes: int = BLOCK_BYTES) -> Survey:
    """Read all snapshots once, by blocks of ``nbytes``, and check every value.

    Raises :class:`DataError` for values that are NaN at some times only, for infinite values and
    for a field without any value, naming the variable, the time and the file.
    """
    layout = snapshots.layout
    weights = layout.quadrature.reshape(layout.channels, -1)
    mean = np.zeros_like(weights)
    scatter = np.zeros(layout.channels)
    low, high = np.full(layout.channels, np.inf), np.full(layout.channels, -np.inf)
    count = 0
    for case, start, stop in snapshots.block_ranges(nbytes):
        block = snapshots.read_raw(start, stop, case)
        check_values(snapshots, case, start, block)
        b = stop - start
        share = b / (count + b)
        for c in range(layout.channels):
            x = block[:, c].reshape(b, -1).astype(np.float64)
            if layout.mask is not None:
                x = np.where(layout.mask[c].reshape(-1), x, 0.0)
            low[c] = min(low[c], _extreme(x, layout, c, "min"))
            high[c] = max(high[c], _extreme(x, layout, c, "max"))
            own = x.mean(axis=0)
            x -= own
            delta = own - mean[c]
            scatter[c] += np.einsum("ij,ij->j", x, x) @ weights[c]
            scatter[c] += count * share * (weights[c] @ delta**2)
            mean[c] += share * delta
        count += b
    std = np.sqrt(scatter / (count * weights.sum(axis=1)))
    steady = std <= STEADY * np.maximum(np.abs(low), np.abs(high))
    std = np.where(steady, 0.0, std)
    field = mean.reshape(layout.channels, *layout.shape)
    if layout.mask is not None:
        field = np.where(layout.mask, field, np.nan)
    constant = tuple(n for n, s in zip(layout.names, steady, strict=True) if s)
    return Survey(field, std, low, high, count, constant, layout)


def _extreme(x: np.ndarray, layout: Layout, c: int, which: str) -> float:
    valid = x if layout.mask is None else x[:, layout.mask[c].reshape(-1)]
    return float(valid.min() if which == "min" else valid.max())


def check_values(snapshots: Snapshots, case: int, start: int, block: np.ndarray) -> None:
    """Raise :class:`DataError` unless ``block`` (b, C, *space) is finite exactly where valid.

    ``block`` as :meth:`Snapshots.read_raw` gives it, its first snapshot at position ``start``.
    """
    layout = snapshots.layout
    if layout.mask is None and np.isfinite(block).all():
        return
    valid = layout.valid
    bad = valid & ~np.isfinite(block)
    if bad.any():
        _raise_bad(snapshots, case, start, block, bad)
    if layout.mask is None or snapshots.masked_by_user:
        return
    appears = ~valid & ~np.isnan(block)
    if appears.any():
        t, c = (int(i) for i in np.argwhere(appears)[0][:2])
        n = int(appears[t, c].sum())
        raise DataError(
            f"{_where(snapshots, case, start + t)}: {layout.names[c]!r} has values at {n} points "
            "that are NaN in the first snapshot. Expected a fixed mask, the same at every time. "
            f"Give one with mask=..., or leave {layout.names[c]!r} out of variables=[...]"
        )


def _raise_bad(
    snapshots: Snapshots, case: int, start: int, block: np.ndarray, bad: np.ndarray
) -> None:
    layout = snapshots.layout
    t, c = (int(i) for i in np.argwhere(bad)[0][:2])
    name, n, total = layout.names[c], int(bad[t, c].sum()), int(layout.valid[c].sum())
    infinite = np.isinf(block[t, c][bad[t, c]]).any()
    what = "infinite" if infinite else "NaN"
    where = _where(snapshots, case, start + t)
    before = f"snapshots.isel(time=slice(0, {start + t}))"
    repair = (
        f"Leave these times out, for example {before}"
        if infinite or start + t > 0
        else f"Give a mask of the valid points with mask=..., or leave {name!r} out"
    )
    raise DataError(
        f"{where}: {name!r} is {what} at {n} of {total} valid points. Expected finite values at "
        "every time outside one fixed mask. "
        f"{repair}, or repair the data, for example ds[{name!r}].interpolate_na('{layout.time}')"
    )


def _where(snapshots: Snapshots, case: int, t: int) -> str:
    label, position = snapshots.trajectories[case].locate(t)
    time = snapshots.times(case).values[t]
    of_case = f", case {case}" if snapshots.cases > 1 else ""
    return f"{label}, time {time} (index {position}{of_case})"
