"""Dense autoencoders: they start as POD, refuse absurd sizes, and train layer by layer."""

import numpy as np
import pytest
import torch
import xarray as xr

from romae import POD, DenseAutoencoder, StackedAutoencoder, TrainConfig, compare
from romae.errors import OptionError
from romae.nets.dense import MLP


def error(model, data) -> float:
    return float(compare([model], data, rates="skip", on_leak="flag").error.sel(field="all")[-1])


STILL = TrainConfig(steps=1, lr=1e-12, weight_decay=0.0)


@pytest.mark.parametrize("pretrain", ["none", "layers"])
@pytest.mark.parametrize("kind", ["line", "plane", "box"])
def test_it_starts_as_pod(flows, kind, pretrain):
    data = flows[kind]()
    dense = DenseAutoencoder(2, hidden=(9, 5), pretrain=pretrain, train=STILL).fit(data, data)
    assert error(dense, data) == pytest.approx(error(POD(2).fit(data), data), rel=1e-5)


def test_it_learns_what_pod_cannot(flows):
    data = flows["line"]()
    train = TrainConfig(steps=200, lr=4e-3)
    for model in (
        DenseAutoencoder(2, hidden=(32,), train=train),
        StackedAutoencoder(2, hidden=(32, 16), train=train),
    ):
        assert error(model.fit(data, data), data) < 0.4 * error(POD(2).fit(data), data)


def test_pretraining_gives_layers_that_restore_the_layer_below(flows):
    """The decoder's layers invert the encoder's better than random layers do."""
    data = flows["line"]()
    lost = {}
    for pretrain in ("none", "layers"):
        train = TrainConfig(steps=5 * 150 if pretrain == "layers" else 1, lr=1e-2)
        model = DenseAutoencoder(2, hidden=(12, 8), pretrain=pretrain, train=train)
        prepared = {}

        def stop(*args, model=model, prepared=prepared):
            if args[2] == "finish":
                return
            encoder, decoder = (m for m in args[0].modules() if isinstance(m, MLP))
            up, down = encoder.layers, decoder.layers
            w = torch.cat(list(args[1].epoch(0))).flatten(1)
            with torch.no_grad():
                y1, y2 = up[:2](w), up[:4](w)
                prepared["lost"] = float((y1 - down[2:4](y2)).square().mean() / y1.square().mean())
                assert not encoder(w).any()

        model._survey = stop
        model.fit(data, data)
        lost[pretrain] = prepared["lost"]
    assert lost["layers"] < 0.1 < lost["none"]


def test_a_network_that_is_too_large_is_refused():
    import dask.array as da

    u = da.zeros((30, 1000, 1000), chunks=(1, 1000, 1000))
    data = xr.Dataset({"u": (("time", "y", "x"), u)}, {"time": np.arange(30) * 1.0})
    with pytest.raises(OptionError, match=r"5.12e\+08 weights: 2.0 GB.*width of 50.*PODAuto"):
        DenseAutoencoder(2).fit(data)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pretrain": "layer"}, "Did you mean 'layers'"),
        ({"pretrain": "layers", "hidden": ()}, "needs hidden layers"),
        ({"act": "sinus"}, "Did you mean 'sine'"),
        ({"hidden": (0,)}, "hidden is 0"),
    ],
)
def test_wrong_use(options, words):
    with pytest.raises(OptionError, match=words):
        DenseAutoencoder(2, **options)
