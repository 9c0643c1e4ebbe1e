"""Errors over latent size and over bytes, and the curves of training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from romae.errors import OptionError
from romae.metrics import ALL
from romae.report.figures.style import (
    colours,
    count_axis,
    error_axis,
    legend_above,
    log_grid,
    new_figure,
    styled,
)

ERROR = "relative L2 error"


@styled
def error_curve(comparison: xr.Dataset, *, fields: Sequence[str] | None = None) -> Figure:
    """Error over latent size k, one panel for all fields and one for each, both axes in decades.

    ``comparison`` is what :func:`romae.compare` returned; ``fields`` chooses the panels.
    """
    chosen = list(fields) if fields is not None else _panels(comparison)
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(3.5 if rows == 1 else 2.9 * rows)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, name in zip(grid.flat, chosen, strict=False):
        one = comparison.sel(field=name)
        _curves(ax, one["latent"].values, one["error"].values, one["family"].values)
        count_axis(ax, int(comparison["latent"].max()))
        error_axis(ax)
        if len(chosen) > 1:
            ax.set_title("all fields" if name == ALL else str(name))
    for ax in grid.flat[len(chosen) :]:
        ax.set_visible(False)
    for ax in grid[:, 0]:
        ax.set_ylabel(ERROR)
    for ax in grid[-1]:
        ax.set_xlabel("latent size k, numbers per snapshot")
    legend_above(figure, grid.flat[0])
    return figure


@styled
def error_bytes(comparison: xr.Dataset) -> Figure:
    """Error of all fields over the bytes of model and latents of the test snapshots."""
    figure = new_figure(3.6)
    ax = figure.subplots()
    one = comparison.sel(field=ALL)
    _curves(ax, one["stored_bytes"].values, one["error"].values, one["family"].values)
    raw = comparison.attrs.get("test_nbytes")
    if raw:
        ax.axvline(raw, color="0.45", lw=1, ls="--")
        ax.annotate(
            "the snapshots themselves ",
            (raw, 1),
            xycoords=("data", "axes fraction"),
            ha="right",
            va="top",
            rotation=90,
            fontsize=8,
            color="0.35",
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: bytes_text(v)))
    ax.xaxis.set_minor_locator(NullLocator())
    count = comparison.attrs.get("test_snapshots", "the")
    ax.set_xlabel(f"bytes of the model and of the latents of {count} snapshots")
    ax.set_ylabel(ERROR)
    error_axis(ax)
    legend_above(figure, ax)
    return figure


@styled
def training_curves(models: Mapping[str, Any]) -> Figure:
    """Training and validation loss over epochs of every model in ``models`` that was trained.

    Raises :class:`OptionError` when none was: see :func:`trained`.
    """
    shown = {name: model.history for name, model in trained(models).items()}
    if not shown:
        raise OptionError(
            f"none of {', '.join(models) or 'no models'} has a training curve. Expected a model "
            "that is trained, such as romae.PODAutoencoder, fitted with history kept."
        )
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(2.9 * rows + 0.3)
    grid = figure.subplots(rows, columns, squeeze=False)
    for ax, (name, history) in zip(grid.flat, shown.items(), strict=False):
        epoch = [record.get("epoch", i + 1) for i, record in enumerate(history)]
        for key, colour, style in (("train", "0.45", "-"), ("validation", "#D55E00", "-")):
            loss = [record.get(key, np.nan) for record in history]
            if np.isfinite(np.asarray(loss, dtype=float)).any():
                ax.plot(epoch, loss, style, color=colour, lw=1.3, label=key)
        ax.set_yscale("log")
        ax.set_title(name)
        ax.set_xlabel("epoch")
        log_grid(ax)
    for ax in grid.flat[len(shown) :]:
        ax.set_visible(False)
    for ax in grid[:, 0]:
        ax.set_ylabel("loss")
    legend_above(figure, grid.flat[0])
    return figure


def trained(models: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``models`` whose ``history`` has a training or validation loss."""
    losses = {"train", "validation"}
    return {n: m for n, m in models.items() if any(losses & set(r) for r in m.history or [])}


def bytes_text(n: float) -> str:
    """Short decimal size.

    >>> bytes_text(2500), bytes_text(1e6)
    ('2.5 kB', '1 MB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n) < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} TB"


def _panels(comparison: xr.Dataset) -> list[str]:
    """All fields together, then each that has an error; one alone is the same as all."""
    names = [str(f) for f in comparison["field"].values if f != ALL]
    alive = [n for n in names if np.isfinite(comparison["error"].sel(field=n)).any()]
    return [ALL, *alive] if len(names) > 1 else [ALL]


def _curves(ax: Axes, x: np.ndarray, error: np.ndarray, family: np.ndarray) -> None:
    """One line per family, points in the order of x."""
    table = colours(family)
    for name in dict.fromkeys(family):
        mine = family == name
        order = np.argsort(x[mine], kind="stable")
        xs, ys = x[mine][order], error[mine][order]
        keep = np.isfinite(ys) & (ys > 0)
        colour, marker = table[name]
        ax.plot(
            xs[keep],
            ys[keep],
            color=colour,
            marker=marker,
            label=str(name),
            markeredgecolor="white",
            markeredgewidth=0.5,
            zorder=2 if name == "POD" else 3,
        )
