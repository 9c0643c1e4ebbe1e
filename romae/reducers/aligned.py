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
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from romae.bundle import Bundle
from romae.config import read_arguments
from romae.conventions import PHASES
from romae.errors import BundleError, OptionError, nearest
from romae.fields import Snapshots, survey
from romae.reducers.aligned_coder import AlignedCoder, positions
from romae.reducers.aligned_view import aligned_view
from romae.reducers.base import Reducer
from romae.reducers.coder import Coder
from romae.reducers.data import FitData, scaled_batches
from romae.reducers.phases import SILENT, Phases, angles, choose_weights

COEFFICIENT_BYTES = 16 << 20  # of the first Fourier coefficients from which weights are chosen
RIGID = 1e-5  # of the fluctuation, and
ROUNDING = 4e-7  # of the largest value: aligned snapshots that differ by less are one shape


class Aligned(Reducer):
    """The reducer ``inner`` behind an alignment along periodic axes; see the module.

    Parameters
    ----------
    inner : an unfitted reducer for the aligned snapshots, or its latent size, which means
        ``PODAutoencoder(size)``. It is not changed: what is fitted is ``fitted``.
    axes : names of the axes to align along; None takes every periodic one. Name them where a
        forcing, a wall or a rotation tells the places along one apart.

    Latents are cos and sin of the phase, axis by axis, then those of ``inner``: ``latent`` is
    theirs and two for each axis. Where all snapshots are one shape at different places, the phases
    say all: ``fitted`` is None and there are no other latents.

    Axes have even spacing, are whole periods, and no mask varies along them; others raise
    :class:`romae.errors.DataError`, unknown names :class:`romae.errors.OptionError`.

    Sources: Budanur, Borrero-Echeverry & Cvitanovic 2015 (see :mod:`romae.reducers.phases`); Kneer,
    Sayadi, Sipp, Schmid & Rigas 2021, "Symmetry-aware autoencoders: s-PCA and s-nlPCA", where a
    network finds the shift; here it is one Fourier coefficient, which needs no training.
    """

    fitted: Reducer | None

    def __init__(
        self,
        inner: Reducer | dict[str, Any] | int = 2,
        axes: Sequence[str] | str | None = None,
    ) -> None:
        super().__init__()
        self.inner = _unfitted(inner)
        self.axes = (axes,) if isinstance(axes, str) else None if axes is None else tuple(axes)
        if self.axes is not None and (not self.axes or len(set(self.axes)) < len(self.axes)):
            raise OptionError(
                f"Aligned axes are {list(self.axes)}. Expected different names of periodic axes, "
                'at least one; type axes=["x"], or leave it out for every periodic axis.'
            )
        self.latent = self.inner.latent + 2 * len(self.axes or ())
        self.scale = self.inner.scale
        self.fitted = None

    @property
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments; the reducer as its class and arguments."""
        header = self.inner.header("reducer")
        return {"inner": {n: header[n] for n in ("class", "arguments")}, "axes": self.axes}

    def __repr__(self) -> str:
        return f"Aligned({self.inner!r}, axes={self.axes!r})"

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
        positions(snapshots.layout, self.axes)
        self.inner.check_size(snapshots)

    def _smallest_size(self) -> int:
        return self.inner._smallest_size()

    def _fit(self, data: FitData) -> Coder:
        self.fitted = None
        phases = Phases(positions(self.layout, self.axes), data.snapshots.shape[1:])
        self.latent = 2 * len(phases.axes)
        coder = self._coder(phases).to(data.device)
        self._choose(coder, data)
        train = self._view(coder, data.snapshots, data)
        found = survey(train)
        if len(found.constant) == self.layout.channels:  # one shape at different places
            shape = (found.mean - self._level()) / self.scaling.columns
            coder.bias.copy_(torch.from_numpy(-np.nan_to_num(shape)))
            return coder
        valid = None if data.validation is None else self._view(coder, data.validation, data)
        inner = _unfitted(self.inner)
        inner.fit(train, valid, device=str(data.device), checkpoint=data.folder)
        self.fitted, self.history = inner, inner.history
        self.latent += inner.latent
        return self._coder(phases).to(data.device)

    def _choose(self, coder: AlignedCoder, data: FitData) -> None:
        """Set the weights of the phases, from evenly spaced snapshots where there are many."""
        phases, quadrature = coder.phases, self.layout.quadrature
        shapes = [getattr(phases, f"weights{i}").shape[1:] for i in range(len(phases.axes))]
        kept = max(1, COEFFICIENT_BYTES // (8 * sum(int(np.prod(s)) for s in shapes)))
        stride, seen = -(-len(data.snapshots) // kept), 0
        found: list[list[np.ndarray]] = [[] for _ in shapes]
        for _, x in scaled_batches(data.snapshots, data.scaling, data.device):
            own = x[-seen % stride :: stride] + coder.offset
            seen += len(x)
            for i, parts in enumerate(found):
                m = phases.coefficients(own, i).cpu().numpy()
                parts.append((m[..., 0] + 1j * m[..., 1]).reshape(len(own), -1))
        root = np.sqrt(quadrature.mean(tuple(1 + a for a in phases.axes))).reshape(-1)
        for i, parts in enumerate(found):
            m = np.concatenate(parts).astype(complex)
            w = root * choose_weights(m * root)
            pair = np.stack([w.real, w.imag]).reshape(2, *shapes[i])
            getattr(phases, f"weights{i}").copy_(torch.from_numpy(pair))
            phases.floor[i] = SILENT * float(np.sqrt(np.mean(np.abs(m @ w.conj()) ** 2)))

    def _view(self, coder: AlignedCoder, snapshots: Snapshots, data: FitData) -> Snapshots:
        """``snapshots`` aligned as they are read."""
        phi: list[list[np.ndarray]] = [[] for _ in range(snapshots.cases)]
        for case, x in scaled_batches(snapshots, data.scaling, data.device):
            phi[case].append(angles(coder.phases(x + coder.offset)).cpu().numpy())
        largest = np.maximum(np.abs(data.survey.minimum), np.abs(data.survey.maximum))
        return aligned_view(
            snapshots,
            [np.concatenate(parts) for parts in phi],
            coder.phases.axes,
            rounding=RIGID * data.survey.std + ROUNDING * largest,
        )

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
        z = super().encode(data)
        size = 0 if self.fitted is None else self.fitted.latent
        return z.assign_attrs({PHASES: (self.latent - size) // 2})

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


def _unfitted(given: Reducer | dict[str, Any] | int) -> Reducer:
    """A reducer of its own, of another one's arguments, a table of class and arguments, a size."""
    if isinstance(given, Reducer):
        return type(given)(**given.arguments)
    if not isinstance(given, dict):
        from romae.reducers.pod_autoencoder import PODAutoencoder

        return PODAutoencoder(given)
    label = str(given.get("class"))
    module, _, name = label.rpartition(":")
    home = sys.modules.get(module or "romae.reducers")
    if home is None:
        raise BundleError(
            f"the reducer inside Aligned is of {label}. Type `import {module}` first."
        )
    cls = getattr(home, name, None)
    if not (isinstance(cls, type) and issubclass(cls, Reducer)):
        raise OptionError(f"unknown reducer {label!r}. {nearest(label, home.__all__)}")
    return cls(**read_arguments(cls, given.get("arguments", {}), where=label))
