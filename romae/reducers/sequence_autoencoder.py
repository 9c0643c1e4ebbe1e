"""Autoencoder of short windows of snapshots, in POD coordinates.

With a_t the first m POD coordinates (:mod:`romae.reducers.pod_autoencoder`) and a window
A_t = (a_{t-w+1}, ..., a_t) that ends at t,

    h_t = [a_t]_{1..k} + E(A_t),       A^_t = ([z_t; 0], ..., [z_t; 0]) + D(z_t),

E and D recurrent networks or transformers (:mod:`romae.nets.sequence`) that start at zero. There is
one latent per snapshot, made of it and the w - 1 before it; before the first snapshot of a
trajectory stands the first itself. The training restores whole windows, half of the objective is
the last snapshot; ``decode`` gives that.

What it is for: snapshots that do not say all, as of a few sensors, one field of several, or noise;
the window adds what delays tell (Takens 1981), and the latents have to know where it is going.
For whole, clean snapshots :class:`romae.PODAutoencoder` does the same for less.
"""

import copy
from itertools import pairwise
from typing import Any, Self, cast, get_args

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from torch import Tensor

from romae.errors import check_option, check_whole
from romae.fields import Snapshots
from romae.nets.bottlenecks import Bottleneck, Plain, Squeeze
from romae.nets.sequence import Cell, SequenceDecoder, SequenceEncoder
from romae.reducers.autoencoder import Feed, Scale, Terms
from romae.reducers.coder import Coder
from romae.reducers.data import FitData, scaled_batches
from romae.reducers.network_coder import NetworkCoder
from romae.reducers.pod import LinearCoder, linear_coder
from romae.reducers.pod_autoencoder import PODAutoencoder
from romae.train import TrainConfig
from romae.train.objective import MSE, Corruption


class WindowCoder(NetworkCoder):
    """The maps of the module docstring; working coordinates are windows (B, w, m)."""

    unit: Tensor
    share: Tensor  # of each place of the window in the objective

    def __init__(
        self, basis: LinearCoder, unit: float, squeeze: Squeeze, window: int, **spec: Any
    ) -> None:
        super().__init__(basis, squeeze)
        m, self.window = len(basis.modes), window
        self.register_buffer("unit", torch.tensor(unit))
        share = torch.full((window,), 0.5 / (window - 1))
        share[-1] = 0.5
        self.register_buffer("share", share, persistent=False)
        self.encoder = SequenceEncoder(m, squeeze.width, window, **spec)
        self.decoder = SequenceDecoder(squeeze.latent, m, window, **spec)

    def frames(self, x: Tensor) -> Tensor:
        """Scaled fields (b, C, *space) -> POD coordinates (b, m)."""
        return self.basis.encode(x) / self.unit

    def work(self, x: Tensor) -> Tensor:
        """Fields of whole windows, one after the other, (B w, C, *space) -> (B, w, m)."""
        return self.frames(x).unflatten(0, (-1, self.window))

    def show(self, w: Tensor) -> Tensor:
        """(B, w, m) -> fields (B w, C, *space)."""
        return self.basis.decode(w.flatten(0, 1) * self.unit)

    def distance(self, w: Tensor, v: Tensor) -> Tensor:
        """Squared distance (B,), half of it that of the last snapshots."""
        return (w - v).square().sum(2) @ self.share * self.unit**2

    def white(self, w: Tensor) -> Tensor:
        """White noise stays white in orthonormal coordinates."""
        return torch.randn_like(w) / self.unit

    def analyse(self, w: Tensor) -> Tensor:
        """h of windows (B, w, m)."""
        return self.widen(w[:, -1, : self.squeeze.latent]) + self.encoder(w)

    def synthesise(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, w, m)."""
        return F.pad(z, (0, len(self.basis.modes) - z.shape[1]))[:, None] + self.decoder(z)

    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> the last snapshot of each window (B, C, *space)."""
        return self.basis.decode(self.expansion(z)[0])

    def expansion(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """POD coordinates of the last snapshots, and the modes."""
        return self.synthesise(self.opened(z))[:, -1] * self.unit, self.basis.modes


class Windows:
    """Windows (B, w, m) of coordinates (T, m), gathered when asked for; ``ends`` (T, w) rows."""

    def __init__(self, frames: Tensor, rows: Tensor) -> None:
        self.frames, self.rows, self.device = frames, rows, frames.device

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, where: Any) -> Tensor:
        return self.frames[self.rows[where]]


class SequenceAutoencoder(PODAutoencoder):
    """Autoencoder of windows of snapshots; see the module.

    Parameters
    ----------
    latent : number of latents k.
    window : snapshots w that a latent is made of, 2 or more; their step should be that of the data
        the model is used on.
    cell : ``gru``, ``lstm`` or ``transformer``.
    width, layers : size of the network.
    modes : number of POD modes m; None takes what holds all but 1e-9 of the energy, at most 256.
    bottleneck, objective, corruption, train, scale : as for every autoencoder, see
        :class:`romae.reducers.autoencoder.Autoencoder`. Terms on fields see every snapshot of a
        window alike.

    ``encode_tensor`` takes snapshots (B, C, *space) as one trajectory that begins there, or whole
    windows (B, w, C, *space).
    """

    default_train = TrainConfig(steps=6000)

    def __init__(
        self,
        latent: int = 2,
        *,
        window: int = 8,
        cell: Cell = "gru",
        width: int = 64,
        layers: int = 1,
        modes: int | None = None,
        bottleneck: Bottleneck = Plain(),
        objective: Terms = MSE(),
        corruption: Corruption | None = None,
        train: TrainConfig | None = None,
        scale: Scale = "units",
    ) -> None:
        super().__init__(
            latent,
            modes=modes,
            bottleneck=bottleneck,
            objective=objective,
            corruption=corruption,
            train=train,
            scale=scale,
        )
        check_option("cell", cell, get_args(Cell))
        self.window, self.cell = check_whole("window", window, 2), cell
        self.width, self.layers = check_whole("width", width), check_whole("layers", layers)
        self._before: Tensor | None = None  # the last w - 1 frames, on a trajectory
        self._rolls = False

    def _coder(self, modes: np.ndarray, unit: float) -> NetworkCoder:
        spec = {"cell": self.cell, "width": self.width, "layers": self.layers}
        basis, squeeze = linear_coder(self.layout, modes), self.bottleneck.module(self.inside)
        return WindowCoder(basis, unit, squeeze, self.window, **spec)

    def _feed(self, coder: Coder, snapshots: Snapshots, data: FitData, shuffle: bool) -> Feed:
        assert isinstance(coder, WindowCoder)
        with torch.no_grad():
            batches = scaled_batches(snapshots, data.scaling, data.device)
            frames = torch.cat([coder.frames(x) for _, x in batches])
        back, firsts = torch.arange(1 - self.window, 1), np.cumsum([0, *snapshots.lengths])
        rows = torch.cat(
            [
                (torch.arange(a, b)[:, None] + back).clamp(min=a)
                for a, b in pairwise(firsts.tolist())
            ]
        )
        windows = Windows(frames, rows.to(frames.device))
        return self._resident(windows, data, shuffle)

    def along(self, source: Snapshots | xr.DataArray, case: int) -> Self:
        """The same, remembering the last snapshots that it encoded."""
        own = copy.copy(self)
        own._before, own._rolls = None, True
        return own

    def encode_tensor(self, x: Tensor) -> Tensor:
        """Snapshots (B, C, *space) of one trajectory, or windows (B, w, C, *space) -> (B, k)."""
        coder = cast(WindowCoder, self._ready())
        if x.ndim == len(coder.basis.shape) + 2:
            return coder.codes(coder.work(x.flatten(0, 1)))
        frames = coder.frames(x)
        before = frames[:1].expand(self.window - 1, -1) if self._before is None else self._before
        whole = torch.cat([before, frames])
        if self._rolls:
            self._before = whole[1 - self.window :].clone()
        windows = whole.unfold(0, self.window, 1).transpose(1, 2)
        return coder.codes(windows)

    def decode_windows(self, z: Tensor) -> Tensor:
        """(B, k) -> all snapshots of the windows (B, w, C, *space), scaled, dimensionless."""
        coder = cast(WindowCoder, self._ready())
        return coder.show(coder.synthesise(coder.opened(z))).unflatten(0, (-1, self.window))
