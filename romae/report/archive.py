"""An archive as a section of a report: its bytes, its worst errors, pictures beside the source."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import xarray as xr

from romae.fields import Snapshots
from romae.report.figures.curves import bytes_text
from romae.report.page import Section, picture, table_of
from romae.report.verdict import seconds_text

if TYPE_CHECKING:
    from romae.archive import Archive

MOST_FIELDS = 4
WORDS = {
    "rel": "of the range of each field, at every value",
    "abs": "in the unit of each field, at every value",
    "nrmse": "of the range, root mean square in every chunk",
}


@dataclass(frozen=True)
class Archived:
    """``verification``: what :func:`romae.verify` found against ``source``, as a dict;

    ``examined``: of :func:`romae.archive.examine.examine`; ``seconds``: that compressing took.
    """

    archive: "Archive"
    source: Snapshots
    verification: Mapping[str, Any]
    examined: xr.Dataset
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        facts, examined = self.archive.facts, self.examined
        kept = ("ratio", "bytes", "source", "bound", "variables", "methods", "chunk", "lengths")
        alone = zip(examined["coder"].values, examined["nbytes"].values, strict=True)
        return {
            **{k: facts[k] for k in kept},
            "seconds": self.seconds,
            "verification": dict(self.verification),
            "tried": {
                **{str(k): int(v) for k, v in examined.attrs.items()},
                "alone": {str(m): float(n) for m, n in alone},
            },
        }

    def sentence(self) -> str:
        """For the top of the report."""
        facts = self.archive.facts
        before, after = facts["source"]["bytes"], facts["bytes"]["total"]
        text = (
            f"The archive of all {sum(facts['lengths'])} snapshots is {_times(facts['ratio'])} "
            f"times smaller, {bytes_text(before)} in {bytes_text(after)}"
        )
        of_bound = [w["error"] / w["bound"] for w in self.verification["worst"] if w["bound"]]
        if not of_bound:
            return f"{text}, and holds every value exactly."
        return (
            f"{text}; compared with the source at every value, the largest error is "
            f"{100 * max(of_bound):.5g} % of the bound."
        )


def archive_section(about: Archived, folder: Path) -> Section:
    """The section; its figures are written to ``folder``."""
    from romae.report.figures import archive_errors, archived_field

    facts, sizes = about.archive.facts, about.archive.facts["bytes"]
    section = Section("archive", "Archive")
    section.text = [
        about.sentence(),
        f"Bound ({facts['bound']}): {_bounds(facts)} {WORDS[facts['bound']]}. Counted are the "
        f"coded chunks ({bytes_text(sizes['chunks'])}), what was learned from the data "
        f"({bytes_text(sizes['side'])}), coordinates and description "
        f"({bytes_text(sizes['other'])}). Compressing took {seconds_text(about.seconds)}; one "
        f"snapshot is read by decoding one chunk of {facts['chunk']}.",
    ]
    section.tables = [error_rows(about), method_rows(about)]
    names = [n for n, v in facts["variables"].items() if v["eps"]] or list(facts["variables"])
    last = about.source.lengths[0] - 1
    what = "the last snapshots" if len(about.source.layout.space) == 1 else f"snapshot {last}"
    cases = "" if about.source.cases == 1 else " of case 0"
    for name in names[:MOST_FIELDS]:
        figure = archived_field(about.archive, about.source, field=name)
        alt = f"{name} in the source and in the archive, and their difference over the bound."
        caption = (
            f"{name} of {what}{cases}: source and archive in one scale, and the error in units of "
            "the bound."
        )
        section.figures.append(picture(folder, f"archive-{name}", figure, alt, caption))
    if not about.examined["share"].isnull().all():
        counted, chunks = (about.examined.attrs[k] for k in ("counted_chunks", "chunks"))
        where = "all values" if counted == chunks else f"{counted} of {chunks} chunks"
        figure, alt = archive_errors(about.examined), "Distribution of errors between the bounds."
        caption = (
            f"How errors are spread between the bounds, counted in {where}. Even: values were "
            "rounded to the bound. Narrow: the prediction alone was better than asked for."
        )
        section.figures.append(picture(folder, "archive-errors", figure, alt, caption))
    return section


def error_rows(about: Archived) -> dict[str, Any]:
    """Bound and worst error of each field, as verification found them."""
    facts = about.archive.facts
    rows = []
    for w in about.verification["worst"]:
        v = facts["variables"][w["field"]]
        limit = v["target"] if v["eps"] else 0.0
        reached = w["rms"] if facts["bound"] == "nrmse" else w["error"]
        case = f", case {w['case']}" if w["cases"] > 1 else ""
        rows.append(
            {
                "asked": f"{v['bound']:.3g}",
                "limit": f"{limit:.4g}" if limit else "exact",
                "worst": f"{w['error']:.4g}",
                "rms": f"{w['rms']:.4g}",
                "share": f"{100 * reached / limit:.5g} %" if limit else "exact",
                "where": f"{w['time']}{case}; {w['place']}",
                "kept": v["stored_exactly"],
            }
        )
    columns: list[tuple[str, str, str, Any]] = [
        ("asked", f"bound, {facts['bound']}", "", str),
        ("limit", "bound", "unit of the field", str),
        ("worst", "largest error", "", str),
        ("rms", "rms error", "", str),
        ("share", "rms of bound" if facts["bound"] == "nrmse" else "largest of bound", "", str),
        ("where", "time and place of the largest", "", str),
        ("kept", "values that missed", "stored exactly", str),
    ]
    table = table_of(pd.DataFrame(rows, index=[w["field"] for w in about.verification["worst"]]),
                     columns)  # fmt: skip
    table["heads"][0]["name"] = "field"
    return table


def method_rows(about: Archived) -> dict[str, Any]:
    """The archive, and what each method alone needs on the tried chunks."""
    examined, facts = about.examined, about.archive.facts
    source = int(examined.attrs["tried_source_bytes"])
    rows = {"the archive": (examined.attrs["tried_archive_bytes"], facts["bytes"]["side"],
                            sum(facts["methods"].values()))}  # fmt: skip
    for name in examined["coder"].values:
        one = examined.sel(coder=name)
        rows[f"{name} alone"] = (
            float(one["nbytes"]), int(one["side"]), facts["methods"].get(str(name), 0)
        )  # fmt: skip
    frame = pd.DataFrame(
        {
            "nbytes": [r[0] for r in rows.values()],
            "ratio": [source / r[0] for r in rows.values()],
            "side": [r[1] for r in rows.values()],
            "chunks": [r[2] for r in rows.values()],
        },
        index=list(rows),
    )
    tried = f"{examined.attrs['tried_chunks']} chunks"
    columns: list[tuple[str, str, str, Any]] = [
        (
            "nbytes",
            f"bytes of {tried}",
            "",
            lambda v: f"{v:,.0f}".replace(",", " ") if v == v else "-",
        ),
        ("ratio", f"ratio of {tried}", "", _times),
        ("side", "learned once", "", bytes_text),
        ("chunks", "chunks of the archive", f"of {examined.attrs['chunks']}", "{:.0f}".format),
    ]
    table = table_of(frame, columns)
    table["heads"][0]["name"] = "method"
    return table


def _times(ratio: float) -> str:
    """Three digits, and no exponent: 20.5, 1230."""
    if ratio != ratio:
        return "-"
    return f"{ratio:.3g}" if ratio < 100 else f"{ratio:.0f}"


def _bounds(facts: Mapping[str, Any]) -> str:
    asked = {n: f"{v['bound']:.3g}" for n, v in facts["variables"].items()}
    if len(set(asked.values())) == 1:
        return next(iter(asked.values()))
    return ", ".join(f"{n} {text}" for n, text in asked.items())
