"""Autoencoders start as POD of their latent size, and training never makes them worse."""

from functools import partial

import numpy as np
import pytest
import torch

from romae import open_snapshots
from romae.feed import make_feed
from romae.reducers import POD, ConvAutoencoder, PODAutoencoder, TrainConfig, autoencoder

FLOWS = ["line", "plane", "box", "family", "whole"]
KINDS = {
    "pod-ae": lambda k, train: PODAutoencoder(k, hidden=(16, 16), train=train),
    "conv": lambda k, train: ConvAutoencoder(k, widths=(6, 8), head=12, train=train),
}
NOTHING = TrainConfig(epochs=1, batch=10_000, lr=1e-30)
every = pytest.mark.parametrize("kind", KINDS)


def error(reducer, data) -> float:
    """Share of the fluctuation energy that is lost, weighted and without masked points."""
    snapshots = open_snapshots(data)
    x = torch.cat([x for _, x in reducer.batches(snapshots)])
    W = torch.from_numpy(snapshots.layout.quadrature)
    lost = (x - reducer.decode_tensor(reducer.encode_tensor(x))).double().square() * W
    return float(lost.sum() / (x.double().square() * W).sum())


@every
@pytest.mark.parametrize("name", FLOWS)
def test_the_start_is_pod(kind, name, flows):
    data = flows[name]()
    start, pod = KINDS[kind](2, NOTHING).fit(data), POD(2).fit(data)
    assert error(start, data) == pytest.approx(error(pod, data), rel=1e-5)
    unit = pod.encode(data)[..., 0].values.std()
    np.testing.assert_allclose(
        start.encode(data).values * float(start.module.unit), pod.encode(data), atol=1e-4 * unit
    )


@every
def test_training_improves_on_pod(kind, flows):
    data = flows["line"]()
    trained = KINDS[kind](2, TrainConfig(steps=250, lr=5e-3)).fit(data, data)
    assert error(trained, data) < 0.6 * error(POD(2).fit(data), data)
    assert trained.history[-1]["train"] < trained.history[0]["train"]


@every
@pytest.mark.parametrize("name", ["line", "plane"])
def test_a_training_that_goes_wrong_leaves_pod(kind, name, flows):
    data = flows[name]()
    wild = KINDS[kind](2, TrainConfig(epochs=2, lr=1.0, warmup=0.0)).fit(data, data)
    assert min(h["validation"] for h in wild.history) > error(POD(2).fit(data), data)
    assert error(wild, data) <= error(POD(2).fit(data), data) * (1 + 1e-5)


@every
def test_the_recorded_loss_is_the_share_of_energy_lost(kind, flows):
    data = flows["plane"]()
    trained = KINDS[kind](2, TrainConfig(epochs=5)).fit(data, data)
    best = min(h["validation"] for h in trained.history)
    assert error(trained, data) == pytest.approx(best, rel=1e-3)


@every
def test_masked_points_count_nowhere(kind, flows):
    """What stands behind the mask, and that it is there at all, changes no bit."""
    data = flows["plane"]()
    filled = data.fillna(1e30)
    mask = np.isfinite(data.u[0].drop_vars("t"))
    short = TrainConfig(epochs=2)
    a = KINDS[kind](2, short).fit(data)
    b = KINDS[kind](2, short).fit(open_snapshots(filled, mask=mask))
    np.testing.assert_array_equal(a.encode(data), b.encode(open_snapshots(filled, mask=mask)))


@every
def test_scaled_fields_are_zero_where_masked(kind, flows):
    data = flows["plane"]()
    fitted = KINDS[kind](2, TrainConfig(epochs=10)).fit(data, data)
    x = fitted.decode_tensor(torch.randn(3, 2))
    assert (x[:, torch.from_numpy(~fitted.layout.valid)] == 0).all()
    assert (x[:, torch.from_numpy(fitted.layout.valid)] != 0).any()


@every
def test_the_seed_decides(kind, flows):
    data = flows["line"]()

    def latents(seed):
        torch.rand(2)  # the global generator is no input
        config = TrainConfig(epochs=10, seed=seed)
        return KINDS[kind](2, config).fit(data, data).encode(data).values

    np.testing.assert_array_equal(latents(1), latents(1))
    assert not np.array_equal(latents(1), latents(2))


@every
def test_fit_leaves_the_global_generator_alone(kind, flows):
    state = torch.get_rng_state()
    KINDS[kind](2, TrainConfig(epochs=1)).fit(flows["line"]())
    assert torch.equal(torch.get_rng_state(), state)


@every
def test_the_last_tenth_is_held_out_where_no_validation_is_given(kind, flows):
    """30 snapshots: 27 and 3. Below 20 all of them judge."""
    data, config = flows["line"](), TrainConfig(epochs=1, batch=1)
    assert KINDS[kind](2, config).fit(data).history[0]["step"] == 27
    assert KINDS[kind](2, config).fit(data, data).history[0]["step"] == 30
    few = KINDS[kind](2, config).fit(data.isel(time=slice(0, 12)))
    assert few.history[0]["step"] == 12
    assert np.isfinite(few.history[0]["validation"])


def test_streaming_gives_as_good_a_fit(flows, monkeypatch):
    """Data that do not fit in memory: batches in another order, not another result."""
    data, config = flows["line"](), TrainConfig(steps=100, lr=3e-3)
    resident = error(KINDS["conv"](2, config).fit(data, data), data)
    monkeypatch.setattr(autoencoder, "make_feed", partial(make_feed, resident_bytes=0))
    streamed = error(KINDS["conv"](2, config).fit(data, data), data)
    assert streamed == pytest.approx(resident, rel=0.3)
    assert streamed < 0.9 * error(POD(2).fit(data), data)


def test_more_latents_than_the_default_number_of_modes(monkeypatch, flows):
    monkeypatch.setattr("romae.reducers.pod_autoencoder.MOST_MODES", 2)
    fitted = PODAutoencoder(4, train=TrainConfig(epochs=1)).fit(flows["box"]())
    assert fitted.encode(flows["box"]()).sizes["latent"] == 4


def test_chosen_modes(flows):
    fitted = PODAutoencoder(2, modes=5, train=TrainConfig(epochs=1)).fit(flows["box"]())
    assert len(fitted.module.basis.modes) == 5
