"""The choice of a forecast model as a section of a report, and as a report of its own.

folder/index.html              what it says, a figure, the table
folder/figures/dynamics.svg .png
folder/data/dynamics.csv .json .nc
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from romae.compare import forecast_table, write_comparison
from romae.compare.told import in_days
from romae.files import atomic_directory
from romae.report.figures.curves import bytes_text
from romae.report.figures.style import data_uri, percent, png, settle, svg
from romae.report.page import Picture, Section, facts, render, short, table_of
from romae.report.provenance import collect_provenance
from romae.report.verdict import seconds_text

PAGE = "index.html"
ALT = "Valid prediction time of every model, and error over lead time."
CAPTION = (
    "Left: mean over starts of the first lead time at which the NRMSE of all fields passes the "
    "threshold, with its 95 % interval (whiskers) and the quartiles of the starts (grey); the "
    "number is the mean error over all lead times. Right: NRMSE over lead time. No forecast with "
    "these latents gets below the reconstruction."
)


def write_dynamics_report(
    directory: str | os.PathLike[str],
    ranking: xr.Dataset,
    *,
    title: str = "Forecast models compared",
    provenance: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the report of a :func:`romae.compare_dynamics` result; returns its page.

    Raises :class:`romae.errors.PathExistsError` when ``directory`` exists, unless ``overwrite`` is
    true and it holds a report.
    """
    with atomic_directory(directory, overwrite=overwrite, marker=PAGE) as folder:
        (folder / "figures").mkdir()
        section = dynamics_section(ranking, folder / "figures")
        section.text = []  # at the top already
        origin = {**collect_provenance(), **(provenance or {})}
        origin["definition"] = ranking.attrs["definition"]
        sections = [section, Section("provenance", "Provenance", facts=facts(origin))]
        subtitle = (
            f"On the latents of {ranking.attrs['reducer']}, from {ranking.sizes['start']} starts "
            f"in {ranking.attrs['test_source']}."
        )
        words = str(ranking.attrs["verdict"]).split("\n")
        (folder / PAGE).write_text(render(title, subtitle, words, sections), encoding="utf-8")
        (folder / "data").mkdir()
        write_comparison(ranking, folder / "data", name="dynamics")
    return Path(directory) / PAGE


def dynamics_section(ranking: xr.Dataset, folder: Path, name: str = "dynamics") -> Section:
    """The section; its figure is written to ``folder`` as ``name``.svg and .png."""
    from romae.report.figures import dynamics_ranking

    ranking = in_days(ranking)
    figure, title = dynamics_ranking(ranking), f"Choice of dynamics, {name}"
    name = name.replace("+", "-")
    text = svg(settle(figure))
    (folder / f"{name}.svg").write_text(text, encoding="utf-8")
    (folder / f"{name}.png").write_bytes(png(figure))
    return Section(
        name,
        "Choice of the forecast model" if name == "dynamics" else title,
        text=str(ranking.attrs["verdict"]).split("\n"),
        figures=[Picture(data_uri(text), ALT, CAPTION)],
        tables=[ranking_rows(forecast_table(ranking))],
    )


def ranking_rows(rows: pd.DataFrame) -> dict[str, Any]:
    """The table for people: rounded, with units, failures last."""
    unit = str(rows.attrs["units"].get("valid_time_mean", ""))
    unit = "" if unit == "1" else unit
    rows = rows[rows["kind"] != "reconstruction"]
    columns: list[tuple[str, str, str, Any]] = [
        ("rank", "rank", "", _whole),
        ("valid", "valid prediction time, mean and 95 % interval", unit, str),
        ("quarters", "quartiles", unit, str),
        ("error_mean", "mean error", "", _percent),
        ("left_range", "left the range", "of rollouts", _percent),
        ("fit_seconds", "fit", "", lambda v: seconds_text(v) if np.isfinite(v) else "-"),
        ("step_seconds", "step", "microseconds", lambda v: f"{1e6 * v:.3g}" if v == v else "-"),
        ("nbytes", "size", "", lambda v: bytes_text(v) if np.isfinite(v) else "-"),
        ("note", "", "", str),
    ]
    valid = [
        f"{short(m)} ({short(a)} to {short(b)})" if np.isfinite(m) else "-"
        for m, a, b in zip(
            rows["valid_time_mean"], rows["valid_time_mean_low"], rows["valid_time_mean_high"],
            strict=True,
        )
    ]  # fmt: skip
    quarters = [
        f"{short(a)} to {short(b)}" if np.isfinite(a) else "-"
        for a, b in zip(rows["valid_time_lower"], rows["valid_time_upper"], strict=True)
    ]
    notes = [
        str(f) or ("as good as the winner" if t == 1 and r != 1 else "")
        for f, t, r in zip(rows["failure"], rows["tied"], rows["rank"], strict=True)
    ]
    return table_of(rows.assign(valid=valid, quarters=quarters, note=notes), columns)


def _whole(value: float) -> str:
    return f"{value:.0f}" if np.isfinite(value) else "-"


def _percent(value: float) -> str:
    return percent(value) if np.isfinite(value) else "-"
