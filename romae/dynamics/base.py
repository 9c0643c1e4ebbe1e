"""The driver of every model of the latents in time.

    zn = (z - mean) / scale              each latent on its own, over all training times
    zn_{t+1} = f(zn_{t-c+1}, .., zn_t)   the model, c = context; what a subclass writes
    z(t_last + n dt), n = 1 .. steps     the forecast, on the continued axis

The driver checks what comes in, normalises, keeps cases apart, continues the time axis, rolls
all cases and members of an ensemble as one batch and watches for rollouts that leave three
times the range of the training latents.
"""

import time
import warnings
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import xarray as xr

from romae.conventions import CASE, MEMBER, REDUCER, TIME
from romae.dynamics.ahead import Ahead, Duration
from romae.dynamics.blowup import CHOICES, DONE, OnBlowup, settle
from romae.dynamics.history import LEFT, OUTSIDE, continued, starts_of
from romae.dynamics.known import Known, read_inputs, read_params
from romae.dynamics.perturbed import Perturbed, one_step_error
from romae.dynamics.saving import KNOWN, Saved
from romae.dynamics.sequences import Latents, Trajectory, trajectories
from romae.dynamics.span import Span
from romae.dynamics.times import TimeStep, check_step, measure_step, time_label, uneven_steps
from romae.errors import DataError, ForecastError, OptionError, check_option

__all__ = ["LEFT", "OUTSIDE", "Dynamics", "OnBlowup"]


class Dynamics(Saved, ABC):
    """A model of latents in time: fit, forecast, save.

    A subclass stores every constructor argument under its own name, lists in ``fitted``
    the arrays that ``_fit`` sets, and writes ``_fit`` and ``_rollout``.

    Attributes
    ----------
    context: steps of history that a forecast starts from. Earlier ones are not looked at.
    takes: what the model uses besides latents, of "params" and "inputs".
    continuous: whether the law holds at any time, and not only from step to step.
    uneven: whether it learns from uneven times too.
    span: scale and range of the training latents, after fit.
    dt: the :class:`TimeStep` of the training data, after fit.
    step_error: root mean squared error of one step (k,), in standard deviations of the latents.
    reducer: identity of the reducer of the training latents, "" when they name none.
    fit_seconds: wall time of the last fit.
    history: what fit wants to tell, a list of dicts (training curve, search); may be empty.
    """

    context: int = 1
    takes: ClassVar[frozenset[str]] = frozenset()
    continuous: bool = False
    uneven: bool = False

    @abstractmethod
    def _fit(self, *args: Any, **known: Any) -> None:
        """``_fit(sequences)``: learn from normalised trajectories, a list of (T_i, k).

        Every T_i is at least ``minimum``. A class that ``takes`` them also gets the keywords
        ``params`` (cases, p) and ``inputs``, a list of (T_i, m); normalised, None when not given.
        One that is ``uneven`` gets ``times``, a list of (T_i,) in steps, where they are not even.
        """

    @abstractmethod
    def _rollout(self, *args: Any, **known: Any) -> np.ndarray:
        """``_rollout(history, steps)``: continue (B, context, k), oldest first, by (B, steps, k).

        Normalised, float64; every row of the batch by itself. A class that ``takes`` them also
        gets ``params`` (B, p) and ``inputs`` (B, context + steps, m), of which
        ``inputs[:, context - 1 + n]`` acts on the step from n to n + 1.
        """

    def _at(self, *args: Any, **known: Any) -> np.ndarray:
        """``_at(history, times)``: states (B, n, k) at increasing ``times`` (n,), in steps.

        Counted from the end of history. As :meth:`_rollout`, for a class that is ``continuous``; on
        whole steps both agree. ``inputs`` reach to the whole step after the last time.
        """
        raise NotImplementedError(f"{self.name} steps from time to time")

    def _run(
        self, history: np.ndarray, steps: int, at: np.ndarray | None, **known: Any
    ) -> np.ndarray:
        """:meth:`_at` the times ``at``, or :meth:`_rollout` where that is None."""
        return (
            self._rollout(history, steps, **known) if at is None else self._at(history, at, **known)
        )

    def _members(
        self, starts: np.ndarray, steps: int, at: np.ndarray | None = None, **known: Any
    ) -> np.ndarray:
        """Continue ``starts`` (N, B, context, k) of N members by (N, B, steps, k), or to ``at``."""
        flat = starts.reshape(-1, *starts.shape[2:])
        spread: dict[str, Any] = {}
        for n, a in known.items():
            spread[n] = None if a is None else np.concatenate([a] * len(starts))
        rolled = self._run(flat, steps, at, **spread)
        return rolled.reshape(*starts.shape[:2], *rolled.shape[1:])

    @property
    def draws(self) -> bool:
        """Whether a fit draws random numbers: whether another ``seed`` gives another model."""
        return hasattr(self, "seed")

    @property
    def minimum(self) -> int:
        """Fewest steps a training case may have."""
        return self.context + 1

    @property
    def latent(self) -> int:
        """Number of latents k, after fit."""
        return len(self.span.mean)

    # fit

    def fit(self, latents: Latents, params: Any = None, *, inputs: Any = None) -> Self:
        """Learn from ``latents``: (time, latent), (case, time, latent) or a list of cases.

        ``params``, one row per case, is for models that depend on parameters; the others
        learn one law for all cases. Without it the numeric coordinates over ``case`` are taken.
        ``inputs``: known series over time (forcing, control), see :func:`read_inputs`.

        Times are even, with one step, but for models that are ``uneven``. Raises DataError when the
        latents cannot be used: uneven or differing time steps (see :func:`resample`), too few of
        them, NaN; OptionError for inputs that the model cannot use.
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
        dt, times = self._time_steps(cases)
        table = read_params(params, latents, len(cases))
        series = self._read_inputs(inputs, [case.time for case in cases], "training inputs")
        self.__dict__.pop("fit_seconds", None)  # a fit that fails leaves no fitted model
        self.reducer = str(_first(latents).attrs.get(REDUCER, ""))
        self.dt, self.history = dt, []
        self.span = Span.measure(np.concatenate([case.values for case in cases]))
        joined = None if series is None else pd.concat(series, ignore_index=True)
        self._known = {
            n: None if t is None else Known.measure(t)
            for n, t in zip(KNOWN, (table, joined), strict=True)
        }
        sequences = [self.span.normalise(case.values) for case in cases]
        known: dict[str, Any] = {"params": self._normalised("params", table)}
        one_by_one = None if series is None else [self._normalised("inputs", s) for s in series]
        usable = None if one_by_one is None or one_by_one[0] is None else one_by_one
        known = {n: v for n, v in (*known.items(), ("inputs", usable)) if n in self.takes}
        if times is not None:
            known["times"] = times
        self._fit(sequences, **known)
        self.step_error = one_step_error(self, sequences, known)
        self.fit_seconds = time.perf_counter() - begin
        return self

    def _time_steps(self, cases: list[Trajectory]) -> tuple[TimeStep, list[np.ndarray] | None]:
        """The step dt of all cases; their times (T_i,) in steps where they are not even."""
        try:
            dt = measure_step(cases[0].time, cases[0].label)
            for case in cases[1:]:
                check_step(case.time, dt, case.label)
        except DataError:
            if not self.uneven:
                raise
            return uneven_steps([case.time for case in cases], [case.label for case in cases])
        return dt, None

    # forecast

    def forecast(
        self,
        history: xr.DataArray,
        steps: int | None = None,
        *,
        duration: Duration | None = None,
        times: Any = None,
        params: Any = None,
        inputs: Any = None,
        ensemble: int | Perturbed | None = None,
        seed: int = 0,
        on_blowup: OnBlowup = "clip",
    ) -> xr.DataArray:
        """The states after the last time of ``history``; exactly one of the next three says which.

        ``history``: (time, latent) or (case, time, latent), at least ``context`` steps of the
        training dt; only the last ``context`` matter. Dimensions, other coordinates, dtype and
        attributes of ``history`` come back, on the continued time axis. A leading ``member``
        dimension, as an ensemble has it, is continued member by member.

        ``steps``: how many. ``duration``: "45 D", a timedelta, or a number in the unit of a plain
        axis; rounded up to whole steps. ``times``: increasing times on the grid of the model, or
        anywhere after the history where the model is ``continuous``.

        ``params``: names and values, or one row per case, for a model fitted with parameters;
        those outside the range of training are allowed, warned of and noted in the attribute
        ``outside_training_range``. ``inputs``: series that cover the history and the forecast.

        ``ensemble``: number of members, each from a start of its own (:class:`Perturbed`, drawn
        with ``seed``), along a first dimension ``member``.

        ``on_blowup`` says what happens when a rollout leaves three times the training range:
        "clip" holds it at the border, "stop" ends the forecast before it, "nan" writes NaN from
        there on, "ignore" lets it go; all warn. "raise" raises ForecastError. The first such time
        is in the attribute ``left_training_range_at`` of the result, which is absent otherwise.
        """
        self._check_fitted()
        check_option("on_blowup", on_blowup, CHOICES)
        perturbed = Perturbed.read(ensemble)
        cases = starts_of(history, self)
        recent = cases[0].time[-max(self.context, 2) :]
        ahead = Ahead.of(recent, self.dt, steps, duration, times, self.continuous)
        starts = np.stack([self.span.normalise(c.values[-self.context :]) for c in cases])
        own = cases[: len(cases) // history.sizes.get(MEMBER, 1)]  # members share what is known
        known, outside = self._known_ahead(history, own, ahead, params, inputs)
        dims = [d for d in (MEMBER, CASE) if d in history.dims]
        together = starts[None]  # (members, cases, context, k)
        if MEMBER in dims:
            together = starts.reshape(history.sizes[MEMBER], -1, *starts.shape[1:])
        if perturbed is not None:
            if MEMBER in dims:
                raise OptionError(
                    f"ensemble={ensemble!r} and a history of {history.sizes[MEMBER]} members. "
                    "Expected one of them: a history with members is an ensemble already."
                )
            dims = [MEMBER, *dims]
            together = perturbed.draw(starts, self.step_error, seed)
            together[..., self.span.constant] = starts[..., self.span.constant]
        with np.errstate(over="ignore", invalid="ignore"):
            if MEMBER in dims:
                zn = self._members(together, ahead.steps, ahead.at, **known)
            else:
                zn = self._run(starts, ahead.steps, ahead.at, **known)
        zn, last = zn.reshape(-1, *zn.shape[-2:]), together[..., -1, :].reshape(-1, self.latent)
        values, keep, left = settle(zn, last, self.span, on_blowup)
        sizes = {MEMBER: len(together), CASE: together.shape[1]}
        shape = [sizes[d] for d in dims]
        pick = ahead.pick[ahead.pick < keep]
        values = values[:, pick].reshape(*shape, len(pick), self.latent)
        result = continued(values, dims, ahead.axis[pick], history)
        if outside:
            result.attrs[OUTSIDE] = outside
            warnings.warn(
                f"{self.name}: {outside}. The forecast extrapolates there.",
                UserWarning,
                stacklevel=2,
            )
        if (first := int(left.min(initial=len(ahead.axis)))) < len(ahead.axis):
            result.attrs[LEFT] = time_label(ahead.axis[first])
            self._report(on_blowup, result, ahead.number(first), ahead.steps)
        return result

    def _report(self, on_blowup: OnBlowup, result: xr.DataArray, left: str, steps: int) -> None:
        text = (
            f"{self.name}: the rollout left three times the range of its training latents at "
            f"step {left} of {steps} (time {result.attrs[LEFT]})"
        )
        if on_blowup == "raise" or not result.sizes[TIME]:
            raise ForecastError(
                f"{text}. Expected it to stay inside. Forecast fewer steps, take on_blowup='clip' "
                "or 'nan', or fit on more data."
            )
        warnings.warn(f"{text}; {DONE[on_blowup]}.", UserWarning, stacklevel=3)

    # parameters and inputs

    def _normalised(self, name: str, table: pd.DataFrame | None) -> np.ndarray | None:
        known = self._known[name]
        return None if known is None or table is None else known.normalise(table)

    def _read_inputs(
        self, inputs: Any, times: list[xr.DataArray], what: str
    ) -> list[pd.DataFrame] | None:
        if inputs is None:
            return None
        if "inputs" not in self.takes:
            raise OptionError(
                f"{self.name} takes no inputs. Expected a model that does, such as "
                "romae.OperatorInference(); or leave inputs out."
            )
        return read_inputs(inputs, times, what)

    def _known_ahead(
        self, history: xr.DataArray, cases: list[Trajectory], ahead: Ahead, params: Any, inputs: Any
    ) -> tuple[dict[str, np.ndarray | None], str]:
        """Normalised params (B, p) and inputs (B, context + steps, m); what lies outside."""
        known: dict[str, np.ndarray | None] = {}
        outside = []
        law = self._known["params"]
        if law is not None:
            table = read_params(params, history, len(cases))
            if params is None and table is not None and not set(law.names) <= set(table):
                table = None  # coordinates that mean something else
            if table is None and "params" in self.takes and law.changes.any():
                raise DataError(
                    f"{self.name} was fitted with {', '.join(law.names)} and the forecast has "
                    f"none. Expected params={{{law.names[0]!r}: value, ...}}, one value per case."
                )
            if table is not None:
                if params is None or isinstance(params, pd.DataFrame):
                    table = table[[n for n in table if n in law.names]]
                law.check(table, "params")
                outside.append(law.outside(table))
            known["params"] = None if table is None else law.normalise(table)
        law = self._known["inputs"]
        if law is None and inputs is not None and "inputs" in self.takes:
            raise OptionError(
                f"{self.name} was fitted without inputs. Fit with inputs=, or leave out."
            )
        if law is not None and inputs is None:
            raise DataError(
                f"{self.name} was fitted with the inputs {', '.join(law.names)} and the forecast "
                "has none. Expected inputs= that cover history and forecast."
            )
        axes = [_whole_axis(case.time[-self.context :], ahead.grid) for case in cases]
        series = self._read_inputs(inputs, axes, "inputs")
        if series is not None and law is not None:
            law.check(series[0], "inputs")
            outside.append(law.outside(pd.concat(series)))
            if law.changes.any():
                known["inputs"] = np.stack([law.normalise(s) for s in series])  # type: ignore[misc]
        taken = {n: known.get(n) for n in KNOWN if n in self.takes}
        return taken, ", ".join(filter(None, outside))


def _first(latents: Latents) -> xr.DataArray:
    return latents if isinstance(latents, xr.DataArray) else latents[0]


def _whole_axis(past: xr.DataArray, ahead: np.ndarray) -> xr.DataArray:
    values = np.concatenate([past.values, ahead])
    return xr.DataArray(values, dims=TIME, name=TIME, attrs=past.attrs)
