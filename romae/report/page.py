"""The page: sections of text, figures and tables, rendered into one HTML file.

Nothing on the page is fetched: styles are inline, figures are data URIs, there is no script.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from romae.report.figures.curves import bytes_text
from romae.report.verdict import rate_text, seconds_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATE = "template.html.j2"


@dataclass
class Picture:
    """A figure: ``uri`` shows it, ``alt`` says what is seen, ``caption`` what it means."""

    uri: str
    alt: str
    caption: str


@dataclass
class Section:
    """One part of the page; parts that are empty are left out."""

    id: str
    title: str
    text: list[str] = field(default_factory=list)
    figures: list[Picture] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    facts: list[tuple[str, str, bool]] = field(default_factory=list)


def render(title: str, subtitle: str, verdict: Sequence[str], sections: Sequence[Section]) -> str:
    """The whole page as HTML text; every value is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("romae.report", "."), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(TEMPLATE).render(
        title=title, subtitle=subtitle, verdict=list(verdict), sections=list(sections)
    )


def picture(folder: Path, name: str, figure: "Figure", alt: str, caption: str) -> Picture:
    """``figure`` for the page; written to ``folder`` as ``name``.svg and .png, too."""
    from romae.report.figures.style import data_uri, png, settle, svg

    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
    text = svg(settle(figure))
    (folder / f"{safe}.svg").write_text(text, encoding="utf-8")
    (folder / f"{safe}.png").write_bytes(png(figure))
    return Picture(data_uri(text), alt, caption)


def comparison_table(rows: pd.DataFrame) -> dict[str, Any]:
    """The table of :func:`romae.compare.table` for people: rounded, with units."""
    fields = [c.removeprefix("error ") for c in rows.columns if c.startswith("error ")]
    several = len(fields) > 2  # one field is the same as all
    columns: list[tuple[str, str, str, Any]] = [("latent", "k", "", int)]
    columns += [
        (f"error {f}", "error" if f == "all" else f"error of {f}", "", error_text)
        for f in [
            *(["all"] if "all" in fields else []),
            *([f for f in fields if f != "all"] if several else []),
        ]
    ]
    columns += [
        ("error_worst all", "worst snapshot", "", error_text),
        ("mse_over_variance all", "MSE / variance", "", lambda v: f"{v:.2e}"),
        ("nbytes", "model size", "", bytes_text),
        ("fit_seconds", "fit", "", lambda v: seconds_text(v) if np.isfinite(v) else "unknown"),
        ("encode_rate", "encode", "snapshots/s", rate_text),
        ("decode_rate", "decode", "snapshots/s", rate_text),
    ]
    return table_of(rows, columns)


def forecast_rows(rows: pd.DataFrame) -> dict[str, Any]:
    """The table of :func:`romae.compare.forecast_table` for people."""
    unit = str(rows.attrs["units"].get("valid_time_median", ""))
    rows = rows[rows["kind"] != "reconstruction"]
    between = [
        f"{short(low)} to {short(high)}"
        for low, high in zip(rows["valid_time_lower"], rows["valid_time_upper"], strict=True)
    ]
    columns: list[tuple[str, str, str, Any]] = [
        ("valid_time_median", "valid prediction time", "" if unit == "1" else unit, short),
        ("between", "quartiles", "" if unit == "1" else unit, str),
        ("valid_to_the_end", "valid to the end", "of starts", _share),
        ("left_range", "left the training range", "of rollouts", _share),
    ]
    return table_of(rows.assign(between=between), columns)


def facts(values: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """(name, text, is a block) of every fact; nested values are shown as indented text."""
    import json

    found = []
    for name, value in values.items():
        block = isinstance(value, dict | list)
        flat = block and isinstance(value, dict) and all(np.isscalar(v) for v in value.values())
        if flat and len(str(value)) < 400:
            text, block = ", ".join(f"{k} {v}" for k, v in value.items()), False
        elif block:
            text = json.dumps(value, indent=2, default=str, ensure_ascii=False)
        else:
            text = str(value)
        found.append((name.replace("_", " "), text, bool(block)))
    return found


def error_text(value: float) -> str:
    """An error in per cent, three digits."""
    if not np.isfinite(value):
        return "undefined" if np.isnan(value) else "infinite"
    return f"{100 * value:#.3g}".rstrip(".") + " %"


def table_of(rows: pd.DataFrame, columns: Sequence[tuple[str, str, str, Any]]) -> dict[str, Any]:
    present = [c for c in columns if c[0] in rows.columns]
    heads = [{"name": "model", "unit": ""}]
    heads += [{"name": head, "unit": unit} for _, head, unit, _ in present]
    body = [
        [str(name), *(show(row[key]) for key, _, _, show in present)]
        for name, row in rows.iterrows()
    ]
    return {"heads": heads, "rows": body}


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def short(value: float) -> str:
    return f"{value:.3g}"
