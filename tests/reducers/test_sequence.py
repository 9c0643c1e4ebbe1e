"""Windows of snapshots: what a latent depends on, and what the window adds."""

import numpy as np
import pytest
import torch
import xarray as xr

import romae
from romae import parts
from romae.errors import OptionError
from romae.reducers import PODAutoencoder, SequenceAutoencoder, TrainConfig

SHORT = TrainConfig(steps=40, lr=3e-3)


@pytest.fixture(scope="module", params=["gru", "transformer"])
def fitted(request, flow_makers):
    model = SequenceAutoencoder(2, window=4, cell=request.param, width=8, train=SHORT)
    flow = flow_makers["line"]()
    return model.fit(flow, flow, device="cpu")


def test_a_latent_depends_on_its_window_and_on_nothing_else(fitted, flows):
    flow = flows["line"]()
    z = fitted.encode(flow)
    later = flow.copy(deep=True)
    later["u"][10:] = 0  # the future
    assert np.allclose(fitted.encode(later)[:10], z[:10], atol=1e-6)
    earlier = flow.copy(deep=True)
    earlier["u"][:7] = 0  # before the window of snapshot 10
    changed = abs(fitted.encode(earlier) - z).max("latent").values
    assert (changed[10:] < 1e-6).all()
    assert (changed[7:10] > 1e-6).all()  # the window is used


def test_windows_are_those_of_encode(fitted, flows):
    flow = flows["line"]()
    z = fitted.encode(flow).values
    x = torch.cat([x for _, x in fitted.batches(romae.open_snapshots(flow))])
    windows = torch.stack([x[i - 3 : i + 1] for i in range(3, len(x))])
    direct = fitted.encode_tensor(windows)
    assert np.allclose(direct.numpy(), z[3:], atol=1e-5)
    shown = fitted.decode_windows(direct)
    assert shown.shape == windows.shape
    assert torch.allclose(shown[:, -1], fitted.decode_tensor(direct), atol=1e-5)


def test_cases_do_not_run_into_each_other(flows):
    flow = flows["family"]()
    model = SequenceAutoencoder(2, window=5, width=8, train=SHORT).fit(flow, device="cpu")
    z = model.encode(flow)
    alone = model.encode(flow.isel(case=[1]))
    assert np.allclose(alone.values[0], z.values[1], atol=1e-5)


@pytest.mark.slow
def test_a_window_tells_what_one_noisy_snapshot_does_not():
    t, x = 0.15 * np.arange(500)[:, None], 2 * np.pi * np.arange(6) / 6
    coords = {"time": t[:, 0], "x": x}
    clean = xr.DataArray(np.cos(t - x), dims=("time", "x"), coords=coords, name="u")
    noise = np.random.default_rng(0).standard_normal((500, 6))
    train, test = clean[:400], clean[400:]
    options = {"train": TrainConfig(steps=400, lr=5e-3), "corruption": parts.Noise(std=1.0)}
    sequence = SequenceAutoencoder(2, window=12, width=16, **options).fit(train, device="cpu")
    single = PODAutoencoder(2, hidden=(24,), **options).fit(train, device="cpu")
    seen = test + 0.7 * noise[400:]  # std times the rms of the fluctuation
    lost = [float(((m.reconstruct(seen).u - test) ** 2).mean()) for m in (sequence, single)]
    assert lost[0] < 0.6 * lost[1]


def test_wrong_options():
    with pytest.raises(OptionError, match="window is 1"):
        SequenceAutoencoder(2, window=1)
    with pytest.raises(OptionError, match="unknown cell 'rnn'"):
        SequenceAutoencoder(2, cell="rnn")
