"""Reducers: POD, quadratic manifolds and the autoencoders that start from POD."""

from romae.reducers.aligned import Aligned
from romae.reducers.base import Reducer
from romae.reducers.coder import Coder
from romae.reducers.conditional_autoencoder import ConditionalAutoencoder
from romae.reducers.conv_autoencoder import ConvAutoencoder
from romae.reducers.data import FitData
from romae.reducers.dense_autoencoder import DenseAutoencoder
from romae.reducers.linear_autoencoder import LinearAutoencoder
from romae.reducers.pod import POD
from romae.reducers.pod_autoencoder import PODAutoencoder
from romae.reducers.presets import (
    CVAE,
    VAE,
    VQVAE,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    MaskedAutoencoder,
    RankFindingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
)
from romae.reducers.quadratic import QuadraticManifold
from romae.reducers.sequence_autoencoder import SequenceAutoencoder
from romae.train import TrainConfig

__all__ = [
    "CVAE",
    "POD",
    "VAE",
    "VQVAE",
    "Aligned",
    "Coder",
    "ConditionalAutoencoder",
    "ContractiveAutoencoder",
    "ConvAutoencoder",
    "DenoisingAutoencoder",
    "DenseAutoencoder",
    "FitData",
    "LinearAutoencoder",
    "MaskedAutoencoder",
    "PODAutoencoder",
    "QuadraticManifold",
    "RankFindingAutoencoder",
    "Reducer",
    "SequenceAutoencoder",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "TrainConfig",
]
