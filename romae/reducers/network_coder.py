"""The coder of every trained reducer: a network around a bottleneck.

    x -> w = work(x) -> h = analyse(w) -> z = squeeze.code(h)
      -> y = squeeze.expand(z) -> w^ = synthesise(y) -> x^ = show(w^)

``work`` leads to the coordinates in which the training is done, scaled fields unless overridden.
An implementation writes ``analyse`` and ``synthesise``; bottlenecks, objectives and corruptions
then work with it (:mod:`romae.nets.bottlenecks`, :mod:`romae.train.objective`).
"""

from abc import abstractmethod

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from romae.nets.bottlenecks import Squeeze
from romae.reducers.coder import Coder
from romae.reducers.pod import LinearCoder


class NetworkCoder(Coder):
    """The chain of the module docstring; ``basis`` holds POD modes and weights.

    ``kept``: number of leading latents that are given out and taken; the rest are zero.
    """

    def __init__(self, basis: LinearCoder, squeeze: Squeeze) -> None:
        super().__init__()
        self.basis, self.squeeze = basis, squeeze
        self.kept = squeeze.latent

    @abstractmethod
    def analyse(self, w: Tensor) -> Tensor:
        """Working coordinates (B, ...) -> h (B, squeeze.width)."""

    @abstractmethod
    def synthesise(self, z: Tensor) -> Tensor:
        """(B, k) -> working coordinates (B, ...)."""

    def work(self, x: Tensor) -> Tensor:
        """Scaled fields (B, C, *space) in working coordinates."""
        return x

    def show(self, w: Tensor) -> Tensor:
        """Working coordinates as scaled fields (B, C, *space)."""
        return w

    def put(self, w: Tensor, x: Tensor) -> Tensor:
        """``w`` with the fields ``x`` in place of its own."""
        return self.work(x)

    def rebuild(self, z: Tensor, w: Tensor) -> Tensor:
        """w^ of ``z`` while training; ``w`` may say more than fields, of which no use is made."""
        return self.synthesise(z)

    def descend(self, w: Tensor, scale: float) -> Tensor | None:
        """scale sum_B |w - w^|_W^2, its gradient left in the parameters; None: ask autograd."""
        return None

    def distance(self, w: Tensor, v: Tensor) -> Tensor:
        """|x - y|_W^2 (B,) of the fields that ``w`` and ``v`` stand for."""
        lost = (w - v).square().flatten(1)
        weights = self.basis.weights
        return lost.sum(1) if weights is None else lost @ weights

    def white(self, w: Tensor) -> Tensor:
        """White noise of unit variance on the fields, in working coordinates."""
        return torch.randn_like(w)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, *space) -> (B, k)."""
        return self.codes(self.work(x))

    def decode(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space)."""
        return self.show(self.synthesise(self.opened(z)))

    def codes(self, w: Tensor) -> Tensor:
        """z (B, kept) of working coordinates."""
        return self.squeeze.code(self.analyse(w))[:, : self.kept]

    def opened(self, z: Tensor) -> Tensor:
        """What the decoder network gets for z (B, kept)."""
        return self.squeeze.expand(self.fill(z))

    def fill(self, z: Tensor) -> Tensor:
        """Latents (B, kept) as all of them (B, k), the rest zero."""
        return F.pad(z, (0, self.squeeze.latent - z.shape[1]))

    def widen(self, a: Tensor) -> Tensor:
        """POD coordinates (B, k) as the beginning of h (B, squeeze.width)."""
        return F.pad(a, (0, self.squeeze.width - a.shape[1]))


class ResidualCoder(NetworkCoder):
    """Networks on the fields themselves, as a residual on POD.

        h = U_k W x / c + rho E(x),        x^ = c U_k^T z + g D(z / sigma)

    E and D begin at zero, and with them this is POD with k modes. The rest sets every unit, so that
    the networks work with numbers near one whatever POD has left for them: c and sigma are the
    standard deviations of the first POD coordinate and, over c, of the first k; rho is the share
    of the fluctuation that POD leaves (relative L2), g its rms per value. Without rho and g a
    step of training is as large as the field, and the small rest that POD leaves at larger k is
    never learnt.
    """

    unit: Tensor  # c
    spread: Tensor  # sigma (k,)
    share: Tensor  # rho
    gain: Tensor  # g
    valid: Tensor | None

    def __init__(
        self,
        basis: LinearCoder,
        squeeze: Squeeze,
        encoder: nn.Module,
        decoder: nn.Module,
        valid: Tensor | None,
    ) -> None:
        super().__init__(basis, squeeze)
        for name in ("unit", "share", "gain"):
            self.register_buffer(name, torch.tensor(1.0))
        self.register_buffer("spread", torch.ones(len(basis.modes)))
        self.register_buffer("valid", valid, persistent=False)
        self.encoder, self.decoder = encoder, decoder

    def measure(self, s: np.ndarray, total: float, snapshots: int, size: float) -> None:
        """Set the units from singular values ``s`` and |Y|_F^2; ``size`` is the sum of W."""
        k = len(self.basis.modes)
        left = max(total - np.sum(s[:k] ** 2), 1e-14 * total)
        self.unit.fill_(float(s[0]) / snapshots**0.5)
        self.spread.copy_(torch.from_numpy(np.maximum(s[:k] / s[0], 1e-3)))
        self.share.fill_(float(np.sqrt(left / total)))
        self.gain.fill_(float(np.sqrt(left / snapshots / size)))

    def analyse(self, w: Tensor) -> Tensor:
        """(B, C, *space) -> (B, squeeze.width)."""
        return self.widen(self.basis.encode(w) / self.unit) + self.share * self.encoder(w)

    def synthesise(self, z: Tensor) -> Tensor:
        """(B, k) -> (B, C, *space), zero where masked."""
        x = self.basis.decode(z * self.unit) + self.gain * self.decoder(z / self.spread)
        return x if self.valid is None else x * self.valid

    def white(self, w: Tensor) -> Tensor:
        """White noise, none where masked."""
        noise = torch.randn_like(w)
        return noise if self.valid is None else noise * self.valid
