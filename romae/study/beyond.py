"""Beyond the error of single forecasts: statistics of long rollouts, calibration of ensembles.

Long rollouts are those of every reduced model; ensembles those of the best, at no more than
``LEADS`` lead times from no more than ``STARTS`` starts, because every member is decoded. Models
driven by inputs are left out: their rollouts end where the inputs do.
"""

from typing import TYPE_CHECKING, Any

from romae.progress import log

if TYPE_CHECKING:
    import xarray as xr

    from romae.fields import Snapshots
    from romae.study.config import Forecast

LEADS, STARTS = 100, 8
LONG_STARTS = 2


def beyond_errors(
    models: dict[str, Any],
    test: "Snapshots",
    forecasts: "xr.Dataset",
    wanted: "Forecast",
    resample: Any,
) -> "dict[str, xr.Dataset]":
    """``statistics`` and ``calibration`` of the fitted ``models``, as far as they are wanted."""
    import romae
    from romae.compare.even import evenly
    from romae.compare.forcing import uses_inputs

    free = {name: m for name, m in models.items() if not uses_inputs(m.dynamics)}
    if wanted.long_run is None and wanted.ensemble is None:
        return {}
    if not free:
        log("long_run and ensemble: all models are driven by inputs, none goes beyond them")
        return {}
    if resample is not None:
        test = evenly(test, resample)
    found = {}
    if wanted.long_run is not None:
        found["statistics"] = romae.compare_statistics(
            free, test, steps=wanted.long_run, starts=LONG_STARTS
        )
    if wanted.ensemble is not None:
        best = min(free, key=lambda name: _place(forecasts, name))
        steps, starts = min(wanted.steps, LEADS), min(wanted.starts, STARTS)
        found["calibration"] = romae.compare_ensembles(
            {best: free[best]}, test, steps, starts, members=wanted.ensemble
        )
    return found


def _place(forecasts: "xr.Dataset", name: str) -> tuple[float, float]:
    """Smaller is better: a longer valid time first, then a smaller error."""
    one = forecasts.sel(model=name)
    error = float(one["error_median"].sel(field="all").mean())
    return -float(one["valid_time_mean"]), error if error == error else float("inf")
