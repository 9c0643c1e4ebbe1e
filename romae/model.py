"""A reduced model: a reducer and the dynamics of its latents.

    history x_0 ... x_t  --E-->  z_0 ... z_t  --dynamics-->  z_{t+1} ...  --D-->  x_{t+1} ...

and the one place that opens whatever was saved, ``load``.
"""

import os
import sys
from importlib import import_module
from inspect import isabstract
from pathlib import Path
from typing import Any, Self

import xarray as xr

from romae import dynamics as dynamics_module
from romae import finetune as tune
from romae import reducers as reducers_module
from romae.bundle import Bundle, bundle_class, read_bundle, write_bundle
from romae.conventions import CASE, TIME
from romae.dynamics import Dynamics
from romae.dynamics.base import LEFT, OUTSIDE
from romae.dynamics.resampling import resample_cases
from romae.errors import BundleError, OptionError, check_option, nearest
from romae.fields import Snapshots, open_like, open_snapshots
from romae.horizon import Fields, Horizon
from romae.progress import log
from romae.recent import own_params, recent_latents
from romae.reducers import Reducer
from romae.reducers.decoding import decode_to_file
from romae.reducers.labels import other_axis
from romae.reducers.places import warn_of_places

Source = Any
PathLike = str | os.PathLike[str]
TRUST = ("valid_until", "valid_prediction_time", LEFT, OUTSIDE)  # attributes of a forecast
AUTO = "auto"
HELD_BACK = 0.2  # of the times, where the dynamics are chosen and no validation data are given


class ReducedModel:
    """A reducer with a model of its latents in time, saved as one bundle.

    ``reducer`` may be fitted already: then ``fit`` fits the dynamics alone. ``dynamics="auto"``
    fits every kind and keeps the one that :func:`romae.compare_dynamics` ranks first on the
    validation data; ``choice`` holds its table, one dictionary per model, and is saved.
    ``horizon``, after a fit with validation data, says how long forecasts were valid there; else
    it is None.
    """

    dynamics: Any  # a Dynamics, or "auto" before the fit

    def __init__(self, reducer: Reducer, dynamics: Dynamics | str) -> None:
        if isinstance(dynamics, str):
            check_option("dynamics", dynamics, [AUTO])
        self.reducer, self.dynamics = reducer, dynamics
        self.choice: list[dict[str, Any]] = []
        self.horizon: Horizon | None = None
        self.tuning: dict[str, Any] | None = None

    def fit(
        self,
        data: Source,
        validation: Source | None = None,
        *,
        inputs: Any = None,
        resample: Any = None,
        finetune: Any = None,
        device: str = "auto",
    ) -> Self:
        """Fit the reducer, unless it is fitted, then the dynamics on the latents of ``data``.

        Cases may differ in length and in their times, not in the time step. ``inputs``: known
        series over time, see :meth:`Dynamics.fit`; they cover ``validation`` too. ``resample``: a
        time step such as "6 h", for uneven times, see :func:`romae.resample`; ``"median"`` takes
        that of the data. With ``validation`` the valid prediction time is measured there:
        :attr:`horizon`. ``finetune``: True, a number
        of updates or a TrainConfig trains an autoencoder and trained dynamics on together, see
        :mod:`romae.finetune`; :attr:`tuning` says what came of it. With ``"auto"`` and no
        ``validation`` the last fifth of the times is held back for the choice.
        """
        snapshots, self.tuning = open_snapshots(data), None
        if finetune:
            if self.dynamics == AUTO or resample is not None:
                raise OptionError(
                    "fit got finetune with dynamics='auto' or resample. Expected neither; choose "
                    "or resample first."
                )
            config = tune.settings(finetune)
            tune.check(self.reducer, self.dynamics, inputs)
        if self.dynamics == AUTO and validation is None:
            snapshots, validation = snapshots.split(1 - HELD_BACK, HELD_BACK)
        held_out = None if validation is None else open_snapshots(validation)
        if getattr(self.reducer, "module", None) is None:
            self.reducer.fit(snapshots, held_out, device=device)
        if self.dynamics == AUTO:
            # Looked up by name: comparisons live on a higher floor.
            choose = import_module("romae.compare.dynamics").choose
            self.dynamics, self.choice, _ = choose(
                self.reducer, snapshots, held_out, inputs=inputs, resample=resample
            )
            self.horizon = None
            if held_out is not None:
                self.measure(held_out, inputs=inputs, resample=resample)
            return self
        params = snapshots.params
        latents: xr.DataArray | list[xr.DataArray] = self._training_latents(snapshots)
        if "params" in self.dynamics.takes:
            warn_of_places(self.reducer, _cases(latents), params, self.dynamics.name)
        known = inputs
        if resample is not None:
            latents, params, known = resample_cases(_cases(latents), params, inputs, resample)
        self.dynamics.fit(latents, params=params, inputs=known)
        if finetune:
            self.reducer, self.dynamics, self.tuning = tune.finetune(
                self.reducer, self.dynamics, snapshots, held_out, config
            )
        self.horizon = None
        if held_out is not None:
            self.measure(held_out, inputs=inputs, resample=resample)
        return self

    def _training_latents(self, snapshots: Snapshots) -> xr.DataArray | list[xr.DataArray]:
        """Latents of all cases; a list of cases where no one time axis holds for all."""
        if other_axis(snapshots) is None:
            return self.reducer.encode(snapshots)
        alone = [self.reducer.encode(snapshots.isel(case=[i])) for i in range(snapshots.cases)]
        return [z.isel({CASE: 0}) if CASE in z.dims else z for z in alone]

    def measure(
        self, validation: Source, *, inputs: Any = None, resample: Any = None
    ) -> Horizon | None:
        """Measure :attr:`horizon` on unseen data; None when they are too short.

        ``inputs`` and ``resample`` as in :meth:`fit`. Uneven times are resampled to the step of the
        dynamics. Errors are those of the decoded fields, where the latents are not resampled and
        the decoder depends on them alone: see :mod:`romae.horizon`.
        """
        held_out = open_snapshots(validation)
        latents: Any = self._training_latents(held_out)
        params, dt = own_params(held_out, self.dynamics), self.dynamics.dt
        if resample is not None or not dt.even:
            resample = dt.duration  # also of "median", which was that of the fit
        fields = Fields.of(self.reducer, held_out) if resample is None else None
        cases = _cases(latents)
        if resample is not None:
            cases, params, inputs = resample_cases(cases, params, inputs, resample)
        self.horizon = Horizon.measure(self.dynamics, cases, params, inputs, fields=fields)
        if self.horizon is None:
            log(
                f"no horizon: the validation data have {max(map(len, cases))} snapshots at most. "
                f"Expected more than {max(self.dynamics.context, 2)}, the history of "
                f"{self.dynamics.name}; give longer ones."
            )
        return self.horizon

    def encode(self, data: Source) -> xr.DataArray:
        """Latents of ``data``: see :meth:`Reducer.encode`."""
        return self.reducer.encode(data)

    def decode(
        self,
        latents: xr.DataArray,
        *,
        to: PathLike | None = None,
        overwrite: bool = False,
        out: xr.Dataset | None = None,
    ) -> xr.Dataset:
        """Fields of ``latents``, in memory (that of ``out``) or in the file ``to``: see
        :meth:`Reducer.decode`.

        Latents of an ensemble give fields with a first dimension ``member``. What ``latents`` say
        of trust in a forecast (see :meth:`forecast`) becomes attributes of the fields.
        """
        told = {n: latents.attrs[n] for n in TRUST if n in latents.attrs}
        if to is None or out is not None:
            fields = self.reducer.decode(latents, to=to, out=out)
            return fields.assign_attrs(told) if told else fields
        self.reducer.check_latents(latents)
        return decode_to_file(self.reducer, latents, to, overwrite=overwrite, attrs=told)

    def forecast(
        self,
        history: Source,
        steps: int | None = None,
        *,
        to: PathLike | None = None,
        overwrite: bool = False,
        out: xr.Dataset | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """Snapshots after the last time of ``history``, on the continued time axis.

        ``options`` are those of :meth:`Dynamics.forecast`: ``duration`` or ``times`` instead of
        ``steps``, ``params``, ``inputs``, ``ensemble``, ``seed``, ``on_blowup``. Only the last
        ``dynamics.context`` snapshots of ``history`` are read. ``resample=True``: a history of
        uneven times is put on the step of the model, the last time on itself. ``to`` names a file
        for fields that may exceed memory; ``out``, an earlier forecast of as many times, gives its
        memory to this one, which is several times quicker for large fields: see
        :meth:`Reducer.decode`.

        Attributes say how far to trust it: ``valid_until``, where a horizon was measured,
        ``left_training_range_at`` and ``outside_training_range``.
        """
        z = self.forecast_latents(history, steps, **options)
        return self.decode(z, to=to, overwrite=overwrite, out=out)

    def forecast_latents(
        self, history: Source, steps: int | None = None, *, resample: Any = None, **options: Any
    ) -> xr.DataArray:
        """As :meth:`forecast`, before decoding: (time, latent), (case, time, latent), with
        ``ensemble`` a first dimension ``member``."""
        snapshots = open_like(history, getattr(self.reducer, "layout", None))
        z = recent_latents(self.reducer, snapshots, self.dynamics, resample)
        if options.get("params") is None:
            options["params"] = own_params(snapshots, self.dynamics)
        result = self.dynamics.forecast(z, steps, **options)
        if self.horizon is not None:
            result.attrs["valid_until"] = self.horizon.until(z[TIME], self.dynamics)
            result.attrs["valid_prediction_time"] = str(self.horizon)
        return result

    @property
    def nbytes(self) -> int:
        """Bytes of all saved arrays, of reducer and dynamics."""
        return self.reducer.nbytes + self.dynamics.nbytes

    def save(self, path: PathLike, *, overwrite: bool = False) -> Path:
        """Write the directory ``path``; :func:`load` opens it."""
        told = None if self.horizon is None else self.horizon.to_state()
        parts: dict[str, Bundle] = {
            "": (
                {
                    "class": "ReducedModel",
                    "kind": "model",
                    "horizon": told,
                    "choice": self.choice,
                    "tuning": self.tuning,
                },
                {},
            ),
            "reducer": self.reducer.to_bundle(),
            "dynamics": self.dynamics.to_bundle(),
        }
        return write_bundle(path, parts, overwrite=overwrite)

    def __repr__(self) -> str:
        return f"ReducedModel({self.reducer!r}, {self.dynamics!r})"


def _cases(latents: xr.DataArray | list[xr.DataArray]) -> list[xr.DataArray]:
    """(time, latent) of each case, without the NaN that fill short ones."""
    if isinstance(latents, list):
        return latents
    if CASE not in latents.dims:
        return [latents]
    return [z.dropna(TIME, how="all") for z in latents]


def load(path: PathLike) -> Any:
    """Open what ``save`` wrote: a reducer, a dynamics or a reduced model.

    Runs no code from the files. A third party's class must have been imported. Raises
    :class:`MissingFileError` and :class:`BundleError`.
    """
    bundle = read_bundle(path)
    if bundle_class(bundle[0]) == "ReducedModel":
        reducer, dynamics = (load(Path(path) / part) for part in ("reducer", "dynamics"))
        model = ReducedModel(reducer, dynamics)
        model.choice, told = bundle[0].get("choice", []), bundle[0].get("horizon")
        model.horizon = None if told is None else Horizon(**told)
        model.tuning = bundle[0].get("tuning")
        return model
    return find_class(bundle_class(bundle[0])).from_bundle(bundle)


def find_class(label: str) -> Any:
    """Class that :func:`romae.bundle.bundle_class` named; :class:`BundleError` for unknown ones."""
    module, _, name = label.rpartition(":")
    if not module:
        for home in (reducers_module, dynamics_module):
            if name in home.__all__ and _opens(getattr(home, name)):
                return getattr(home, name)
        homes = (reducers_module, dynamics_module)
        known = [n for home in homes for n in home.__all__ if _opens(getattr(home, n))]
        raise BundleError(f"the model is of the unknown class {name!r}. {nearest(name, known)}")
    if module not in sys.modules:
        raise BundleError(
            f"the model is of class {name!r} of the module {module!r}, which is not imported. "
            f"Opening a model imports nothing by itself; type `import {module}` first."
        )
    found = getattr(sys.modules[module], name, None)
    if found is None:
        raise BundleError(
            f"the module {module!r} has no class {name!r}, of which the model is. Expected it at "
            f"the top of a module, under the name it had; put it there and save the model again."
        )
    if not _opens(found):
        raise BundleError(f"{label} is no reducer and no dynamics; the model cannot be opened.")
    return found


def _opens(found: Any) -> bool:
    """Whether ``found`` is a class of which bundles are made."""
    return (
        isinstance(found, type) and issubclass(found, Reducer | Dynamics) and not isabstract(found)
    )
