"""Dense autoencoder in POD coordinates.

With a = U_m W x' / c the first m POD coordinates (c: standard deviation of the first),

    z = a_{1..k} + E(a),        a^ = [z; 0] + D(z),        x'^ = c U_m^T a^,

E: R^m -> R^k and D: R^k -> R^m dense networks whose last layers start at zero. At the start
this is POD with k modes; afterwards the modes k+1 ... m are functions of the latents. The
networks never see the grid, so that training costs seconds whatever the grid. It fits where
a few hundred modes hold the energy: wakes, limit cycles, chaos in small domains. Where
structures travel far on a fine grid, convolutions do better.

Source: Linot & Graham 2022; here one latent may also feed every mode, and m is chosen from
the energy.
"""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from romae.errors import check_option, check_whole
from romae.feed import ResidentFeed
from romae.fields import Snapshots
from romae.linalg import Decomposition
from romae.nets.activations import Activation
from romae.nets.dense import MLP
from romae.reducers.autoencoder import Autoencoder, Feed, Scale
from romae.reducers.coder import Coder
from romae.reducers.data import FitData, scaled_batches
from romae.reducers.pod import LinearCoder, linear_coder
from romae.train import TrainConfig

ENERGY = 1 - 1e-9  # of the fluctuation: what the network may hope to restore
MOST_MODES = 256


class PODCoordinatesCoder(Coder):
    """The maps of the module docstring; ``unit`` is c, ``basis`` holds U_m and W."""

    unit: Tensor

    def __init__(
        self, basis: LinearCoder, unit: float, latent: int, hidden: Sequence[int], act: Activation
    ) -> None:
        super().__init__()
        m = len(basis.modes)
        self.latent = latent
        self.basis = basis
        self.register_buffer("unit", torch.tensor(unit))
        self.encoder = MLP(m, latent, hidden=hidden, act=act, zero_last=True)
        self.decoder = MLP(latent, m, hidden=hidden, act=act, zero_last=True)

    def coordinates(self, x: Tensor) -> Tensor:
        """a (B, m) of scaled fields (B, C, *space)."""
        return self.basis.encode(x) / self.unit

    def squeeze(self, a: Tensor) -> Tensor:
        """z = a_{1..k} + E(a)."""
        return a[:, : self.latent] + self.encoder(a)

    def expand(self, z: Tensor) -> Tensor:
        """a^ = [z; 0] + D(z)."""
        return F.pad(z, (0, len(self.basis.modes) - self.latent)) + self.decoder(z)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *space) -> (B, k)."""
        return self.squeeze(self.coordinates(x))

    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space)."""
        return self.basis.decode(self.expand(z) * self.unit)


class PODAutoencoder(Autoencoder):
    """Autoencoder whose dense networks work in POD coordinates; see the module.

    Parameters
    ----------
    latent : number of latents k.
    modes : number of POD modes m; None takes what holds all but 1e-9 of the energy, at most 256.
    hidden, act : widths and activation of encoder and decoder.
    train : length, learning rate, seed and the like.
    scale : as for :class:`romae.POD`.
    """

    default_train = TrainConfig(steps=20_000)  # updates of a small dense network are cheap

    def __init__(
        self,
        latent: int = 2,
        *,
        modes: int | None = None,
        hidden: Sequence[int] = (128, 128),
        act: Activation = "gelu",
        train: TrainConfig | None = None,
        scale: Scale = "units",
    ) -> None:
        super().__init__(latent, train, scale)
        check_option("act", act, get_args(Activation))
        if modes is not None:
            check_whole(f"modes of {self.name}(latent={latent})", modes, least=self.latent)
        self.modes, self.act = modes, act
        self.hidden = tuple(check_whole("hidden", width) for width in hidden)
        self._kept = 0

    def _modes_needed(self, snapshots: Snapshots) -> int:
        T, *state = snapshots.shape
        return min(self.modes or max(MOST_MODES, self.latent), T - 1, int(np.prod(state)))

    def _start(self, pod: Decomposition, snapshots: int) -> Coder:
        energy = np.cumsum(pod.s**2) / pod.total
        enough = int(np.searchsorted(energy, ENERGY)) + 1 if self.modes is None else self.modes
        self._kept = max(self.latent, min(enough, len(pod.modes)))
        unit = float(pod.s[0]) / snapshots**0.5
        return self._coder(pod.modes[: self._kept], unit)

    def _build(self) -> Coder:
        return self._coder(np.zeros((self._kept, self.layout.size)), 1.0)

    def _coder(self, modes: np.ndarray, unit: float) -> PODCoordinatesCoder:
        basis = linear_coder(self.layout, modes)
        return PODCoordinatesCoder(basis, unit, self.latent, self.hidden, self.act)

    def _feed(self, coder: Coder, snapshots: Snapshots, data: FitData, shuffle: bool) -> Feed:
        """Batches of POD coordinates: m numbers a snapshot, computed once, held in memory."""
        assert isinstance(coder, PODCoordinatesCoder)
        with torch.no_grad():
            batches = scaled_batches(snapshots, data.scaling, data.device)
            parts = [coder.coordinates(x) for _, x in batches]
        batch = self.train.batch_for(len(data.snapshots))
        return ResidentFeed(torch.cat(parts), batch=batch, shuffle=shuffle, seed=self.train.seed)

    def _objective(self, coder: nn.Module, x: Tensor, progress: float) -> Tensor:
        """J in POD coordinates; modes are orthonormal in W, so distances are the same."""
        assert isinstance(coder, PODCoordinatesCoder)
        lost = x - coder.expand(coder.squeeze(x))
        return lost.square().sum(1).mean() * (coder.unit**2 / self._energy)

    def _fitted_scalars(self) -> dict[str, int]:
        return {"latent": self.latent, "_kept": self._kept}
