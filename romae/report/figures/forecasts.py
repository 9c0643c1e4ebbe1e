"""Forecast error over lead time, and how long forecasts stay valid."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from romae.compare.told import in_days
from romae.metrics import ALL
from romae.report.figures.style import (
    PALETTE,
    error_axis,
    label,
    legend_above,
    new_figure,
    styled,
)

BASELINES = {"persistence": ("0.35", "--"), "climatology": ("0.35", ":")}


@styled
def forecast_error(forecasts: xr.Dataset, *, field: str = ALL) -> Figure:
    """Median NRMSE over lead time with quartiles, and valid prediction times.

    ``forecasts`` is what :func:`romae.compare_forecasts` returned. Bands and whiskers reach
    from the lower to the upper quartile over starts.
    """
    forecasts = in_days(forecasts)
    figure = new_figure(3.9)
    left, right = figure.subplots(1, 2, width_ratios=[1.7, 1])
    looks = _looks(forecasts)
    _over_time(left, forecasts, looks, field)
    _valid(right, forecasts, looks)
    legend_above(figure, left)
    return figure


def _looks(forecasts: xr.Dataset) -> dict[str, tuple[str, str]]:
    """(colour, line) of each row: models in colour, the rest in greys and black."""
    found, used = {}, 0
    for name, kind in zip(forecasts["model"].values, forecasts["kind"].values, strict=True):
        if kind == "model":
            found[str(name)] = (PALETTE[used % len(PALETTE)], "-")
            used += 1
        elif kind == "reconstruction":
            # The same colour as the first model with this reducer, thin.
            stem = str(name).removesuffix(", reconstruction")
            twin = next((c for m, (c, _) in found.items() if m.startswith(stem + " ")), "0.6")
            found[str(name)] = (twin, "-.")
        else:
            found[str(name)] = BASELINES.get(str(name), ("black", "-"))
    return found


def _over_time(
    ax: Axes, forecasts: xr.Dataset, looks: dict[str, tuple[str, str]], field: str
) -> None:
    time = forecasts["lead_time"].values
    for name, (colour, line) in looks.items():
        one = forecasts.sel(model=name, field=field)
        kind = str(one["kind"].item())
        middle = one["error_median"].values
        thin = kind == "reconstruction"
        ax.plot(time, middle, line, color=colour, lw=0.9 if thin else 1.5, label=name)
        if kind == "model":
            lower, upper = one["error_lower"].values, one["error_upper"].values
            ax.fill_between(time, lower, upper, color=colour, alpha=0.18, lw=0)
    threshold = float(forecasts.attrs["threshold"])
    ax.axhline(threshold, color="#CC79A7", lw=0.9, label=f"threshold {100 * threshold:g} %")
    error_axis(ax)
    ax.set_xlim(0, time[-1])
    ax.set_title("error of the forecast")
    ax.set_xlabel(label("lead time", str(forecasts.attrs.get("time_units", ""))))
    ax.set_ylabel("NRMSE, median and quartiles")


def _valid(ax: Axes, forecasts: xr.Dataset, looks: dict[str, tuple[str, str]]) -> None:
    names = [
        str(m)
        for m, kind in zip(forecasts["model"].values, forecasts["kind"].values, strict=True)
        if kind != "reconstruction"
    ]
    rows = np.arange(len(names))[::-1]
    horizon = float(forecasts["lead_time"].values[-1])
    for row, name in zip(rows, names, strict=True):
        one = forecasts.sel(model=name)
        middle = float(one["valid_time_median"])
        low, high = float(one["valid_time_lower"]), float(one["valid_time_upper"])
        colour = looks[name][0]
        ax.plot([low, high], [row, row], color=colour, lw=4, alpha=0.35, solid_capstyle="butt")
        # An open arrow where the median start outlives the forecast: only a bound is known.
        open_end = middle >= horizon and float(one["valid_to_the_end"]) >= 0.5
        ax.plot(middle, row, ">" if open_end else "o", color=colour, ms=7 if open_end else 6)
        ax.annotate(
            name, (0, row), xycoords=("axes fraction", "data"), xytext=(4, 7),
            textcoords="offset points", fontsize=8, va="bottom", color="0.2",
        )  # fmt: skip
    ax.set_xlim(0, horizon * 1.04)
    ax.set_ylim(-0.6, len(names) - 0.2)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_title("valid prediction time")
    ax.set_xlabel(label("lead time", str(forecasts.attrs.get("time_units", ""))))
    ax.grid(True, axis="x")
    ax.set_axisbelow(True)
