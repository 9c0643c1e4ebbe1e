"""Faster ways to the same weights: of the whole training, of one update, of one optimiser step."""

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

from romae import parts
from romae.feed import ResidentFeed
from romae.nets.dense import MLP
from romae.progress import silent
from romae.reducers import VAE, ContractiveAutoencoder, DenseAutoencoder, PODAutoencoder
from romae.train import TrainConfig, adamw, train, update
from romae.train.adamw import AdamW, make_adamw
from romae.train.objective import Training


@pytest.fixture(autouse=True)
def quiet():
    with silent():
        yield


def waves(T: int = 60, n: int = 24) -> xr.Dataset:
    t, x = np.arange(T)[:, None], np.linspace(0, 2 * np.pi, n, endpoint=False)
    u = np.sin(x - 0.2 * t) + 0.4 * np.cos(2 * x + 0.1 * t) + 0.2 * np.sin(3 * x - 0.5 * t)
    u = np.exp(u + 0.1 * np.random.default_rng(0).normal(size=u.shape))
    return xr.Dataset({"u": (("time", "x"), u)})


LONG = 30
MAKERS = {
    "pod": lambda t: PODAutoencoder(2, hidden=(16, 16), train=t),
    "pod, sine": lambda t: PODAutoencoder(2, hidden=(16,), act="sine", train=t),
    "weighted": lambda t: PODAutoencoder(2, objective=parts.MSE(weight=0.3), train=t),
    "two terms": lambda t: PODAutoencoder(2, objective=(parts.MSE(), parts.L1()), train=t),
    "noise": lambda t: PODAutoencoder(2, corruption=parts.Noise(), train=t),
    "dense": lambda t: DenseAutoencoder(2, train=t),
    "vae": lambda t: VAE(2, train=t),
    "contractive": lambda t: ContractiveAutoencoder(2, train=t),
}
OPTIONS = [{}, {"optimiser": "muon"}, {"average": 0.9}, {"clip": 0.05}]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_training_is_that_of_the_plain_way(kind, options, monkeypatch):
    if options and kind not in ("pod", "vae"):
        pytest.skip("one of each path is enough")
    config = TrainConfig(steps=LONG, batch=16, **options)
    fast = MAKERS[kind](config).fit(waves())
    with monkeypatch.context() as patch:
        patch.setattr(update, "stack_layers", lambda module: [])
        patch.setattr(adamw, "compiled_kernels", lambda: None)
        slow = MAKERS[kind](config).fit(waves())
    losses = [[h["train"] for h in r.history] for r in (fast, slow)]
    assert losses[1][-1] < 0.95 * losses[1][0]  # it has gone somewhere
    near = 1e-4 if options.get("optimiser") == "muon" or kind == "two terms" else 1e-5
    np.testing.assert_allclose(losses[0], losses[1], rtol=near)
    z = [r.encode(waves()).values for r in (fast, slow)]
    np.testing.assert_allclose(z[0], z[1], atol=near * np.abs(z[1]).max() * 10)


def test_the_way_without_autograd_is_taken_where_it_can_be(monkeypatch):
    asked = []
    descend = Training.descend
    monkeypatch.setattr(
        Training, "descend", lambda *a: asked.append(descend(*a)) or asked[-1], raising=True
    )
    for kind, direct in [("pod", True), ("weighted", True), ("noise", False), ("vae", False)]:
        asked.clear()
        MAKERS[kind](TrainConfig(steps=3)).fit(waves())
        assert [loss is not None for loss in asked] == [direct] * 3
    asked.clear()
    PODAutoencoder(2, train=TrainConfig(steps=3, precision="bf16")).fit(waves())
    assert asked == []


def test_a_term_may_name_the_weights(monkeypatch):
    """Whose derivatives reach the vector they have become a part of."""

    def fit():
        torch.manual_seed(0)
        module = MLP(24, 24, hidden=(8,))

        def small(net, x, progress):
            return (net(x) - x).square().mean() + net.layers[0].weight.square().mean()

        feed = ResidentFeed(torch.from_numpy(waves()["u"].values).float(), batch=16)
        train(module, small, feed, None, TrainConfig(steps=10))
        return [p.detach() for p in module.parameters()]

    fast = fit()
    monkeypatch.setattr(update, "stack_layers", lambda module: [])
    torch.testing.assert_close(fast, fit(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("start", [0, 3])
def test_an_advance_is_a_step_of_torch(start):
    """From nothing, and from moments that were loaded."""
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(40)), nn.Parameter(torch.randn(3, 5))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    settings = {"lr": 1e-2, "weight_decay": 0.1}
    reference = torch.optim.AdamW(theirs, **settings)
    mine = make_adamw(ours, settings)
    assert isinstance(mine, AdamW)
    for i in range(start + 4):
        for p, q in zip(ours, theirs, strict=True):
            q.grad = torch.randn_like(q)
            p.grad = q.grad.clone()
        if i == 2:  # a parameter without a gradient stays
            ours[1].grad = theirs[1].grad = None
        reference.step()
        mine.advance()
        if i + 1 == start:
            moments = mine.state_dict()
            mine = make_adamw(ours, settings)
            mine.load_state_dict(moments)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_moments_loaded_into_an_optimiser_that_has_moved_are_taken_up():
    """Its own, of before, are forgotten: a run that is set back goes the same way again."""
    torch.manual_seed(0)
    w = nn.Parameter(torch.randn(20))
    mine = make_adamw([w], {"lr": 1e-2})
    gradients = torch.randn(5, 20)

    def go(rows):
        for g in rows:
            w.grad = g.clone()
            mine.advance()
        return w.detach().clone()

    go(gradients[:2])
    place, moments = w.detach().clone(), copy.deepcopy(mine.state_dict())
    first = go(gradients[2:])
    with torch.no_grad():
        w.copy_(place)
    mine.load_state_dict(moments)
    torch.testing.assert_close(go(gradients[2:]), first, rtol=0, atol=0)
    assert float(mine.state_dict()["state"][0]["step"]) == 5


def test_a_rate_that_is_changed_counts_from_the_next_step():
    w = nn.Parameter(torch.ones(3))
    mine, theirs = make_adamw([w], {"lr": 1e-2}), nn.Parameter(torch.ones(3))
    reference = torch.optim.AdamW([theirs], lr=1e-2)
    for lr in (1e-2, 1e-1, 1e-3):
        for p, optimiser in ((w, mine), (theirs, reference)):
            optimiser.param_groups[0]["lr"] = lr
            p.grad = torch.tensor([1.0, -2.0, 1e-7]) * lr
        mine.advance()
        reference.step()
        torch.testing.assert_close(w, theirs, rtol=1e-6, atol=1e-6)


def test_many_or_large_parameters_go_by_the_optimiser_of_torch():
    settings = {"lr": 1e-2}
    assert not isinstance(make_adamw([nn.Parameter(torch.ones(2))] * 1 + _many(9), settings), AdamW)
    assert isinstance(make_adamw(_many(adamw.FEW), settings), AdamW)
    for other in (
        torch.ones(2).double(),
        torch.ones(3, 4).T,  # what the kernel would write to is a copy
        torch.ones(1).expand(adamw.SMALL + 1).clone(),
    ):
        assert not isinstance(make_adamw([nn.Parameter(other)], settings), AdamW)


def _many(n: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.ones(2)) for _ in range(n)]
