"""What every reducer shares: labelled fields in, labelled fields out.

A reducer is a pair of maps between scaled states and latents,

    z = E(x),  x (B, C, *space) dimensionless,  z (B, k);      x^ = D(z),

held by a torch module with methods ``encode`` and ``decode``. This driver owns the rest:
opening and checking data, statistics and scaling, streaming by blocks, labels, devices,
saving. An implementation writes ``_fit`` (train) and ``_build`` (an untrained module from
the layout), which together are about one screen.
"""

import inspect
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from romae.bundle import Bundle, write_bundle
from romae.errors import BundleError, NotFittedError, OptionError
from romae.feed import TensorScaling, pick_device
from romae.fields import Layout, Scaling, Snapshots, Survey, open_snapshots, survey
from romae.fields.survey import check_values
from romae.reducers import labels

Source = Any  # whatever open_snapshots takes
BLOCK_BYTES = 64 << 20


class Coder(nn.Module, ABC):
    """A torch module with the two maps of a reducer."""

    @abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *space) scaled -> (B, k)."""

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space) scaled."""

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruction D(E(x))."""
        return self.decode(self.encode(x))


class Reducer(ABC):
    """Base of all reducers; see the module for what an implementation writes.

    After ``fit``: ``layout``, ``scaling``, ``module``, ``latent`` (k), ``history`` (training
    curve), ``fit_seconds``, ``training`` (source, fingerprint and times of the data).
    """

    options: ClassVar[dict[str, type]] = {}  # constructor arguments that are dataclasses
    latent: int
    scale: Literal["units", "field", "none"] = "units"

    layout: Layout
    scaling: Scaling
    module: Coder

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.fit_seconds = float("nan")
        self.training: dict[str, Any] = {}

    # -- what an implementation writes ------------------------------------------------

    @abstractmethod
    def _fit(self, data: "FitData") -> Coder:
        """Train on ``data`` and return the coder."""

    @abstractmethod
    def _build(self) -> Coder:
        """An untrained coder for ``self.layout``, into which saved tensors are loaded."""

    # -- fit ----------------------------------------------------------------------------

    def fit(
        self,
        data: Source,
        validation: Source | None = None,
        *,
        device: str = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Fit to the snapshots ``data``: Snapshots, or what ``open_snapshots`` takes.

        ``validation`` chooses the best weights of reducers that are trained; without it
        they hold out the last tenth of ``data``. ``checkpoint`` names a folder from which
        a killed training goes on. Raises :class:`romae.errors.DataError` for data that
        cannot be used, before any training.
        """
        started = time.perf_counter()
        snapshots = open_snapshots(data)
        snapshots.require(2, f"fit {self.name}")
        held_out = None if validation is None else open_snapshots(validation)
        if held_out is not None:
            snapshots.layout.check_same(held_out.layout, "validation data")
        self._check_size(snapshots)
        found = survey(snapshots)
        self.layout = snapshots.layout
        self.scaling = Scaling.fit(found, self.scale)
        folder = None if checkpoint is None else Path(checkpoint)
        target = pick_device(device)
        self.module = self._fit(FitData(snapshots, held_out, found, self.scaling, target, folder))
        self.module.eval().requires_grad_(False)
        self.training = labels.describe(snapshots)
        self.fit_seconds = time.perf_counter() - started
        return self

    def _check_size(self, snapshots: Snapshots) -> None:
        """Refuse a latent size that the snapshots cannot determine."""
        T, *state = snapshots.shape
        most = min(T - 1, int(np.prod(state)))
        wanted = self._smallest_size()
        if wanted > most:
            raise OptionError(
                f"{self.name} asks for {wanted} latents, and {T} snapshots of {np.prod(state)} "
                f"values determine at most {most} (one snapshot goes into the mean). "
                f"Type a size of {most} or less, or give more snapshots."
            )

    def _smallest_size(self) -> int:
        """Number of latents that the arguments ask for, as far as known before the fit."""
        return self.latent

    # -- tensors in, tensors out ----------------------------------------------------------

    def encode_tensor(self, x: Tensor) -> Tensor:
        """z = E(x): ``x`` (B, C, *space) scaled, dimensionless -> (B, k)."""
        return self._ready().encode(x)

    def decode_tensor(self, z: Tensor) -> Tensor:
        """x^ = D(z): ``z`` (B, k) -> (B, C, *space) scaled, dimensionless."""
        return self._ready().decode(z)

    def to(self, device: str) -> Self:
        """Move to ``device`` (``auto``, ``cpu``, ``cuda``); encode and decode follow."""
        self._ready().to(pick_device(device))
        return self

    @property
    def device(self) -> torch.device:
        """Where encode and decode compute."""
        return next(self._ready().buffers()).device

    # -- labelled data in, labelled data out -------------------------------------------------

    def encode(self, data: Source) -> xr.DataArray:
        """Latents (time, latent), or (case, time, latent), with the times of ``data``.

        Streams by storage chunk. Raises :class:`romae.errors.GridMismatchError` when
        ``data`` does not sit on the grid, variables and mask of the fit.
        """
        snapshots = open_snapshots(data)
        self._ready()
        self.layout.check_same(snapshots.layout, f"{self.name}.encode")
        codes: list[list[np.ndarray]] = [[] for _ in range(snapshots.cases)]
        for case, x in self.batches(snapshots):
            codes[case].append(self.encode_tensor(x).cpu().numpy())
        return labels.latents([np.concatenate(c) for c in codes], snapshots)

    def batches(self, snapshots: Snapshots) -> Iterator[tuple[int, Tensor]]:
        """(case, scaled tensor (b, C, *space)) block by block, in order, on our device."""
        yield from scaled_batches(snapshots, self.scaling, self.device)

    def decode(self, latents: xr.DataArray) -> xr.Dataset:
        """Fields with the names, coordinates, units and dtype of the training data.

        ``latents`` has dims (time, latent) or (case, time, latent).
        """
        self._ready()
        labels.check_latents(latents, self.latent, self.name)
        return labels.fields(latents, self.layout, self._decode_array)

    def _decode_array(self, z: np.ndarray) -> np.ndarray:
        """(T, k) -> physical fields (T, C, *space), in batches that bound memory."""
        rows = max(1, BLOCK_BYTES // (4 * self.layout.size))
        parts = []
        for part in torch.from_numpy(np.asarray(z, dtype=np.float32)).split(rows):
            x = self.decode_tensor(part.to(self.device)).cpu().numpy()
            parts.append(self.scaling.inverse(x))
        return np.concatenate(parts)

    def reconstruct(self, data: Source) -> xr.Dataset:
        """decode(encode(data))."""
        return self.decode(self.encode(data))

    # -- facts and files --------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Name of the class."""
        return type(self).__name__

    @property
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments, as given."""
        names = inspect.signature(type(self).__init__).parameters
        return {n: getattr(self, n) for n in names if n != "self"}

    @property
    def nbytes(self) -> int:
        """Bytes of every array that ``save`` stores: weights, modes, scaling, coordinates."""
        return sum(v.nbytes for v in self.to_bundle()[1].values())

    def to_bundle(self) -> Bundle:
        """Document and arrays; see :mod:`romae.bundle`."""
        state = self._ready().state_dict()
        layout, layout_arrays = self.layout.to_state()
        scaling, scaling_arrays = self.scaling.to_state()
        document = {
            "class": labels.class_name(type(self)),
            "kind": "reducer",
            "arguments": {
                k: asdict(v) if is_dataclass(v) and not isinstance(v, type) else v
                for k, v in self.arguments.items()
            },
            "fitted": self._fitted_scalars(),
            "layout": layout,
            "scaling": scaling,
            "training": self.training,
            "fit_seconds": self.fit_seconds,
            "history": self.history,
        }
        arrays = {f"module/{k}": v.cpu().numpy() for k, v in state.items()}
        arrays |= {f"layout/{k}": v for k, v in layout_arrays.items()}
        arrays |= {f"scaling/{k}": v for k, v in scaling_arrays.items()}
        return document, arrays

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> Self:
        """Inverse of :meth:`to_bundle`."""
        document, arrays = bundle
        arguments = {
            k: cls.options[k](**v) if k in cls.options and v is not None else v
            for k, v in document["arguments"].items()
        }
        self = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()})
        self.layout = Layout.from_state(document["layout"], _part(arrays, "layout"))
        self.scaling = Scaling.from_state(document["scaling"], _part(arrays, "scaling"))
        for name, value in document["fitted"].items():
            setattr(self, name, value)
        self.training, self.history = document["training"], document["history"]
        self.fit_seconds = document["fit_seconds"]
        self.module = self._build()
        tensors = {k: torch.from_numpy(v.copy()) for k, v in _part(arrays, "module").items()}
        try:
            self.module.load_state_dict(tensors)
        except RuntimeError as error:
            raise BundleError(
                f"the tensors of a saved {cls.__name__} do not fit its arguments ({error}). It "
                f"was written by another version of romae; fit it anew."
            ) from error
        self.module.eval().requires_grad_(False)
        return self

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the directory ``path``; ``romae.load(path)`` opens it."""
        return write_bundle(path, {"": self.to_bundle()}, overwrite=overwrite)

    def _fitted_scalars(self) -> dict[str, Any]:
        """Attributes found by the fit that ``_build`` needs."""
        return {"latent": self.latent}

    def _ready(self) -> Coder:
        module = getattr(self, "module", None)
        if module is None:
            raise NotFittedError(
                f"this {self.name} has not been fitted. Call .fit(snapshots) first, or open a "
                f"fitted one with romae.load(path)."
            )
        return module

    def __repr__(self) -> str:
        shown = ", ".join(f"{k}={v!r}" for k, v in self.arguments.items())
        return f"{self.name}({shown})"


class FitData:
    """What a reducer is fitted to: snapshots, their statistics, and where to compute."""

    def __init__(
        self,
        snapshots: Snapshots,
        validation: Snapshots | None,
        found: Survey,
        scaling: Scaling,
        device: torch.device,
        folder: Path | None,
    ) -> None:
        self.snapshots, self.validation, self.survey = snapshots, validation, found
        self.scaling, self.device, self.folder = scaling, device, folder

    def held_out(self) -> tuple[Snapshots, Snapshots | None]:
        """(train, validation): as given, or the last tenth of each trajectory held out."""
        if self.validation is not None:
            return self.snapshots, self.validation
        if len(self.snapshots) < 20 * self.snapshots.cases:
            return self.snapshots, None
        train, valid = self.snapshots.split(0.9, 0.1, by="time")
        return train, valid


def scaled_batches(
    snapshots: Snapshots, scaling: Scaling, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    """(case, scaled float32 tensor (b, C, *space)) block by block, in order, values checked."""
    scale = TensorScaling(scaling, device)
    for block in snapshots.blocks(BLOCK_BYTES):
        check_values(snapshots, block.case, block.start, block.values)
        yield block.case, scale.forward(torch.from_numpy(block.values).to(device))


def _part(arrays: dict[str, np.ndarray], part: str) -> dict[str, np.ndarray]:
    return {k.split("/", 1)[1]: v for k, v in arrays.items() if k.startswith(part + "/")}
