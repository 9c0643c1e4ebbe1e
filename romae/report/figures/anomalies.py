"""Anomalies: scores over time with their thresholds, ROC, and maps of the worst snapshots."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from romae.conventions import CASE, TIME
from romae.fields import Layout
from romae.report.figures.fields import SPAN, Layouts
from romae.report.figures.maps import draw, views
from romae.report.figures.style import (
    PALETTE,
    WIDTH,
    label,
    log_grid,
    new_figure,
    styled,
)

KIND_COLOURS = dict(zip(("global", "local"), (PALETTE[1], PALETTE[0]), strict=True))
YLABELS = {"global": "NRMSE of the snapshot", "local": "largest deviation"}


@styled
def anomaly_scores(found: xr.Dataset, *, case: int = 0) -> Figure:
    """Both scores over time with their thresholds; with labels the ROC beside them.

    ``found`` is what :func:`romae.detect` returned.
    """
    one = found.isel({CASE: case}) if CASE in found.dims else found
    labelled = "auc" in found
    figure = new_figure(4.2)
    grid = figure.subplots(2, 2 if labelled else 1, squeeze=False, sharex="col",
                           width_ratios=[2.6, 1] if labelled else [1])  # fmt: skip
    t, unit = _times(one)
    for ax, kind in zip(grid[:, 0], found["kind"].values, strict=True):
        _scores(ax, one.sel(kind=kind), t, str(kind))
    grid[0, 0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2)
    grid[-1, 0].set_xlabel(label("time", unit))
    grid[0, 0].set_xlim(t[0], t[-1])
    if labelled:
        for ax, kind in zip(grid[:, 1], found["kind"].values, strict=True):
            _roc(ax, found.sel(kind=kind), str(kind))
        grid[-1, 1].set_xlabel("false alarms")
    return figure


def _scores(ax: Axes, one: xr.Dataset, t: np.ndarray, kind: str) -> None:
    score, threshold = one["score"].values, float(one["threshold"])
    if "label" in one:
        inside = one["label"].values.astype(bool)
        ax.fill_between(t, 0, 1, where=inside, step="mid", transform=ax.get_xaxis_transform(),
                        color="0.9", lw=0, label="labelled anomalous")  # fmt: skip
    ax.plot(t, score, color="0.45", lw=1, zorder=2)
    flagged = one["flagged"].values
    ax.plot(t[flagged], score[flagged], "o", ms=3, color=KIND_COLOURS[kind], zorder=3,
            label="flagged")  # fmt: skip
    ax.axhline(threshold, color="black", lw=0.9, ls="--", label="threshold")
    low, high = np.nanmin(score), np.nanmax(np.append(score, threshold))
    if high > 5 * low > 0:  # within less, a logarithm only makes the numbers odd
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
    shown = "{:.4g} %" if kind == "global" else "{:g}"
    unit = 100 if kind == "global" else 1
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: shown.format(unit * v)))
    log_grid(ax)
    ax.set_ylabel(YLABELS[kind])
    ax.set_title(f"{kind} score", loc="right")


def _roc(ax: Axes, one: xr.Dataset, kind: str) -> None:
    alarms, hits = one["false_alarm_rate"].values, one["hit_rate"].values
    ax.plot([0, 1], [0, 1], color="0.8", lw=0.8)
    ax.plot(alarms, hits, color=KIND_COLOURS[kind], clip_on=False)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_ylabel("hit rate")
    ax.set_title(f"area under ROC {float(one['auc']):.3f}")


@styled
def anomaly_maps(found: xr.Dataset, layout: Layout, *, count: int = 4, case: int = 0) -> Figure:
    """Deviation maps of the ``count`` worst snapshots, apart in time; a circle
    marks the place in those that are flagged.

    In 1-D one picture: space over the ``SPAN`` snapshots around the worst.
    """
    one = found.isel({CASE: case}) if CASE in found.dims else found
    t, unit = _times(one)
    score = one["score"].sel(kind="local").values
    line = len(layout.space) == 1
    chosen = worst(score, 1 if line else count)
    if line:
        first = max(0, min(int(chosen[0]) - SPAN // 2, len(t) - SPAN))
        chosen = np.arange(first, min(first + SPAN, len(t)))
    values = one["deviation"].isel({TIME: chosen}).values.astype(float)
    threshold = float(one["threshold"].sel(kind="local"))
    pictures = views(layout, t[chosen], unit)
    rows = [(values, None)] if line else [(values[i : i + 1], j) for i, j in enumerate(chosen)]
    columns = min(2, len(rows) * len(pictures))
    cells = [(v, j, picture) for v, j in rows for picture in pictures]
    lines = -(-len(cells) // columns)
    height = lines * ((WIDTH - 1.5) / columns * pictures[0].aspect + 0.45) + 0.4
    layout_engine: Layouts = "compressed" if pictures[0].equal else "constrained"
    figure = new_figure(min(height, 13), layout=layout_engine)
    grid = figure.subplots(lines, columns, squeeze=False, sharex=not line, sharey=not line)
    norm = _norm(values, threshold)
    for ax, (plane, j, picture) in zip(grid.flat, cells, strict=False):
        drawn = draw(ax, picture, plane, norm, "OrRd")
        when = f"time {label(f'{t[j]:.4g}', unit)}" if j is not None else ""
        ax.set_title(", ".join(filter(None, [when, picture.title])))
        if j is not None and len(layout.space) == 2:
            _mark(ax, one, layout, int(j))
    for ax in grid.flat[len(cells) :]:
        ax.set_visible(False)
    for ax in grid[-1]:
        ax.set_xlabel(pictures[0].names[0])
    for ax in grid[:, 0]:
        ax.set_ylabel(pictures[0].names[1])
    bar = figure.colorbar(drawn, ax=grid, location="right", fraction=0.03, pad=0.01,
                          extend="min" if norm.vmin else "neither")  # fmt: skip
    bar.set_label("deviation, in standard deviations")
    bar.outline.set_visible(False)
    return figure


def worst(score: np.ndarray, count: int) -> np.ndarray:
    """Indices of the ``count`` largest scores that are apart in time, in the order of time."""
    left = np.where(np.isnan(score), -np.inf, score)
    apart = max(1, len(score) // (4 * count))
    found: list[int] = []
    while len(found) < count and np.isfinite(left).any():
        i = int(np.argmax(left))
        found.append(i)
        left[max(0, i - apart) : i + apart + 1] = -np.inf
    return np.array(sorted(found))


def _norm(values: np.ndarray, threshold: float) -> Any:
    """From the threshold up: what is below it is ordinary, and stays light."""
    from matplotlib.colors import LogNorm, Normalize

    most = float(np.nanmax(values))
    if most > 30 * threshold:
        return LogNorm(threshold, most)
    return Normalize(0, max(most, 1.5 * threshold))


def _mark(ax: Axes, one: xr.Dataset, layout: Layout, j: int) -> None:
    names = [f"at_{d}" for d in layout.space]
    if all(n in one for n in names) and one["flagged"].sel(kind="local").values[j]:
        y, x = (float(one[n][j]) for n in names)
        ax.plot(x, y, "o", ms=16, mfc="none", mec=PALETTE[1], mew=1.4)


def _times(one: xr.Dataset) -> tuple[np.ndarray, str]:
    """Times as numbers, and their unit; dates become indices."""
    times = one[TIME]
    if times.dtype.kind not in "fiu":
        return np.arange(times.size, dtype=float), "index"
    return times.values.astype(float), str(times.attrs.get("units", ""))
