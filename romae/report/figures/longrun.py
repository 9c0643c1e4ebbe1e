"""Statistics of long rollouts beside the data's: PDF, spectra, distances."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from romae.compare.told import in_days
from romae.report.figures.style import PALETTE, label, legend_above, new_figure, styled

BASELINES = {"persistence": ("0.55", "--"), "climatology": ("0.55", ":")}
DASHES = ["-", "--", "-.", ":"]
DULL = ("climatology", "persistence")  # one state: spikes that hide the rest of a density
MARKS = {"persistence": "x", "climatology": "+"}


@styled
def long_run(statistics: xr.Dataset, *, field: str | None = None) -> Figure:
    """PDF, power over wavenumber and over frequency of one field, and all distances.

    ``statistics`` is what :func:`romae.compare_statistics` returned; ``field`` None: the first.
    """
    statistics = in_days(statistics)
    field = str(statistics["field"].values[0]) if field is None else field
    one = statistics.sel(field=field)
    figure = new_figure(5.6)
    axes = figure.subplots(2, 2)
    looks = _looks(statistics)
    _pdf(axes[0, 0], one, looks, field)
    waves = [str(n) for n in one.data_vars if str(n).startswith("space_spectrum_")]
    waves = [n for n in waves if not n.endswith("_distance")]
    if waves:
        axis = waves[-1].removeprefix("space_spectrum_")
        _power(axes[0, 1], one[waves[-1]], f"wavenumber_{axis}", looks)
        unit = str(one[f"wavenumber_{axis}"].attrs.get("units", ""))
        axes[0, 1].set_xlabel(label(f"wavenumber along {axis}", unit))
        axes[0, 1].set_title("power over wavenumber")
    else:
        axes[0, 1].set_axis_off()
    _power(axes[1, 0], one["time_spectrum"], "frequency", looks)
    unit = str(one["frequency"].attrs.get("units", ""))
    axes[1, 0].set_xlabel(label("frequency", unit))
    axes[1, 0].set_title("power over frequency")
    _distances(axes[1, 1], statistics, looks)
    legend_above(figure, axes[0, 0])
    return figure


def _looks(statistics: xr.Dataset) -> dict[str, tuple[str, str]]:
    """Colour and dashes by model: curves that lie on one another are all seen."""
    free = iter(zip(PALETTE * 3, DASHES * 6, strict=False))
    found = {}
    for name, kind in zip(statistics["model"].values, statistics["kind"].values, strict=True):
        if kind == "data":
            found[str(name)] = ("black", "-")
        else:
            found[str(name)] = BASELINES.get(str(name)) or next(free)
    return found


def _pdf(ax: Axes, one: xr.Dataset, looks: dict[str, tuple[str, str]], field: str) -> None:
    x = one["value"].values
    shown = [n for n in looks if n not in DULL]
    for name in shown:
        y = one["pdf"].sel(model=name).values
        colour, line = looks[name]
        first = name == next(iter(looks))
        ax.plot(x, np.where(y > 0, y, np.nan), line, color=colour, lw=2.2 if first else 1.2,
                alpha=0.9, label=name, zorder=1 if first else 2)  # fmt: skip
    for name in (n for n in looks if n in DULL):
        colour, line = looks[name]
        ax.plot([], [], line, color=colour, lw=1.2, label=name)
    truth = one["pdf"].isel(model=0).values
    inside = np.flatnonzero(one["pdf"].sel(model=shown).values.max(0) > 1e-4 * truth.max())
    ax.set_xlim(x[inside[0]], x[inside[-1]])
    ax.set_yscale("log")
    ax.set_ylim(1e-4 * truth.max(), 3 * truth.max())
    unit = str(one["units"].values) if "units" in one.coords else ""
    ax.set_xlabel(label(field, unit))
    ax.set_title("probability density")


def _power(ax: Axes, power: xr.DataArray, dim: str, looks: dict[str, tuple[str, str]]) -> None:
    x = power[dim].values[1:]
    for name, (colour, line) in looks.items():
        y = power.sel(model=name).values[1:]
        truth = name == next(iter(looks))
        if (y > 0).any():
            ax.plot(x, np.where(y > 0, y, np.nan), line, color=colour,
                    lw=2.2 if truth else 1.2, alpha=0.9, zorder=1 if truth else 2)  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    if x[-1] < 100 * x[0]:  # few decades: ticks at 1, 2, 5, as numbers
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    top = float(np.nanmax(power.isel(model=0).values[1:]))
    low = float(np.nanmin(np.where(power.isel(model=0).values > 0, power.isel(model=0), np.nan)))
    ax.set_ylim(max(low / 10, 1e-10 * top), 5 * top)


def _distances(ax: Axes, statistics: xr.Dataset, looks: dict[str, tuple[str, str]]) -> None:
    found = {"PDF": statistics["wasserstein"].mean("field")}
    for name in statistics.data_vars:
        text = str(name)
        if text.startswith("space_spectrum_") and text.endswith("_distance"):
            axis = text.removeprefix("space_spectrum_").removesuffix("_distance")
            found[f"power along {axis}"] = statistics[name].mean("field")
    found["power over\nfrequency"] = statistics["time_spectrum_distance"].mean("field")
    if "functional_wasserstein" in statistics:
        for functional in statistics["functional"].values:
            found[str(functional)] = statistics["functional_wasserstein"].sel(functional=functional)
    if "joint_distance" in statistics:
        found["joint PDF"] = statistics["joint_distance"]
    rows = np.arange(len(found))[::-1]
    for y, values in zip(rows, found.values(), strict=True):
        floor = float(values.isel(model=0))
        ax.plot([floor, floor], [y - 0.35, y + 0.35], color="black", lw=1.6)
        shown = list(looks)[1:]
        for place, name in zip(np.linspace(0.22, -0.22, len(shown)), shown, strict=True):
            value = max(float(values.sel(model=name)), 1e-4)
            ax.plot(value, y + place, MARKS.get(name, "o"), color=looks[name][0], ms=4.5)
    ax.set_xscale("log")
    ax.set_yticks(rows, list(found))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-0.85, len(found) - 0.15)  # room for the marks of the first and last row
    ax.margins(x=0.07)
    ax.grid(True, axis="x")
    ax.set_axisbelow(True)
    ax.set_title("distance to the data; bar: its two halves")
