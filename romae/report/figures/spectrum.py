"""The energy of the POD modes: how many numbers a linear model needs.

s_i are the singular values of the scaled, weighted fluctuations; mode i holds the fraction
s_i^2 / sum_j s_j^2 of their energy.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from romae.report.figures.style import GREY, POD_COLOUR, count_axis, log_grid, new_figure, styled

LEVELS = (0.9, 0.99, 0.999)


@styled
def energy_spectrum(pod: Any) -> Figure:
    """Energy of each mode, and what is left after k modes; ``pod`` has ``singular_values``."""
    s = np.asarray(pod.singular_values, dtype=float)
    share = s**2 / np.sum(s**2)
    # From the far end, so that small remainders are sums of small numbers.
    left = np.concatenate([np.cumsum(share[::-1])[::-1], [0.0]])[1:]
    floor = 1e-14  # rounding of the decomposition
    shown = max(2, int(np.count_nonzero(share > floor)))
    k = np.arange(1, len(s) + 1)
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
        if needed > shown:
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
