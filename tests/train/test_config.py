"""Settings of a training: lengths, rates, and what is refused."""

import numpy as np
import pytest

from romae.errors import OptionError
from romae.train import TrainConfig


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(n, v) for n in ("epochs", "steps", "batch", "patience") for v in (0, -1, 2.5, True)],
        *[("seed", v) for v in (-1, 0.5, None)],
        ("steps", None),
        *[("lr", v) for v in (0.0, -1.0, float("nan"), float("inf"))],
        *[("clip", v) for v in (0.0, -1.0, float("nan"))],
        ("precision", "float16"),
        ("metrics", "csv"),
        ("weight_decay", -1e-3),
        ("checkpoint_seconds", -1.0),
        *[("warmup", v) for v in (-0.1, 1.0, float("nan"))],
        *[("average", v) for v in (-0.1, 1.0, float("nan"))],
    ],
)
def test_values_that_cannot_train_are_refused(name, value):
    with pytest.raises(OptionError, match=rf"train\.{name}.*Expected"):
        TrainConfig(**{name: value})


def test_the_length_is_in_epochs_or_in_updates():
    assert TrainConfig(epochs=7, steps=10).updates_for(100) == 700
    assert TrainConfig(steps=1000).updates_for(30) == 1000
    assert TrainConfig(steps=10).updates_for(30) == 10


def test_batches_follow_the_number_of_snapshots():
    sizes = [TrainConfig().batch_for(n) for n in (3, 200, 1600, 100_000)]
    assert sizes == [16, 16, 100, 256]
    assert TrainConfig(batch=5).batch_for(1600) == 5


def test_the_rate_rises_then_falls_to_nothing():
    config = TrainConfig(lr=1.0, warmup=0.1)
    rates = np.array([config.rate(step, 200) for step in range(200)])
    assert (np.diff(rates[:20]) > 0).all()
    assert (np.diff(rates[20:]) < 0).all()
    assert rates.max() == 1.0 == rates[20]
    assert 0 < rates[-1] < 1e-3
    assert TrainConfig(warmup=0.0, lr=3.0).rate(0, 10) == 3.0
