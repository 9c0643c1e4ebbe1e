"""Fields as pictures: originals beside reconstructions and errors."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from romae.compare.coding import reconstruct
from romae.compare.ladders import Ladder, Rung, along
from romae.fields import Snapshots
from romae.metrics import energy
from romae.report.figures.maps import View, draw, field_norm, symmetric_norm, views
from romae.report.figures.style import WIDTH, label, new_figure, percent, styled

Layouts = Literal["constrained", "compressed"]
SPAN = 200  # snapshots of a picture of space over time


@styled
def reconstructions(
    models: Mapping[str, Any], test: Snapshots, *, field: str, case: int = 0, index: int = -1
) -> Figure:
    """Original and reconstructions of one field in one scale; below, fluctuation and errors.

    ``models`` maps names to fitted reducers (at most four are readable). In 1-D the picture is
    space over the ``SPAN`` snapshots that end at ``index``, else the snapshot ``index``.
    """
    layout = test.layout
    channel = layout.names.index(field)
    last = index % test.lengths[case]
    first = max(0, last + 1 - SPAN) if len(layout.space) == 1 else last
    values = test.read(first, last + 1, case).astype(float)
    times = test.times(case)
    stamps = times.values[first : last + 1]
    axis = np.arange(first, last + 1) if stamps.dtype.kind not in "fiu" else stamps.astype(float)
    unit = "index" if stamps.dtype.kind not in "fiu" else str(times.attrs.get("units", ""))
    pictures = views(layout, axis, unit)
    reference = next(iter(models.values()))
    mean = np.asarray(reference.scaling.mean, dtype=float)
    fluctuation = (values - mean)[:, channel]
    weights = layout.quadrature[channel : channel + 1]
    below = energy(fluctuation[:, None], weights).sum()
    columns = [("original", values[:, channel], "fluctuation", fluctuation)]
    for name, reducer in models.items():
        _, guess = next(reconstruct(_single(name, along(reducer, test, case)), values))
        error = (guess - values)[:, channel]
        relative = np.sqrt(energy(error[:, None], weights).sum() / below) if below else np.nan
        columns.append((name, guess[:, channel], f"error, {percent(relative)}", error))
    units = layout.fields[channel].units
    return _grid(columns, pictures, label(field, units))


def _grid(columns: list[tuple[str, Any, str, Any]], pictures: list[View], name: str) -> Figure:
    """Columns of (title, field, title, error), two rows per picture."""
    one_width = (WIDTH - 1.3) / len(columns)  # beside them the colour bar and the y labels
    # Two pictures, their titles, the x label and the colour bar beneath.
    heights = [2 * one_width * v.aspect + 1.35 + 0.3 * bool(v.title) for v in pictures]
    layout: Layouts = "compressed" if pictures[0].equal else "constrained"
    figure = new_figure(min(sum(heights), 14.0), layout=layout)
    grid = figure.subplots(
        2 * len(pictures), len(columns), squeeze=False, sharex="row", sharey="row"
    )
    norm, cmap = field_norm(columns[0][1])
    for p, view in enumerate(pictures):
        top, bottom = grid[2 * p], grid[2 * p + 1]
        for j, (title, values, error_title, error) in enumerate(columns):
            drawn = draw(top[j], view, values, norm, cmap)
            top[j].tick_params(labelbottom=False)
            top[j].set_title(f"{title}\n{view.title}" if view.title else title)
            own, diverging = symmetric_norm(error)
            beneath = draw(bottom[j], view, error, own, diverging)
            bottom[j].set_title(error_title)
            bottom[j].set_xlabel(view.names[0])
            _bar(figure, beneath, bottom[j])
            if j == 0:
                top[j].set_ylabel(view.names[1])
                bottom[j].set_ylabel(view.names[1])
                shared = drawn
        bar = figure.colorbar(shared, ax=list(top), location="right", fraction=0.03, pad=0.01)
        bar.set_label(name)
        bar.outline.set_visible(False)
    return figure


def _bar(figure: Figure, drawn: Any, ax: Axes) -> None:
    """A thin colour bar beneath one picture, with three numbers."""
    bar = figure.colorbar(drawn, ax=ax, location="bottom", fraction=0.06, pad=0.02, aspect=30)
    norm: Normalize = drawn.norm
    bar.set_ticks([v for v in (norm.vmin, 0.0, norm.vmax) if v is not None])
    bar.ax.set_xticklabels([f"\N{MINUS SIGN}{norm.vmax:.2g}", "0", f"{norm.vmax:.2g}"])
    first, _, last = bar.ax.get_xticklabels()
    first.set_horizontalalignment("left")  # inside the bar's width: neighbours would touch
    last.set_horizontalalignment("right")
    bar.outline.set_visible(False)


def _single(name: str, reducer: Any) -> Ladder:
    return Ladder(reducer, reducer.name, (Rung(name, reducer.latent, reducer),))
