"""Linear autoencoder: POD found by gradient descent.

In POD coordinates a = U_m W x' / c, with sigma_i the standard deviations of a_i,

    untied   z = E (a / sigma),     a^ = D z            E (k, m), D (m, k)
    tied     z = E a,               a^ = E^T z

without biases, from a random start. The squared error has no minima but the global ones, where the
columns of D span the first k POD modes (Baldi & Hornik 1989, "Neural networks and principal
component analysis: learning from examples without local minima"). The latents are some basis of
that space: neither ordered nor, untied, orthonormal. Dividing by sigma lets the modes that hold
little energy be learnt at the same pace, so that E comes to ignore them.

It reaches POD's error and never less. It is here to check a training against the known answer, and
for bottlenecks, objectives and corruptions whose effect on linear latents is wanted.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from romae.linalg import Decomposition
from romae.nets.bottlenecks import Bottleneck, Plain, Squeeze
from romae.reducers.autoencoder import Scale, Terms
from romae.reducers.network_coder import NetworkCoder
from romae.reducers.pod import LinearCoder, linear_coder
from romae.reducers.pod_autoencoder import PODAutoencoder, PODCoordinatesCoder
from romae.train import TrainConfig
from romae.train.objective import MSE, Corruption


class LinearNetworkCoder(PODCoordinatesCoder):
    """The maps of the module docstring; ``spread`` is sigma, 1 where tied."""

    spread: Tensor

    def __init__(self, basis: LinearCoder, unit: float, squeeze: Squeeze, *, tied: bool) -> None:
        super().__init__(basis, unit, squeeze, (), "gelu")
        m, self.tied = len(basis.modes), tied
        self.register_buffer("spread", torch.ones(m))
        self.encoder = _random(m, squeeze.width)
        self.decoder = nn.Identity() if tied else _random(squeeze.latent, m)

    def analyse(self, w: Tensor) -> Tensor:
        """h = E (a / sigma)."""
        return self.encoder(w / self.spread)

    def synthesise(self, z: Tensor) -> Tensor:
        """a^ = D z, or E^T z."""
        if self.tied:
            assert isinstance(self.encoder, nn.Linear)
            return z @ self.encoder.weight[: z.shape[1]]
        return self.decoder(z)


def _random(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(max(inputs, outputs)))
    return layer


class LinearAutoencoder(PODAutoencoder):
    """Linear encoder and decoder from a random start, which converge to POD; see the module.

    Parameters
    ----------
    latent : number of latents k.
    tied : whether the decoder is the transposed encoder.
    modes : number of POD modes m whose coordinates it works in, as for
        :class:`romae.PODAutoencoder`.
    bottleneck, objective, corruption, train, scale : as for every autoencoder, see
        :class:`romae.reducers.autoencoder.Autoencoder`.
    """

    default_train = TrainConfig(steps=10_000, lr=2e-2, weight_decay=0.0)

    def __init__(
        self,
        latent: int = 2,
        *,
        tied: bool = False,
        modes: int | None = None,
        bottleneck: Bottleneck = Plain(),
        objective: Terms = MSE(),
        corruption: Corruption | None = None,
        train: TrainConfig | None = None,
        scale: Scale = "units",
    ) -> None:
        self.tied = bool(tied)
        super().__init__(
            latent,
            modes=modes,
            hidden=(),
            bottleneck=bottleneck,
            objective=objective,
            corruption=corruption,
            train=train,
            scale=scale,
        )

    def _start(self, pod: Decomposition, snapshots: int) -> NetworkCoder:
        coder = super()._start(pod, snapshots)
        assert isinstance(coder, LinearNetworkCoder)
        if not self.tied:
            coder.spread.copy_(torch.from_numpy(pod.s[: self._kept] / pod.s[0]))
        return coder

    def _coder(self, modes: np.ndarray, unit: float) -> NetworkCoder:
        basis = linear_coder(self.layout, modes)
        squeeze = self.bottleneck.module(self.inside)
        return LinearNetworkCoder(basis, unit, squeeze, tied=self.tied)
