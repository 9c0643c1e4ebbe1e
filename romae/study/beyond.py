"""Beyond the error of single forecasts: statistics of long rollouts, calibration of ensembles.

Long rollouts are those of every reduced model; ensembles those of the best, at no more than
``LEADS`` lead times from no more than ``STARTS`` starts, because every member is decoded. Models
driven by inputs are told those of the test data, which come round again in a longer rollout.
"""

from typing import TYPE_CHECKING, Any

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
    inputs: Any = None,
) -> "dict[str, xr.Dataset]":
    """``statistics`` and ``calibration`` of the fitted ``models``, as far as they are wanted."""
    import romae

    if wanted.long_run is None and wanted.ensemble is None:
        return {}
    found = {}
    if wanted.long_run is not None:
        found["statistics"] = romae.compare_statistics(
            models, test, steps=wanted.long_run, starts=LONG_STARTS, inputs=inputs,
            resample=resample,
        )  # fmt: skip
    if wanted.ensemble is not None:
        best = min(models, key=lambda name: _place(forecasts, name))
        steps, starts = min(wanted.steps, LEADS), min(wanted.starts, STARTS)
        found["calibration"] = romae.compare_ensembles(
            {best: models[best]}, test, steps, starts, members=wanted.ensemble, inputs=inputs,
            resample=resample,
        )  # fmt: skip
    return found


def _place(forecasts: "xr.Dataset", name: str) -> tuple[float, float]:
    """Smaller is better: a longer valid time first, then a smaller error."""
    one = forecasts.sel(model=name)
    error = float(one["error_median"].sel(field="all").mean())
    return -float(one["valid_time_mean"]), error if error == error else float("inf")
