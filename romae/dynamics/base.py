"""The driver of every model of the latents in time.

    zn = (z - mean) / scale              each latent on its own, over all training times
    zn_{t+1} = f(zn_{t-c+1}, .., zn_t)   the model, c = context; what a subclass writes
    z(t_last + n dt), n = 1 .. steps     the forecast, on the continued axis

The driver checks what comes in, normalises, keeps cases apart, continues the time axis
and watches for rollouts that leave three times the range of the training latents.
"""

import time
import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, Self

import numpy as np
import xarray as xr

from romae.conventions import CASE, LATENT, TIME
from romae.dynamics.saving import Saved
from romae.dynamics.sequences import Latents, Trajectory, trajectories
from romae.dynamics.span import Span
from romae.dynamics.times import check_step, continue_axis, measure_step, time_label
from romae.errors import DataError, ForecastError, OptionError, check_option

OnBlowup = Literal["clip", "raise", "nan"]
LEFT = "left_training_range_at"


class Dynamics(Saved, ABC):
    """A model of latents in time: fit, forecast, save.

    A subclass stores every constructor argument under its own name, lists in ``fitted``
    the arrays that ``_fit`` sets, and writes ``_fit`` and ``_rollout``.

    Attributes
    ----------
    context: steps of history that a forecast starts from. Earlier ones are not looked at.
    span: scale and range of the training latents, after fit.
    dt: the :class:`TimeStep` of the training data, after fit.
    fit_seconds: wall time of the last fit.
    history: what fit wants to tell, a list of dicts (training curve, search); may be empty.
    """

    context: int = 1
    takes: ClassVar[frozenset[str]] = frozenset()  # of "params", "inputs"

    @abstractmethod
    def _fit(self, *args: Any, **known: Any) -> None:
        """``_fit(sequences)``: learn from normalised trajectories, a list of (T_i, k).

        Every T_i is at least ``minimum``. A class that ``takes`` them also gets the keywords
        ``params`` (cases, p) and ``inputs``, a list of (T_i, m); normalised, None when not given.
        """

    @abstractmethod
    def _rollout(self, *args: Any, **known: Any) -> np.ndarray:
        """``_rollout(history, steps)``: continue (B, context, k), oldest first, by (B, steps, k).

        Normalised, float64; every row of the batch by itself. A class that ``takes`` them also
        gets ``params`` (B, p) and ``inputs`` (B, context + steps, m), of which
        ``inputs[:, context - 1 + n]`` acts on the step from n to n + 1.
        """

    @property
    def minimum(self) -> int:
        """Fewest steps a training case may have."""
        return self.context + 1

    @property
    def latent(self) -> int:
        """Number of latents k, after fit."""
        return len(self.span.mean)

    # fit and forecast

    def fit(self, latents: Latents, params: object = None) -> Self:
        """Learn from ``latents``: (time, latent), (case, time, latent) or a list of cases.

        ``params``, one row per case, is for models that depend on parameters; the others
        learn one law for all cases. Raises DataError when the latents cannot be used:
        uneven or differing time steps, too few of them, NaN.
        """
        begin = time.perf_counter()
        cases = trajectories(latents, "training latents")
        for case in cases:
            if len(case.values) < self.minimum:
                raise DataError(
                    f"{case.label}: {len(case.values)} steps. {self.name} with context "
                    f"{self.context} needs at least {self.minimum} in every case; give longer "
                    "data, or a smaller context."
                )
        dt = measure_step(cases[0].time, cases[0].label)
        for case in cases[1:]:
            check_step(case.time, dt, case.label)
        self.__dict__.pop("fit_seconds", None)  # a fit that fails leaves no fitted model
        self.dt, self.history = dt, []
        self.span = Span.measure(np.concatenate([case.values for case in cases]))
        self._fit([self.span.normalise(case.values) for case in cases])
        self.fit_seconds = time.perf_counter() - begin
        return self

    def forecast(
        self,
        history: xr.DataArray,
        steps: int,
        *,
        params: object = None,
        on_blowup: OnBlowup = "clip",
    ) -> xr.DataArray:
        """The ``steps`` states after the last time of ``history``.

        ``history``: (time, latent) or (case, time, latent), at least ``context`` steps of the
        training dt; only the last ``context`` matter. Dimensions, other coordinates, dtype and
        attributes of ``history`` come back, on the continued time axis.

        ``on_blowup`` says what happens when a rollout leaves three times the training range:
        "clip" holds it at the border and warns, "nan" writes NaN from there on and warns,
        "raise" raises ForecastError. The first such time is in the attribute
        ``left_training_range_at`` of the result, which is absent otherwise.
        """
        self._check_fitted()
        check_option("on_blowup", on_blowup, ["clip", "raise", "nan"])
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
            raise OptionError(f"steps is {steps!r}. Expected a whole number of at least 1.")
        cases = self._starts(history)
        axis = continue_axis(cases[0].time[-max(self.context, 2) :], self.dt, int(steps))
        starts = np.stack([self.span.normalise(c.values[-self.context :]) for c in cases])
        with np.errstate(over="ignore", invalid="ignore"):
            zn = self._rollout(starts, int(steps))
        # a latent that never changed in training stays as it starts: nothing is known of it
        zn = np.where(self.span.constant, starts[:, -1:], zn)
        left = self.span.left(zn)
        values = self.span.restore(self.span.hold(zn, starts[:, -1]))
        if on_blowup == "nan":
            values[np.arange(int(steps)) >= left[:, None]] = np.nan
        result = _labelled(values if CASE in history.dims else values[0], axis, history)
        if (first := int(left.min())) < steps:
            result.attrs[LEFT] = time_label(axis[first])
            self._report(on_blowup, result, first)
        return result

    def _report(self, on_blowup: OnBlowup, result: xr.DataArray, left: int) -> None:
        text = (
            f"{self.name}: the rollout left three times the range of its training latents at "
            f"step {left + 1} of {result.sizes[TIME]} (time {result.attrs[LEFT]})"
        )
        if on_blowup == "raise":
            raise ForecastError(
                f"{text}. Expected it to stay inside. Forecast fewer steps, take on_blowup='clip' "
                "or 'nan', or fit on more data."
            )
        done = "held at the border" if on_blowup == "clip" else "NaN"
        warnings.warn(f"{text}; it is {done} from there on.", UserWarning, stacklevel=3)

    # checks

    def _starts(self, history: xr.DataArray) -> list[Trajectory]:
        """The cases of ``history``, each checked, all ending at one time."""
        if isinstance(history, list | tuple):
            raise DataError(
                f"history is a {type(history).__name__} of {len(history)}. A forecast continues "
                "one time axis; call forecast for each case, or give (case, time, latent)."
            )
        cases = trajectories(history, "history")
        for case in cases:
            self._check_history(case)
        if any(case.time.values[-1] != cases[0].time.values[-1] for case in cases):
            ends = sorted({str(time_label(case.time.values[-1])) for case in cases})
            raise DataError(
                f"history: cases end at different times ({', '.join(ends[:4])}). A forecast of "
                "several cases has one time axis; cut them to one end or call forecast for each."
            )
        return cases

    def _check_history(self, case: Trajectory) -> None:
        steps, k = case.values.shape
        if k != self.latent:
            raise DataError(
                f"{case.label} has {k} latents, {self.name} was fitted on {self.latent}. Encode it "
                "with the reducer of the training latents, or fit again."
            )
        if steps < self.context:
            raise DataError(
                f"{case.label} has {steps} step{'s' * (steps != 1)}, {self.name} starts from "
                f"{self.context}. Give at least {self.context} snapshots up to the start of the "
                "forecast, or fit with a smaller context."
            )
        check_step(case.time[-max(self.context, 2) :], self.dt, case.label)


def _labelled(values: np.ndarray, axis: np.ndarray, like: xr.DataArray) -> xr.DataArray:
    """``values`` with the names and coordinates of ``like`` and the times ``axis``."""
    dims = (CASE, TIME, LATENT) if CASE in like.dims else (TIME, LATENT)
    coords = {n: c for n, c in like.coords.items() if TIME not in c.dims}
    times = xr.Variable(TIME, axis, like[TIME].attrs, like[TIME].encoding)
    dtype = like.dtype if like.dtype.kind == "f" else np.float64
    attrs = {n: v for n, v in like.attrs.items() if n != LEFT}
    return xr.DataArray(
        values.astype(dtype), dims=dims, coords={**coords, TIME: times}, name=like.name, attrs=attrs
    )
