"""Presets do what their names promise; ordered latents truncate; a killed codebook goes on."""

import numpy as np
import pytest
import torch

import romae
from romae import load, parts
from romae.errors import OptionError
from romae.reducers import (
    POD,
    VAE,
    VQVAE,
    ConditionalAutoencoder,
    ContractiveAutoencoder,
    PODAutoencoder,
    RankFindingAutoencoder,
    SequenceAutoencoder,
    SparseAutoencoder,
    TrainConfig,
)
from romae.reducers.presets import NETWORKS as CLASSES
from romae.train import checkpoint
from romae.train.objective import Step

START = TrainConfig(epochs=1, batch=10_000, lr=1e-30)
SHORT = TrainConfig(steps=20, lr=1e-3)
NETWORKS = {
    "pod": {"hidden": (8,)},
    "conv": {"widths": (4, 6), "head": 8},
    "dense": {"hidden": (8,)},
}
networks = pytest.mark.parametrize("network", NETWORKS)


def error(reducer, data) -> float:
    """Share of the fluctuation energy that is lost."""
    snapshots = romae.open_snapshots(data)
    x = torch.cat([x for _, x in reducer.batches(snapshots)])
    W = torch.from_numpy(snapshots.layout.quadrature)
    lost = (x - reducer.decode_tensor(reducer.encode_tensor(x))).double().square() * W
    return float(lost.sum() / (x.double().square() * W).sum())


# -- the start is POD ---------------------------------------------------------------------------


@networks
@pytest.mark.parametrize(
    "make", [VAE, SparseAutoencoder, ContractiveAutoencoder, RankFindingAutoencoder]
)
def test_training_begins_at_pod(make, network, flows):
    data = flows["plane"]()
    start = make(3, network=network, train=START, **NETWORKS[network]).fit(data, data)
    assert error(start, data) == pytest.approx(error(POD(3).fit(data), data), rel=1e-4)


@networks
def test_a_codebook_begins_at_rounded_pod(network, flows):
    """30 snapshots have at most 30 values of a latent: 64 codes hold them all."""
    data = flows["line"]()
    start = VQVAE(3, codes=64, network=network, train=START, **NETWORKS[network]).fit(data, data)
    pod = error(POD(3).fit(data), data)
    assert error(start, data) == pytest.approx(pod, rel=1e-3)
    few = VQVAE(3, codes=4, network=network, train=START, **NETWORKS[network]).fit(data, data)
    assert pod < error(few, data) < 0.3
    assert few.latent_bytes == 1  # three numbers of two bits
    assert romae.compare(few, data, on_leak="flag").latent_bytes.item() == 1
    assert {"codes", "perplexity"} <= few.history[0].keys()


# -- truncation ---------------------------------------------------------------------------------


@pytest.fixture(params=[(n, b) for n in NETWORKS for b in ("ordered", "rank")], ids=str)
def nested(request, flows):
    network, kind = request.param
    bottleneck = {"ordered": parts.Ordered(), "rank": parts.RankFinding()}[kind]
    data = flows["plane"]()
    return CLASSES[network](3, bottleneck=bottleneck, train=SHORT, **NETWORKS[network]).fit(
        data
    ), data


def test_truncation_keeps_the_first_latents(nested, tmp_path):
    whole, data = nested
    z, before = whole.encode(data), repr(whole)
    short = whole.truncate(2)
    assert short.latent == 2
    assert short.encode(data).equals(z[:, :2])
    zeroed = z.copy()
    zeroed[:, 2:] = 0
    assert short.decode(z[:, :2]).identical(whole.decode(zeroed))
    opened = load(short.save(tmp_path / "short.rom"))
    assert opened.encode(data).identical(short.encode(data))
    assert opened.decode(z[:, :2]).identical(short.decode(z[:, :2]))
    assert repr(opened) == repr(short)
    once_more = opened.truncate(1)
    assert once_more.encode(data).equals(z[:, :1])
    assert repr(whole) == before
    assert whole.encode(data).identical(z)
    assert whole.truncate(3).encode(data).identical(z)
    for size, words in ((4, "has 3 latents"), (0, "whole number"), (1.5, "whole number")):
        with pytest.raises(OptionError, match=words):
            whole.truncate(size)


def test_comparisons_show_every_size(nested):
    whole, data = nested
    result = romae.compare([whole, POD(3).fit(data)], data, on_leak="flag")
    assert sorted(result.latent.values.tolist()) == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("kind", "flow"), [("sequence", "line"), ("sequence", "family"), ("conditional", "family")]
)
@pytest.mark.parametrize("bottleneck", [parts.Ordered(), parts.RankFinding()], ids=str)
def test_truncation_with_windows_and_parameters(kind, flow, bottleneck, flows, tmp_path):
    """The latents that are left out are zero for the network, windows and parameters stay."""
    data = flows[flow]()
    make = {
        "sequence": lambda: SequenceAutoencoder(
            3, window=4, width=8, bottleneck=bottleneck, train=SHORT
        ),
        "conditional": lambda: ConditionalAutoencoder(
            3, hidden=(8,), bottleneck=bottleneck, train=SHORT
        ),
    }
    whole = make[kind]().fit(data, device="cpu")
    z = whole.encode(data)
    short = whole.truncate(2)
    assert short.latent == 2
    assert short.encode(data).equals(z[..., :2])
    zeroed = z.copy()
    zeroed[..., 2:] = 0
    back = short.decode(z[..., :2])
    assert back.identical(whole.decode(zeroed))
    assert not np.allclose(back.u, whole.decode(z).u, atol=1e-4)  # the third says something
    opened = load(short.save(tmp_path / "short.rom"))
    assert opened.encode(data).identical(short.encode(data))
    assert opened.decode(z[..., :2]).identical(back)
    result = romae.compare(whole, data, rates="skip", on_leak="flag")
    assert sorted(result.latent.values.tolist()) == [1, 2, 3]


def test_latents_without_order_are_not_truncated(flows):
    data = flows["line"]()
    plain = PODAutoencoder(2, hidden=(8,), train=SHORT).fit(data)
    with pytest.raises(OptionError, match=r"bottleneck=romae\.parts\.Ordered\(\)"):
        plain.truncate(1)
    assert romae.compare(plain, data, on_leak="flag").latent.values.tolist() == [2]


def test_a_truncated_reducer_is_fitted_anew_at_its_size(flows):
    data = flows["line"]()
    short = PODAutoencoder(3, bottleneck=parts.Ordered(), hidden=(8,), train=SHORT)
    short = short.fit(data).truncate(2)
    fresh = PODAutoencoder(2, bottleneck=parts.Ordered(), hidden=(8,), train=SHORT).fit(data)
    assert short.fit(data).encode(data).identical(fresh.encode(data))


# -- what is promised ---------------------------------------------------------------------------


def test_sparse_latents_rest_more(flows):
    data, config = flows["line"](), TrainConfig(steps=100, lr=1e-2)
    options = {"hidden": (16,), "train": config}
    free = SparseAutoencoder(6, weight=0.0, **options).fit(data, data)
    held = SparseAutoencoder(6, weight=0.3, **options).fit(data, data)
    assert held.findings["idle"] > free.findings["idle"] + 0.1


def test_a_variational_autoencoder_gives_up_what_is_not_worth_its_nats(flows):
    data, config = flows["line"](), TrainConfig(steps=100, lr=1e-2)
    options = {"hidden": (16,), "train": config}

    def least(beta):
        return float(VAE(4, beta=beta, **options).fit(data, data).module.squeeze.variance.min())

    assert least(0.3) < 0.5 * least(1e-6)


def contraction(network, data, exact):
    """The term at the start, and k / sum_i (s_i / s_1)^2, which it is for POD."""
    made = ContractiveAutoencoder(3, network=network, train=START, **NETWORKS[network])
    made.fit(data, data)
    coder = made.module.requires_grad_(True)
    snapshots = romae.open_snapshots(data)
    w = coder.work(torch.cat([x for _, x in made.batches(snapshots)]))
    h = coder.analyse(w)
    step = Step(coder, w, w, h, h, w, 1.0)
    torch.manual_seed(0)
    term = parts.Contractive(exact=exact).prepare(None)
    s = POD(3).fit(data).singular_values[:3]
    draws = [float(term(step).detach()) for _ in range(1 if exact else 40)]
    return np.mean(draws), 3 / np.sum((s / s[0]) ** 2)


@networks
@pytest.mark.parametrize("exact", [8, 0])
def test_the_contraction_of_pod_is_known(network, exact, flows):
    measured, expected = contraction(network, flows["plane"](), exact)
    assert measured == pytest.approx(expected, rel=1e-4 if exact else 0.1)


def test_a_contractive_autoencoder_is_moved_less_by_noise(flows):
    data, config = flows["line"](), TrainConfig(steps=100, lr=1e-2)

    def moved(weight):
        made = ContractiveAutoencoder(2, weight=weight, hidden=(16,), train=config)
        made.fit(data, data)
        x = torch.cat([x for _, x in made.batches(romae.open_snapshots(data))])
        torch.manual_seed(0)
        z, noisy = made.encode_tensor(x), made.encode_tensor(x + 0.1 * torch.randn_like(x))
        return float((noisy - z).square().mean() / z.square().mean())

    assert moved(0.3) < 0.9 * moved(0.0)


# -- a codebook is state ------------------------------------------------------------------------


def test_a_killed_training_of_codebooks_goes_on_to_the_same_bits(flows, tmp_path, monkeypatch):
    data = flows["line"]()
    config = TrainConfig(epochs=6, checkpoint_seconds=0)

    def fit(folder):
        made = VQVAE(2, codes=8, hidden=(8,), train=config)
        return made.fit(data, checkpoint=folder)

    whole = fit(tmp_path / "whole")
    write = checkpoint.write

    def write_then_stop(folder, state, *rest):
        if state.step == 9:
            raise KeyboardInterrupt
        write(folder, state, *rest)

    monkeypatch.setattr(checkpoint, "write", write_then_stop)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "cut")
    monkeypatch.setattr(checkpoint, "write", write)
    resumed = fit(tmp_path / "cut")
    a, b = whole.module.state_dict(), resumed.module.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    perplexities = [[r["perplexity"] for r in m.history] for m in (whole, resumed)]
    assert perplexities[0] == perplexities[1]
    assert len(set(perplexities[0])) > 1  # the codebook moved
