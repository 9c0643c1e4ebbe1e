"""The training loop: what is kept, when it stops, what it refuses, what it leaves alone."""

import numpy as np
import pytest
import torch
from torch import nn

from romae.errors import TrainingError
from romae.feed import ResidentFeed
from romae.progress import silent
from romae.train import TrainConfig, train
from romae.train.checkpoint import FILE, trained


@pytest.fixture(autouse=True)
def quiet():
    with silent():
        yield


def line(T: int = 40, noise: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Points (T, 2) on y = 2 x + 1."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, T)
    return torch.tensor(np.stack([x, 2 * x + 1 + noise * rng.normal(size=T)], 1)).float()


def misfit(module: nn.Module, xy: torch.Tensor, progress: float = 1.0) -> torch.Tensor:
    return (module(xy[:, :1]) - xy[:, 1:]).square().mean()


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(1, 1)


def run(module, config, *, validation=None, objective=misfit, data=None, **options):
    feed = ResidentFeed(line() if data is None else data, batch=8, seed=config.seed)
    held_out = None if validation is None else ResidentFeed(validation, batch=7, shuffle=False)
    return train(module, objective, feed, held_out, config, **options)


def weights(module: nn.Module) -> dict[str, list]:
    return {k: v.tolist() for k, v in module.state_dict().items()}


def test_the_loss_falls_and_every_epoch_is_on_record():
    module = linear()
    history = run(module, TrainConfig(epochs=60, lr=0.1), validation=line(11, seed=1))
    assert history[-1]["validation"] < 1e-3 < history[0]["validation"]
    assert history[-1]["train"] < history[0]["train"]
    assert [h["epoch"] for h in history] == list(range(1, 61))
    assert [h["step"] for h in history] == list(range(5, 301, 5))
    assert all(set(h) == {"epoch", "step", "train", "validation", "seconds"} for h in history)
    assert not module.training


def test_the_best_weights_are_kept_and_not_the_last():
    """The goal moves on after the third epoch, as when a model overfits."""
    calls = {"epochs": 0}

    class Moving(ResidentFeed):
        def epoch(self, number, *, skip=0):
            calls["epochs"] = number
            return super().epoch(number, skip=skip)

    def objective(module, xy, progress):
        goal = 2.0 if module.training else (2.0 if calls["epochs"] < 3 else -9.0)
        return (module.weight - goal).square().sum() + 0 * xy.sum()

    module = linear()
    feed, held_out = Moving(line(), batch=8), ResidentFeed(line(3), batch=3, shuffle=False)
    history = train(module, objective, feed, held_out, TrainConfig(epochs=8, lr=0.1))
    best = min(history, key=lambda h: h["validation"])
    assert best["epoch"] == 3
    kept = float((module.weight.detach() - 2.0).square())
    assert kept == pytest.approx(best["validation"], rel=1e-6)
    assert history[-1]["train"] < kept  # the last weights were others


def test_the_start_is_kept_where_training_makes_it_worse():
    module = linear()
    before = weights(module)

    def away(module, xy, progress):
        return -module.weight.sum() if module.training else module.weight.square().sum()

    module.weight.data.fill_(0.0)
    before["weight"] = [[0.0]]
    run(module, TrainConfig(epochs=4, lr=0.1), objective=away)
    assert weights(module) == before


def test_patience_stops_after_so_many_epochs_without_a_better_one():
    goals = iter([9.0, 5.0, 4.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0])

    def objective(module, xy, progress):
        return misfit(module, xy) if module.training else torch.tensor(next(goals))

    history = run(
        linear(), TrainConfig(epochs=30, patience=3), validation=line(3), objective=objective
    )
    assert [h["validation"] for h in history] == [5.0, 4.0, 6.0, 6.0, 6.0]


def test_validation_weighs_every_snapshot_alike():
    """Batches of 7, 7 and 1: the mean over snapshots, not over batches."""
    module, held_out = linear(), line(15, seed=2)
    history = run(module, TrainConfig(epochs=1), validation=held_out)
    assert history[0]["validation"] == pytest.approx(
        misfit(module, held_out).detach().item(), rel=1e-5
    )


def test_a_loss_that_is_not_finite_names_the_batch():
    data = line()
    data[17, 1] = torch.nan
    feed = ResidentFeed(data, batch=8, shuffle=False)
    module = linear()
    with pytest.raises(TrainingError, match=r"nan in epoch 1, batch 3 of 5.*rows \[1\] of 8.*info"):
        train(module, misfit, feed, ResidentFeed(line(3), batch=3), TrainConfig(epochs=3))
    assert all(torch.isfinite(p).all() for p in module.parameters())
    assert not module.training


def test_a_gradient_that_is_not_finite_is_found_before_it_reaches_the_weights():
    """The loss of the third batch is finite, the square root at zero has no slope."""
    seen = []

    def objective(module, xy, progress):
        if module.training:
            seen.append(progress)
        return misfit(module, xy) + (0 * module.bias).sum() ** (0.5 if len(seen) == 3 else 2)

    with pytest.raises(TrainingError, match=r"gradient became .*batch 3 of 5.*train\.lr=0\.0005"):
        run(linear(), TrainConfig(epochs=3), objective=objective)
    assert len(seen) == 3


def test_a_validation_loss_that_is_not_finite_stops_before_the_first_epoch():
    held_out = line(9)
    held_out[3, 0] = torch.inf
    with pytest.raises(TrainingError, match=r"validation loss is .* after 0 epochs.*romae info"):
        run(linear(), TrainConfig(epochs=3), validation=held_out)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_global_generators_are_left_as_they_were(average, tmp_path):
    def noisy(module, xy, progress):
        return misfit(module, xy + 0.01 * torch.randn_like(xy))

    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    module = nn.Linear(1, 1)
    ours, theirs = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run(module, TrainConfig(epochs=3, average=average), objective=noisy, folder=tmp_path)
    assert torch.equal(torch.get_rng_state(), ours)
    assert np.array_equal(np.random.get_state()[1], theirs)  # noqa: NPY002


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    def result(seed):
        torch.rand(3)  # wherever the global generator stands
        module = linear()
        run(module, TrainConfig(epochs=3, seed=seed), data=line(noise=0.1))
        return weights(module)

    assert result(1) == result(1)
    assert result(1) != result(2)


def test_the_running_mean_of_the_weights_is_what_is_judged_and_kept():
    """With decay d the mean m follows the weights w by m <- d m + (1 - d) w, from the start on."""
    module = nn.Linear(1, 1)
    module.weight.data.fill_(0.0)

    def uphill(module, xy, progress):
        return -module.weight.sum() + 0 * xy.sum()

    rate = TrainConfig(epochs=1, average=0.5, warmup=0.0, weight_decay=0.0, lr=1e-3)
    feed = ResidentFeed(line(8), batch=4)
    train(module, uphill, feed, None, rate)
    first, second = 1e-3 * 1.0, 1e-3 * 0.5  # the cosine at step 0 and 1 of 2
    expected = 0.5 * (0.5 * first) + 0.5 * (first + second)
    assert module.weight.detach().item() == pytest.approx(expected, rel=1e-3)


def test_parameters_that_ask_for_no_gradient_are_neither_trained_nor_saved(tmp_path):
    class Based(nn.Module):
        def __init__(self):
            super().__init__()
            self.basis = nn.Parameter(torch.ones(1, 1), requires_grad=False)
            self.net = linear()

        def forward(self, x):
            return self.net(x @ self.basis)

    from safetensors import safe_open

    module = Based()
    run(module, TrainConfig(epochs=2), folder=tmp_path)
    assert module.basis.item() == 1.0
    assert set(trained(module)) == {"net.weight", "net.bias"}
    with safe_open(str(tmp_path / FILE), "pt") as file:
        assert not [name for name in file.keys() if "basis" in name]  # noqa: SIM118


# -- checkpoints


class PowerCutError(Exception):
    """The process is gone in the middle of an epoch."""


def interrupted_at(epoch: int) -> type[ResidentFeed]:
    class Feed(ResidentFeed):
        def epoch(self, number, *, skip=0):
            if number == epoch:
                raise PowerCutError
            return super().epoch(number, skip=skip)

    return Feed


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.parametrize("at", [1, 4, 5])
def test_going_on_gives_the_bits_of_a_run_that_never_stopped(at, average, tmp_path):
    config = TrainConfig(epochs=6, average=average, checkpoint_seconds=0)

    def noisy(module, xy, progress):
        return misfit(module, xy + 0.01 * torch.randn_like(xy) * module.training)

    asked = []

    class Counted(ResidentFeed):
        def epoch(self, number, *, skip=0):
            asked.append(number)
            return super().epoch(number, skip=skip)

    def go(folder, feed_class=Counted):
        asked.clear()
        module = linear()
        feed = feed_class(line(noise=0.1), batch=8)
        held_out = ResidentFeed(line(5, seed=3), batch=5, shuffle=False)
        history = train(module, noisy, feed, held_out, config, folder=folder)
        return weights(module), [{**h, "seconds": 0} for h in history]

    whole = go(tmp_path / "whole")
    with pytest.raises(PowerCutError):
        go(tmp_path / "cut", interrupted_at(at))
    assert go(tmp_path / "cut") == whole
    assert asked == list(range(at, 6))  # it went on, and did not begin again
    assert go(tmp_path / "cut") == whole
    assert asked == []


def test_a_finished_run_is_not_trained_again(tmp_path):
    run(linear(), TrainConfig(epochs=2), folder=tmp_path)
    module = linear()
    feed = interrupted_at(0)(line(), batch=8)
    train(
        module, misfit, feed, ResidentFeed(line(), batch=8), TrainConfig(epochs=2), folder=tmp_path
    )


def test_other_settings_data_or_architecture_are_refused(tmp_path):
    """The message says which of the three, what it was and what to type."""
    run(linear(), TrainConfig(epochs=2), folder=tmp_path, data_id="a")
    run(linear(), TrainConfig(epochs=2, checkpoint_seconds=7), folder=tmp_path, data_id="a")

    def refusal(module, config, data_id):
        with pytest.raises(
            TrainingError, match=r"checkpoint of another run.*remove the folder"
        ) as e:
            run(module, config, folder=tmp_path, data_id=data_id)
        return str(e.value)

    told = refusal(linear(), TrainConfig(epochs=3, lr=1e-3), "a")
    assert "other settings (train.epochs was 2 and is 3, train.lr was 0.002 and is 0.001)" in told
    assert "type train.epochs=2, train.lr=0.002" in told
    assert "architecture (" not in told
    assert "data (" not in told
    told = refusal(linear(), TrainConfig(epochs=2), "b")
    assert "other data (data was a and is b)" in told
    assert "settings (" not in told
    assert "architecture (" not in told
    told = refusal(nn.Linear(1, 1, bias=False), TrainConfig(epochs=2), "a")
    assert "other architecture (tensor bias was [1] and is none" in told
    assert "settings (" not in told
    told = refusal(nn.Linear(1, 1, bias=False), TrainConfig(epochs=3), "b")
    assert all(f"{part} (" in told for part in ("settings", "architecture", "data"))


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "header"])
def test_a_damaged_checkpoint_says_so(damage, tmp_path):
    run(linear(), TrainConfig(epochs=2), folder=tmp_path)
    path = tmp_path / FILE
    whole = path.read_bytes()
    path.write_bytes(
        {
            "truncated": whole[:-20],
            "empty": b"",
            "text": b"not tensors at all",
            "header": whole[:8] + b"\xff" * 40 + whole[48:],
        }[damage]
    )
    with pytest.raises(TrainingError, match=r"training\.safetensors is damaged.*remove the folder"):
        run(linear(), TrainConfig(epochs=2), folder=tmp_path)


def test_a_foreign_tensor_file_is_no_checkpoint(tmp_path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / FILE)
    with pytest.raises(TrainingError, match="is damaged"):
        run(linear(), TrainConfig(epochs=2), folder=tmp_path)
