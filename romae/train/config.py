"""What a user may set about training; every value has a default that works."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from romae.errors import OptionError, check_option, check_whole
from romae.train.metrics import METRICS, Metrics

Kind = Literal["adamw", "muon"]
Precision = Literal["float32", "bf16"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of one training run; ``--set train.epochs=50`` on the command line.

    The length is ``epochs`` passes over the data or, when ``epochs`` is None, ``steps`` optimiser
    updates, so that one default suits 100 snapshots and 100 000; the last pass may be cut short.
    """

    epochs: int | None = None  # passes over the training data
    steps: int = 6000  # optimiser updates, where epochs is None
    batch: int | None = None  # snapshots per update; None: a sixteenth of them, 16 to 256
    optimiser: Kind = "adamw"  # muon: fewer, dearer updates
    lr: float = 2e-3  # peak learning rate
    weight_decay: float = 1e-6
    warmup: float = 0.05  # share of the updates in which the learning rate rises
    clip: float = 1.0  # largest norm of the gradient
    patience: int | None = None  # epochs without a better validation loss before stopping
    average: float = 0.0  # decay of the running mean of the weights (EMA); 0: none
    seed: int = 0
    precision: Precision = "float32"  # bf16: products of the networks in bfloat16, weights not
    checkpoint_seconds: float = 30.0  # time between checkpoints, where a folder is given
    metrics: Metrics = "jsonl"  # beside the checkpoint; tensorboard: its event files as well

    def __post_init__(self) -> None:
        """Refuse values that cannot train."""
        for name in ("epochs", "steps", "batch", "patience", "seed"):
            value, least = getattr(self, name), 0 if name == "seed" else 1
            if value is not None or name in ("steps", "seed"):
                check_whole(f"train.{name}", value, least)
        check_option("train.optimiser", self.optimiser, get_args(Kind))
        check_option("train.precision", self.precision, get_args(Precision))
        check_option("train.metrics", self.metrics, METRICS)
        for name, example in (("lr", 2e-3), ("clip", 1.0)):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise OptionError(
                    f"train.{name} is {value}. Expected a positive number such as {example:g}."
                )
        for name in ("weight_decay", "checkpoint_seconds"):
            if not getattr(self, name) >= 0:
                raise OptionError(
                    f"train.{name} is {getattr(self, name)}. Expected a number, 0 or more."
                )
        if not 0 <= self.warmup < 1:
            raise OptionError(f"train.warmup is {self.warmup}. Expected a share in [0, 1).")
        if not 0 <= self.average < 1:
            raise OptionError(f"train.average is {self.average}. Expected a decay in [0, 1).")

    def batch_for(self, snapshots: int) -> int:
        """Snapshots per update, for a training set of ``snapshots``."""
        return self.batch or min(max(snapshots // 16, 16), 256)

    def updates_for(self, updates_per_epoch: int) -> int:
        """Optimiser updates in all."""
        return self.steps if self.epochs is None else self.epochs * updates_per_epoch

    def rate(self, step: int, total: int) -> float:
        """Learning rate at ``step`` of ``total``: linear warm-up, then half a cosine to zero."""
        rise = self.warmup * total
        if step < rise:
            return self.lr * (step + 1) / (rise + 1)
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(total - rise, 1)))
