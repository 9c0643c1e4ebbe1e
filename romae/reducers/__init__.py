"""Reducers: POD, quadratic manifolds and the autoencoders that start from POD."""

from romae.reducers.base import Reducer
from romae.reducers.coder import Coder
from romae.reducers.conv_autoencoder import ConvAutoencoder
from romae.reducers.data import FitData
from romae.reducers.pod import POD
from romae.reducers.pod_autoencoder import PODAutoencoder
from romae.reducers.presets import (
    VAE,
    VQVAE,
    ContractiveAutoencoder,
    RankFindingAutoencoder,
    SparseAutoencoder,
)
from romae.reducers.quadratic import QuadraticManifold
from romae.train import TrainConfig

__all__ = [
    "POD",
    "VAE",
    "VQVAE",
    "Coder",
    "ContractiveAutoencoder",
    "ConvAutoencoder",
    "FitData",
    "PODAutoencoder",
    "QuadraticManifold",
    "RankFindingAutoencoder",
    "Reducer",
    "SparseAutoencoder",
    "TrainConfig",
]
