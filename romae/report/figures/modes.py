"""Mode shapes on their grid: lines in 1-D, maps in 2-D, three mid slices a mode in 3-D."""

from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure

from romae.fields import Layout
from romae.report.figures.maps import View, draw, symmetric_norm, views
from romae.report.figures.style import WIDTH, label, new_figure, percent, styled

WIDE = 0.34  # height over width of a picture below which three in a row are too flat to read
TALLEST = 12.0  # inches of a figure


@styled
def pod_modes(pod: Any, *, field: str, count: int = 6) -> Figure:
    """The first ``count`` modes of ``pod`` in one field, with their share of the energy."""
    layout = pod.layout
    modes = pod.modes[field].transpose("mode", *layout.space).values[:count]
    share = shares(pod)
    titles = [f"mode {i + 1}, {percent(share[i])} of the energy" for i in range(len(modes))]
    return mode_grid(layout, modes, titles, field)


def shares(pod: Any) -> np.ndarray:
    """Fraction of the fluctuation energy in each mode; of all of it, not of the modes known."""
    s2 = np.asarray(pod.singular_values, dtype=float) ** 2
    total = getattr(pod, "total", None)
    return s2 / (np.sum(s2) if total is None else total)


def mode_grid(layout: Layout, modes: np.ndarray, titles: list[str], field: str) -> Figure:
    """Pictures of ``modes`` (count, *space), each in its own scale: they are normalised."""
    pictures = views(layout, np.zeros(1))
    if len(layout.space) == 1:
        return _lines(pictures[0], modes, titles, label(field, ""))
    if len(layout.space) == 3:
        return _slices(pictures, modes, titles)
    picture = pictures[0]
    columns = _columns(len(modes), picture)
    rows = -(-len(modes) // columns)
    height = rows * ((WIDTH - 0.6) / columns * picture.aspect + 0.4) + 0.3
    figure = new_figure(min(height, TALLEST), layout=_engine(picture))
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax, mode, title in zip(grid.flat, modes, titles, strict=False):
        norm, cmap = symmetric_norm(mode)
        draw(ax, picture, mode[None], norm, cmap)
        ax.set_title(title)
    _finish(grid, len(modes), picture.names)
    return figure


def _columns(count: int, picture: View) -> int:
    """Pictures in a row: fewer where they are flat."""
    if picture.aspect < WIDE:
        return 1 if picture.aspect < WIDE / 1.5 and count <= 4 else min(2, count)
    return 2 if count == 4 else min(3, count)


def _engine(picture: View) -> Literal["constrained", "compressed"]:
    return "compressed" if picture.equal else "constrained"


def _slices(pictures: list[View], modes: np.ndarray, titles: list[str]) -> Figure:
    """One row a mode, one column a mid plane; one scale a row."""
    ratios = [1.0] * len(pictures)
    one = (WIDTH - 1.6) / len(pictures)
    tallest = max(v.aspect for v in pictures)
    height = len(modes) * (one * min(tallest, 1.2) + 0.55) + 0.4
    figure = new_figure(min(height, TALLEST))
    grid = figure.subplots(len(modes), len(pictures), squeeze=False, width_ratios=ratios)
    for row, mode, title in zip(grid, modes, titles, strict=True):
        norm, cmap = symmetric_norm(mode)
        for ax, view in zip(row, pictures, strict=True):
            draw(ax, view, mode[None], norm, cmap)
            ax.set_title(view.title)
            ax.set_xlabel(view.names[0])
            ax.set_ylabel(view.names[1])
        row[0].set_title(f"{title}\n{pictures[0].title}", loc="left")
        row[0].set_title("")
    return figure


def _lines(picture: View, modes: np.ndarray, titles: list[str], name: str) -> Figure:
    columns = 2 if len(modes) == 4 else min(3, len(modes))
    rows = -(-len(modes) // columns)
    figure = new_figure(1.9 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax, mode, title in zip(grid.flat, modes, titles, strict=False):
        ax.axhline(0, color="0.8", lw=0.7)
        ax.plot(picture.y, mode, color="#0072B2", lw=1.3)
        ax.set_title(title)
    _finish(grid, len(modes), (picture.names[1], f"mode of {name}"))
    return figure


def _finish(grid: Any, count: int, names: tuple[str, str]) -> None:
    """Hide what is empty; labels at the left, and under the lowest picture of each column."""
    for ax in grid.flat[count:]:
        ax.set_visible(False)
    for column in grid.T:
        lowest = [ax for ax in column if ax.get_visible()][-1]
        lowest.set_xlabel(names[0])
        lowest.tick_params(labelbottom=True)
    for ax in grid[:, 0]:
        ax.set_ylabel(names[1])
