"""The last step: the page, from what the steps before it left on disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from romae.study.archive import read_archived
from romae.study.forecasting import choices
from romae.study.ledger import Ledger

if TYPE_CHECKING:
    import xarray as xr

    from romae.study.plan import Plan


def make_report(plan: "Plan") -> None:
    """Write ``report/`` in the run folder of ``plan``."""
    from romae.report import write_report

    study = plan.study
    forecasts = _read(plan.forecast_step.output / "forecasts.nc") if study.dynamics else None
    write_report(
        plan.report_step.output,
        comparison=_read(plan.compare_step.output / "comparison.nc"),
        models=plan.shown(plan.reducers()),
        test=plan.parts[2],
        forecasts=forecasts,
        choices=choices(plan),
        statistics=_read_if(plan.forecast_step.output / "statistics.nc"),
        calibration=_read_if(plan.forecast_step.output / "calibration.nc"),
        archived=read_archived(plan) if study.archive is not None else None,
        provenance=provenance(plan),
        title=study.report.title or study.name,
        overwrite=True,
    )


def provenance(plan: "Plan") -> dict[str, Any]:
    """Resolved study, data, parts and wall times: shown on the page and kept beside it."""
    ledger = Ledger(plan.folder)
    steps = [plan.data_step.name, *(step.name for step in plan.steps if step.name != "report")]
    times = {name: f"{ledger.record(name).get('seconds', 0):.1f} s" for name in steps}
    parts = zip(("train", "validation", "test"), plan.parts, strict=True)
    return {
        "study": _said(plan.study.resolved()),
        "data": plan.snapshots.source,
        "data_fingerprint": plan.snapshots.fingerprint,
        "snapshots": {name: len(part) for name, part in parts},
        "wall_times": times,
    }


def _said(value: Any) -> Any:
    """``value`` without the keys that say nothing (None, empty), for people to read."""
    if isinstance(value, dict):
        return {k: _said(v) for k, v in value.items() if v is not None and v not in ({}, [])}
    return [_said(item) for item in value] if isinstance(value, list | tuple) else value


def _read_if(path: Path) -> "xr.Dataset | None":
    return _read(path) if path.exists() else None


def _read(path: Path) -> "xr.Dataset":
    import xarray as xr

    return xr.load_dataset(path, engine="netcdf4")
