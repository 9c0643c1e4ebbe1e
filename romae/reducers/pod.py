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

from collections.abc import Iterator
from numbers import Integral
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from romae.errors import OptionError, check_option, check_whole
from romae.fields import Layout
from romae.linalg import Decomposition, decompose
from romae.linalg.pod import Method
from romae.reducers.base import Reducer
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
    method : ``svd``, ``snapshots`` (T x T), ``covariance`` (n x n) or ``auto`` (the cheapest).
    scale : ``units`` gives fields of the same units one scale, so that u and v keep their
        relative energy; ``field`` scales each field to unit variance; ``none`` leaves all.

    After ``fit``: ``singular_values`` (min(T, n),) in scaled units, ``energy`` (the
    cumulative fraction of it), ``modes`` as a labelled Dataset. Signs are fixed by the entry
    of largest magnitude of each mode.
    """

    def __init__(
        self,
        rank: int | float = 8,
        *,
        method: Method = "auto",
        scale: Literal["units", "field", "none"] = "units",
    ) -> None:
        super().__init__()
        self.rank = _checked_rank(rank)
        check_option("method", method, get_args(Method))
        check_option("scale", scale, ("units", "field", "none"))
        self.method, self.scale = method, scale
        self.latent = self.rank if isinstance(self.rank, int) else 0
        self.singular_values = np.empty(0)

    def _smallest_size(self) -> int:
        return self.rank if isinstance(self.rank, int) else 1

    def _fit(self, data: FitData) -> Coder:
        found = decompose_fields(data, self.rank, self.method)
        self.singular_values = found.s
        self.latent = len(found.modes)
        return linear_coder(self.layout, found.modes).to(data.device)

    def _build(self) -> Coder:
        self.singular_values = np.asarray(self.singular_values)
        return linear_coder(self.layout, np.zeros((self.latent, self.layout.size)))

    @property
    def energy(self) -> np.ndarray:
        """Fraction of the fluctuation energy held by the first 1, 2, ... modes."""
        return np.cumsum(self.singular_values**2) / np.sum(self.singular_values**2)

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
        short = type(self)(rank, method=self.method, scale=self.scale)
        short.layout, short.scaling, short.training = self.layout, self.scaling, self.training
        short.fit_seconds, short.singular_values = self.fit_seconds, self.singular_values
        modes = module.modes[:rank].clone()
        short.module = LinearCoder(modes, module.weights, module.shape).eval()
        return short

    def _fitted_scalars(self) -> dict[str, Any]:
        # Singular values are a diagnosis and not part of the model: the JSON keeps them.
        return {"latent": self.latent, "singular_values": [float(v) for v in self.singular_values]}


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
    data: FitData, rank: int | float | None, method: Method = "auto"
) -> Decomposition:
    """POD of the scaled fluctuations of ``data``; modes (k, n) in scaled physical space."""
    root = np.sqrt(data.snapshots.layout.quadrature.reshape(-1))
    firsts = np.cumsum([0, *data.snapshots.lengths])

    def blocks() -> Iterator[tuple[int, np.ndarray]]:
        for block in data.snapshots.blocks(BLOCK_BYTES):
            rows = data.scaling.forward(block.values).reshape(len(block.values), -1)
            yield int(firsts[block.case]) + block.start, rows * root

    shape = (len(data.snapshots), len(root))
    found = decompose(blocks, shape, rank, method)
    modes = np.divide(found.modes, root, out=np.zeros_like(found.modes), where=root > 0)
    return Decomposition(modes, found.s, found.method)


def linear_coder(layout: Layout, modes: np.ndarray) -> LinearCoder:
    """Coder of scaled ``modes`` (k, n); uniform weights are left out."""
    w = layout.quadrature.reshape(-1)
    uniform = bool(np.all((w == 1) | (w == 0)))
    weights = None if uniform else torch.from_numpy(w.astype(np.float32))
    shape = (layout.channels, *layout.shape)
    # C order as `load` gives it: products in another order of memory round differently.
    stored = np.ascontiguousarray(modes, dtype=np.float32)
    return LinearCoder(torch.from_numpy(stored), weights, shape)
