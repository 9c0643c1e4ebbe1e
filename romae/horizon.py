"""How long a forecast can be trusted: the valid prediction time on validation data.

    e_n = || z^_n - z_n || / sigma,      sigma^2 = mean over t of || z_t - mean(z) ||^2
    T_valid = first n dt with e_n > 0.4

from many starts, with quartiles over starts. The norm is that of the latents as they are, in
which each weighs by its energy: for POD it is the error of the fields within the span of the
modes. A start whose error never exceeds the threshold counts with the longest lead, and the
time is then a lower bound.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import xarray as xr

from romae.conventions import CASE, LATENT, TIME
from romae.dynamics import Dynamics
from romae.dynamics.times import continue_axis, time_label
from romae.metrics import quartiles, valid_prediction_time

THRESHOLD = 0.4
STARTS = 50
DAY = 86400.0  # s


@dataclass(frozen=True)
class Horizon:
    """Valid prediction time: quartiles over starts, in ``units`` of the time axis.

    ``censored``: share of starts that stayed valid to the ``longest`` lead that was measured.
    """

    lower: float
    median: float
    upper: float
    units: str
    starts: int
    censored: float
    longest: float
    threshold: float = THRESHOLD

    def __str__(self) -> str:
        least = "at least " if self.median >= self.longest else ""
        days = self.units == "s" and self.lower >= 2 * DAY
        scale, units = (DAY, "days") if days else (1.0, self.units)
        low, middle, up = (v / scale for v in (self.lower, self.median, self.upper))
        return (
            f"valid for {least}{middle:.4g} {units} (quartiles {low:.4g} to {up:.4g}, NRMSE "
            f"{self.threshold:g}, {self.starts} starts)"
        ).replace("  ", " ")

    @classmethod
    def measure(
        cls,
        dynamics: Dynamics,
        latents: Sequence[xr.DataArray],
        params: Any = None,
        inputs: Any = None,
    ) -> Self | None:
        """On validation ``latents``, (time, latent) of each case; None when all are too short.

        ``params``: a table with one row per case. Starts lie evenly over all that leave room for
        leads of half the longest case.
        """
        c = max(dynamics.context, 2)  # two times tell the step
        steps = max(map(len, latents)) - c
        steps = max(1, steps // 2)
        places = [(i, t) for i, z in enumerate(latents) for t in range(c, len(z) - steps + 1)]
        if not places:
            return None
        places = [places[n] for n in np.unique(np.linspace(0, len(places) - 1, STARTS).astype(int))]
        error = np.empty((len(places), steps))
        sigma = _fluctuation(latents)
        for case in sorted({i for i, _ in places}):
            at = [(n, t) for n, (i, t) in enumerate(places) if i == case]
            z = latents[case].transpose(TIME, LATENT)
            rows = None if params is None else params.iloc[[case]]
            rolled = _rolled(dynamics, z, [t for _, t in at], steps, rows, inputs)
            truth = np.stack([z.values[t : t + steps] for _, t in at])
            error[[n for n, _ in at]] = np.linalg.norm(rolled - truth, axis=2) / sigma
        lead = dynamics.dt.length * np.arange(1, steps + 1)
        valid, censored = valid_prediction_time(error, lead, THRESHOLD)
        q = quartiles(valid)
        units = dynamics.dt.units if dynamics.dt.kind == "number" else "s"
        shares = (len(places), float(censored.mean()), float(lead[-1]))
        return cls(float(q[0]), float(q[1]), float(q[2]), units, *shares)

    def until(self, time: xr.DataArray, dynamics: Dynamics) -> float | str:
        """Time after ``time`` up to which the median start is valid, as an attribute."""
        steps = max(1, int(np.floor(self.median / dynamics.dt.length * (1 + 1e-9))))
        return time_label(continue_axis(time, dynamics.dt, steps)[-1])

    def to_state(self) -> dict[str, Any]:
        return asdict(self)


def _fluctuation(latents: Sequence[xr.DataArray]) -> float:
    z = np.concatenate([one.transpose(TIME, LATENT).values for one in latents]).astype(float)
    total = float(np.sqrt(z.var(axis=0).sum()))
    return total or 1.0


def _rolled(
    dynamics: Dynamics, z: xr.DataArray, starts: list[int], steps: int, params: Any, inputs: Any
) -> np.ndarray:
    """Forecasts (B, steps, k) from the states before ``starts``; as one batch without inputs."""
    c = max(dynamics.context, 2)
    with warnings.catch_warnings():  # a blow-up is an error, counted like any other
        warnings.simplefilter("ignore", UserWarning)
        if inputs is not None:
            each = [
                dynamics.forecast(z[t - c : t], steps, params=params, inputs=inputs).values
                for t in starts
            ]
            return np.stack(each).astype(float)
        batch = np.stack([z.values[t - c : t] for t in starts])  # any times of the same step do
        history = xr.DataArray(batch, dims=(CASE, TIME, LATENT), coords={TIME: z[TIME][:c]})
        if params is not None:
            params = params.iloc[[0] * len(starts)].reset_index(drop=True)
        return dynamics.forecast(history, steps, params=params).values.astype(float)
