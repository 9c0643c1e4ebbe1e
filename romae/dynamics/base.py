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
import xarray as xr

from romae.conventions import CASE, MEMBER, REDUCER
from romae.dynamics.ahead import Ahead, Duration
from romae.dynamics.blowup import CHOICES, OnBlowup, beyond, report, settle
from romae.dynamics.given import Given, given_ahead
from romae.dynamics.history import LEFT, OUTSIDE, continued, starts_of
from romae.dynamics.perturbed import Perturbed, members_of, one_step_error
from romae.dynamics.saving import Saved
from romae.dynamics.sequences import Latents, common_step, first_of, trajectories
from romae.dynamics.singular import check_regression
from romae.dynamics.span import Span
from romae.dynamics.times import time_label
from romae.errors import DataError, check_option

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

    def unknowns(self, latent: int) -> int:
        """For each of ``latent``, in the smallest law that fit may regress; 0 where it does not."""
        return 0

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
        them, NaN, latents that are combinations of each other where a law is regressed; OptionError
        for inputs that the model cannot use.
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
        dt, times = common_step(cases, self.uneven)
        given = Given.read(self, latents, cases, params, inputs)
        self.__dict__.pop("fit_seconds", None)  # a fit that fails leaves no fitted model
        self.reducer = str(first_of(latents).attrs.get(REDUCER, ""))
        self.dt, self.history = dt, []
        self.span = Span.measure(np.concatenate([case.values for case in cases]))
        self._known = given.measure()
        sequences = [self.span.normalise(case.values) for case in cases]
        self._check_regression(sequences, first_of(latents).dtype)
        known = given.normalised(self)
        if times is not None:
            known["times"] = times
        self._fit(sequences, **known)
        self.step_error = one_step_error(self, sequences, known)
        self.fit_seconds = time.perf_counter() - begin
        return self

    def _check_regression(self, sequences: list[np.ndarray], dtype: np.dtype) -> None:
        unknowns = self.unknowns(int((~self.span.constant).sum()))
        eps = float(np.finfo(dtype if dtype.kind == "f" else np.float64).eps)
        if unknowns:
            check_regression(self.name, sequences, self.span, unknowns, self.context, eps)

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
        known, outside = given_ahead(self, history, own, ahead, params, inputs)
        dims, together = members_of(self, starts, history, perturbed, ensemble, seed)
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
            begin = beyond(starts, self.span)
            report(self.name, on_blowup, result, ahead.number(first), ahead.steps, begin)
        return result
