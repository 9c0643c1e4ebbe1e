"""What the autoencoders share: objective, feeds, training, the start from POD.

The objective is the share of the fluctuation energy that is lost,

    J = mean_B sum_i W_i (x_i - x^_i)^2 / E,      E = sum_i s_i^2 / T,

so that J is the mean squared error over the variance and sqrt(J) the relative L2 error, in
the quadrature weights W, without the masked points.

Every autoencoder here is POD plus a residual network whose last layer starts at zero, so
that it starts as POD of its latent size and training can only improve on that (Linot &
Graham 2022, "Data-driven reduced-order modeling of spatiotemporal chaos with neural
ordinary differential equations").
"""

import hashlib
from abc import abstractmethod
from typing import ClassVar, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from romae.errors import OptionError, check_option, check_whole
from romae.feed import ResidentFeed, StreamFeed, make_feed
from romae.fields import Snapshots
from romae.linalg import Decomposition
from romae.reducers.base import Reducer
from romae.reducers.coder import Coder
from romae.reducers.data import FitData
from romae.reducers.pod import decompose_fields
from romae.train import TrainConfig, train

Scale = Literal["units", "field", "none"]
Feed = ResidentFeed | StreamFeed


class Autoencoder(Reducer):
    """Base of the trained reducers. An implementation writes ``_start`` and ``_build``."""

    options: ClassVar[dict[str, type]] = {"train": TrainConfig}
    default_train: ClassVar[TrainConfig]

    def __init__(self, latent: int, train: TrainConfig | None, scale: Scale) -> None:
        super().__init__()
        self.latent = check_whole(f"{self.name} latent", latent)
        check_option("scale", scale, get_args(Scale))
        if not isinstance(train, TrainConfig | None):
            raise OptionError(
                f"train is a {type(train).__name__}. Expected a TrainConfig; type "
                f"train=TrainConfig(epochs=50)."
            )
        self.scale = scale
        self.train = self.default_train if train is None else train

    @abstractmethod
    def _start(self, pod: Decomposition, snapshots: int) -> Coder:
        """The coder before training, for ``self.layout``; it equals POD."""

    def _modes_needed(self, snapshots: Snapshots) -> int | float:
        """How many POD modes ``_start`` wants: a number, or a fraction of the energy."""
        return self.latent

    def _feed(self, coder: Coder, snapshots: Snapshots, data: FitData, shuffle: bool) -> Feed:
        """Batches for the objective: scaled fields, unless overridden."""
        return make_feed(
            snapshots,
            data.scaling,
            batch=self.train.batch_for(len(data.snapshots)),
            shuffle=shuffle,
            seed=self.train.seed,
            device=data.device,
        )

    def _objective(self, coder: nn.Module, x: Tensor, progress: float) -> Tensor:
        """J of one batch of scaled fields (B, C, *space)."""
        return (((x - coder(x)) ** 2) * self._weights).flatten(1).sum(1).mean()

    def _fit(self, data: FitData) -> Coder:
        train_set, valid_set = data.held_out()
        pod = decompose_fields(data, self._modes_needed(data.snapshots))
        if len(pod.modes) < self.latent:
            raise OptionError(
                f"{self.name}(latent={self.latent}): the snapshots have only {len(pod.modes)} "
                f"independent modes above rounding. Type a latent size of {len(pod.modes)} or less."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.train.seed)
            coder = self._start(pod, len(data.snapshots))
        coder.to(data.device)
        self._energy = pod.total / len(data.snapshots)
        weights = torch.from_numpy((self.layout.quadrature / self._energy).astype(np.float32))
        self._weights = weights.to(data.device)
        valid_feed = None if valid_set is None else self._feed(coder, valid_set, data, False)
        try:
            self.history = train(
                coder,
                self._objective,
                self._feed(coder, train_set, data, True),
                valid_feed,
                self.train,
                label=f"{self.name} latent={self.latent}",
                data_id=self._identity(train_set, valid_set),
                folder=data.folder,
            )
        finally:
            del self._weights
        return coder

    def _identity(self, train_set: Snapshots, valid_set: Snapshots | None) -> str:
        """What decides the result, besides architecture and settings of the training."""
        layout = self.layout
        numbers = hashlib.sha256(layout.quadrature.tobytes() + self.scaling.scale.tobytes())
        options = {k: v for k, v in self.arguments.items() if k != "train"}
        sets = [train_set.fingerprint, valid_set.fingerprint if valid_set else ""]
        return f"{self.name} {options} {layout.periodic} {numbers.hexdigest()} {sets}"
