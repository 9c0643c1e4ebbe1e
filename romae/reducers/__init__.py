"""Reducers: POD and the autoencoders that start from it."""

from romae.reducers.base import Coder, FitData, Reducer
from romae.reducers.conv_autoencoder import ConvAutoencoder
from romae.reducers.pod import POD
from romae.reducers.pod_autoencoder import PODAutoencoder
from romae.train import TrainConfig

__all__ = [
    "POD",
    "Coder",
    "ConvAutoencoder",
    "FitData",
    "PODAutoencoder",
    "Reducer",
    "TrainConfig",
]
