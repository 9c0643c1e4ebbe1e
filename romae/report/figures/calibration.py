"""Whether an ensemble's spread matches its error: spread and skill, CRPS, ranks."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from romae.compare.told import in_days
from romae.report.figures.style import PALETTE, label, new_figure, styled

FLAT = 0.05  # of the error: a smaller spread is drawn on a logarithmic axis


@styled
def ensemble_calibration(calibration: xr.Dataset, *, field: str | None = None) -> Figure:
    """Spread and skill over time, and the rank histogram, of one field.

    ``calibration`` is what :func:`romae.calibration` returned, or one model of
    :func:`romae.compare_ensembles`; ``field`` None takes the first.
    """
    calibration = in_days(calibration)
    one = calibration.sel(field=str(calibration["field"].values[0]) if field is None else field)
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    axis = next(str(d) for d in one["spread"].dims)
    along = one["lead_time"] if axis == "lead" else one[axis]
    time = along.values
    left.plot(time, one["skill"], color="black", label="error of the mean (skill)")
    left.plot(time, one["spread"], color=PALETTE[0], label="spread")
    left.plot(time, one["crps"], color=PALETTE[1], ls="--", label="CRPS")
    if 0 < float(one["spread"].max()) < FLAT * float(one["skill"].min()):
        left.set_yscale("log")  # or the spread would lie on the axis
    else:
        left.set_ylim(bottom=0)
    left.set_xlim(time[0], time[-1])
    name = "lead time" if axis == "lead" else axis
    left.set_xlabel(label(name, str(along.attrs.get("units", ""))))
    unit = one["units"].item() if "units" in one.coords else one["skill"].attrs.get("units", "")
    left.set_ylabel(label(str(one["field"].item()), str(unit)))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = float(np.sqrt((one["spread"] ** 2).mean() / (one["skill"] ** 2).mean()))
    left.set_title(f"spread over skill {ratio:.2g}; 1 is calibrated")
    left.legend(loc="best")
    counts = one["ranks"].values
    share = counts / counts.sum()
    right.bar(np.arange(len(share)), share, width=0.92, color=PALETTE[1], alpha=0.7, lw=0)
    right.axhline(1 / len(share), color="black", lw=1)
    right.annotate("calibrated", (len(share) / 2 - 0.5, 1 / len(share)), xytext=(0, 6),
                   textcoords="offset points", ha="center", fontsize=7.5,
                   bbox={"fc": "white", "ec": "none", "pad": 1, "alpha": 0.8})  # fmt: skip
    right.set_xlabel("members below the truth")
    right.set_ylabel("share of points")
    right.set_title("rank histogram")
    return figure
