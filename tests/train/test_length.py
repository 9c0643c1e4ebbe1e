"""Training of so many updates, cut where it may be, on record, in either precision and rule."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from romae.errors import MissingDependencyError, OptionError, TrainingError
from romae.feed import ResidentFeed
from romae.nets.dense import MLP
from romae.progress import silent
from romae.train import TrainConfig, muon, train
from romae.train import checkpoint as files
from romae.train.checkpoint import FILE


@pytest.fixture(autouse=True)
def quiet():
    with silent():
        yield


class KilledError(Exception):
    """Stands for the end of the process."""


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.GELU(), nn.Conv1d(4, 1, 3, padding=1))


def data() -> torch.Tensor:
    return torch.randn(23, 1, 6, generator=torch.Generator().manual_seed(0))


def misfit(module, x, progress):
    noise = 0.01 * torch.randn_like(x) * module.training
    return (module(x + noise) - x).square().mean()


def run(config, folder=None, *, die_at=None, objective=misfit):
    """Weights and records; ``die_at``: the update that is not reached, batches of 4, 6 an epoch."""

    class Feed(ResidentFeed):
        def epoch(self, number, *, skip=0):
            for i, x in enumerate(super().epoch(number, skip=skip), number * 6 + skip):
                if i == die_at:
                    raise KilledError
                yield x

    module = net()
    feed, held_out = Feed(data(), batch=4), ResidentFeed(data()[:5], batch=5)
    history = train(module, objective, feed, held_out, config, folder=folder)
    return {k: v.tolist() for k, v in module.state_dict().items()}, [
        {**h, "seconds": 0} for h in history
    ]


@pytest.mark.parametrize("steps", [1, 5, 6, 7, 20])
def test_exactly_so_many_updates(steps):
    seen = []

    def objective(module, x, progress):
        if module.training:
            seen.append(progress)
        return misfit(module, x, progress)

    _, history = run(TrainConfig(steps=steps), objective=objective)
    assert seen == [i / steps for i in range(steps)]
    assert [h["step"] for h in history] == [*range(6, steps, 6), steps]
    assert [h["epoch"] for h in history] == list(range(1, len(history) + 1))


def test_the_mean_of_an_epoch_cut_short_is_over_its_batches():
    losses = iter(range(1, 100))

    def objective(module, x, progress):
        value = float(next(losses)) if module.training else 1.0
        return value + 0 * module(x).sum()

    _, history = run(TrainConfig(steps=8), objective=objective)
    assert [h["train"] for h in history] == [3.5, 7.5]


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
@pytest.mark.parametrize("die_at", [1, 3, 6, 9, 13])
def test_going_on_within_an_epoch_gives_the_same_bits(die_at, optimiser, tmp_path):
    config = TrainConfig(steps=14, optimiser=optimiser, average=0.5, checkpoint_seconds=0)
    whole = run(config, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(config, tmp_path / "cut", die_at=die_at)
    asked = []

    def objective(module, x, progress):
        asked.append(module.training)
        return misfit(module, x, progress)

    assert run(config, tmp_path / "cut", objective=objective) == whole
    assert sum(asked) == 14 - die_at


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_byte_that_changed_in_a_checkpoint_is_noticed(draw):
    path, whole = checkpoint()
    at = draw.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= 1 << draw.draw(st.integers(0, 7))
    path.write_bytes(changed)
    with silent(), pytest.raises(TrainingError, match=r"is damaged.*remove the folder"):
        run(TrainConfig(steps=7), path.parent)


_made = []


def checkpoint():
    """Path and bytes of one that is whole, made once."""
    if not _made:
        import tempfile
        from pathlib import Path

        folder = tempfile.TemporaryDirectory()
        with silent():
            run(TrainConfig(steps=7), Path(folder.name))
        path = Path(folder.name) / FILE
        _made.append((path, path.read_bytes(), folder))
    return _made[0][:2]


def test_the_curve_is_on_disk_while_it_grows(tmp_path):
    config = TrainConfig(steps=14, checkpoint_seconds=0)
    with pytest.raises(KilledError):
        run(config, tmp_path, die_at=8)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [6]
    (tmp_path / "metrics.jsonl").write_text("of an epoch after the checkpoint\n")
    _, history = run(config, tmp_path)
    found = [json.loads(x) for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [{**r, "seconds": 0} for r in found] == history


def test_event_files_go_on_where_the_curve_does(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder, purge_step):
            written.append((folder.name, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, step))

        flush = close = lambda self: None

    fake = SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    config = TrainConfig(steps=14, checkpoint_seconds=0, metrics="tensorboard")
    with pytest.raises(KilledError):
        run(config, tmp_path, die_at=8)
    assert set(written) == {
        ("tensorboard", 0),
        *[(name, 6) for name in ("train", "validation", "seconds")],
    }
    written.clear()
    run(config, tmp_path)
    assert written[0] == ("tensorboard", 7)
    assert {step for _, step in written[1:]} == {12, 14}


def test_what_tensorboard_lacks_is_said_before_the_training(tmp_path, monkeypatch):
    config = TrainConfig(steps=5, metrics="tensorboard")
    with pytest.raises(OptionError, match=r"no folder.*checkpoint='training'"):
        run(config)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingDependencyError, match="pip install tensorboard"):
        run(config, tmp_path)


def test_bfloat16_is_for_products_in_training_alone():
    kinds = {True: set(), False: set()}

    def objective(module, x, progress):
        y = module(x)
        kinds[module.training].add(y.dtype)
        assert all(p.dtype == torch.float32 for p in module.parameters())
        return (y - x).square().mean()

    _, history = run(TrainConfig(steps=30, precision="bf16", lr=0.02), objective=objective)
    assert kinds == {True: {torch.bfloat16}, False: {torch.float32}}
    assert history[-1]["validation"] < 0.7 * history[0]["validation"]


def test_muon_moves_matrices_alike_in_every_direction():
    """One step changes W by 0.2 lr sqrt(max(m, n)) U V^T, singular values near one."""
    module = nn.Linear(6, 4, bias=False)
    before = module.weight.detach().clone()
    config = TrainConfig(steps=1, optimiser="muon", lr=0.1, warmup=0.0, weight_decay=0.0)
    scale = torch.tensor([3.0, 1.0, 1.0, 1.0, 1.0, 1.0])

    def objective(module, x, progress):
        if not module.training:  # so that the last weights are the best
            return -(module.weight - before).square().sum()
        return (module(scale * x[:, 0]) ** 2).mean()

    train(module, objective, ResidentFeed(data(), batch=23), None, config)
    s = torch.linalg.svdvals(module.weight.detach() - before) / (0.2 * 0.1 * 6**0.5)
    assert (s > 0.5).all()
    assert (s < 1.5).all()


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (6, 6), (1, 4)])
def test_muon_is_that_of_torch(shape, monkeypatch):
    """With the same iterations, which torch has in bfloat16; those of a shape are done at once."""
    rule = pytest.importorskip("torch.optim._muon")
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(s)) for s in (shape, (3, 3), shape[::-1], shape)]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    settings = {"lr": 0.1, "weight_decay": 0.1}

    def iterations(G, *_):
        flip = G.shape[0] > G.shape[1]
        found = muon.polar((G.T if flip else G)[None])[0]
        return found.T if flip else found

    monkeypatch.setattr(rule, "_zeropower_via_newtonschulz", iterations)
    reference = torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **settings)
    mine = muon.Muon(ours, settings)
    for i in range(4):
        for p, q in zip(ours, theirs, strict=True):
            q.grad = torch.randn_like(q)
            p.grad = q.grad.clone()
        if i == 2:  # a matrix without a gradient stays
            ours[1].grad = theirs[1].grad = None
        reference.step()
        mine.advance()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(7, 129), (130, 130), (300, 150)])
def test_steps_beyond_128_inputs_are_those_of_jordan_et_al(shape, monkeypatch):
    """Times what makes them meet AdamW's at 128: 0.2 sqrt(128)."""
    rule = pytest.importorskip("torch.optim._muon")
    turned = shape[0] > shape[1]

    def iterations(G, *_):
        found = muon.polar((G.T if turned else G)[None])[0]
        return found.T if turned else found

    monkeypatch.setattr(rule, "_zeropower_via_newtonschulz", iterations)
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(shape))]
    theirs = [nn.Parameter(ours[0].detach().clone())]
    lr = 0.1 * 0.2 * 128**0.5
    reference = torch.optim.Muon(theirs, adjust_lr_fn="original", lr=lr, weight_decay=0.0)
    mine = muon.Muon(ours, {"lr": 0.1, "weight_decay": 0.0})
    theirs[0].grad = torch.randn(shape)
    ours[0].grad = theirs[0].grad.clone()
    reference.step()
    mine.advance()
    torch.testing.assert_close(ours, theirs)


def test_the_iterations_of_muon_bring_singular_values_near_one():
    G = torch.randn(3, 8, 20, generator=torch.Generator().manual_seed(0)) * 1e-4
    U, _, V = torch.linalg.svd(G, full_matrices=False)
    found = muon.polar(G)
    assert found.dtype == torch.float32  # on a CPU
    s = U.mT @ found @ V.mT
    assert torch.diagonal(s, dim1=1, dim2=2).sub(0.95).abs().max() < 0.3
    assert (s - torch.diag_embed(torch.diagonal(s, dim1=1, dim2=2))).abs().max() < 1e-4
    assert not muon.polar(torch.zeros(1, 2, 3)).any()


def test_a_checkpoint_of_another_layout_is_refused_and_leaves_the_module_alone(
    tmp_path, monkeypatch
):
    def mlp():
        torch.manual_seed(0)
        return MLP(6, 6, hidden=(4,))

    def again(module):
        feed, config = ResidentFeed(data()[:, 0], batch=4), TrainConfig(steps=2)
        return train(module, lambda m, x, _: misfit(m, x, 1.0), feed, None, config, folder=tmp_path)

    again(mlp())
    monkeypatch.setattr(files, "LAYOUT", files.LAYOUT + 1)
    module = mlp()
    with pytest.raises(TrainingError, match=r"layout 3.*Expected layout 4.*remove the folder"):
        again(module)
    assert module.stack is None
    torch.testing.assert_close(module.state_dict(), mlp().state_dict(), rtol=0, atol=0)


def test_the_error_says_what_the_feed_says_about_the_batch():
    class Feed(ResidentFeed):
        def locate(self, number, batch):
            return f"batch {batch} of pass {number}"

    def objective(module, x, progress):
        return misfit(module, x, progress) / (0.0 if 0.5 <= progress < 1 else 1.0)

    with pytest.raises(TrainingError, match=r"epoch 2, batch 2 of 6.*holds batch 1 of pass 1\."):
        train(net(), objective, Feed(data(), batch=4), None, TrainConfig(steps=14))
