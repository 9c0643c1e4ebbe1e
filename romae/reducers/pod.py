"""Proper orthogonal decomposition, the yardstick of every reduced model.

With the fluctuation x' = (x - mean) / scale and quadrature weights W, the modes U (k, n)
solve the eigenproblem of X^T W X, are orthonormal in W (U W U^T = 1), and

    z = U W x',      x'^ = U^T z

is the best linear reduction: the mean error over the training snapshots is the tail
sum_{i>k} s_i^2 / T. It is the limit of every linear autoencoder; it needs many modes where
structures travel (the singular values decay slowly), and nothing beats it where they
decay fast.

Sources: Lumley 1967; Sirovich 1987, "Turbulence and the dynamics of coherent structures".
"""

import hashlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from romae.errors import OptionError, check_option, check_whole
from romae.fields import Layout, Snapshots, open_snapshots, survey
from romae.linalg import Decomposition, decompose, read_ahead
from romae.linalg.incremental import Known, resume, update
from romae.linalg.pod import PANEL_BYTES, Method
from romae.linalg.rows import Checkpoint
from romae.reducers import labels
from romae.reducers.base import Reducer, Source
from romae.reducers.coder import Coder
from romae.reducers.data import BLOCK_BYTES, FitData


class LinearCoder(Coder):
    """z = U W x, x^ = U^T z, with ``modes`` U (k, n) and ``weights`` W (n,) or none (uniform).

    Neither is trained: the modes are a parameter that asks for no gradient.
    """

    modes: Tensor
    weights: Tensor | None

    def __init__(self, modes: Tensor, weights: Tensor | None, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.modes = nn.Parameter(modes, requires_grad=False)
        self.register_buffer("weights", weights, persistent=False)
        self.shape = shape

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *space) -> (B, k)."""
        flat = x.flatten(1)
        return (flat if self.weights is None else flat * self.weights) @ self.modes.T

    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space)."""
        return (z @ self.modes).reshape(-1, *self.shape)


class POD(Reducer):
    """Proper orthogonal decomposition (principal component analysis) of weighted fields.

    Parameters
    ----------
    rank : number of modes, or a fraction of the energy in (0, 1), such as ``0.99``. Modes that
        only rounding distinguishes from zero are left out: ``latent`` says how many there are.
        A relative error e of the fluctuation is the fraction ``1 - e**2``.
    method : ``svd``, ``snapshots`` (T x T) and ``covariance`` (n x n) are exact; ``randomized`` is
        many times cheaper where both sides are large, its error within 1 % of the optimum.
        ``auto`` takes it only where exact ways take long; see :mod:`romae.linalg.pod`.
    scale : ``units`` gives fields of the same units one scale, so that u and v keep their
        relative energy; ``field`` scales each field to unit variance; ``none`` leaves all.
    memory : bytes of snapshots held at once while fitting; data that fit are read once after the
        survey, others in several passes. Beside them: modes, a factor of their size, two blocks
        of 64 MiB, and for ``snapshots`` and ``covariance`` two square matrices.

    After ``fit``: ``singular_values`` in scaled units (every one by the exact ways, those of the
    modes by ``randomized``), ``energy`` (the cumulative fraction of it), ``modes`` as a labelled
    Dataset. A ``randomized`` fit that was given a checkpoint folder goes on after a kill. Signs
    are fixed by the entry of largest magnitude of each mode.
    """

    def __init__(
        self,
        rank: int | float = 8,
        *,
        method: Method = "auto",
        scale: Literal["units", "field", "none"] = "units",
        memory: int = PANEL_BYTES,
    ) -> None:
        super().__init__()
        self.rank = _checked_rank(rank)
        check_option("method", method, get_args(Method))
        check_option("scale", scale, ("units", "field", "none"))
        self.method, self.scale = method, scale
        self.memory = check_whole("memory", memory)
        self.latent = self.rank if isinstance(self.rank, int) else 0
        self.singular_values = np.empty(0)
        self.total: float | None = None

    def _smallest_size(self) -> int:
        return self.rank if isinstance(self.rank, int) else 1

    def _fit(self, data: FitData) -> Coder:
        found = decompose_fields(data, self.rank, self.method, self.memory)
        self.singular_values, self.total = found.s, found.total
        self.latent = len(found.modes)
        return linear_coder(self.layout, found.modes).to(data.device)

    def _build(self) -> Coder:
        self.singular_values = np.asarray(self.singular_values)
        return linear_coder(self.layout, np.zeros((self.latent, self.layout.size)))

    def update(self, data: Source, *, checkpoint: str | os.PathLike[str] | None = None) -> Self:
        """Take in new snapshots, without the old ones: mean, modes and singular values.

        The scale stays that of the first fit. Exact where the modes hold all energy; else what
        the old modes left out is missing, and ``energy`` says how much is. ``checkpoint`` names a
        folder from which a killed update goes on. Raises GridMismatchError for data on another
        grid, and :class:`romae.errors.DataError` for values that cannot be used.
        """
        module = self._ready()
        assert isinstance(module, LinearCoder)
        snapshots = open_snapshots(data)
        self.layout.check_same(snapshots.layout, f"{self.name}.update")
        started = time.perf_counter()
        survey(snapshots)
        description = labels.describe(snapshots)
        root = np.sqrt(self.layout.quadrature.reshape(-1))
        factor = (np.sqrt(self.layout.quadrature) / self.scaling._columns).reshape(-1)
        stored = module.modes.cpu().numpy().astype(np.float64) * root
        s = np.asarray(self.singular_values, dtype=np.float64)
        total = float(np.sum(s**2)) if self.total is None else self.total
        mean = self.scaling.mean.reshape(-1)
        known = Known(mean, stored, s[: self.latent], self.training["snapshots"], total)
        fingerprints = [self.training["fingerprint"], description["fingerprint"]]
        folder = None if checkpoint is None else Path(checkpoint)
        saved = Checkpoint(folder, {"of": fingerprints, "rank": self.rank})
        known, first = resume(known, saved)
        known = update(known, _rows(snapshots, first), factor, self.rank, checkpoint=saved)
        modes = np.divide(known.modes, root, out=np.zeros_like(known.modes), where=root > 0)
        device = self.device
        self.module = linear_coder(self.layout, modes).to(device).eval()
        self.scaling = replace(self.scaling, mean=known.mean.reshape(self.scaling.mean.shape))
        self.singular_values, self.total = known.s, known.total
        self.latent = len(known.s)
        self.training = self.training | {
            "source": f"{self.training['source']}; {description['source']}",
            "fingerprint": hashlib.sha256("".join(fingerprints).encode()).hexdigest(),
            "snapshots": known.count,
            "cases": self.training["cases"] + description["cases"],
            "last_time": description["last_time"],
        }
        self.fit_seconds += time.perf_counter() - started
        saved.remove()
        return self

    @property
    def energy(self) -> np.ndarray:
        """Fraction of the fluctuation energy held by the first 1, 2, ... modes."""
        total = np.sum(self.singular_values**2) if self.total is None else self.total
        return np.cumsum(self.singular_values**2) / total

    @property
    def modes(self) -> xr.Dataset:
        """Modes (mode, *space), labelled; dimensionless, orthonormal in the weights."""
        module = self._ready()
        assert isinstance(module, LinearCoder)
        values = module.modes.cpu().numpy().reshape(-1, *module.shape)
        values = np.where(self.layout.valid, values, np.nan)
        index = xr.DataArray(np.arange(1, len(values) + 1), dims="mode", name="mode")
        fields = {
            f.name: (("mode", *self.layout.space), values[:, i], {"units": "1"})
            for i, f in enumerate(self.layout.fields)
        }
        return xr.Dataset(fields, coords={**self.layout.coords.coords, "mode": index})

    def truncate(self, rank: int) -> Self:
        """The same decomposition with the first ``rank`` modes only."""
        module = self._ready()
        if check_whole("rank", rank) > self.latent:
            raise OptionError(
                f"this POD has {self.latent} modes; truncate to {rank} asks for what it does not "
                f"hold. Fit POD(rank={rank}), or truncate to 1 ... {self.latent}."
            )
        assert isinstance(module, LinearCoder)
        short = type(self)(rank, method=self.method, scale=self.scale, memory=self.memory)
        short.layout, short.scaling, short.training = self.layout, self.scaling, self.training
        short.fit_seconds, short.singular_values = self.fit_seconds, self.singular_values
        short.total = self.total
        modes = module.modes[:rank].clone()
        short.module = LinearCoder(modes, module.weights, module.shape).eval()
        return short

    def _fitted_scalars(self) -> dict[str, Any]:
        # Singular values are a diagnosis and not part of the model: the JSON keeps them.
        values = [float(v) for v in self.singular_values]
        return {"latent": self.latent, "singular_values": values, "total": self.total}


def _checked_rank(rank: int | float) -> int | float:
    """``rank`` as a plain int or float; :class:`OptionError` when it is neither kind of size."""
    whole = isinstance(rank, Integral) and not isinstance(rank, bool) and rank >= 1
    if whole or (isinstance(rank, float | np.floating) and 0 < rank < 1):
        return int(rank) if whole else float(rank)
    raise OptionError(
        f"POD rank is {rank!r}. Expected a number of modes (1, 2, ...), or an energy fraction "
        f"between 0 and 1 such as 0.99."
    )


def decompose_fields(
    data: FitData,
    rank: int | float | None,
    method: Method = "auto",
    memory: int = PANEL_BYTES,
) -> Decomposition:
    """POD of the scaled fluctuations of ``data``; modes (k, n) in scaled physical space."""
    layout, scaling = data.snapshots.layout, data.scaling
    root = np.sqrt(layout.quadrature).reshape(layout.channels, -1)
    found = decompose(
        partial(_rows, data.snapshots),
        (len(data.snapshots), root.size),
        rank,
        method,
        shift=scaling.mean.reshape(-1),
        factor=(root / scaling.scale[:, None]).reshape(-1),
        dtype=data.snapshots.dtype,
        total=float(
            data.survey.count * ((data.survey.std / scaling.scale) ** 2 @ (root**2).sum(1))
        ),
        panel_bytes=memory,
        device=data.device,
        checkpoint=data.folder,
        identity=f"{data.snapshots.fingerprint} {scaling.kind}" if data.folder else "",
    )
    weights, modes = root.reshape(-1), found.modes
    np.divide(modes, weights, out=modes, where=weights > 0, casting="same_kind")
    modes[:, weights == 0] = 0
    return found


def _rows(snapshots: Snapshots, first: int = 0) -> Iterator[tuple[int, np.ndarray]]:
    """Snapshots as stored from row ``first`` on, (row, (b, n)), 0 at masked points."""
    mask = snapshots.layout.mask
    firsts = np.cumsum([0, *snapshots.lengths])

    def read(case: int, start: int, stop: int) -> tuple[int, np.ndarray]:
        values = snapshots.read_raw(start, stop, case)
        if mask is not None:
            np.copyto(values, 0, where=~mask)
        return int(firsts[case]) + start, values.reshape(len(values), -1)

    ranges = snapshots.block_ranges(BLOCK_BYTES)
    return read_ahead(partial(read, *r) for r in ranges if firsts[r[0]] + r[1] >= first)


def linear_coder(layout: Layout, modes: np.ndarray) -> LinearCoder:
    """Coder of scaled ``modes`` (k, n); uniform weights are left out."""
    w = layout.quadrature.reshape(-1)
    uniform = bool(np.all((w == 1) | (w == 0)))
    weights = None if uniform else torch.from_numpy(w.astype(np.float32))
    shape = (layout.channels, *layout.shape)
    # C order as `load` gives it: products in another order of memory round differently.
    stored = np.ascontiguousarray(modes, dtype=np.float32)
    return LinearCoder(torch.from_numpy(stored), weights, shape)
