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

import os
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import xarray as xr

from romae.errors import OptionError, check_option, check_whole
from romae.fields import Snapshots, Survey, open_snapshots
from romae.linalg.pod import PANEL_BYTES, Method
from romae.reducers.base import Reducer, Source
from romae.reducers.coder import Coder
from romae.reducers.data import FitData
from romae.reducers.linear import LinearCoder, linear_coder
from romae.reducers.pod_data import FirstLook, decompose_fields

__all__ = ["POD", "LinearCoder", "decompose_fields", "linear_coder"]


class POD(Reducer):
    """Proper orthogonal decomposition (principal component analysis) of weighted fields.

    Parameters
    ----------
    rank : number of modes, or a fraction of the energy in (0, 1), such as ``0.99``. Modes that
        only rounding distinguishes from zero are left out: ``latent`` says how many there are.
        A relative error e of the fluctuation is the fraction ``1 - e**2``.
    method : ``svd``, ``snapshots`` (T x T) and ``covariance`` (n x n) are exact; ``randomized`` is
        many times cheaper where both sides are large, its error within 1 % of the optimum.
        ``auto`` takes it where exact ways take more than a second; see :mod:`romae.linalg.pod`.
    scale : ``units`` gives fields of the same units one scale, so that u and v keep their
        relative energy; ``field`` scales each field to unit variance; ``none`` leaves all.
    memory : bytes of snapshots held at once while fitting; data that fit are read once, others in
        several passes, ``randomized`` mostly two. Beside them: modes, a factor of their size, a
        sketch of 256 MiB at most, three blocks of a quarter of the memory (64 to 256 MiB), and
        for ``snapshots`` and ``covariance`` two square matrices.

    After ``fit``: ``singular_values`` in scaled units (every one by the exact ways, those of the
    modes by ``randomized``), ``energy`` (the cumulative fraction of it), ``modes`` as a labelled
    Dataset; ``error``, the relative error of the snapshots on these modes, and ``excess``, by how
    much that may exceed the smallest possible one (estimated; 0 by the exact ways). A fit in passes
    that was given a checkpoint folder goes on after a kill. Signs are fixed by the entry of
    largest magnitude of each mode.
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
        self.excess = 0.0
        self._look: FirstLook | None = None

    def fit(
        self,
        data: Source,
        validation: Source | None = None,
        *,
        device: str = "auto",
        checkpoint: str | os.PathLike[str] | None = None,
        client: Any = None,
    ) -> Self:
        """Fit to the snapshots ``data``: see :meth:`Reducer.fit`.

        ``client``, a ``distributed.Client`` or the address or file of a scheduler, fits on the
        workers of a cluster instead, on their processors and by ``randomized``; they must see the
        files. ``device`` is where the model then is. A worker that dies is replaced. Raises
        :class:`romae.errors.ClusterError` when there are none, or all are lost.
        """
        if client is None:
            return super().fit(data, validation, device=device, checkpoint=checkpoint)
        from romae.reducers.distributed import fit_pod

        if checkpoint is not None:
            raise OptionError(
                f"checkpoint={str(checkpoint)!r} with client: workers that are lost are replaced, "
                "and no state is kept. Leave checkpoint out."
            )
        fit_pod(self, data, validation, client, device)
        return self

    def _smallest_size(self) -> int:
        return self.rank if isinstance(self.rank, int) else 1

    def _statistics(self, snapshots: Snapshots) -> Survey:
        self._look = FirstLook(snapshots, self.rank, self.method, self.memory)
        return self._look.survey()

    def _fit(self, data: FitData) -> Coder:
        look, self._look = self._look, None
        found = decompose_fields(data, self.rank, self.method, self.memory, look)
        self.singular_values, self.total, self.excess = found.s, found.total, found.excess
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
        from romae.reducers.pod_update import update

        update(self, open_snapshots(data), None if checkpoint is None else Path(checkpoint))
        return self

    @property
    def energy(self) -> np.ndarray:
        """Fraction of the fluctuation energy held by the first 1, 2, ... modes."""
        total = np.sum(self.singular_values**2) if self.total is None else self.total
        return np.cumsum(self.singular_values**2) / total

    @property
    def error(self) -> float:
        """What the modes leave of the fluctuation of the fitted snapshots, relative, rms."""
        return float(np.sqrt(max(1 - self.energy[self.latent - 1], 0.0)))

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
        short.total, short.excess = self.total, self.excess
        modes = module.modes[:rank].clone()
        short.module = LinearCoder(modes, module.weights, module.shape).eval()
        return short

    def _fitted_scalars(self) -> dict[str, Any]:
        # Singular values are a diagnosis and not part of the model: the JSON keeps them.
        values = [float(v) for v in self.singular_values]
        return {"latent": self.latent, "singular_values": values} | {
            "total": self.total,
            "excess": self.excess,
        }


def _checked_rank(rank: int | float) -> int | float:
    """``rank`` as a plain int or float; :class:`OptionError` when it is neither kind of size."""
    whole = isinstance(rank, Integral) and not isinstance(rank, bool) and rank >= 1
    if whole or (isinstance(rank, float | np.floating) and 0 < rank < 1):
        return int(rank) if whole else float(rank)
    raise OptionError(
        f"POD rank is {rank!r}. Expected a number of modes (1, 2, ...), or an energy fraction "
        f"between 0 and 1 such as 0.99."
    )
