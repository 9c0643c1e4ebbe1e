"""What every reducer shares: labelled fields in, labelled fields out.

A reducer is a pair of maps between scaled states and latents,

    z = E(x),  x (B, C, *space) dimensionless,  z (B, k);      x^ = D(z),

held by a torch module with methods ``encode`` and ``decode``. This driver owns the rest:
opening and checking data, statistics and scaling, streaming by blocks, labels, devices,
saving. An implementation writes ``_fit`` (train) and ``_build`` (an untrained module from
the layout), which together are about one screen.
"""

import hashlib
import json
import os
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from romae.conventions import MEMBER, REDUCER
from romae.errors import DataError, OptionError
from romae.feed import pick_device
from romae.fields import Scaling, Snapshots, Survey, open_like, open_snapshots, survey
from romae.progress import track
from romae.reducers import labels
from romae.reducers.coder import Coder
from romae.reducers.data import FitData, scaled_batches
from romae.reducers.decoding import by_member, decode_in_memory, decode_to_file
from romae.reducers.reuse import check_single
from romae.reducers.saving import Saved

Source = Any  # whatever open_snapshots takes


class Reducer(Saved):
    """Base of all reducers; see the module for what an implementation writes.

    After ``fit``: ``layout``, ``scaling``, ``module``, ``latent`` (k), ``history`` (training
    curve), ``fit_seconds``, ``training`` (source, fingerprint and times of the data).
    """

    scale: Literal["units", "field", "none"] = "units"

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.fit_seconds = float("nan")
        self.training: dict[str, Any] = {}

    # -- what an implementation writes ------------------------------------------------

    @abstractmethod
    def _fit(self, data: FitData) -> Coder:
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
        self.check_size(snapshots)
        target = pick_device(device)
        found = self._statistics(snapshots)
        if held_out is not None:
            survey(held_out)  # a stray NaN is found now and not after the first epoch
        _check_changes(found, snapshots)
        self.__dict__.pop("module", None)  # a fit that fails leaves no fitted reducer
        self.layout = snapshots.layout
        self.scaling = Scaling.fit(found, self.scale)
        folder = None if checkpoint is None else Path(checkpoint)
        self.module = self._fit(FitData(snapshots, held_out, found, self.scaling, target, folder))
        self.module.eval().requires_grad_(False)
        self.training = labels.describe(snapshots)
        self.fit_seconds = time.perf_counter() - started
        return self

    def check_size(self, snapshots: Snapshots) -> None:
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

    def _statistics(self, snapshots: Snapshots) -> Survey:
        """Statistics of all values, checked; a reducer may keep more of what it sees."""
        return survey(snapshots)

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

    def decode_into(self, out: Tensor, z: Tensor) -> Tensor:
        """``decode_tensor(z)`` written over ``out`` (B, C, *space), which comes back.

        For loops over members or cycles: new memory costs more than the numbers that go into it.
        Raises OptionError where ``out`` is not contiguous or of another shape, type or device.
        """
        shape, device = (len(z), self.layout.channels, *self.layout.shape), self.device
        told = (tuple(out.shape), out.dtype, out.device, out.is_contiguous())
        if told != (shape, z.dtype, device, True):
            raise OptionError(
                f"{self.name}.decode_into got out of shape {told[0]}, {told[1]} on {told[2]}"
                f"{'' if told[3] else ', not contiguous'}. Expected {shape}, {z.dtype} on "
                f"{device}: type out=torch.empty({shape}, device={str(device)!r})."
            )
        found = self.expansion(z)
        if found is None:
            return out.copy_(self.decode_tensor(z))
        torch.mm(*found, out=out.view(len(z), -1))
        return out

    def expansion(self, z: Tensor) -> tuple[Tensor, Tensor] | None:
        """Where D is linear at its end: coordinates (B, m) and modes (m, n) whose product is
        ``decode_tensor(z)``, points in a row. None where it is not, or where ``decode_tensor`` is
        written anew.
        """
        if getattr(self.decode_tensor, "__func__", None) is not Reducer.decode_tensor:
            return None
        return self._ready().expansion(z)

    def along(self, source: Snapshots | xr.DataArray, case: int) -> "Reducer":
        """The tensor-level maps for one trajectory of ``source``, snapshots or latents.

        Itself, unless the maps depend on the parameters of the case or on earlier snapshots; then
        blocks of the trajectory are to be given to ``encode_tensor`` of what is returned in order.
        """
        return self

    def to(self, device: str) -> Self:
        """Move to ``device`` (``auto``, ``cpu``, ``cuda``); encode and decode follow."""
        self._ready().to(pick_device(device))
        return self

    @property
    def device(self) -> torch.device:
        """Where encode and decode compute."""
        return next(iter(self._ready().state_dict().values())).device

    # -- labelled data in, labelled data out -------------------------------------------------

    def encode(self, data: Source) -> xr.DataArray:
        """Latents (time, latent), or (case, time, latent), with the times of ``data``.

        Streams by storage chunk. Raises :class:`romae.errors.GridMismatchError` when
        ``data`` does not sit on the grid, variables and mask of the fit.
        """
        self._ready()
        snapshots = open_like(data, self.layout)
        self.layout.check_same(snapshots.layout, f"{self.name}.encode")
        # Filled in place: small arrays kept between large ones would fragment the heap until it
        # had grown by the size of the file.
        codes = [np.empty((n, self.latent), np.float32) for n in snapshots.lengths]
        done = [0] * snapshots.cases
        with track(len(snapshots), "encoding") as task:
            now: int = -1
            coder: Reducer = self
            for case, x in self.batches(snapshots):
                if case != now:
                    now, coder = case, self.along(snapshots, case)
                start, done[case] = done[case], done[case] + len(x)
                codes[case][start : done[case]] = coder.encode_tensor(x).cpu().numpy()
                task.advance(len(x))
        z = labels.latents(codes, snapshots)
        z.attrs[REDUCER] = self.identity
        return z

    @property
    def identity(self) -> str:
        """Class and a hash of arguments and training data: which reducer latents are of."""
        header = self.header("reducer")
        told = [header["class"], header["arguments"], self.training.get("fingerprint", "")]
        if "finetuned" in self.training:  # other weights from the same data
            told.append(self.training["finetuned"])
        text = json.dumps(told, sort_keys=True, default=str)
        return f"{self.name} {hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def batches(self, snapshots: Snapshots) -> Iterator[tuple[int, Tensor]]:
        """(case, scaled tensor (b, C, *space)) block by block, in order, on our device."""
        yield from scaled_batches(snapshots, self.scaling, self.device)

    def decode(
        self,
        latents: xr.DataArray,
        *,
        to: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        out: xr.Dataset | None = None,
    ) -> xr.Dataset:
        """Fields with the names, coordinates, units and dtype of the training data.

        ``latents`` has dims (time, latent) or (case, time, latent), before them ``member`` for an
        ensemble. With ``to`` the fields may
        exceed memory: they are written batch by batch to that netCDF file (.nc) or Zarr store
        (.zarr), which holds what the fields in memory would write and comes back opened lazily.
        ``out``: fields that were decoded from as many latents and are needed no more; the new ones
        take their memory, which is quicker than new memory (:mod:`romae.reducers.reuse`).
        Raises :class:`romae.errors.UnwritableFileError` when the disk is too small, and
        OptionError where ``out`` does not fit or is given with ``to`` or for an ensemble.
        """
        self.check_latents(latents)
        if out is not None:
            check_single(latents, to)
            return decode_in_memory(self, latents, out)
        if to is None:
            return by_member(latents, lambda z: decode_in_memory(self, z))
        return decode_to_file(self, latents, to, overwrite=overwrite)

    def check_latents(self, latents: xr.DataArray) -> None:
        """Refuse latents that are not ours to decode; each member of an ensemble may be."""
        self._ready()
        one = latents
        if isinstance(latents, xr.DataArray) and latents.dims[:1] == (MEMBER,):
            one = latents.isel({MEMBER: 0}, drop=True)
        labels.check_latents(one, self.latent, self.name)

    def reconstruct(
        self,
        data: Source,
        *,
        to: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
    ) -> xr.Dataset:
        """decode(encode(data)); ``to`` names a file, see :meth:`decode`."""
        return self.decode(self.encode(data), to=to, overwrite=overwrite)

    @property
    def mean(self) -> xr.Dataset:
        """Temporal mean of the training data, labelled (*space): what a latent model leaves out.

        ``snapshots.to_dataset().fillna(reducer.mean)`` closes gaps before encoding.
        """
        self._ready()
        return self.layout.to_dataset(self.scaling.mean[None]).isel({self.layout.time: 0})


def _check_changes(found: Survey, snapshots: Snapshots) -> None:
    """Refuse data without fluctuations: there is nothing to reduce."""
    if len(found.constant) == snapshots.layout.channels:
        raise DataError(
            f"{snapshots.source}: {', '.join(found.constant)} stay the same at all {found.count} "
            f"times. Expected fields that change; open a longer time range, or choose others with "
            f"variables=[...]."
        )
