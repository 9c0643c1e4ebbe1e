"""One training loop for everything that learns by gradient descent."""

from romae.train.config import TrainConfig
from romae.train.loop import train

__all__ = ["TrainConfig", "train"]
