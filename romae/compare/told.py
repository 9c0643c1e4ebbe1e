"""Times of forecasts as people tell them: seconds from two days on as days.

Dates have a step in seconds, and so have the results of :func:`romae.compare_forecasts` and its
kin, which keep them. Pages, figures and tables of text show this copy.
"""

import xarray as xr

from romae.metrics import time_words

TIMES = ("lead_time", "valid_time")  # how names of such variables begin


def in_days(found: xr.Dataset) -> xr.Dataset:
    """``found`` with lead and valid times in days, where they are seconds and reach two days.

    Of statistics, whose rollouts reach so far: frequency and Lyapunov exponents per day.
    """
    if "frequency" in found.variables and "steps" in found.attrs:
        return _per_day(found)
    if "lead_time" not in found.variables:
        return found
    seconds = str(found["lead_time"].attrs.get("units", ""))
    scale, unit = time_words(seconds, float(found["lead_time"].max()))
    if scale == 1.0:
        return found
    result = found.copy()
    for name in [str(n) for n in found.variables if str(n).startswith(TIMES)]:
        if found[name].attrs.get("units") == seconds:
            result[name] = (found[name] / scale).assign_attrs({**found[name].attrs, "units": unit})
    if "time_units" in found.attrs:
        result.attrs["time_units"] = unit
    return result


def _per_day(found: xr.Dataset) -> xr.Dataset:
    scale, _ = time_words(
        str(found.attrs.get("time_units", "")), float(found.attrs["dt"]) * found.attrs["steps"]
    )
    if scale == 1.0 or found["frequency"].attrs.get("units") != "s-1":
        return found
    rate = {"units": "1/day"}
    frequency = found["frequency"] * scale
    result = found.assign_coords(frequency=frequency.assign_attrs(found["frequency"].attrs | rate))
    power = found["time_spectrum"]  # a density: its sum over frequency stays
    result["time_spectrum"] = (power.dims, power.values / scale, power.attrs)
    if "lyapunov" in found:
        own = found["lyapunov"]
        result["lyapunov"] = (own * scale).assign_attrs(own.attrs | rate)
    return result
