"""Sections beyond the error of single forecasts: long-run statistics, and calibration."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from romae.compare.told import in_days
from romae.report.figures.style import percent
from romae.report.page import Section, picture, short, table_of

MOST_FIELDS = 3


def long_run_section(statistics: xr.Dataset, folder: Path) -> Section:
    """PDF, spectra and distances to the data of what :func:`romae.compare_statistics` returned."""
    from romae.report.figures import long_run

    steps, starts = int(statistics.attrs["steps"]), int(statistics.attrs["starts"])
    section = Section("long-run", "Long-run statistics")
    section.text.append(
        f"Rollouts of {steps} steps from {starts} start{'s' * (starts != 1)}, beside all test "
        "snapshots. Far beyond the horizon a forecast no longer follows the truth; a good one "
        "still has its statistics. Distances are to the test data, and the first row holds those "
        "between its two halves: a model at that level cannot be told from the data."
    )
    for name in [str(n) for n in statistics["field"].values][:MOST_FIELDS]:
        section.figures.append(
            picture(
                folder, f"long-run-{name}", long_run(statistics, field=name),
                f"Probability density and spectra of {name} in long rollouts and in the data.",
                f"{name}: probability density, power over wavenumber and over frequency, of the "
                "data (black) and of rollouts. Lower right, of all fields: distance to the data, "
                "smaller is better; the bar is the distance between the halves of the data.",
            )
        )  # fmt: skip
    section.tables.append(_long_run_rows(statistics))
    return section


def _long_run_rows(statistics: xr.Dataset) -> dict[str, Any]:
    statistics = in_days(statistics)
    unit = str(statistics["lyapunov"].attrs.get("units", ""))
    rate = "" if unit == "1" else unit
    rows = pd.DataFrame(index=[str(n) for n in statistics["model"].values])
    rows["pdf"] = statistics["wasserstein"].mean("field").values
    rows["frequency"] = statistics["time_spectrum_distance"].mean("field").values
    columns: list[tuple[str, str, str, Any]] = [
        ("pdf", "density, Wasserstein", "of std", _percent),
        ("frequency", "power over frequency", "", _percent),
    ]
    if "joint_distance" in statistics:
        rows["joint"] = statistics["joint_distance"].values
        columns.append(("joint", "joint density of derivatives", "", _percent))
    rows["lyapunov"] = statistics["lyapunov"].values
    rows["stable"] = statistics["stable"].values
    columns += [
        (
            "lyapunov",
            "Lyapunov exponent",
            rate,
            lambda v: short(v) if np.isfinite(v) else "-",
        ),
        ("stable", "stayed in range", "of rollouts", _percent),
    ]
    return table_of(rows, columns)


def calibration_section(calibration: xr.Dataset, folder: Path) -> Section:
    """Spread and skill of what :func:`romae.compare_ensembles` returned, its first model."""
    from romae.report.figures import ensemble_calibration

    one = calibration.isel(model=0)
    name, members = str(one["model"].item()), int(calibration.sizes["rank"]) - 1
    ratio = float(np.sqrt((one["spread"] ** 2).mean() / (one["skill"] ** 2).mean()))
    section = Section("calibration", "Spread of the ensemble")
    section.text.append(
        f"Ensembles of {members} members by {name}, from perturbed starts. Spread over error of "
        f"the mean is {ratio:.2g}: {_judged(ratio)} The error of the reducer counts as error and "
        "has no spread, so where it dominates the ratio is small whatever the dynamics do."
    )
    for field in [str(n) for n in one["field"].values][:MOST_FIELDS]:
        section.figures.append(
            picture(
                folder, f"calibration-{field}", ensemble_calibration(one, field=field),
                f"Spread and error of the ensemble over lead time, and rank histogram, of {field}.",
                f"{field}. Left: error of the ensemble mean, spread of the members and fair CRPS "
                "over lead time; calibrated where spread and error agree. Right: how many members "
                "lie below the truth; level where calibrated, high ends where it is too sure.",
            )
        )  # fmt: skip
    return section


def _judged(ratio: float) -> str:
    if ratio < 0.7:
        return "it is too sure of itself."
    return "it is calibrated." if ratio < 1.4 else "it is less sure than it could be."


def _percent(value: float) -> str:
    return percent(value) if np.isfinite(value) else "-"
