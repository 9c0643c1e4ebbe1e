"""What all figures share: sizes, colours, labels, and how they become bytes.

Colours are those of Okabe and Ito (2008), which readers with any colour vision tell apart;
POD is always black. Colour maps are perceptually uniform: viridis for fields of one sign, a
blue-white-red pair symmetric about zero for fluctuations and errors.
"""

import base64
import functools
import io
import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

P = ParamSpec("P")

WIDTH = 9.0  # inches of every figure: 9 pt text is 14 px on a page 1000 px wide
DPI = 160  # of PNG files and of maps inside SVG
GREY = "0.45"
MASKED = "0.78"  # obstacle, land
POD_COLOUR = "black"
PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("s", "^", "D", "v", "P", "X")
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"

RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.color": "0.88",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",  # text looks the same on a machine without the font
    "svg.hashsalt": "romae",  # the same figure gives the same bytes
}


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Run a drawing function under our settings, and leave the reader's as they were."""

    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(RC):
            return draw(*args, **kwargs)

    return wrapped


def new_figure(
    height: float, *, layout: Literal["constrained", "compressed"] = "constrained"
) -> Figure:
    """An empty figure, ``height`` in inches, whose parts make room for each other.

    ``compressed`` closes the gaps between pictures of a fixed aspect.
    """
    figure = Figure(figsize=(WIDTH, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def colours(families: Iterable[str]) -> dict[str, tuple[str, str]]:
    """(colour, marker) of each family: POD black circles, the others in order."""
    others = [f for f in dict.fromkeys(families) if f != "POD"]
    found = {
        f: (PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]) for i, f in enumerate(others)
    }
    return found | {"POD": (POD_COLOUR, "o")}


def label(name: str, units: str = "") -> str:
    """``"u [m/s]"``; a name alone when it has no dimension.

    >>> label("u", "m s-1"), label("u", "1")
    ('u [m s-1]', 'u')
    """
    return name if units in ("", "1") else f"{name} [{units}]"


def percent(error: float) -> str:
    """An error as people say it: two digits, in per cent.

    >>> percent(0.2234), percent(0.00034), percent(3.21)
    ('22 %', '0.034 %', '320 %')
    """
    if math.isnan(error):
        return "undefined"
    if error in (float("inf"), 0.0):
        return "infinite" if error else "0 %"
    text = f"{100 * error:.2g}"
    number = float(text)
    return f"{number:.0f} %" if number >= 10 else f"{text} %"


def legend_above(figure: Figure, ax: Axes) -> None:
    """The legend of ``ax`` above all panels, where it covers no data, as wide as it can be."""
    handles, names = ax.get_legend_handles_labels()
    if not names:
        return
    size = float(RC["legend.fontsize"])
    widest = max(TextPath((0, 0), name, size=size).get_extents().width for name in names)
    column = widest + 4.8 * size  # line, gap, space between columns: 2, 0.8 and 2 letters
    columns = max(1, int((72 * WIDTH - size) / column))
    figure.legend(handles, names, loc="outside upper center", ncols=min(columns, len(names)))


def log_grid(ax: Axes) -> None:
    """Faint lines at the decades of a logarithmic axis."""
    ax.grid(True, which="major")
    ax.set_axisbelow(True)


def error_axis(ax: Axes) -> None:
    """Logarithmic y axis of relative errors, written in per cent as in text and tables."""
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
    low, high = ax.get_ylim()
    decades = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
    if decades > 1:  # two decades name the axis; with fewer in sight, the minor ticks must
        ax.yaxis.set_minor_formatter(NullFormatter())
    elif high / low > 4:
        ax.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        ax.yaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{100 * v:.3g} %"))
    else:
        ax.yaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{100 * v:.3g} %"))
    log_grid(ax)


def count_axis(ax: Axes, most: int) -> None:
    """Logarithmic x axis of counts: powers of two as plain numbers, every other when crowded."""
    ax.set_xscale("log")
    ticks = [2**i for i in range(max(1, most).bit_length())]
    ax.xaxis.set_major_locator(FixedLocator(ticks[:: 1 + len(ticks) // 9]))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())


def settle(figure: Figure) -> Figure:
    """Lay the figure out once and for all: each format would do it again, twice."""
    with mpl.rc_context(RC):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    return figure


def svg(figure: Figure) -> str:
    """The figure as SVG text; reproducible, with text as paths."""
    buffer = io.StringIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    buffer = io.BytesIO()
    with mpl.rc_context(RC):
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: str) -> None:
    """Write the figure as its suffix says: png, pdf or svg."""
    with mpl.rc_context(RC | {"pdf.fonttype": 42}):  # journals want fonts embedded as TrueType
        figure.savefig(path, dpi=DPI, metadata=None)


def data_uri(text: str) -> str:
    """SVG text as an address that needs no network."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()
