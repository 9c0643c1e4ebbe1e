"""A sweep over latent sizes: errors with their spread, and where the elbows are."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from romae.report.figures.curves import ERROR
from romae.report.figures.style import (
    colours,
    count_axis,
    error_axis,
    legend_above,
    new_figure,
    styled,
)


@styled
def sweep_curve(result: xr.Dataset) -> Figure:
    """Error over latent size for every kind; beside it, how often each size is the elbow.

    ``result`` is what :func:`romae.sweep` returned. Dots are seeds, lines their medians; within the
    bands lie nine in ten redrawn sweeps; a ring is the elbow.
    """
    names = _names(result)
    table = colours(names)
    figure = new_figure(3.6)
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    for kind, name in zip(result["kind"].values, names, strict=True):
        _curve(left, result.sel(kind=kind), name, *table[name])
    count_axis(left, int(result["latent"].max()))
    error_axis(left)
    left.set_xlabel("latent size k, numbers per snapshot")
    left.set_ylabel(ERROR)
    _shares(right, result, names)
    legend_above(figure, left)
    return figure


def _names(result: xr.Dataset) -> list[str]:
    """Class names; the kind where several share one."""
    families = [str(f) for f in result["family"].values]
    kinds = [str(k) for k in result["kind"].values]
    return [f if families.count(f) == 1 else k for f, k in zip(families, kinds, strict=True)]


def _curve(ax: Axes, one: xr.Dataset, name: str, colour: str, marker: str) -> None:
    k = one["latent"].values
    ax.fill_between(k, one["error_lower"], one["error_upper"], color=colour, alpha=0.15, lw=0)
    ax.plot(k, one["error_median"], color=colour, label=name)
    for seed in one["seed"].values if "seed" in one.coords else range(one.sizes["seed"]):
        ax.plot(k, one["error"].isel(seed=seed), ls="none", marker=marker, ms=4, color=colour,
                markeredgecolor="white", markeredgewidth=0.4)  # fmt: skip
    size = int(one["elbow"])
    if size:
        error = float(one["error_median"].sel(latent=size))
        ax.plot(size, error, "o", ms=14, mfc="none", mec=colour, mew=1.3)


def _shares(ax: Axes, result: xr.Dataset, names: list[str]) -> None:
    """Bars: the share of redrawn sweeps with the elbow at each size; last, those without one."""
    table, number = colours(names), result.sizes["kind"]
    sizes = result["latent"].values
    place = np.arange(len(sizes))
    width = 0.8 / number
    for i, (kind, name) in enumerate(zip(result["kind"].values, names, strict=True)):
        share = 100 * result["elbow_share"].sel(kind=kind).values
        ax.bar(place + (i - (number - 1) / 2) * width, share, width, color=table[name][0])
    ax.set_xticks(place, [*(str(k) for k in sizes[:-1]), "none"])
    ax.set_ylim(0, 100)
    ax.set_xlabel("elbow")
    ax.set_ylabel("redrawn sweeps, %")
