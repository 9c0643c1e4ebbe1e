"""The energy of the POD modes: how many numbers a linear model needs.

s_i are the singular values of the scaled, weighted fluctuations; mode i holds the fraction
s_i^2 / sum_j s_j^2 of their energy. Where only the leading s_i are known, so is the sum.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from romae.report.figures.modes import shares
from romae.report.figures.style import GREY, POD_COLOUR, count_axis, log_grid, new_figure, styled

LEVELS = (0.9, 0.99, 0.999)


@styled
def energy_spectrum(pod: Any) -> Figure:
    """Energy of each mode, and what is left after k modes; ``pod`` has ``singular_values``."""
    share = shares(pod)
    # From the far end, so that small remainders are sums of small numbers; what no mode holds is
    # known where the decomposition stopped early.
    beyond = max(0.0, 1 - share.sum()) if getattr(pod, "total", None) is not None else 0.0
    beyond = beyond if beyond > 1e-9 else 0.0
    left = np.concatenate([np.cumsum(share[::-1])[::-1], [0.0]])[1:] + beyond
    floor = 1e-14  # rounding of the decomposition
    shown = max(2, int(np.count_nonzero(share > floor)))
    k = np.arange(1, len(share) + 1)
    figure = new_figure(3.3)
    one, two = figure.subplots(1, 2)
    one.plot(k[:shown], share[:shown], color=POD_COLOUR, marker="o", ms=3, lw=0.9)
    one.set_title("energy spectrum")
    one.set_xlabel("mode")
    one.set_ylabel("fraction of the energy")
    inside = left[:shown] > floor
    two.plot(k[:shown][inside], left[:shown][inside], color=POD_COLOUR, marker="o", ms=3, lw=0.9)
    two.set_title("cumulative energy: what k modes leave out")
    two.set_xlabel("modes kept, k")
    two.set_ylabel("fraction of the energy left out")
    for level in LEVELS:
        needed = int(np.searchsorted(np.cumsum(share), level)) + 1
        if needed > min(shown, len(share)):
            continue
        two.axhline(1 - level, color=GREY, lw=0.7, ls="--")
        word = "mode" if needed == 1 else "modes"
        text = f"{100 * level:g} % in {needed} {word}"
        two.annotate(
            text, (1, 1 - level), xycoords=("axes fraction", "data"),
            xytext=(-2, 2), textcoords="offset points", ha="right", va="bottom", fontsize=8,
            color="0.25",
        )  # fmt: skip
    for ax in (one, two):
        count_axis(ax, shown)
        ax.set_yscale("log")
        log_grid(ax)
    return figure
