"""Dense autoencoder in POD coordinates.

With a = U_m W x' / c the first m POD coordinates (c: standard deviation of the first),

    h = a_{1..k} + g E(a / s),      a^ = [z; 0] + g D(z / s),      x'^ = c U_m^T a^,

E: R^m -> R^k and D: R^k -> R^m dense networks whose last layers start at zero, z what the
bottleneck makes of h. At the start this is POD with k modes; afterwards the modes k+1 ... m are
functions of the latents. The networks never see the grid, so that training costs seconds
whatever the grid. It fits where a few hundred modes hold the energy: wakes, limit cycles, chaos
in small domains. Where structures travel far on a fine grid, convolutions do better.

Units: r = |a_{k+1} a_{k+2} ...| (rms over snapshots) is what POD leaves, sigma_j the rms of a_j,

    g = min(1, r / 0.1),        s_j = max(sigma_j, g).

Updates of a fixed size, as those of Muon and AdamW, are noise where r is far below it, and the last
latents, from which the first lost modes follow, are too small to be seen: on a wake
with k = 16 nothing was learnt at g = s = 1. After the training g and s go into the weights.

Source: Linot & Graham 2022; here one latent may also feed every mode, and m is chosen from
the energy, and once more after the training (:mod:`romae.reducers.trimming`).
"""

from collections.abc import Sequence
from typing import Any, cast, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from romae.errors import check_option, check_whole
from romae.fields import Snapshots
from romae.linalg import Decomposition
from romae.nets.activations import Activation
from romae.nets.bottlenecks import Bottleneck, Plain, Squeeze
from romae.nets.bottlenecks.base import Same
from romae.nets.dense import MLP
from romae.reducers.autoencoder import Autoencoder, Feed, Scale, Terms
from romae.reducers.coder import Coder
from romae.reducers.data import FitData, scaled_batches
from romae.reducers.network_coder import NetworkCoder
from romae.reducers.pod import LinearCoder, linear_coder
from romae.reducers.trimming import cut, modes_worth
from romae.train import TrainConfig
from romae.train.objective import MSE, Corruption

LOST = 1e-9  # of the fluctuation's energy, times g^2, that m modes may leave
LEAST = 1e-13  # of the energy: rounding in single precision
MOST_MODES = 256
SMALL = 0.1  # what POD leaves, in units of c, from which the networks work in its units
TINY = 1e-6  # smallest g: rounding of POD's coordinates


class PODCoordinatesCoder(NetworkCoder):
    """The maps of the module docstring; ``unit`` is c, ``basis`` holds U_m and W.

    ``gain`` and ``size`` are g and s (m,), all 1 but in training.
    """

    unit: Tensor
    gain: Tensor
    size: Tensor
    encoder: nn.Module
    decoder: nn.Module

    def __init__(
        self,
        basis: LinearCoder,
        unit: float,
        squeeze: Squeeze,
        hidden: Sequence[int],
        act: Activation,
    ) -> None:
        super().__init__(basis, squeeze)
        m, k = len(basis.modes), squeeze.latent
        self.register_buffer("unit", torch.tensor(unit))
        self.register_buffer("gain", torch.tensor(1.0), persistent=False)
        self.register_buffer("size", torch.ones(m), persistent=False)
        self.encoder = MLP(m, squeeze.width, hidden=hidden, act=act, zero_last=True)
        self.decoder = MLP(k, m, hidden=hidden, act=act, zero_last=True)

    def measure(self, s: np.ndarray, gain: float) -> None:
        """Set g, and s from the singular values ``s`` of the first modes."""
        self.gain.fill_(gain)
        self.size.copy_(torch.from_numpy(np.maximum(s[: len(self.size)] / s[0], gain)))

    def absorb(self) -> None:
        """Put g and s into the weights; the maps stay as they are."""
        with torch.no_grad():
            for net in (self.encoder, self.decoder):
                assert isinstance(net, MLP)
                first, last = cast(nn.Linear, net.layers[0]), cast(nn.Linear, net.layers[-1])
                first.weight.div_(self.size[: first.in_features])
                last.weight.mul_(self.gain)
                last.bias.mul_(self.gain)
            self.gain.fill_(1.0)
            self.size.fill_(1.0)

    def work(self, x: Tensor) -> Tensor:
        """a (B, m) of scaled fields (B, C, *space)."""
        return self.basis.encode(x) / self.unit

    def show(self, w: Tensor) -> Tensor:
        """Scaled fields (B, C, *space) of a (B, m)."""
        return self.basis.decode(w * self.unit)

    def distance(self, w: Tensor, v: Tensor) -> Tensor:
        """The modes are orthonormal in W, so that distances are those of the fields."""
        return (w - v).square().sum(1) * self.unit**2

    def white(self, w: Tensor) -> Tensor:
        """White noise stays white in orthonormal coordinates."""
        return torch.randn_like(w) / self.unit

    def analyse(self, w: Tensor) -> Tensor:
        """h = [a_{1..k}; 0] + g E(a / s)."""
        return self.widen(w[:, : self.squeeze.latent]) + self.gain * self.encoder(w / self.size)

    def synthesise(self, z: Tensor) -> Tensor:
        """a^ = [z; 0] + g D(z / s)."""
        k = z.shape[1]
        lost = len(self.basis.modes) - k
        return F.pad(z, (0, lost)) + self.gain * self.decoder(z / self.size[:k])

    def descend(self, w: Tensor, scale: float) -> Tensor | None:
        """J = scale c^2 |a^ - a|^2 and its gradient, for the plain bottleneck."""
        plain = type(self) is PODCoordinatesCoder and type(self.squeeze) is Same
        E, D = (getattr(net, "stack", None) for net in (self.encoder, self.decoder))
        if E is None or D is None or not (plain and E.suits(w)):
            return None
        k, gain, size = self.squeeze.latent, float(self.gain), self.size
        h, before = E.run(w / size)
        h *= gain
        h += w[:, :k]
        r, after = D.run(h / size[:k])
        r *= gain
        r[:, :k] += h
        r -= w
        scale = scale * float(self.unit) ** 2
        loss = r.square().sum() * scale
        g = r.mul_(2 * scale)
        dh = D.descend(g * gain, after, inputs=True)
        dh /= size[:k]
        dh += g[:, :k]
        E.descend(dh * gain, before, inputs=False)
        return loss

    def expansion(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """c a^ and U_m."""
        return self.synthesise(self.opened(z)) * self.unit, self.basis.modes


def gain_of(s: np.ndarray, total: float) -> float:
    """g from the singular values ``s`` of k modes and |Y|_F^2."""
    left = max(0.0, total - float(np.sum(s**2))) ** 0.5
    return max(TINY, min(1.0, left / float(s[0]) / SMALL))


class PODAutoencoder(Autoencoder):
    """Autoencoder whose dense networks work in POD coordinates; see the module.

    Parameters
    ----------
    latent : number of latents k.
    modes : number of POD modes m; None takes what holds all but 1e-9 g^2 of the energy, at most
        256, and drops after the training those that the error does not need.
    hidden, act : widths and activation of encoder and decoder.
    bottleneck, objective, corruption, train, scale : as for every autoencoder, see
        :class:`romae.reducers.autoencoder.Autoencoder`.
    """

    # Updates of a small dense network are cheap. On validation data of four reference cases, three
    # layers and Muon halve the error of two layers and AdamW in the same time.
    default_train = TrainConfig(steps=8000, optimiser="muon", lr=6e-3)

    def __init__(
        self,
        latent: int = 2,
        *,
        modes: int | None = None,
        hidden: Sequence[int] = (128, 128, 128),
        act: Activation = "gelu",
        bottleneck: Bottleneck = Plain(),
        objective: Terms = MSE(),
        corruption: Corruption | None = None,
        train: TrainConfig | None = None,
        scale: Scale = "units",
    ) -> None:
        super().__init__(latent, bottleneck, objective, corruption, train, scale)
        check_option("act", act, get_args(Activation))
        if modes is not None:
            check_whole(f"modes of {self.name}(latent={latent})", modes, least=self.latent)
        self.modes, self.act = modes, act
        self.hidden = tuple(check_whole("hidden", width) for width in hidden)
        self._kept = 0

    def _finish(
        self, coder: NetworkCoder, valid_feed: Feed | None, train_set: Snapshots, data: FitData
    ) -> NetworkCoder:
        if type(coder) is not PODCoordinatesCoder:
            return coder
        coder.absorb()
        plain = all(type(term) is MSE for term in self.objective)
        if self.modes is not None or not plain:
            return coder  # other terms may want the small modes
        feed = valid_feed or self._feed(coder, train_set, data, False)
        m = modes_worth(coder.eval(), list(feed.epoch(0)))
        if m == self._kept:
            return coder
        self._kept = m
        with torch.random.fork_rng(devices=[]):
            short = self._coder(coder.basis.modes[:m].cpu().numpy(), float(coder.unit))
        return cut(coder, short)

    def _modes_needed(self, snapshots: Snapshots) -> int:
        T, *state = snapshots.shape
        return min(self.modes or max(MOST_MODES, self.latent), T - 1, int(np.prod(state)))

    def _start(self, pod: Decomposition, snapshots: int) -> NetworkCoder:
        plain = type(self.bottleneck) is Plain and self.corruption is None
        gain = gain_of(pod.s[: self.latent], pod.total) if plain else 1.0
        energy = np.cumsum(pod.s**2) / pod.total
        enough = int(np.searchsorted(energy, 1 - max(LOST * gain**2, LEAST))) + 1
        enough = self.modes or enough
        self._kept = max(self.latent, min(enough, len(pod.modes)))
        unit = float(pod.s[0]) / snapshots**0.5
        coder = self._coder(pod.modes[: self._kept], unit)
        if type(coder) is PODCoordinatesCoder:
            coder.measure(pod.s, gain)
        return coder

    def _build(self) -> NetworkCoder:
        return self._coder(np.zeros((self._kept, self.layout.size)), 1.0)

    def _coder(self, modes: np.ndarray, unit: float) -> NetworkCoder:
        basis = linear_coder(self.layout, modes)
        squeeze = self.bottleneck.module(self.inside)
        return PODCoordinatesCoder(basis, unit, squeeze, self.hidden, self.act)

    def _feed(self, coder: Coder, snapshots: Snapshots, data: FitData, shuffle: bool) -> Feed:
        """Batches of POD coordinates: m numbers a snapshot, computed once, held in memory."""
        assert isinstance(coder, PODCoordinatesCoder)
        with torch.no_grad():
            batches = scaled_batches(snapshots, data.scaling, data.device)
            parts = [coder.work(x) for _, x in batches]
        return self._resident(torch.cat(parts), data, shuffle)

    def _fitted_scalars(self) -> dict[str, Any]:
        return {**super()._fitted_scalars(), "_kept": self._kept}
