"""What a comparison says, in plain sentences made from its numbers alone.

POD with k modes is the best *linear* model with k numbers per snapshot, so it is the yardstick:
an autoencoder is worth its training if POD needs more numbers for the same error. When POD
is as good, the sentences say so.
"""

import numpy as np
import pandas as pd
import xarray as xr

from romae.compare import table
from romae.report.figures.style import percent

ERROR = "error all"


def verdict(comparison: xr.Dataset, forecasts: xr.Dataset | None = None) -> list[str]:
    """Sentences for the top of a report, the most important first."""
    rows = table(comparison)
    rows = rows[np.isfinite(rows[ERROR])]
    pod = rows[rows["family"] == "POD"].sort_values("latent")
    others = rows[rows["family"] != "POD"]
    found = []
    best = others.sort_values(ERROR).drop_duplicates("family")
    for _, row in best.iterrows():
        found.append(_against_pod(row, pod))
    if len(best) and len(pod):
        found.append(_where_pod_wins(others, pod))
        found.append(_cost(best.iloc[0], pod))
    elif len(pod):
        found.append(_pod_alone(pod))
    elif len(best):
        found.append("No POD was compared, so nothing says whether a linear model would do.")
    if forecasts is not None:
        found += _forecast(forecasts)
    if text := str(comparison.attrs.get("leak", "")):
        found.append(f"Caution, the test data may not be unseen: {text}.")
    return [sentence for sentence in found if sentence]


def numbers_text(k: int) -> str:
    """``"1 number"``, ``"2 numbers"``."""
    return f"{k} number{'' if k == 1 else 's'}"


def _against_pod(row: pd.Series, pod: pd.DataFrame) -> str:
    k, error = int(row["latent"]), float(row[ERROR])
    start = f"{row['family']} with {numbers_text(k)} per snapshot has {percent(error)} error"
    if pod.empty:
        return start + "."
    same = pod[pod["latent"] == k]
    if len(same):
        own = float(same[ERROR].iloc[0])
        if own <= error:
            return f"{start}. POD wins at this size: with {k} it has {percent(own)}."
        start += f", POD with {k} has {percent(own)}"
    return f"{start}. POD {_needed(error, pod)} for the same."


def _needed(error: float, pod: pd.DataFrame) -> str:
    """``"needs 13 to 16 modes"``: the ranks between the last that fails and the first that does."""
    enough = pod[pod[ERROR] <= error]
    most = int(pod["latent"].max())
    if enough.empty:
        return f"needs more than {most} modes, the most compared here,"
    first = int(enough["latent"].iloc[0])
    short = pod[pod["latent"] < first]["latent"]
    low = int(short.max()) + 1 if len(short) else first
    return (
        f"needs {first} mode{'' if first == 1 else 's'}"
        if low == first
        else (f"needs {low} to {first} modes")
    )


def _where_pod_wins(others: pd.DataFrame, pod: pd.DataFrame) -> str:
    """From which size on POD beats every other model, whatever their sizes."""
    best = float(others[ERROR].min())
    losing = pod[pod[ERROR] > best]["latent"]
    above = pod if losing.empty else pod[pod["latent"] > losing.max()]
    if above.empty:
        return (
            f"Up to k = {int(pod['latent'].max())} POD is less accurate than the best autoencoder "
            "compared here."
        )
    if losing.empty:
        return "POD wins at every size compared here."
    return (
        f"At k = {int(above['latent'].min())} and above POD wins: its error there is below that of "
        "every autoencoder compared here."
    )


def _cost(row: pd.Series, pod: pd.DataFrame) -> str:
    text = f"Fitting {row.name} took {seconds_text(row['fit_seconds'])}"
    text += f", POD {seconds_text(pod['fit_seconds'].iloc[-1])}"
    if "decode_rate" in row and np.isfinite(row["decode_rate"]):
        k = int(pod["latent"].iloc[-1])
        text += (
            f"; it decodes {rate_text(row['decode_rate'])} snapshots per second, POD with {k} "
            f"modes {rate_text(pod['decode_rate'].iloc[-1])}"
        )
    return text + "."


def _pod_alone(pod: pd.DataFrame) -> str:
    last = pod.iloc[-1]
    return (
        f"POD with {numbers_text(int(last['latent']))} per snapshot has {percent(last[ERROR])} "
        "error. No other model was compared."
    )


def _forecast(forecasts: xr.Dataset) -> list[str]:
    kind = forecasts["kind"].values
    models = forecasts.isel(model=kind == "model")
    others = forecasts.isel(model=kind == "baseline")
    if not models.sizes["model"]:
        return []
    one = models.isel(model=_longest(models))
    threshold, starts = float(forecasts.attrs["threshold"]), int(forecasts.sizes["start"])
    text = (
        f"The forecast of {one['model'].item()} stays below {percent(threshold)} error "
        f"{_valid(one, forecasts)} (median of {starts} starts)"
    )
    rest = [others.isel(model=i) for i in range(others.sizes["model"])]
    beside = ", ".join(f"{r['model'].item()} {_valid(r, forecasts)}" for r in rest)
    found = [text + (f"; {beside}." if beside else ".")]
    own = _score(one)
    winners = [str(r["model"].item()) for r in rest if _score(r) < own]
    if winners:
        found.append(
            f"{' and '.join(winners)} forecast{'s' if len(winners) == 1 else ''} better than every "
            "reduced model compared here."
        )
    return found


def _longest(models: xr.Dataset) -> int:
    scores = [_score(models.isel(model=i)) for i in range(models.sizes["model"])]
    return min(range(len(scores)), key=scores.__getitem__)


def _score(one: xr.Dataset) -> tuple[float, float]:
    """Smaller is better: a longer valid time first, then a smaller error over all leads."""
    curve = one["error_median"].sel(field="all").values
    mean = float(np.mean(np.where(np.isnan(curve), np.inf, curve)))
    return -float(one["valid_time_median"]), mean


def _valid(one: xr.Dataset, forecasts: xr.Dataset) -> str:
    horizon = float(forecasts["lead_time"].values[-1])
    middle, unit = float(one["valid_time_median"]), str(forecasts.attrs.get("time_units", ""))
    unit = f" {unit}" if unit not in ("", "1") else " time units"
    if middle >= horizon and float(one["valid_to_the_end"]) >= 0.5:
        return f"for all {horizon:.3g}{unit} of the test"
    return f"for {middle:.3g}{unit}"


def seconds_text(seconds: float) -> str:
    """``"1.2 s"``, ``"3.4 min"``, ``"2 h"``."""
    if not np.isfinite(seconds):
        return "an unknown time"
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 6000 else f"{seconds / 3600:.2g} h"


def rate_text(rate: float) -> str:
    """Two digits, thousands set apart: ``"12 000"``."""
    digits = max(0, int(np.floor(np.log10(rate))) - 1) if rate >= 1 else 0
    text = f"{round(rate, -digits):,.0f}" if rate >= 10 else f"{rate:.2g}"
    return text.replace(",", " ")
