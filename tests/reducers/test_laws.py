"""The laws of romae.testing over every reducer and every kind of data, and in a fresh process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn

import romae.reducers
from romae import load, parts
from romae.errors import BundleError
from romae.kinds import REDUCERS
from romae.reducers import (
    CVAE,
    POD,
    VAE,
    VQVAE,
    Aligned,
    Coder,
    ConditionalAutoencoder,
    ContractiveAutoencoder,
    ConvAutoencoder,
    DenoisingAutoencoder,
    DenseAutoencoder,
    LinearAutoencoder,
    MaskedAutoencoder,
    PODAutoencoder,
    QuadraticManifold,
    RankFindingAutoencoder,
    Reducer,
    SequenceAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
    TrainConfig,
)
from romae.testing import check_reducer

SHORT = TrainConfig(steps=4, lr=1e-3)
LONGER = TrainConfig(steps=100, lr=5e-2)  # from a random start
EVERY = {
    "pod": lambda k=2: POD(k),
    "pod-energy": lambda k=2: POD(0.5 + 0.2 * k / 2),
    "quadratic": lambda k=2: QuadraticManifold(k),
    "pod-ae": lambda k=2: PODAutoencoder(k, hidden=(8,), train=SHORT),
    "conv": lambda k=2: ConvAutoencoder(k, widths=(4, 6), head=8, train=SHORT),
    "conv-unshuffle": lambda k=2: ConvAutoencoder(
        k, patch=1, widths=(4, 4), head=8, down="unshuffle", train=SHORT
    ),
    "conv-pooled": lambda k=2: ConvAutoencoder(
        k, patch=1, widths=(4, 4), down="pooled", up="interpolated", act="sine", train=SHORT
    ),
    "dense": lambda k=2: DenseAutoencoder(k, hidden=(6,), train=SHORT),
    "stacked": lambda k=2: StackedAutoencoder(k, hidden=(7, 5), train=SHORT),
    "linear": lambda k=2: LinearAutoencoder(k, train=LONGER),
    "linear-tied": lambda k=2: LinearAutoencoder(k, tied=True, train=LONGER),
    "ordered": lambda k=2: PODAutoencoder(k, bottleneck=parts.Ordered(), hidden=(8,), train=SHORT),
    "saturated": lambda k=2: PODAutoencoder(
        k, bottleneck=parts.Saturated(), hidden=(8,), train=SHORT
    ),
    "sparse": lambda k=2: SparseAutoencoder(k, hidden=(8,), train=SHORT),
    "sparse-kl": lambda k=2: SparseAutoencoder(k, target=0.1, hidden=(8,), train=SHORT),
    "contractive": lambda k=2: ContractiveAutoencoder(k, hidden=(8,), train=SHORT),
    "rank": lambda k=2: RankFindingAutoencoder(k, hidden=(8,), train=SHORT),
    "vqvae": lambda k=2: VQVAE(k, codes=64, hidden=(8,), train=SHORT),
    "denoising": lambda k=2: DenoisingAutoencoder(k, hidden=(8,), train=SHORT),
    "masked": lambda k=2: MaskedAutoencoder(k, size=2, widths=(4, 6), head=8, train=SHORT),
    **{
        f"sequence-{cell}".removesuffix("-gru"): lambda k=2, cell=cell: SequenceAutoencoder(
            k, window=4, cell=cell, width=8, train=SHORT
        )
        for cell in ("gru", "lstm", "transformer")
    },
    "vae": lambda k=2: VAE(k, hidden=(8,), train=SHORT),
    "vae-conv": lambda k=2: VAE(k, network="conv", widths=(4, 6), head=8, train=SHORT),
}
every = pytest.mark.parametrize("kind", EVERY)
TOLD = {  # these need cases with parameters
    "conditional": lambda k=2: ConditionalAutoencoder(k, hidden=(8,), train=SHORT),
    "cvae": lambda k=2: CVAE(k, hidden=(8,), train=SHORT),
}
PERIODIC = {  # these need periodic axes; more in test_aligned.py
    "aligned": lambda k=2: Aligned(PODAutoencoder(k, hidden=(8,), train=SHORT)),
}


def test_every_class_is_tested_here():
    public = [getattr(romae.reducers, n) for n in romae.reducers.__all__]
    reducers = {c for c in public if isinstance(c, type) and issubclass(c, Reducer)} - {Reducer}
    assert {type(make()) for make in (EVERY | TOLD | PERIODIC).values()} == reducers
    assert REDUCERS.keys() <= (EVERY | TOLD | PERIODIC).keys()  # presets among them


def test_every_bottleneck_is_tested_here():
    made = [make() for make in EVERY.values()]
    used = {m.bottleneck.kind for m in made if hasattr(m, "bottleneck")}
    own = {k for k, c in parts.Bottleneck.kinds().items() if c.__module__.startswith("romae.")}
    assert used >= own


@every
def test_the_laws(kind, flow):
    check_reducer(EVERY[kind](), flow)


@pytest.mark.parametrize("kind", TOLD)
def test_the_laws_with_parameters(kind, flows):
    check_reducer(TOLD[kind](), flows["family"]())


@pytest.mark.parametrize("kind", PERIODIC)
def test_the_laws_on_a_periodic_axis(kind, flows):
    flow = flows["line"]()
    standing = 0.2 * np.cos(0.5 * flow.time * xr.ones_like(flow.u)) * np.cos(40 * flow.x)
    check_reducer(PERIODIC[kind](), flow.assign(u=(flow.u + standing).astype("f4")))


class Mean(Coder):
    """The mean over space, as the only latent of each field: for the test of a third party."""

    def __init__(self, fields: int, space: tuple[int, ...]):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(fields))
        self.space = space

    def encode(self, x):
        return x.flatten(2).mean(-1) * self.gain

    def decode(self, z):
        return (z / self.gain).reshape(*z.shape, *[1] * len(self.space)).expand(-1, -1, *self.space)


class SpaceMean(Reducer):
    """One screen: what somebody else writes."""

    def __init__(self, gain: float = 2.0):
        super().__init__()
        self.gain, self.latent = gain, 1

    def _fit(self, data):
        self.latent = self.layout.channels
        coder = self._build()
        coder.gain.data.fill_(self.gain)
        return coder

    def _build(self):
        return Mean(self.layout.channels, self.layout.shape)


def test_a_reducer_of_somebody_else(flows):
    data = flows["line"]() + 0.3 * np.sin(xr.DataArray(np.arange(30), dims="time"))
    data.u.attrs["units"] = "m/s"
    check_reducer(SpaceMean(), data)


class Forgetful(SpaceMean):
    """Loses its gain when it is opened."""

    def _build(self):
        coder = super()._build()
        coder._load_from_state_dict = lambda *a, **k: None
        return coder


class Leaky(SpaceMean):
    """Encodes by the statistics of the batch."""

    def encode_tensor(self, x):
        return super().encode_tensor(x) - x.mean()


@pytest.mark.parametrize(
    ("cls", "law"),
    [(Forgetful, "same bits"), (Leaky, "encode of a part|snapshots are batched")],
)
def test_the_kit_finds_a_broken_law(cls, law, flows):
    with pytest.raises(AssertionError, match=law):
        check_reducer(cls(), flows["line"]())


READ = """
import sys, numpy as np, xarray as xr, romae
source = xr.open_dataset(sys.argv[1]).load()
for path in sys.argv[2:]:
    z = romae.load(path).encode(source)
    np.save(path + ".npy", z.values)
"""


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_bits(tmp_path, flows):
    data = flows["plane"]()
    data.to_netcdf(tmp_path / "data.nc")
    paths, expected = [], []
    for kind, make in EVERY.items():
        fitted = make().fit(data)
        paths.append(str(fitted.save(tmp_path / kind)))
        expected.append(fitted.encode(data).values)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "data.nc"), *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for path, z in zip(paths, expected, strict=True):
        np.testing.assert_array_equal(np.load(path + ".npy"), z)


@every
def test_latents_do_not_depend_on_the_storage_blocks(kind, flows, monkeypatch):
    data = flows["plane"]()
    fitted = EVERY[kind]().fit(data)
    z = fitted.encode(data)
    fields = fitted.decode(z)
    monkeypatch.setattr("romae.reducers.data.BLOCK_BYTES", 3 * 9 * 11 * 8 * 4)
    for name in ("data.BATCH_BYTES", "decoding.BATCH_BYTES", "decoding.PRODUCT_BYTES"):
        monkeypatch.setattr(f"romae.reducers.{name}", 3 * 9 * 11 * 4)
    np.testing.assert_allclose(fitted.encode(data), z, atol=1e-5 * float(abs(z).max()))
    xr.testing.assert_allclose(fitted.decode(z), fields, rtol=1e-5, atol=1e-5)


@every
def test_the_original_labels_come_back_on_disk(kind, flows, tmp_path):
    data = flows["plane"]()
    EVERY[kind]().fit(data).reconstruct(data).to_netcdf(tmp_path / "back.nc")
    data.to_netcdf(tmp_path / "data.nc")
    back, data = (xr.open_dataset(tmp_path / n).load() for n in ("back.nc", "data.nc"))
    assert back.attrs == data.attrs
    assert list(back.data_vars) == list(data.data_vars)
    for name in [*data.coords, *data.data_vars]:
        assert back[name].dims == data[name].dims
        assert back[name].attrs == data[name].attrs
        assert back[name].dtype == data[name].dtype
    xr.testing.assert_identical(back.drop_vars(list(data)), data.drop_vars(list(data)))
    np.testing.assert_array_equal(np.isnan(back.p), np.isnan(data.p))


@every
def test_several_cases_keep_case_and_parameters(kind, flows):
    data = flows["family"]()
    fitted = EVERY[kind]().fit(data)
    z = fitted.encode(data)
    assert z.sizes["case"] == 3
    assert list(z.Re.values) == [80, 90, 100]
    back = fitted.decode(z)
    assert back.u.dims == ("case", "time", "x")
    assert list(back.Re.values) == [80, 90, 100]
    alone = fitted.encode(data.isel(case=1))
    np.testing.assert_allclose(alone, z[1], atol=1e-5 * float(abs(z).max()))


def test_fields_of_different_magnitude_are_reduced_alike(flows):
    """p near 1e5 with fluctuations of 40 is as well represented as u of order 1."""
    data = flows["plane"]()
    back = POD(8).fit(data).reconstruct(data)
    for name in ("u", "v", "p"):
        fluctuation = data[name] - data[name].mean("t")
        error = float(((back[name] - data[name]) ** 2).sum() / (fluctuation**2).sum())
        assert error < 1e-6


@every
def test_what_is_saved_says_where_it_came_from(kind, flows, tmp_path):
    fitted = EVERY[kind]().fit(flows["line"]())
    path = fitted.save(tmp_path / "a.rom")
    document = json.loads(Path(path, "romae.json").read_text())
    assert document["class"] == type(fitted).__name__
    assert document["training"]["snapshots"] == 30
    assert len(document["training"]["fingerprint"]) == 64
    assert document["versions"]["torch"]
    assert document["fit_seconds"] > 0
    opened = load(path)
    assert opened.training == fitted.training
    assert opened.history == fitted.history
    assert opened.fit_seconds == fitted.fit_seconds


def test_tensors_of_another_architecture_are_refused(flows, tmp_path):
    path = EVERY["pod-ae"]().fit(flows["line"]()).save(tmp_path / "a.rom")
    text = Path(path, "romae.json").read_text()
    for old, new in (('"hidden": [\n      8\n    ]', '"hidden": [9]'), ('"act"', '"akt"')):
        assert old in text
        Path(path, "romae.json").write_text(text.replace(old, new))
        with pytest.raises(BundleError, match=r"saved PODAutoencoder .* fit it"):
            load(path)
