"""Modes that a trained PODAutoencoder drops: what that may cost, and what it must not."""

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import romae
from romae import parts
from romae.reducers import pod_autoencoder, trimming

X, T = np.linspace(0, 2 * np.pi, 64, endpoint=False), np.arange(400.0)


def wave(noise: float = 1e-3) -> xr.Dataset:
    """Two harmonics on a circle, which one or two latents restore, and noise in every mode."""
    phase = X - 0.07 * T[:, None]
    u = np.sin(phase) + 0.3 * np.sin(2 * phase) + 0.1 * np.cos(3 * phase)
    u = u + noise * np.random.default_rng(0).standard_normal(u.shape)
    return xr.Dataset({"u": (("time", "x"), u.astype("f4"))}, coords={"time": T, "x": X})


def autoencoder(steps: int = 300, **options) -> romae.PODAutoencoder:
    return romae.PODAutoencoder(2, hidden=(32,), train=romae.TrainConfig(steps=steps), **options)


@pytest.fixture(scope="module")
def pair():
    """The same networks with the modes that are worth it, and with all: m given keeps all."""
    data = wave()
    train, valid = data.isel(time=slice(0, 300)), data.isel(time=slice(300, None))
    short = autoencoder().fit(train, valid)
    return short, autoencoder(modes=64).fit(train, valid), valid


@given(
    st.lists(st.floats(0, 3e-3), min_size=4, max_size=40),
    st.integers(1, 3),
    st.floats(0.999, 1.003),
)
@settings(max_examples=200, deadline=None)
def test_the_fewest_modes_within_both_limits_are_found(rises, k, pod):
    """Of any J that falls, for POD that is better, worse, or better by a hair."""
    J = [1.0]
    for rise in rises:
        J.insert(0, J[0] * (1 + rise))
    most = len(rises)
    coder = SimpleNamespace(
        squeeze=SimpleNamespace(latent=k), basis=SimpleNamespace(modes=range(most))
    )
    w = torch.zeros(2, most, dtype=torch.float64)
    w[:, :k] = 7.0  # what the latents hold is no error of POD
    w[:, -1] = (pod / 2) ** 0.5
    with mock.patch.object(trimming, "error", lambda coder, batches, m: J[m]):
        found = trimming.modes_worth(coder, [w[:1], w[1:]])
    left = float(w[:, k:].square().sum())
    within = [m for m in range(k, most + 1) if J[m] <= min(1.001, max(1.0, left))]
    assert found == within[0]


@given(st.integers(0, 6), st.lists(st.integers(1, 5), min_size=1, max_size=3), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_error_counts_the_modes_left_out_on_both_sides(m, rows, seed):
    rng = np.random.default_rng(seed)
    A, B, parts = rng.normal(size=(6, 2)), rng.normal(size=(2, 6)), []
    for n in rows:
        parts.append(torch.from_numpy(rng.normal(size=(n, 6))))
    coder = SimpleNamespace(
        codes=lambda w: w @ torch.from_numpy(A),
        opened=lambda z: z,
        synthesise=lambda z: z @ torch.from_numpy(B),
    )
    kept = np.diag(np.arange(6) < m).astype(float)
    whole = np.concatenate(parts)
    expected = np.square(whole - whole @ kept @ A @ B @ kept).sum()
    assert trimming.error(coder, parts, m) == pytest.approx(expected, rel=1e-12)


def lost(reducer, data) -> float:
    return float(((reducer.reconstruct(data).u - data.u).astype("f8") ** 2).sum())


def test_the_error_rises_by_a_thousandth_at_most_and_the_model_shrinks(pair):
    short, whole, valid = pair
    m = len(short.module.basis.modes)
    assert 6 <= m < 32  # three pairs of modes hold the waves
    assert len(whole.module.basis.modes) == 64
    assert lost(short, valid) <= (1 + trimming.RISE) * lost(whole, valid)
    assert short.nbytes < whole.nbytes / 2
    pod = romae.POD(2).fit(wave().isel(time=slice(0, 300)))
    assert lost(short, valid) < 0.2 * lost(pod, valid)
    z = torch.randn(5, 2)
    torch.testing.assert_close(short.expansion(z)[0], whole.expansion(z)[0][:, :m])


def test_one_mode_less_would_cost_more(pair):
    short, whole, valid = pair
    w = whole.module.work(torch.from_numpy(whole.scaling.forward(valid.u.values[:, None])).float())
    m, limit = len(short.module.basis.modes), (1 + trimming.RISE)
    full = trimming.error(whole.module, [w], 64)
    assert trimming.error(whole.module, [w], m) <= limit * full
    assert trimming.error(whole.module, [w], m - 1) > limit * full
    assert trimming.modes_worth(whole.module, list(w.split(7))) == m  # however it is cut


def test_saved_and_loaded_it_is_the_same(pair, tmp_path):
    short, _, valid = pair
    short.save(tmp_path / "short.rom")
    opened = romae.load(tmp_path / "short.rom")
    xr.testing.assert_identical(opened.encode(valid), short.encode(valid))
    xr.testing.assert_identical(opened.reconstruct(valid), short.reconstruct(valid))


def test_what_has_learnt_nothing_becomes_pod(monkeypatch):
    monkeypatch.setattr(pod_autoencoder.Autoencoder, "_prepare", lambda *a: None)
    monkeypatch.setattr("romae.reducers.autoencoder.train", lambda *a, **k: [])
    data = wave()
    untrained = autoencoder().fit(data)
    assert len(untrained.module.basis.modes) == 2
    assert lost(untrained, data) == pytest.approx(lost(romae.POD(2).fit(data), data), rel=1e-5)


def test_what_is_better_than_pod_by_a_hair_stays_so(pair):
    """A rise of a thousandth is too much where it would pass POD's error."""
    _, whole, valid = pair
    coder = whole.module
    kept = {n: v.clone() for n, v in coder.state_dict().items()}
    w = coder.work(torch.from_numpy(whole.scaling.forward(valid.u.values[:, None])).float())
    try:
        last = [p for n, p in coder.named_parameters() if n.split(".")[0] == "decoder"][-2:]
        first = [p for n, p in coder.named_parameters() if n.split(".")[0] == "encoder"][-2:]
        for p in (*last, *first):
            p.mul_(1e-4)
        pod = float(w[:, 2:].double().square().sum())
        assert pod * (1 - 1e-3) < trimming.error(coder, [w], 64) < pod
        assert trimming.error(coder, [w], trimming.modes_worth(coder, [w])) <= pod
    finally:
        coder.load_state_dict(kept)


def test_other_terms_keep_their_modes():
    data = wave()
    gradient = (parts.MSE(), parts.Gradient())
    model = autoencoder(20, objective=gradient).fit(data)
    assert len(model.module.basis.modes) == 64


def test_a_trimmed_autoencoder_is_fine_tuned():
    data = wave()
    model = romae.ReducedModel(autoencoder(), romae.GRU(8, updates=10)).fit(
        data.isel(time=slice(0, 300)), data.isel(time=slice(300, None)), finetune=5
    )
    assert len(model.reducer.module.basis.modes) < 32
    assert np.isfinite(model.forecast(data, 3).u).all()
