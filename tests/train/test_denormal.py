"""Trainings flush denormal numbers, and leave the caller's setting as it was."""

import pytest
import torch

from romae import PODAutoencoder, TrainConfig
from romae.train import loop
from romae.train.denormal import flushed

from .test_speed_paths import waves


def flushes() -> bool:
    return bool((torch.full((1,), 1e-38) * 0.1).item() == 0.0)


@pytest.fixture(params=[False, True])
def before(request):
    if not torch.set_flush_denormal(request.param):
        pytest.skip("this processor cannot")
    yield request.param
    torch.set_flush_denormal(False)


def test_the_setting_is_left_as_it_was(before):
    with flushed():
        assert flushes()
    assert flushes() is before
    with pytest.raises(KeyError), flushed():
        raise KeyError
    assert flushes() is before


def test_a_training_flushes(before, monkeypatch):
    seen = []
    to_the_end = loop._Run.to_the_end
    monkeypatch.setattr(
        loop._Run, "to_the_end", lambda *a: (seen.append(flushes()), to_the_end(*a))
    )
    PODAutoencoder(2, hidden=(8,), train=TrainConfig(steps=2)).fit(waves())
    assert seen == [True]
    assert flushes() is before
