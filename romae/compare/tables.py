"""Comparisons as tables and files, and the ``.romae`` accessor of their Datasets."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from romae.errors import DataError
from romae.files import atomic_file


def table(comparison: xr.Dataset) -> pd.DataFrame:
    """One row per model: errors of each field (``error u``, ..., ``error all``) and the rest.

    ``comparison`` is what :func:`romae.compare` returned. ``attrs["units"]`` of the frame maps
    columns to units.
    """
    if "error" not in comparison or comparison["error"].dims != ("model", "field"):
        raise DataError(
            f"cannot make a table of a Dataset with {', '.join(map(str, comparison.data_vars))}. "
            f"Expected what romae.compare(models, test) returned."
        )
    rows = pd.DataFrame({"model": comparison["model"].values})
    rows["family"] = comparison["family"].values
    units = {}
    for name, values in comparison.data_vars.items():
        if values.dims == ("model",):
            rows[name] = values.values
            units[str(name)] = str(values.attrs.get("units", ""))
        elif values.dims == ("model", "field"):
            for field in map(str, comparison["field"].values):
                rows[f"{name} {field}"] = values.sel(field=field).values
                units[f"{name} {field}"] = str(values.attrs.get("units", ""))
    rows.attrs["units"] = units
    return rows.set_index("model")


def forecast_table(forecasts: xr.Dataset) -> pd.DataFrame:
    """One row per model: valid prediction time (quartiles) and shares of starts."""
    names = [n for n, v in forecasts.data_vars.items() if v.dims == ("model",)]
    rows = pd.DataFrame({"model": forecasts["model"].values, "kind": forecasts["kind"].values})
    for name in names:
        rows[name] = forecasts[name].values
    rows.attrs["units"] = {str(n): str(forecasts[n].attrs.get("units", "")) for n in names}
    return rows.set_index("model")


def write_comparison(
    comparison: xr.Dataset, directory: str | os.PathLike[str], *, name: str = "comparison"
) -> list[Path]:
    """Write ``name``.csv, ``name``.json and ``name``.nc into ``directory``; returns the paths.

    The CSV is the table, its units in the first line as a comment (``#``); the JSON holds
    attributes, units and rows; the netCDF file is the Dataset. Existing ones are replaced, each
    as a whole. Works for :func:`romae.compare` and :func:`romae.compare_forecasts`.
    """
    frame = forecast_table(comparison) if "lead" in comparison.dims else table(comparison)
    units = frame.attrs["units"]
    folder = Path(directory)
    paths = [folder / f"{name}.{suffix}" for suffix in ("csv", "json", "nc")]
    with atomic_file(paths[0], overwrite=True) as target:
        stated = "; ".join(f"{column} [{unit}]" for column, unit in units.items())
        target.write_text(f"# {stated}\n{frame.to_csv(lineterminator=chr(10))}")
    with atomic_file(paths[1], overwrite=True) as target:
        document = {"attributes": comparison.attrs, "units": units, "models": _records(frame)}
        target.write_text(json.dumps(document, indent=2, default=_plain, allow_nan=False) + "\n")
    with atomic_file(paths[2], overwrite=True) as target:
        comparison.to_netcdf(target, engine="netcdf4")
    return paths


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = frame.reset_index().to_dict(orient="records")
    return [{str(k): _plain(v) for k, v in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    """JSON has no numpy numbers, NaN or infinities; the latter two become null."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


@xr.register_dataset_accessor("romae")
class ComparisonAccessor:
    """``comparison.romae.table()`` and ``comparison.romae.plot()``."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset

    def table(self) -> pd.DataFrame:
        """See :func:`romae.compare.table` and :func:`romae.compare.forecast_table`."""
        forecast = "lead" in self._dataset.dims
        return forecast_table(self._dataset) if forecast else table(self._dataset)

    def plot(self, **options: Any) -> Any:
        """A matplotlib Figure: error over latent size, forecast error over lead time, dynamics
        by rank, or statistics of long runs."""
        # Looked up by name: figures live on a higher floor, and matplotlib is imported only
        # when somebody asks for a picture.
        from importlib import import_module

        figures = import_module("romae.report.figures")
        if "rank" in self._dataset:
            return figures.dynamics_ranking(self._dataset, **options)
        if "pdf" in self._dataset:
            draw = figures.long_run
        else:
            forecast = "lead" in self._dataset.dims
            draw = figures.forecast_error if forecast else figures.error_curve
        return draw(self._dataset, **options)
