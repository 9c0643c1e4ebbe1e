"""Reduction of flows whose law is the same everywhere along a periodic axis.

A wave that travels, or starts anywhere, fills the space of all its shifted copies: POD needs a pair
of modes for every wave number, and an autoencoder has to learn one shape at every place. The
alignment splits a snapshot x into where it is and what it is,

    x -> phi, y        y: x moved to the place where a chosen Fourier coefficient has the phase zero
    z = [cos phi, sin phi, E(y)],       x^ = D(z_3, ...) moved back by phi = atan2(z_2, z_1)

with a pair for each aligned axis, and any reducer for E and D, fitted to the aligned snapshots
(:mod:`romae.reducers.phases`). Two numbers for a phase, which is one, because there is no
continuous coordinate of a circle; only their ratio counts.

It pays where copies of the same state occur at different places. It costs two latents an axis and
gains nothing where they do not: behind a body, under a forcing that varies along the axis.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from romae.bundle import Bundle
from romae.conventions import PHASES
from romae.errors import OptionError, check_whole
from romae.fields import Snapshots, survey
from romae.reducers.aligned_coder import AlignedCoder, positions
from romae.reducers.aligned_fit import aligned_snapshots, fit_weights
from romae.reducers.base import Reducer
from romae.reducers.coder import Coder
from romae.reducers.data import FitData
from romae.reducers.inside import unfitted
from romae.reducers.phases import Phases


class Aligned(Reducer):
    """The reducer ``inner`` behind an alignment along periodic axes; see the module.

    Parameters
    ----------
    inner : an unfitted reducer for the aligned snapshots, or its latent size, which means
        ``PODAutoencoder(size)``. It is not changed: what is fitted is ``fitted``.
    axes : names of the axes to align along; None takes every periodic one. Name them where a
        forcing, a wall or a rotation tells the places along one apart.
    latent : size of the whole, phases and all: ``inner`` gets what they leave, whatever its own
        size is. None: two for each axis, and those of ``inner``.

    Latents are cos and sin of the phase, axis by axis, then those of ``inner``: ``latent`` is
    theirs and two for each axis. Where all snapshots are one shape at different places, the phases
    say all: ``fitted`` is None and there are no other latents.

    Memory of the fit does not grow with the fields: they are moved as they are read. Kept are the
    phases, (T, axes), 16 MiB of Fourier coefficients at most, and what ``inner`` keeps.

    Axes have even spacing, are whole periods, and no mask varies along them. Raises DataError for
    others, OptionError for unknown names.

    Sources: Budanur, Borrero-Echeverry & Cvitanovic 2015 (see :mod:`romae.reducers.phases`); Kneer,
    Sayadi, Sipp, Schmid & Rigas 2021, "Symmetry-aware autoencoders: s-PCA and s-nlPCA", where a
    network finds the shift; here it is one Fourier coefficient, which needs no training.
    """

    fitted: Reducer | None

    def __init__(
        self,
        inner: Reducer | dict[str, Any] | int = 2,
        axes: Sequence[str] | str | None = None,
        *,
        latent: int | None = None,
    ) -> None:
        super().__init__()
        self.inner = unfitted(inner)
        self.axes = (axes,) if isinstance(axes, str) else None if axes is None else tuple(axes)
        if self.axes is not None and (not self.axes or len(set(self.axes)) < len(self.axes)):
            raise OptionError(
                f"Aligned axes are {list(self.axes)}. Expected different names of periodic axes, "
                'at least one; type axes=["x"], or leave it out for every periodic axis.'
            )
        self.total = None if latent is None else check_whole("Aligned latent", latent)
        self.latent = self.total or self.inner.latent + 2 * len(self.axes or ())
        self._inner(len(self.axes or ()))  # a size that cannot be is found here
        self.scale = self.inner.scale
        self.fitted = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments; the reducer as its class and arguments."""
        header = self.inner.header("reducer")
        inner = {n: header[n] for n in ("class", "arguments")}
        return {"inner": inner, "axes": self.axes, "latent": self.total}

    def __repr__(self) -> str:
        size = "" if self.total is None else f", latent={self.total}"
        return f"Aligned({self.inner!r}, axes={self.axes!r}{size})"

    @property
    def latent_bytes(self) -> int:
        """Bytes of one encoded snapshot."""
        size = 0 if self.fitted is None else self.fitted.latent
        own = 0 if self.fitted is None else getattr(self.fitted, "latent_bytes", 4 * size)
        return int(own) + 4 * (self.latent - size)

    @property
    def findings(self) -> dict[str, float]:
        """What the reducer of the aligned snapshots says about its latents."""
        return getattr(self.fitted, "findings", {})

    # -- fit --------------------------------------------------------------------------------

    def check_size(self, snapshots: Snapshots) -> None:
        """Refuse axes that cannot be aligned and sizes that cannot be determined."""
        axes = positions(snapshots.layout, self.axes)
        self._inner(len(axes)).check_size(snapshots)

    def _inner(self, axes: int) -> Reducer:
        """The reducer behind ``axes`` phases, unfitted."""
        if self.total is None:
            return unfitted(self.inner)
        if self.total <= 2 * axes:
            raise OptionError(
                f"Aligned has latent={self.total}, and {2 * axes} of them are cos and sin of the "
                f"phase along each aligned axis. Expected {2 * axes + 1} or more, the others for "
                f"the reducer inside; type latent={2 * axes + 2}, or name fewer axes."
            )
        return unfitted(self.inner, self.total - 2 * axes)

    def _fit(self, data: FitData) -> Coder:
        self.fitted = None
        phases = Phases(positions(self.layout, self.axes), data.snapshots.shape[1:])
        self.latent = 2 * len(phases.axes)
        coder = self._coder(phases).to(data.device)
        fit_weights(coder, data)
        train = aligned_snapshots(coder, data.snapshots, data)
        found = survey(train)
        if len(found.constant) == self.layout.channels:  # one shape at different places
            shape = (found.mean - self._level()) / self.scaling.columns
            coder.bias.copy_(torch.from_numpy(-np.nan_to_num(shape)))
            return coder
        held_out = data.validation
        valid = None if held_out is None else aligned_snapshots(coder, held_out, data)
        inner = self._inner(len(phases.axes))
        inner.fit(train, valid, device=str(data.device), checkpoint=data.folder)
        self.fitted, self.history = inner, inner.history
        self.latent += inner.latent
        return self._coder(phases).to(data.device)

    def _level(self) -> np.ndarray:
        """The temporal mean without what tells places along the axes apart (C, *space)."""
        axes = tuple(1 + a for a in positions(self.layout, self.axes))
        mean = self.scaling.mean
        return np.broadcast_to(mean.mean(axes, keepdims=True), mean.shape)

    def _units(self, inner: Reducer | None) -> Iterator[Tensor]:
        """offset, gain and bias of the coder."""
        level, columns = self._level(), self.scaling.columns
        offset = (self.scaling.mean - level) / columns
        gain, bias = np.ones_like(columns), np.zeros_like(offset)
        if inner is not None:
            gain = columns / inner.scaling.columns
            bias = (level - inner.scaling.mean) / inner.scaling.columns
        for units in (offset, gain, bias):
            yield torch.from_numpy(units.astype(np.float32))

    def _coder(self, phases: Phases) -> AlignedCoder:
        inner = None if self.fitted is None else self.fitted._ready()
        return AlignedCoder(phases, inner, *self._units(self.fitted))

    def _build(self) -> Coder:
        shape = (self.layout.channels, *self.layout.shape)
        return self._coder(Phases(positions(self.layout, self.axes), shape))

    # -- encode and decode ----------------------------------------------------------------------

    def encode(self, data: Any) -> xr.DataArray:
        """As :meth:`Reducer.encode`; the attribute ``phases`` counts the pairs that come first."""
        return super().encode(data).assign_attrs({PHASES: self.phases})

    @property
    def phases(self) -> int:
        """How many pairs (cos, sin) come first in the latents."""
        return (self.latent - (0 if self.fitted is None else self.fitted.latent)) // 2

    @property
    def aligned_axes(self) -> tuple[str, ...]:
        """Names of the axes of these pairs, after fit."""
        return tuple(self.layout.space[i] for i in positions(self.layout, self.axes))

    def along(self, source: Snapshots | xr.DataArray, case: int) -> Self:
        """The same, with the inner reducer as it is for one trajectory."""
        if self.fitted is None:
            return self
        inner = self.fitted.along(source, case)
        if inner is self.fitted:
            return self
        own = copy.copy(self)
        own.fitted = inner
        return own

    def encode_tensor(self, x: Tensor) -> Tensor:
        """(B, C, *space) scaled -> (B, k)."""
        coder = self._coder_ready()
        if self.fitted is None:
            return coder.encode(x)
        phasors, y = coder.split(x)
        return torch.cat([phasors, self.fitted.encode_tensor(y)], 1)

    def decode_tensor(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space) scaled."""
        coder = self._coder_ready()
        if self.fitted is None:
            return coder.decode(z)
        phasors, rest = coder.cut(z)
        return coder.join(phasors, self.fitted.decode_tensor(rest))

    def _coder_ready(self) -> AlignedCoder:
        coder = self._ready()
        assert isinstance(coder, AlignedCoder)
        return coder

    # -- saving -----------------------------------------------------------------------------------

    def to_bundle(self) -> Bundle:
        """Document and arrays, those of the inner reducer among them."""
        document, arrays = super().to_bundle()
        if self.fitted is not None:
            own, values = self.fitted.to_bundle()
            document["inner"] = {n: v for n, v in own.items() if n != "layout"}
            # Its layout is ours, its tensors are among ours.
            other = {n: a for n, a in values.items() if not n.startswith(("layout/", "module/"))}
            arrays |= {f"inner/{n}": a for n, a in other.items()}
        return document, arrays

    def _restore(self, bundle: Bundle) -> None:
        document, arrays = bundle
        if "inner" not in document:
            return
        given = {n: a for n, a in arrays.items() if n.startswith("layout/")}
        for prefix, start in (("inner/", ""), ("module/inner.", "module/")):
            found = {n: a for n, a in arrays.items() if n.startswith(prefix)}
            given |= {start + n.removeprefix(prefix): a for n, a in found.items()}
        told = {**document["inner"], "layout": document["layout"]}
        self.fitted = type(self.inner).from_bundle((told, given))
