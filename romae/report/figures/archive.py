"""An archive beside its source: fields, their error over the bound, and how errors are spread."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from romae.fields import Snapshots
from romae.report.figures.fields import SPAN, Layouts
from romae.report.figures.maps import draw, field_norm, views
from romae.report.figures.style import DIVERGING, PALETTE, WIDTH, label, new_figure, styled

BARS = 1.45  # inches below and above a row of pictures: title, axis, colour bars

if TYPE_CHECKING:
    from romae.archive import Archive


@styled
def archived_field(
    archive: "Archive", source: Snapshots, *, field: str, case: int = 0, index: int = -1
) -> Figure:
    """Source, archive, and their difference over the bound; in 1-D the ``SPAN`` snapshots that end

    at ``index``, else the snapshot ``index``.
    """
    from romae.archive.bound import read_values

    layout = source.layout
    channel = layout.names.index(field)
    last = index % source.lengths[case]
    first = max(0, last + 1 - SPAN) if len(layout.space) == 1 else last
    before = read_values(source, first, last + 1, case)[:, channel].astype(float)
    after = archive.read(first, last + 1, case)[channel].astype(float)
    bound = archive.facts["variables"][field]["eps"]
    with np.errstate(invalid="ignore"):
        error = (after - before) / (bound or 1.0)
    times = source.times(case)
    number = times.dtype.kind in "fiu"
    stamps = times.values[first : last + 1].astype(float) if number else np.arange(first, last + 1)
    unit = str(times.attrs.get("units", "")) if number else "index"
    pictures = views(layout, stamps, unit)
    height = sum((WIDTH - 1.3) / 3 * v.aspect + BARS for v in pictures)
    shape: Layouts = "compressed" if pictures[0].equal else "constrained"
    figure = new_figure(min(height, 14.0), layout=shape)
    grid = figure.subplots(len(pictures), 3, squeeze=False, sharex="row", sharey="row")
    norm, cmap = field_norm(before)
    for row, view in zip(grid, pictures, strict=True):
        left = draw(row[0], view, before, norm, cmap)
        draw(row[1], view, after, norm, cmap)
        right = draw(row[2], view, error, Normalize(-1, 1), DIVERGING)
        for ax, title in zip(row, ("source", "archive", "error / bound"), strict=True):
            ax.set_title(f"{title}\n{view.title}" if view.title else title)
            ax.set_xlabel(view.names[0])
        row[0].set_ylabel(view.names[1])
        shown = label(field, layout.fields[channel].units)
        for drawn, axes, name in ((left, list(row[:2]), shown), (right, [row[2]], "")):
            bar = figure.colorbar(
                drawn, ax=axes, location="bottom", fraction=0.06, pad=0.02, aspect=30 * len(axes)
            )
            bar.set_label(name)
            bar.outline.set_visible(False)
    return figure


@styled
def archive_errors(examined: xr.Dataset) -> Figure:
    """Share of values over error / bound, one line a field.

    ``examined``: what :func:`romae.archive.examine.examine` returned.
    """
    figure = new_figure(2.8)
    ax = figure.subplots()
    width = float(examined["bin"][1] - examined["bin"][0])
    edges = np.append(examined["bin"].values - width / 2, 1.0)
    for i, name in enumerate(examined["field"].values):
        share = examined["share"].sel(field=name).values
        if np.isfinite(share).all():
            colour = PALETTE[i % len(PALETTE)]
            ax.stairs(100 * share, edges, color=colour, label=str(name), linewidth=1.2)
    for x in (-1, 1):
        ax.axvline(x, color="0.2", linewidth=0.8, linestyle="--")
    ax.set_xlim(-1.15, 1.15)
    ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g} %"))
    ax.set_xlabel("error / bound")
    ax.set_ylabel(f"share of values, bins of {width:.3g}")
    ax.annotate(
        "bound", (1, 1), (4, 0), xycoords=("data", "axes fraction"), textcoords="offset points",
        va="top", fontsize=8,
    )  # fmt: skip
    ax.legend(loc="upper left", bbox_to_anchor=(0.08, 1.0))  # right of the bound
    return figure
