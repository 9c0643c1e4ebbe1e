"""Figures of diagnoses: spectral POD, and whether modes are converged."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps
from matplotlib.figure import Figure

from romae.errors import OptionError
from romae.fields import Layout
from romae.report.figures.modes import mode_grid
from romae.report.figures.style import (
    GREY,
    PALETTE,
    count_axis,
    label,
    legend_above,
    log_grid,
    new_figure,
    percent,
    styled,
)

FLOOR = 1e-14  # of the largest energy: rounding


@styled
def spod_spectrum(spectral: xr.Dataset) -> Figure:
    """Energy of the first modes over frequency, and of all modes together.

    ``spectral`` is what :func:`romae.spectral_pod` returned; dots are the frequencies at which
    it holds mode shapes.
    """
    f, energy = spectral["frequency"].values, spectral["energy"].values
    total = spectral["total"].values
    figure = new_figure(3.7)
    ax = figure.subplots()
    ax.plot(f[1:], total[1:], color=GREY, lw=1.2, ls="--", label="all modes")
    shades = colormaps["viridis"](np.linspace(0.0, 0.85, energy.shape[1]))
    for i, colour in enumerate(shades):
        ax.plot(f[1:], energy[1:, i], color=colour, lw=1.5, label=f"mode {i + 1}")
    if "mode_frequency" in spectral.coords:
        at = spectral["mode_frequency"].values
        first = spectral["energy"].sel(frequency=at, mode=1).values
        shown = at > 0
        ax.plot(at[shown], first[shown], "o", color=PALETTE[0], ms=5, zorder=4)
        for x, y in zip(at[shown], first[shown], strict=True):
            ax.annotate(
                f"{x:.3g}", (x, y), xytext=(0, 5), textcoords="offset points", ha="center",
                fontsize=8,
            )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    positive = energy[1:][energy[1:] > FLOOR * total.max()]
    if len(positive):
        ax.set_ylim(0.5 * positive.min(), 4 * total[1:].max())
    ax.set_xlabel(label("frequency", str(spectral["frequency"].attrs.get("units", ""))))
    ax.set_ylabel(label("energy of each frequency", str(spectral["energy"].attrs.get("units", ""))))
    log_grid(ax)
    legend_above(figure, ax)
    return figure


@styled
def spectral_modes(
    spectral: xr.Dataset, layout: Layout, *, field: str, mode: int = 1, count: int = 4
) -> Figure:
    """Real part of one mode at up to ``count`` frequencies, the most energetic first.

    ``layout`` is that of the snapshots. Raises :class:`OptionError` for a field or without modes.
    """
    if "mode_frequency" not in spectral.coords:
        raise OptionError(
            "this spectral POD holds no mode shapes. Expected some; type "
            'romae.spectral_pod(..., frequencies="peaks").'
        )
    name = f"{field}_mode" if f"{field}_mode" in spectral else field
    at = spectral["mode_frequency"].values
    energy = spectral["energy"].sel(frequency=at, mode=mode).values
    order = np.argsort(energy)[::-1][:count]
    shapes = spectral[name].sel(mode=mode).transpose("mode_frequency", *layout.space)
    whole = float(spectral["total"].sum())
    unit = str(spectral["frequency"].attrs.get("units", ""))
    per = "" if unit in ("", "1") else f" {unit}"
    titles = [f"f = {at[i]:.3g}{per}, {percent(energy[i] / whole)} of the energy" for i in order]
    return mode_grid(layout, shapes.values[order].real, titles, field)


@styled
def convergence_curves(found: xr.Dataset) -> Figure:
    """Angles between modes of parts of the snapshots, and the energy those modes leave out.

    ``found`` is what :func:`romae.convergence` returned.
    """
    figure = new_figure(3.6)
    one, two = figure.subplots(1, 2)
    k = found["mode"].values
    colours = colormaps["viridis"](np.linspace(0.85, 0.3, found.sizes["part"] - 1))
    for i, part in enumerate(found["part"].values):
        halves = part == "halves"
        colour = "black" if halves else colours[i]
        n = int(found["snapshots"][i])
        name = "first half against second" if halves else f"{part} ({n} snapshots) against all"
        own: Any = {"color": colour, "marker": "o", "ms": 3, "lw": 1.6 if halves else 1.1}
        one.plot(k, found["angle"].values[i], label=name, **own)
        if not halves:
            two.plot(k, 1 - found["energy"].values[i], **own)
    two.plot(k, 1 - found["best"].values, color=GREY, ls="--", lw=1.2, label="modes of all")
    tolerance = float(found.attrs["tolerance"])
    words = f"tolerance {tolerance:g}\N{DEGREE SIGN}"
    one.axhline(tolerance, color=PALETTE[3], lw=0.9, label=words)
    one.set_yscale("log")
    one.set_ylim(max(0.05, 0.7 * float(np.nanmin(found["angle"]))), 100)
    one.set_yticks([0.1, 1, 10, 90] if one.get_ylim()[0] < 0.5 else [1, 10, 90])
    one.set_yticklabels([f"{v:g}\N{DEGREE SIGN}" for v in one.get_yticks()])
    one.minorticks_off()
    one.set_title("largest angle between the first k modes")
    one.set_ylabel("angle")
    left = 1 - found["energy"].values
    if np.nanmin(left) > 1e-12:
        two.set_yscale("log")
    two.set_title("energy of all snapshots left out")
    two.set_ylabel("fraction of the energy")
    for ax in (one, two):
        count_axis(ax, int(k[-1]))
        ax.set_xlabel("modes k")
        log_grid(ax)
    figure.legend(loc="outside upper center", ncols=3)
    return figure
