"""A report directory: the page, its figures as files, its numbers as files.

    report/index.html            everything on one page, nothing fetched
    report/figures/NAME.svg .png
    report/data/comparison.csv .json .nc, forecasts.csv .json .nc,
                                 statistics.nc, calibration.nc, archive.json, provenance.json

Written under a temporary name and renamed: there is a whole report or none.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from romae.compare import write_comparison
from romae.compare.told import in_days
from romae.fields import Snapshots, open_snapshots
from romae.files import atomic_directory
from romae.report.archive import Archived, archive_section
from romae.report.beyond import calibration_section, long_run_section
from romae.report.dynamics import dynamics_section
from romae.report.page import Section, facts, render
from romae.report.provenance import collect_provenance
from romae.report.sections import Sections
from romae.report.verdict import verdict

PAGE = "index.html"


def write_report(
    directory: str | os.PathLike[str],
    *,
    comparison: xr.Dataset,
    models: Any,
    test: Any,
    forecasts: xr.Dataset | None = None,
    choices: Mapping[str, xr.Dataset] | None = None,
    statistics: xr.Dataset | None = None,
    calibration: xr.Dataset | None = None,
    archived: Archived | None = None,
    provenance: Mapping[str, Any] | None = None,
    title: str = "Reduced-order models compared",
    overwrite: bool = False,
) -> Path:
    """Write the report into ``directory`` and return the path of its page.

    ``comparison`` and ``forecasts`` are what :func:`romae.compare` and
    :func:`romae.compare_forecasts` returned for ``models`` and ``test``; ``choices`` maps names to
    what :func:`romae.compare_dynamics` returned; ``statistics`` is what
    :func:`romae.compare_statistics` and ``calibration`` what
    :func:`romae.compare_ensembles` returned; ``archived`` is an archive that was compared with
    its source; ``provenance`` is shown
    beside what :func:`collect_provenance` finds. What is missing (no POD, no training curve, no
    forecasts) is left out.

    Raises :class:`romae.errors.PathExistsError` when ``directory`` exists, unless ``overwrite`` is
    true and it holds a report.
    """
    snapshots = open_snapshots(test)
    with atomic_directory(directory, overwrite=overwrite, marker=PAGE) as folder:
        told = None if forecasts is None else in_days(forecasts)
        maker = Sections(folder / "figures", comparison, models, snapshots, told)
        sections = [s for s in maker.make() if s.figures or s.tables]
        for name, ranking in (choices or {}).items():
            sections.insert(-1, dynamics_section(ranking, folder / "figures", name))
        if statistics is not None:
            sections.insert(-1, long_run_section(statistics, folder / "figures"))
        if calibration is not None:
            sections.insert(-1, calibration_section(calibration, folder / "figures"))
        if archived is not None:
            sections.insert(-1, archive_section(archived, folder / "figures"))
        origin = {**collect_provenance(), **dict(provenance or {})}
        sections.append(
            Section("provenance", "Provenance", facts=facts(_origin(comparison, origin)))
        )
        sentences = verdict(comparison, told)
        if archived is not None:
            sentences.append(archived.sentence())
        html = render(title, _subtitle(snapshots), sentences, sections)
        (folder / PAGE).write_text(html, encoding="utf-8")
        data = folder / "data"
        data.mkdir()
        write_comparison(comparison, data)
        if forecasts is not None:
            write_comparison(forecasts, data, name="forecasts")
        for name, dataset in (("statistics", statistics), ("calibration", calibration)):
            if dataset is not None:
                dataset.to_netcdf(data / f"{name}.nc", engine="netcdf4")
        if archived is not None:
            text = json.dumps(archived.to_dict(), indent=2, default=str)
            (data / "archive.json").write_text(text + "\n", encoding="utf-8")
        text = json.dumps({**origin, "verdict": sentences}, indent=2, default=str)
        (data / "provenance.json").write_text(text + "\n", encoding="utf-8")
    return Path(directory) / PAGE


def _subtitle(test: Snapshots) -> str:
    fields, axes = ", ".join(test.layout.names), ", ".join(test.layout.space)
    grid = f"{' x '.join(map(str, test.layout.shape))} points ({axes})"
    return f"Tested on {len(test)} unseen snapshots of {fields} on {grid}, from {test.source}."


def _origin(comparison: xr.Dataset, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance, with what the comparison itself recorded."""
    keys = ("test_source", "test_fingerprint", "test_snapshots", "test_first_time",
            "test_last_time", "reference_mean", "definition", "device", "threads")  # fmt: skip
    recorded = {k: comparison.attrs[k] for k in keys if k in comparison.attrs}
    return {**recorded, **origin}
