"""Where POD leaves little, the networks in POD coordinates work in its units."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import romae
from romae.nets.bottlenecks import Plain
from romae.reducers.pod import linear_coder
from romae.reducers.pod_autoencoder import PODCoordinatesCoder, gain_of

X, T = np.linspace(0, 2 * np.pi, 64, endpoint=False), np.arange(400.0)


def wave(harmonics: int = 6, fall: float = 0.2) -> xr.Dataset:
    """A travelling wave whose harmonics, two modes each, fall by a factor."""
    phase = X - 0.07 * T[:, None]
    u = sum(fall**n * np.sin((n + 1) * phase) for n in range(harmonics))
    return xr.Dataset({"u": (("time", "x"), u)}, coords={"time": T, "x": X})


LAYOUT = romae.open_snapshots(wave()).layout


def coder(m: int, k: int) -> PODCoordinatesCoder:
    modes = np.linalg.qr(np.random.default_rng(0).normal(size=(64, m)))[0].T
    found = PODCoordinatesCoder(linear_coder(LAYOUT, modes), 1.0, Plain().module(k), (16,), "gelu")
    for p in found.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return found


def measured(k: int, ratio: float) -> tuple[PODCoordinatesCoder, torch.Tensor]:
    """With the units of modes that fall by ``ratio``, and coordinates (9, 6) of such sizes."""
    found = coder(6, k)
    s = ratio ** np.arange(6)
    found.measure(s, gain_of(s[:k], float(np.sum(s**2))))
    w = np.random.default_rng(1).normal(size=(9, 6)) * s
    return found, torch.from_numpy(w.astype("f4"))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.floats(1e-4, 1.0))
def test_units_go_into_the_weights_and_the_maps_stay(k, ratio):
    found, w = measured(k, ratio)
    assert 0 < float(found.gain) <= 1
    assert float(found.size[0]) == 1
    z = found.analyse(w)
    a = found.synthesise(z)
    found.absorb()
    assert float(found.gain) == 1
    torch.testing.assert_close(found.analyse(w), z, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.synthesise(z), a, rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.floats(1e-3, 1.0))
def test_the_gradient_by_hand_is_that_of_torch(k, ratio):
    from romae.nets.dense import stack_layers

    found, w = measured(k, ratio)
    loss = (found.synthesise(found.analyse(w)) - w).square().sum() * float(found.unit) ** 2
    loss.backward()
    nets = (found.encoder, found.decoder)
    expected = [p.grad.clone() for net in nets for p in net.parameters()]
    stacks = stack_layers(found)
    by_hand = found.descend(w, 1.0)
    torch.testing.assert_close(by_hand, loss.detach(), rtol=1e-4, atol=1e-8)
    got = [
        part
        for stack in stacks
        for pair in zip(*stack.parts(stack.theta.grad), strict=True)
        for part in pair
    ]
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5 * float(b.abs().max()) + 1e-9)


def test_much_left_by_pod_leaves_the_units_as_they_are():
    found = coder(6, 2)
    s = np.array([1, 0.9, 0.2, 0.1, 0, 0])
    found.measure(s, gain_of(s[:2], 1.86))
    assert float(found.gain) == 1
    assert (found.size == 1).all()


@pytest.mark.slow
def test_what_many_modes_leave_is_learnt_too():
    """Twelve modes leave 5e-4 here, harmonics of what they hold."""
    data = wave(harmonics=8, fall=0.3)
    train, valid = data.isel(time=slice(0, 300)), data.isel(time=slice(300, None))
    config = romae.TrainConfig(steps=1500, optimiser="muon", lr=6e-3)
    found = romae.PODAutoencoder(12, hidden=(64, 64), train=config).fit(train, valid)
    pod = romae.POD(12).fit(train)

    def error(reducer):
        back = reducer.decode(reducer.encode(valid))
        return float(np.sqrt(((back.u - valid.u) ** 2).mean()))

    assert error(found) < 0.1 * error(pod)
