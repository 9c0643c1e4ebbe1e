"""Linear autoencoders: from a random start to POD's subspace."""

import numpy as np
import pytest
import torch

from romae import POD, LinearAutoencoder, TrainConfig, compare
from romae.progress import silent
from romae.reducers.linear_autoencoder import LinearNetworkCoder


def angle(rows: np.ndarray, others: np.ndarray) -> float:
    """Largest angle in degrees between the spaces that the rows (k, n) span."""
    Q, R = (np.linalg.qr(r.T.astype(float))[0] for r in (rows, others))
    return float(np.degrees(np.arccos(np.clip(np.linalg.svd(Q.T @ R)[1].min(), -1, 1))))


@pytest.fixture(scope="module")
def data():
    """Six directions of known magnitude, mixed over the points."""
    import xarray as xr

    rng = np.random.default_rng(0)
    a = rng.standard_normal((300, 6)) * (4, 3, 2, 1, 0.6, 0.3)
    u = a @ np.linalg.qr(rng.standard_normal((20, 6)))[0].T
    return xr.Dataset({"u": (("time", "x"), u)}, {"time": np.arange(300) * 1.0})


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_it_spans_the_space_of_pod(data, tied, k):
    train = TrainConfig(steps=700, lr=2e-2, weight_decay=0.0)
    linear = LinearAutoencoder(k, tied=tied, train=train)
    with silent():
        linear.fit(data, data)
        pod = POD(k).fit(data)
    coder = linear.module
    assert isinstance(coder, LinearNetworkCoder)
    zero = coder.decode(torch.zeros(1, k))
    rows = (coder.decode(torch.eye(k)) - zero).flatten(1).numpy()
    assert not zero.any()
    modes = pod.module.modes.numpy()
    assert angle(rows, modes) < 1
    encoder = coder.encoder.weight.numpy() / coder.spread.numpy() @ coder.basis.modes.numpy()
    assert angle(encoder, modes) < 2
    errors = compare([linear], data, rates="skip", on_leak="flag").error.sel(field="all")
    least = float(np.sqrt(1 - pod.energy[k - 1]))
    assert least * (1 - 1e-5) <= float(errors[0]) <= 1.001 * least
    if tied:
        np.testing.assert_allclose(encoder @ encoder.T, np.eye(k), atol=2e-2)


def test_the_start_is_random_and_not_pod(data):
    starts = [
        LinearAutoencoder(3, train=TrainConfig(steps=1, lr=1e-9, seed=seed)) for seed in (0, 1)
    ]
    with silent():
        rows = [m.fit(data).decode_tensor(torch.eye(3)).flatten(1).numpy() for m in starts]
        modes = POD(3).fit(data).module.modes.numpy()
    assert angle(rows[0], rows[1]) > 10
    assert angle(rows[0], modes) > 10
