"""Autoencoders on the fields themselves: what the convolutional and the dense one share.

Both are a :class:`romae.reducers.network_coder.ResidualCoder`, networks as a residual on POD with k
modes; an implementation writes the two networks.
"""

from abc import abstractmethod

import numpy as np
import torch
from torch import nn

from romae.linalg import Decomposition
from romae.nets.bottlenecks import Squeeze
from romae.reducers.autoencoder import Autoencoder
from romae.reducers.linear import linear_coder
from romae.reducers.network_coder import NetworkCoder, ResidualCoder


class ResidualAutoencoder(Autoencoder):
    """Base of autoencoders on fields. An implementation writes ``_networks``."""

    @abstractmethod
    def _networks(self, squeeze: Squeeze) -> tuple[nn.Module, nn.Module]:
        """Encoder (B, C, *space) -> (B, squeeze.width) and decoder (B, squeeze.latent) -> back.

        Both start at zero.
        """

    def _start(self, pod: Decomposition, snapshots: int) -> NetworkCoder:
        coder = self._coder(pod.modes[: self.latent])
        coder.measure(pod.s, pod.total, snapshots, float(self.layout.quadrature.sum()))
        return coder

    def _build(self) -> NetworkCoder:
        return self._coder(np.zeros((self.inside, self.layout.size)))

    def _coder(self, modes: np.ndarray) -> ResidualCoder:
        layout, valid = self.layout, None
        if layout.mask is not None:
            valid = torch.from_numpy(layout.valid.astype(np.float32))
        squeeze = self.bottleneck.module(self.inside)
        encoder, decoder = self._networks(squeeze)
        return ResidualCoder(linear_coder(layout, modes), squeeze, encoder, decoder, valid)
