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
from romae import reducers as reducers_module
from romae.bundle import Bundle, bundle_class, read_bundle, write_bundle
from romae.conventions import CASE
from romae.dynamics import Dynamics
from romae.dynamics.base import OnBlowup
from romae.errors import BundleError, DataError, check_option, nearest
from romae.fields import Snapshots, open_snapshots
from romae.reducers import Reducer
from romae.reducers.labels import other_axis

Source = Any
PathLike = str | os.PathLike[str]
AUTO = "auto"
HELD_BACK = 0.2  # of the times, where the dynamics are chosen and no validation data are given


class ReducedModel:
    """A reducer with a model of its latents in time, saved as one bundle.

    ``reducer`` may be fitted already: then ``fit`` fits the dynamics alone. ``dynamics="auto"``
    fits every kind and keeps the one that :func:`romae.compare_dynamics` ranks first on the
    validation data; ``choice`` holds its table, one dictionary per model, and is saved.
    """

    dynamics: Any  # a Dynamics, or "auto" before the fit

    def __init__(self, reducer: Reducer, dynamics: Dynamics | str) -> None:
        if isinstance(dynamics, str):
            check_option("dynamics", dynamics, [AUTO])
        self.reducer, self.dynamics = reducer, dynamics
        self.choice: list[dict[str, Any]] = []

    def fit(self, data: Source, validation: Source | None = None, *, device: str = "auto") -> Self:
        """Fit the reducer, unless it is fitted, then the dynamics on the latents of ``data``.

        Cases may differ in length and in their times, not in the time step. With ``"auto"`` and no
        ``validation`` the last fifth of the times is held back for the choice.
        """
        snapshots = open_snapshots(data)
        if self.dynamics == AUTO and validation is None:
            snapshots, validation = snapshots.split(1 - HELD_BACK, HELD_BACK)
        if getattr(self.reducer, "module", None) is None:
            self.reducer.fit(snapshots, validation, device=device)
        if self.dynamics == AUTO:
            # Looked up by name: comparisons live on a higher floor.
            choose = import_module("romae.compare.dynamics").choose
            self.dynamics, self.choice = choose(self.reducer, snapshots, validation)
            return self
        self.dynamics.fit(self._training_latents(snapshots), params=snapshots.params)
        return self

    def _training_latents(self, snapshots: Snapshots) -> xr.DataArray | list[xr.DataArray]:
        """Latents of all cases; a list of cases where no one time axis holds for all."""
        if other_axis(snapshots) is None:
            return self.reducer.encode(snapshots)
        alone = [self.reducer.encode(snapshots.isel(case=[i])) for i in range(snapshots.cases)]
        return [z.isel({CASE: 0}) if CASE in z.dims else z for z in alone]

    def encode(self, data: Source) -> xr.DataArray:
        """Latents of ``data``: see :meth:`Reducer.encode`."""
        return self.reducer.encode(data)

    def decode(
        self, latents: xr.DataArray, *, to: PathLike | None = None, overwrite: bool = False
    ) -> xr.Dataset:
        """Fields of ``latents``, in memory or in the file ``to``: see :meth:`Reducer.decode`."""
        return self.reducer.decode(latents, to=to, overwrite=overwrite)

    def forecast(
        self,
        history: Source,
        steps: int,
        *,
        on_blowup: OnBlowup = "clip",
        to: PathLike | None = None,
        overwrite: bool = False,
    ) -> xr.Dataset:
        """``steps`` snapshots after the last time of ``history``, on the continued time axis.

        Only the last ``dynamics.context`` snapshots of ``history`` are read. ``on_blowup`` is
        ``clip``, ``raise`` or ``nan``: see :meth:`Dynamics.forecast`. ``to`` names a file for
        fields that may exceed memory: see :meth:`Reducer.decode`.
        """
        z = self.forecast_latents(history, steps, on_blowup=on_blowup)
        return self.decode(z, to=to, overwrite=overwrite)

    def forecast_latents(
        self, history: Source, steps: int, *, on_blowup: OnBlowup = "clip"
    ) -> xr.DataArray:
        """As :meth:`forecast`, before decoding: (time, latent) or (case, time, latent)."""
        snapshots = open_snapshots(history)
        snapshots.require(self.dynamics.context, f"a forecast by {self.dynamics.name}")
        if len(set(snapshots.lengths)) > 1:
            raise DataError(
                f"the history has cases of {sorted(set(snapshots.lengths))} snapshots. Expected "
                f"one length; forecast case by case: .isel(case=[0])."
            )
        needed = max(self.dynamics.context, 2)  # two times tell the step
        recent = snapshots.isel(time=slice(-min(needed, snapshots.lengths[0]), None))
        z = self.reducer.encode(recent)
        return self.dynamics.forecast(z, steps, params=snapshots.params, on_blowup=on_blowup)

    @property
    def nbytes(self) -> int:
        """Bytes of all saved arrays, of reducer and dynamics."""
        return self.reducer.nbytes + self.dynamics.nbytes

    def save(self, path: PathLike, *, overwrite: bool = False) -> Path:
        """Write the directory ``path``; :func:`load` opens it."""
        parts: dict[str, Bundle] = {
            "": ({"class": "ReducedModel", "kind": "model", "choice": self.choice}, {}),
            "reducer": self.reducer.to_bundle(),
            "dynamics": self.dynamics.to_bundle(),
        }
        return write_bundle(path, parts, overwrite=overwrite)

    def __repr__(self) -> str:
        return f"ReducedModel({self.reducer!r}, {self.dynamics!r})"


def load(path: PathLike) -> Any:
    """Open what ``save`` wrote: a reducer, a dynamics or a reduced model.

    Runs no code from the files. A third party's class must have been imported. Raises
    :class:`MissingFileError` and :class:`BundleError`.
    """
    bundle = read_bundle(path)
    if bundle_class(bundle[0]) == "ReducedModel":
        reducer, dynamics = (load(Path(path) / part) for part in ("reducer", "dynamics"))
        model = ReducedModel(reducer, dynamics)
        model.choice = bundle[0].get("choice", [])
        return model
    return _find_class(bundle_class(bundle[0])).from_bundle(bundle)


def _find_class(label: str) -> Any:
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
