"""Dynamics compared on one reducer: who stays valid how long, and at what error."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from romae.compare.told import in_days
from romae.metrics import ALL
from romae.report.figures.style import GREY, PALETTE, error_axis, label, new_figure, percent, styled

MOST_CURVES = 5  # models in colour; the rest in light grey
GREYS = {"Persistence": ("0.25", "--"), "Climatology": ("0.25", ":"), "DMD": ("black", "-")}


@styled
def dynamics_ranking(ranking: xr.Dataset) -> Figure:
    """Valid prediction time of every model, and median NRMSE over lead time.

    ``ranking`` is what :func:`romae.compare_dynamics` returned. Bars reach to the mean over starts,
    whiskers are its 95 % interval, thick grey lines the quartiles of the starts.
    """
    ranking = in_days(ranking)
    rows = ranking.isel(model=ranking["kind"].values != "reconstruction")
    alive = rows.isel(model=np.isfinite(rows["valid_time_mean"].values))
    failed = [str(m) for m in rows["model"].values if m not in alive["model"].values]
    figure = new_figure(max(3.4, 0.27 * alive.sizes["model"] + 1.9))
    figure.set_layout_engine(
        "constrained", rect=(0, 0, 0.985, 1)
    )  # room for names beside the curves
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.35])
    looks = _looks([str(m) for m in alive["model"].values])
    _bars(left, alive, looks, failed)
    _curves(right, alive, looks)
    floor = ranking.isel(model=ranking["kind"].values == "reconstruction")
    if floor.sizes["model"]:
        values = floor["error_median"].isel(model=0, field=-1).values
        right.set_ylim(min(right.get_ylim()[0], 0.4 * float(values[0])))  # its name lies below
        right.plot(ranking["lead_time"].values, values, "-.", color=GREY, lw=1.0)
        _name(right, ranking["lead_time"].values, values, "reconstruction", GREY)
    return figure


def _looks(names: list[str]) -> dict[str, tuple[str, str]]:
    """(colour, line), names by rank: the best in colour, baselines as everywhere."""
    free = iter(PALETTE)
    trained = [n for n in names if n not in GREYS][:MOST_CURVES]
    return {n: GREYS.get(n) or ((next(free), "-") if n in trained else ("0.8", "-")) for n in names}


def _bars(ax: Axes, rows: xr.Dataset, looks: dict[str, tuple[str, str]], failed: list[str]) -> None:
    n = rows.sizes["model"]
    horizon = float(rows["lead_time"].values[-1])
    for y, name in zip(np.arange(n)[::-1], map(str, rows["model"].values), strict=True):
        one = rows.sel(model=name)
        mean, low, high = (float(one[f"valid_time_{k}"]) for k in ("mean", "mean_low", "mean_high"))
        quarter = [float(one["valid_time_lower"]), float(one["valid_time_upper"])]
        colour = looks[name][0]
        ax.barh(y, mean, height=0.62, color=colour, alpha=0.75, lw=0)
        ax.plot(quarter, [y - 0.18, y - 0.18], color="0.3", lw=2.5, alpha=0.55,
                solid_capstyle="butt")  # fmt: skip
        if high - low > 0.01 * horizon:
            ax.errorbar(mean, y + 0.06, xerr=[[mean - low], [high - mean]],
                        color="black", lw=1, capsize=2.5)  # fmt: skip
        # The error tells apart those that are valid to the end.
        inside = mean > 0.25 * horizon
        at = 0.0 if inside else max(mean, quarter[1], high)
        ax.annotate(percent(float(one["error_mean"])), (at, y), xytext=(5, 0),
                    textcoords="offset points", va="center", fontsize=7.5,
                    color="white" if inside else "0.3")  # fmt: skip
    ax.set_yticks(np.arange(n)[::-1], [str(m) for m in rows["model"].values])
    ax.tick_params(axis="y", length=0)
    ax.axvline(horizon, color=GREY, lw=0.8, ls=":")
    ax.set_xlim(0, 1.03 * horizon)
    ax.set_ylim(-0.6, n - 0.4)
    ax.set_title("valid prediction time; mean error")
    text = f"not compared: {', '.join(failed)}" if failed else ""
    unit = str(rows.attrs.get("time_units", ""))
    ax.set_xlabel(label("lead time", unit) + (f"\n{text}" if text else ""))


def _curves(ax: Axes, rows: xr.Dataset, looks: dict[str, tuple[str, str]]) -> None:
    time = rows["lead_time"].values
    field = ALL if ALL in rows["field"].values else rows["field"].values[-1]
    for name in reversed([str(m) for m in rows["model"].values]):  # the best on top
        one, (colour, line) = rows.sel(model=name, field=field), looks[name]
        middle = one["error_median"].values
        coloured = name not in GREYS and colour != "0.8"
        if coloured:
            ax.fill_between(time, one["error_lower"].values, one["error_upper"].values,
                            color=colour, alpha=0.15, lw=0)  # fmt: skip
        thin = colour == "0.8"
        ax.plot(time, middle, line, color=colour, lw=0.9 if thin else 1.5)
    threshold = float(rows.attrs["threshold"])
    ax.axhline(threshold, color="0.6", lw=0.8)
    ax.annotate(f"threshold {100 * threshold:g} %", (time[-1], threshold), xytext=(-3, -3),
                ha="right", va="top", textcoords="offset points", fontsize=7.5,
                color="0.4")  # fmt: skip
    ax.set_ylim(*_decades(rows["error_median"].sel(field=field).values))
    error_axis(ax)
    ax.set_xlim(0, time[-1])
    _direct(ax, rows, looks, field)
    ax.set_title("error of the forecast, median and quartiles over starts")
    ax.set_xlabel(label("lead time", str(rows.attrs.get("time_units", ""))))
    ax.set_ylabel("NRMSE")


def _decades(values: np.ndarray) -> tuple[float, float]:
    """Limits that hold all curves but not a blow-up."""
    good = values[np.isfinite(values) & (values > 0)]
    return 0.7 * float(good.min()), min(1.5 * float(good.max()), 5.0)


def _direct(ax: Axes, rows: xr.Dataset, looks: dict[str, tuple[str, str]], field: str) -> None:
    """Names at the right end of their curves, moved apart."""
    time, names = rows["lead_time"].values, [str(m) for m in rows["model"].values]
    shown = [n for n in names if looks[n][0] != "0.8"]
    low, high = np.log(ax.get_ylim())
    ends = {n: float(rows["error_median"].sel(model=n, field=field).values[-1]) for n in shown}
    order = sorted(shown, key=lambda n: ends[n])
    place = np.array([(np.log(max(ends[n], 1e-300)) - low) / (high - low) for n in order])
    place = np.clip(place, 0.0, 1.0)
    for _ in range(200):  # push neighbours apart until each has its line
        gap = np.diff(place)
        close = np.flatnonzero(gap < 0.052)
        if not close.size:
            break
        for i in close:
            move = (0.053 - gap[i]) / 2
            place[i], place[i + 1] = place[i] - move, place[i + 1] + move
        place = np.clip(place, -0.02, 1.02)
    for name, y in zip(order, place, strict=True):
        ax.annotate(name, (time[-1], np.exp(low + y * (high - low))), xytext=(5, 0),
                    textcoords="offset points", fontsize=7.5, va="center", color=looks[name][0],
                    annotation_clip=False)  # fmt: skip


def _name(ax: Axes, time: np.ndarray, values: np.ndarray, text: str, colour: str) -> None:
    ax.annotate(text, (time[0], values[0]), xytext=(2, -9), textcoords="offset points",
                fontsize=7.5, color=colour)  # fmt: skip
