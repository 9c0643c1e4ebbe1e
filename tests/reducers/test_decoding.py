"""Decoding in one product, with means and scales, is decoding and scaling."""

import numpy as np
import pytest
import torch
import xarray as xr

import romae
from romae.reducers import decoding

X, T = np.linspace(0, 1, 40), np.arange(120.0)


def wave(bias: float, second: str = "f4", masked: bool = True) -> xr.Dataset:
    rng = np.random.default_rng(0)
    a = np.sin(2 * np.pi * (X - 0.1 * T[:, None])) + 0.1 * rng.standard_normal((len(T), len(X)))
    a[:, 5:9] = np.nan if masked else 0.0
    fields = {"a": a + bias, "b": a**2 - bias}
    types = {"a": "f4", "b": second}
    data = {n: (("time", "x"), v.astype(types[n]), {"units": n}) for n, v in fields.items()}
    return xr.Dataset(data, coords={"time": T, "x": X})


MODELS = {
    "POD": lambda: romae.POD(6),
    "PODAutoencoder": lambda: romae.PODAutoencoder(3, modes=8, train=romae.TrainConfig(steps=20)),
    "SequenceAutoencoder": lambda: romae.SequenceAutoencoder(
        3, modes=8, train=romae.TrainConfig(steps=20)
    ),
}


@pytest.mark.parametrize("second", ["f4", "f8"])
@pytest.mark.parametrize("bias", [0.0, 2.0, 1000.0])
@pytest.mark.parametrize("name", MODELS)
def test_decode_is_scaling_after_the_tensor_map(name, bias, second, monkeypatch):
    data = wave(bias, second)
    model = MODELS[name]().fit(data)
    z = model.encode(data)
    products = []
    product = decoding._Decoder._write_product
    monkeypatch.setattr(
        decoding._Decoder,
        "_write_product",
        lambda self, *a: products.append(product(self, *a)),
    )
    found = model.decode(z)
    assert bool(products) == (second == "f4" and bias < 100)  # both ways are tested
    x = model.decode_tensor(torch.from_numpy(z.values)).numpy()
    expected = model.scaling.inverse(x)
    for c, (field, values) in enumerate(found.items()):
        assert values.dtype == data[field].dtype
        np.testing.assert_array_equal(np.isnan(values), np.isnan(data[field]))
        size = np.nanmax(np.abs(expected[:, c]))
        np.testing.assert_allclose(values, expected[:, c], rtol=0, atol=5e-7 * size)


@pytest.mark.parametrize("name", MODELS)
def test_an_expansion_is_the_tensor_map(name):
    data = wave(0.0, masked=False)
    model = MODELS[name]().fit(data)
    z = torch.from_numpy(model.encode(data).values)
    a, modes = model.expansion(z)
    np.testing.assert_allclose(
        (a @ modes).numpy(), model.decode_tensor(z).flatten(1).numpy(), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("name", [*MODELS, "own", "ConvAutoencoder"])
def test_decoding_into_memory_that_is_there_writes_what_decoding_returns(name):
    class Doubled(romae.POD):
        def decode_tensor(self, z):
            return 2 * super().decode_tensor(z)

    few = romae.TrainConfig(steps=5)
    own = {
        "own": lambda: Doubled(4),
        "ConvAutoencoder": lambda: romae.ConvAutoencoder(3, train=few),
    }
    data = wave(0.0, masked=False)
    model = (MODELS | own)[name]().fit(data)
    z = torch.from_numpy(model.encode(data).values)
    out = torch.full((len(z), 2, len(X)), torch.nan)
    assert model.decode_into(out, z) is out
    torch.testing.assert_close(out, model.decode_tensor(z))
    first = out[:7].clone()
    model.decode_into(out[7:14], z[:7])  # a part of an array, and nothing beside it
    assert torch.equal(out[:7], first)
    torch.testing.assert_close(out[7:14], first)
    torch.testing.assert_close(out[14:], model.decode_tensor(z)[14:])


def test_memory_of_another_shape_or_type_is_refused():
    data = wave(0.0)
    model = romae.POD(4).fit(data)
    z = torch.from_numpy(model.encode(data).values)
    shape = (len(z), 2, len(X))
    for out in (
        torch.empty(shape[:2]),
        torch.empty(shape, dtype=torch.float64),
        torch.empty(shape[0], shape[2], 2).mT,
    ):
        with pytest.raises(romae.errors.OptionError, match=r"decode_into got out .* Expected"):
            model.decode_into(out, z)


def test_a_tensor_map_of_ones_own_is_used():
    class Doubled(romae.POD):
        def decode_tensor(self, z):
            return 2 * super().decode_tensor(z)

    data = wave(0.0)
    own, plain = Doubled(4).fit(data), romae.POD(4).fit(data)
    z = plain.encode(data)
    mean = plain.mean
    for field, values in own.decode(z).items():
        change = plain.decode(z)[field] - mean[field]
        np.testing.assert_allclose(values - mean[field], 2 * change, atol=1e-5)


def test_short_forecasts_copy_no_modes(monkeypatch):
    data = wave(0.0)
    model = romae.POD(6).fit(data)
    z = model.encode(data)
    seen = []
    monkeypatch.setattr(torch, "mm", lambda *a, **k: seen.append(a))
    model.decode(z[: 2 * 6 - 1])
    assert not seen


def test_products_are_cut_into_larger_batches_than_feature_maps(monkeypatch):
    data = wave(0.0)
    model = romae.POD(6).fit(data)
    z = model.encode(data)
    whole = model.decode(z)
    monkeypatch.setattr(decoding, "PRODUCT_BYTES", 4 * 5 * model.layout.size)
    monkeypatch.setattr(decoding, "BATCH_BYTES", 4 * 2 * model.layout.size)
    cuts = []
    write = decoding._Decoder.write
    monkeypatch.setattr(
        decoding._Decoder, "write", lambda self, z, out: cuts.append(len(z)) or write(self, z, out)
    )
    xr.testing.assert_allclose(model.decode(z), whole, rtol=1e-6, atol=1e-6)
    assert (cuts[0], sum(cuts)) == (5, len(z))
    cuts.clear()
    model.decode(z[:11])  # too few to pay for scaled modes
    assert (cuts[0], sum(cuts)) == (2, 11)
