"""How long a forecast can be trusted: the valid prediction time on validation data.

    e_n = NRMSE of D(z^_n) against x_n             of the decoded fields, reconstruction included
    e_n = || z^_n - z_n || / sigma                 of the latents, sigma^2 = mean || z - mean ||^2
    T_valid = first n dt with e_n > 0.4

from many starts, with quartiles over starts. What counts are fields: a network may hold a large
change of the flow in a small one of its latents, and what it cannot hold is lost before the
first step. They are decoded from ``FIELD_STARTS`` of the starts at ``LEADS`` leads, and at every
lead between the last good one and the first bad one, so that a short excursion above the
threshold can be missed; NRMSE as in :mod:`romae.metrics`, about the training mean, sigma from the
snapshots read. Latents are used alone where there are no fields to compare: resampled times,
and decoders that depend on the case or on the past.

In the latents each weighs by its energy: for POD it is the error of the fields within the span
of the modes. A start whose error never exceeds the threshold counts with the longest lead, and
the time is then a lower bound.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import xarray as xr

from romae.conventions import CASE, LATENT, TIME
from romae.dynamics import Dynamics
from romae.dynamics.known import inputs_of_cases
from romae.dynamics.times import continue_axis, time_label
from romae.fields import Snapshots
from romae.metrics import FluctuationSums, energy, nrmse, quartiles, time_words, unit_groups
from romae.metrics import valid_prediction_time as valid_time
from romae.reducers import Reducer

THRESHOLD = 0.4
STARTS, FIELD_STARTS, LEADS = 50, 12, 16


@dataclass(frozen=True)
class Horizon:
    """Valid prediction time: quartiles over starts, in ``units`` of the time axis.

    ``censored``: share of starts that stayed valid to the ``longest`` lead that was measured.
    ``of``: what was compared, decoded fields or latents; ``in_latents``: the median in the latents.
    """

    lower: float
    median: float
    upper: float
    units: str
    starts: int
    censored: float
    longest: float
    threshold: float = THRESHOLD
    of: Literal["fields", "latents"] = "latents"
    in_latents: float | None = None

    def __str__(self) -> str:
        least = "at least " if self.median >= self.longest else ""
        scale, units = time_words(self.units, self.lower)
        low, middle, up = (v / scale for v in (self.lower, self.median, self.upper))
        return (
            f"valid for {least}{middle:.4g} {units} (quartiles {low:.4g} to {up:.4g}, NRMSE "
            f"{self.threshold:g} of the {self.of}, {self.starts} starts)"
        ).replace("  ", " ")

    @classmethod
    def measure(
        cls,
        dynamics: Dynamics,
        latents: Sequence[xr.DataArray],
        params: Any = None,
        inputs: Any = None,
        *,
        fields: "Fields | None" = None,
    ) -> Self | None:
        """On validation ``latents``, (time, latent) of each case; None when all are too short.

        ``params``: a table with one row per case; ``inputs``: known series. Starts lie evenly over
        all that leave room for leads of half the longest case. ``fields``: what the latents are
        of; the time is then that of the decoded fields.
        """
        c = max(dynamics.context, 2)  # two times tell the step
        steps = max(map(len, latents)) - c
        steps = max(1, steps // 2)
        places = [(i, t) for i, z in enumerate(latents) for t in range(c, len(z) - steps + 1)]
        if not places:
            return None
        places = [places[n] for n in np.unique(np.linspace(0, len(places) - 1, STARTS).astype(int))]
        error = np.empty((len(places), steps))
        rollouts: np.ndarray = np.empty((len(places), steps, latents[0].sizes[LATENT]))
        sigma, given = _fluctuation(latents), inputs_of_cases(inputs, len(latents))
        for case in sorted({i for i, _ in places}):
            at = [(n, t) for n, (i, t) in enumerate(places) if i == case]
            z = latents[case].transpose(TIME, LATENT)
            rows = None if params is None else params.iloc[[case]]
            rolled = _rolled(dynamics, z, [t for _, t in at], steps, rows, given[case])
            truth = np.stack([z.values[t : t + steps] for _, t in at])
            where = [n for n, _ in at]
            error[where] = np.linalg.norm(rolled - truth, axis=2) / sigma
            rollouts[where] = rolled
        lead = dynamics.dt.length * np.arange(1, steps + 1)
        units = dynamics.dt.units if dynamics.dt.kind == "number" else "s"
        found = cls._of(error, lead, units)
        if fields is None:
            return found
        some = np.unique(np.linspace(0, len(places) - 1, FIELD_STARTS).astype(int))
        late = fields.late([places[n] for n in some], rollouts[some])
        decoded = cls._of(late, lead, units)
        return replace(decoded, of="fields", in_latents=found.median)

    @classmethod
    def _of(cls, error: np.ndarray, lead: np.ndarray, units: str) -> Self:
        """From errors (start, lead)."""
        valid, censored = valid_time(error, lead, THRESHOLD)
        q = quartiles(valid)
        shares = (len(error), float(censored.mean()), float(lead[-1]))
        return cls(float(q[0]), float(q[1]), float(q[2]), units, *shares)

    def until(self, time: xr.DataArray, dynamics: Dynamics) -> float | str:
        """Time after ``time`` up to which the median start is valid, as an attribute."""
        steps = max(1, int(np.floor(self.median / dynamics.dt.length * (1 + 1e-9))))
        return time_label(continue_axis(time, dynamics.dt, steps)[-1])

    def to_state(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Fields:
    """The snapshots that latents are of, and the reducer that decodes them."""

    reducer: Reducer
    snapshots: Snapshots

    @classmethod
    def of(cls, reducer: Any, snapshots: Snapshots) -> Self | None:
        """None for a decoder that depends on the case or on the past."""
        alone = isinstance(reducer, Reducer) and type(reducer).along is Reducer.along
        return cls(reducer, snapshots) if alone else None

    def late(self, places: Sequence[tuple[int, int]], rolled: np.ndarray) -> np.ndarray:
        """NRMSE of all fields (start, lead) of ``rolled`` (B, steps, k); 0 where not measured.

        ``places``: case and first index of each start.
        """
        steps = rolled.shape[1]
        leads = np.unique(np.linspace(0, steps - 1, min(LEADS, steps)).round().astype(int))
        layout = self.snapshots.layout
        weights, groups = layout.quadrature, unit_groups([f.units for f in layout.fields])
        truth = FluctuationSums(weights, np.asarray(self.reducer.scaling.mean, dtype=float))
        error = np.zeros((len(places), steps, layout.channels))
        for row, place, z in zip(error, places, rolled, strict=True):
            for n in leads:
                row[n] = self._energy(place, z, int(n), int(n) + 1, truth)[0]
        found = np.zeros((len(places), steps))
        for i, (place, z) in enumerate(zip(places, rolled, strict=True)):
            found[i, leads] = _all(nrmse(error[i, leads], truth.energy, groups))
            bad = leads[found[i, leads] > THRESHOLD]
            before = leads[leads < bad[0]] if bad.size else bad
            first = int(before[-1]) + 1 if before.size else 0
            if bad.size and first < bad[0]:
                rest = self._energy(place, z, first, int(bad[0]), None)
                found[i, first : bad[0]] = _all(nrmse(rest, truth.energy, groups))
        return found

    def _energy(
        self, place: tuple[int, int], z: np.ndarray, a: int, b: int, truth: FluctuationSums | None
    ) -> np.ndarray:
        """Energy of the error (b - a, C) at leads a .. b - 1 of one start; ``truth`` is told."""
        case, start = place
        x = self.snapshots.read(start + a, start + b, case).astype(float)
        if truth is not None:
            truth.add(x)
        return energy(self._decode(z[a:b]) - x, self.snapshots.layout.quadrature)

    def _decode(self, z: np.ndarray) -> np.ndarray:
        """D(z) of (n, k): physical, (n, C, *space)."""
        import torch

        with torch.inference_mode():
            codes = torch.from_numpy(z.astype(np.float32)).to(self.reducer.device)
            x = self.reducer.decode_tensor(codes).cpu().numpy()
        return np.asarray(self.reducer.scaling.inverse(x))


def _all(errors: np.ndarray) -> np.ndarray:
    """Of (n, C + 1) the last; what is not finite is no valid forecast."""
    return np.nan_to_num(errors[:, -1], nan=np.inf)


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
