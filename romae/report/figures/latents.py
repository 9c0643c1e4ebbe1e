"""Latent trajectories: over time, and one latent against another."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from romae.compare.coding import encode
from romae.compare.ladders import along
from romae.fields import Snapshots
from romae.report.figures.style import PALETTE, label, new_figure, styled

MOST = 6  # latents drawn over time
SPAN = 400  # snapshots


@styled
def latents(models: Mapping[str, Any], test: Snapshots, *, case: int = 0) -> Figure:
    """Latents of the first ``SPAN`` test snapshots, one row per model.

    Left: each latent over time, divided by its own standard deviation and set off; right: the
    second against the first. ``models`` maps names to fitted reducers.
    """
    n = min(SPAN, test.lengths[case])
    values = test.read(0, n, case)
    times = test.times(case)
    numbers = times.dtype.kind in "fiu"
    t = times.values[:n].astype(float) if numbers else np.arange(n, dtype=float)
    unit = str(times.attrs.get("units", "")) if numbers else "index"
    figure = new_figure(2.5 * len(models) + 0.3)
    grid = figure.subplots(len(models), 2, squeeze=False, width_ratios=[2.6, 1])
    for (left, right), (name, reducer) in zip(grid, models.items(), strict=True):
        z = encode(along(reducer, test, case), values).astype(float)
        shown = min(MOST, z.shape[1])
        for i in range(shown):
            scaled = (z[:, i] - z[:, i].mean()) / (z[:, i].std() or 1.0)
            left.plot(t, scaled - 4 * i, color=PALETTE[i % len(PALETTE)], lw=1.1)
        left.set_yticks([-4 * i for i in range(shown)], [f"$z_{{{i + 1}}}$" for i in range(shown)])
        left.set_xlim(t[0], t[-1])
        more = "" if shown == z.shape[1] else f", first {shown} of {z.shape[1]}"
        left.set_title(name + more, loc="left")
        if z.shape[1] > 1:
            right.plot(z[:, 0], z[:, 1], color="0.35", lw=0.8)
            right.plot(z[0, 0], z[0, 1], "o", color=PALETTE[0], ms=5)
            right.set_aspect("equal", adjustable="datalim")
            right.set_xlabel("$z_1$")
            right.set_ylabel("$z_2$")
        else:
            right.plot(z[:-1, 0], z[1:, 0], color="0.35", lw=0.8)
            right.set_xlabel("$z_1$")
            right.set_ylabel("$z_1$, one step later")
    grid[-1, 0].set_xlabel(label("time", unit))
    return figure
