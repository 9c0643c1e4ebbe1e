"""A reducer's decode as predictor: bounds on every machine, counted weights, shared models."""

import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest
import torch
import xarray as xr

import romae
from romae.archive import Archive, decoder
from romae.archive.chunk import encode_chunk
from romae.archive.chunk_reading import decode_chunk
from romae.archive.entropy import decode_integers
from romae.archive.method import UnsuitableError
from romae.archive.network import MOST, Network
from romae.archive.network_fit import fit_network
from romae.archive.threads import one_thread
from romae.errors import ArchiveError, GridMismatchError, MissingFileError, OptionError

from .flows import bounds, wave, worst

QUICK = romae.TrainConfig(steps=60)


def flow(snapshots=120, masked=False, seed=0):
    """u and p, of very different size, on a small grid; p with a land mask if asked."""
    x = wave(snapshots, noise=1e-5, seed=seed)[:, :, ::2, ::2].astype("f4")
    p = 1e5 + 300 * x[:, 1]
    if masked:
        p[:, 3:8, 4:9] = np.nan
    fields = {"u": (("time", "y", "x"), x[:, 0]), "p": (("time", "y", "x"), p)}
    return xr.Dataset(fields, coords={"time": 0.1 * np.arange(snapshots)})


MAKE = {
    "pod": lambda: romae.POD(rank=2),
    "quadratic": lambda: romae.QuadraticManifold(latent=2),
    "pod-ae": lambda: romae.PODAutoencoder(2, hidden=(16,), train=QUICK),
    "conv": lambda: romae.ConvAutoencoder(
        2, widths=(4, 4), head=8, blocks=0, train=romae.TrainConfig(steps=5)
    ),
    "sequence": lambda: romae.SequenceAutoencoder(2, window=3, width=8, train=QUICK),
    "vqvae": lambda: romae.VQVAE(2, codes=16, train=QUICK),
}


@cache
def fitted(kind, masked=False):
    return MAKE[kind]().fit(flow(masked=masked))


def chunks(data, size=40):
    x = np.stack([data[n].values.astype("f8") for n in data.data_vars], axis=1)
    return [x[i : i + size] for i in range(0, len(x), size)]


@cache
def prepared(kind, rel=1e-3):
    """The method fitted on the flow, a chunk, and the bounds."""
    runs = chunks(flow())
    eps = bounds(np.concatenate(runs), rel)
    return fit_network(fitted(kind), runs, eps, 1.0), runs[1], eps


@pytest.mark.parametrize("kind", MAKE)
def test_decodes_to_what_was_encoded_within_the_bound(kind):
    method, x, eps = prepared(kind)
    payload, decoded = method.encode(x, eps)
    again = Network.from_bytes(method.to_bytes())
    assert np.array_equal(again.decode(payload, x.shape, eps), decoded)
    assert worst(decoded, x, eps) < 1
    again.take_tools(method.tools())
    assert again.encode(x, eps)[0] == payload
    assert pickle.loads(pickle.dumps(again)).encode(x[:7], eps)[0] == again.encode(x[:7], eps)[0]


@pytest.mark.parametrize("rel", [1e-3, 1e-6])
@pytest.mark.parametrize("kind", MAKE)
def test_every_value_stays_inside_with_other_threads_batches_and_precision(kind, rel):
    method, x, eps = prepared(kind, rel)
    payload, decoded = method.encode(x, eps)
    z, m, coded = method.parts(payload, x.shape)
    assert np.all(m > 0)
    assert np.all(m <= MOST * eps)
    q = decode_integers(coded, x.shape)
    before = torch.get_num_threads()
    apart = 0.0
    for threads, rows, double in ((1, 1, None), (2, 7, None), (4, None, None), (2, 5, True)):
        torch.set_num_threads(threads)
        try:
            p = method.predict(z, double=double, rows=rows)
        finally:
            torch.set_num_threads(before)
        other = p + 2 * (eps - m).reshape(-1, 1, 1) * q
        apart = max(apart, float(np.max(np.abs(other - decoded) / m.reshape(-1, 1, 1))))
        assert worst(other, x, eps) <= 1
    assert apart < 1  # the margin covers what was seen
    if not method.double:
        assert apart > 1e-3  # and double precision did differ


def test_the_margin_is_kept_free_in_the_bound():
    """A decoder off by the whole margin, in the worst direction, still keeps the bound."""
    method, x, eps = prepared("pod-ae", 1e-5)
    payload, decoded = method.encode(x, eps)
    _, m, _ = method.parts(payload, x.shape)
    off = decoded + np.sign(decoded - x) * m.reshape(-1, 1, 1)
    assert 0.999 < worst(off, x, eps) <= 1 + 1e-9


def test_fine_bounds_are_computed_in_double_and_finer_ones_refused():
    assert not prepared("pod-ae", 1e-3)[0].double
    assert prepared("pod-ae", 1e-7)[0].double
    method, x, _ = prepared("pod-ae", 1e-7)
    for fine in ([1e-14, 1e-9], [1e-14, 1.0], [1e-3, 1e-12]):  # one field is enough
        with pytest.raises(UnsuitableError, match="other machines"):
            method.encode(x, np.array(fine))


def test_a_margin_is_kept_where_both_precisions_agree():
    """Four roundings of the fluctuation, not of the mean, of each field that is coded."""
    method, x, _ = prepared("pod")
    z = method.code(x, np.ones(2))
    p = method.predict(z, double=True)
    fluctuation = np.abs(p - method.decoder(False).scaling.mean).max(axis=(0, 2, 3))
    for channels in ((0, 1), (1,)):
        for double, rounding in ((False, 2.0**-23), (True, 2.0**-52)):
            own = Network(method.held, method.steps, channels, double, method.encoder)
            own.predict = lambda *a, c=channels, **k: p[:, c]
            m = own.margin(z, p[:, channels])
            assert np.all(m >= 4 * rounding * fluctuation[list(channels)])
            assert np.all(m >= 2.0**-52 * np.abs(p[:, channels]).max(axis=(0, 2, 3)))
            if not double:
                assert np.all(m < 8 * rounding * fluctuation[list(channels)])


def test_values_out_of_reach_are_left_out_and_the_others_kept():
    method, x, eps = prepared("pod")
    own = Network(method.held, method.steps, method.channels, method.double, method.encoder)
    z = method.code(x, eps)  # of the snapshots without them
    own.code = lambda *a: z
    x, places = x.copy(), [(3, 0, 2, 2), (5, 1, 4, 4)]
    x[places[0]], x[places[1]] = 1e30, -1e25
    _, decoded = own.encode(x, eps)
    assert list(zip(*np.nonzero(np.isnan(decoded)), strict=True)) == places
    assert np.nanmax(np.abs(decoded - x) / eps.reshape(-1, 1, 1)) < 1


def test_latents_are_differenced_as_often_as_saves_most(monkeypatch):
    method, x, eps = prepared("pod")
    payload, sizes = method.encode(x, eps)[0], []
    for most in (1, 2, 3, 4):
        monkeypatch.setattr("romae.archive.network.ORDERS", most)
        sizes.append(len(method.encode(x, eps)[0]))
    assert sizes == sorted(sizes, reverse=True)
    assert len(payload) == sizes[-1] < sizes[0]
    with pytest.raises(ArchiveError, match="differences of order 4 in a chunk"):
        method.decode(bytes([4]) + payload[1:], x.shape, eps)


def test_reduced_precision_of_the_caller_changes_nothing():
    method, x, eps = prepared("pod-ae")
    payload, decoded = method.encode(x, eps)
    _, m, _ = method.parts(payload, x.shape)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            other = method.decode(payload, x.shape, eps)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert np.all(np.abs(other - decoded) <= m.reshape(-1, 1, 1))


def test_only_the_decoder_is_stored_and_its_rounding_is_what_decodes():
    method, _, _ = prepared("pod-ae")
    kept = decoder.from_bytes(method.held)
    for name, tensor in kept.module.state_dict().items():
        if name.startswith("encoder"):
            assert not tensor.any()
    assert len(method.to_bytes()) < fitted("pod-ae").nbytes / 4
    p = method.predict(np.zeros((1, 2), int))
    z = torch.zeros(1, 2)
    direct = kept.scaling.inverse(kept.decode_tensor(z).numpy())
    np.testing.assert_allclose(p, direct, rtol=1e-6)


def test_refined_latents_beat_the_encoder():
    method, x, eps = prepared("pod-ae")
    z = np.rint(method.encoded(x) / method.steps).astype(np.int64)
    better = method.code(x, eps)

    def misfit(z):
        return np.sum(((method.predict(z) - x) / eps.reshape(-1, 1, 1)) ** 2, axis=(1, 2, 3))

    assert np.all(misfit(better) <= misfit(z))
    assert misfit(better).sum() < misfit(z).sum()


def test_gaps_cost_nothing_and_come_back():
    data = flow(masked=True)
    data.u[50, 2, 2] = np.nan  # one value besides the mask
    model = fitted("pod-ae", masked=True)
    runs = chunks(data)
    eps = np.array([2e-3, 0.6])
    method = fit_network(model, runs, eps, 1.0)
    chunk = encode_chunk(runs[1], eps, [method])
    back = np.stack(decode_chunk(chunk, {"network": method}), axis=1)
    assert np.array_equal(np.isnan(back), np.isnan(runs[1]))
    assert np.nanmax(np.abs(back - runs[1]) / eps.reshape(-1, 1, 1)) <= 1
    full = len(encode_chunk(np.nan_to_num(runs[1], nan=1e5), eps, [method]))
    assert len(chunk) < full


def test_fields_of_other_size_and_one_that_is_exact(tmp_path):
    data = flow()
    given = {"u": 1e-30, "p": 0.5}  # u is stored exactly
    report = romae.compress(data, tmp_path / "a.romae", abs=given, model=fitted("pod"), chunk=40)
    back = xr.open_dataset(tmp_path / "a.romae").load()
    assert np.array_equal(back.u, data.u)
    assert float(np.abs(back.p.astype("f8") - data.p).max()) <= 0.5
    assert report.finished


@pytest.mark.parametrize("embed", [True, False])
def test_an_archive_of_several_cases(tmp_path, embed):
    data = xr.concat([flow(seed=i) for i in range(3)], "case")
    model = fitted("pod-ae").save(tmp_path / "m.rom")
    report = romae.compress(
        data, tmp_path / "a.romae", rel=1e-3, model=model, embed=embed, chunk=64
    )
    assert romae.verify(tmp_path / "a.romae", against=data).ok
    names = [p.name for p in (tmp_path / "a.romae").rglob("*")]
    assert not any(n.endswith(".tools") for n in names)
    if not embed:
        assert report.manifest["methods"] == {"network": 6}


def shared(tmp_path, name="a.romae", model="models/m.rom"):
    """An archive that refers to a model; the model's folder."""
    place = tmp_path / model
    if not place.exists():
        fitted("pod").save(place)
    report = romae.compress(flow(), tmp_path / name, rel=1e-3, model=str(place), embed=False)
    assert report.manifest["methods"] == {"network": 1}
    return report, place


def test_a_parent_is_counted_apart_and_in_total(tmp_path):
    report, place = shared(tmp_path)
    parent, source = report.manifest["parent"], report.manifest["source"]["bytes"]
    size = sum(p.stat().st_size for p in place.rglob("*") if p.is_file())
    assert parent["nbytes"] == size
    assert parent["path"] == "models/m.rom"
    assert report.ratio == pytest.approx(source / report.nbytes, rel=1e-4)
    total = report.manifest["ratio_with_parent"]
    assert total == pytest.approx(source / (report.nbytes + size), rel=1e-3)
    assert "which is not in it" in str(report)
    assert report.to_dict()["parent"] == parent


def test_a_parent_that_is_gone_moved_or_another(tmp_path):
    _, place = shared(tmp_path)
    archive = tmp_path / "a.romae"
    want = xr.open_dataset(archive).load()
    moved = place.rename(tmp_path / "elsewhere.rom")
    with pytest.raises(ArchiveError, match=r"'m\.rom', which is not at .*models/m\.rom"):
        xr.open_dataset(archive)
    digest = Archive(archive, model=moved).facts["parent"]["digest"]
    for use in (romae.verify, Archive, xr.open_dataset):
        with pytest.raises(ArchiveError) as caught:
            use(archive)
        text = str(caught.value)
        assert repr(str(place)) in text  # what was looked for, and where
        assert f"digest begins {digest[:12]}" in text
        assert "xr.open_dataset(PATH, engine='romae', model='MODEL.rom')" in text
    found = xr.open_dataset(archive, engine="romae", model=moved)
    xr.testing.assert_identical(found.load(), want)
    again = pickle.loads(pickle.dumps(Archive(archive, model=moved)))
    assert np.array_equal(again.read(3, 5)[0], want.u[3:5])
    shutil.move(moved, tmp_path / "m.rom")  # beside the archive
    xr.testing.assert_identical(xr.open_dataset(archive).load(), want)
    romae.POD(rank=3).fit(flow()).save(tmp_path / "m.rom", overwrite=True)
    with pytest.raises(ArchiveError, match=rf"is not the model.*expected {digest[:12]}.*restore"):
        Archive(archive, cache_bytes=0).read(0, 1)
    assert not romae.verify(archive, against=flow()).ok


def test_verify_bears_a_decoder_that_rounds_differently(tmp_path, monkeypatch):
    shared(tmp_path)
    plain = Network.predict

    def shifted(self, z, double=None, rows=None):
        return plain(self, z, double, rows) + 1e-7 * np.sin(np.arange(z.size).sum())

    monkeypatch.setattr(Network, "predict", shifted)
    assert romae.verify(tmp_path / "a.romae", against=flow()).ok
    monkeypatch.setattr(Network, "predict", lambda *a, **k: plain(*a, **k) + 1.0)
    assert not romae.verify(tmp_path / "a.romae", against=flow()).ok


def test_saving_a_model_again_does_not_make_it_another(tmp_path):
    _, place = shared(tmp_path)
    romae.load(place).save(tmp_path / "copy.rom")
    shutil.rmtree(place)
    xr.open_dataset(tmp_path / "a.romae", engine="romae", model=tmp_path / "copy.rom").load()


def test_the_same_bytes_in_parts_and_when_repeated(tmp_path, files):
    data, model = flow(), fitted("pod").save(tmp_path / "m.rom")
    options = {"rel": 1e-3, "model": str(model), "embed": False, "chunk": 16}
    romae.compress(data, tmp_path / "one.romae", **options)
    for i in (1, 0):
        romae.compress(data, tmp_path / "two.romae", part=(i, 2), **options)
    assert files(tmp_path / "one.romae") == files(tmp_path / "two.romae")


def test_threads_read_the_same(tmp_path):
    shared(tmp_path)
    want = Archive(tmp_path / "a.romae", cache_bytes=0).read(0, 120)
    for _ in range(3):
        archive = Archive(tmp_path / "a.romae", cache_bytes=0)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda t, a=archive: a.read(t, t + 1), range(0, 120, 7)))
        for t, fields in zip(range(0, 120, 7), found, strict=True):
            assert all(np.array_equal(f[0], w[t]) for f, w in zip(fields, want, strict=True))


def test_reading_leaves_the_threads_of_torch_as_they_were(tmp_path):
    shared(tmp_path)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        archive = Archive(tmp_path / "a.romae", cache_bytes=0)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda t: archive.read(t, t + 1), range(40)))
        with one_thread():
            with one_thread():
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 3
    finally:
        torch.set_num_threads(before)


def test_other_archives_do_not_import_torch(tmp_path):
    romae.compress(flow(40), tmp_path / "a.romae", rel=1e-3, model=None)
    script = (
        "import sys, romae; from romae.archive import Archive\n"
        f"Archive({str(tmp_path / 'a.romae')!r}).read(0, 3)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_model_that_does_not_pay_is_left_out(tmp_path):
    data = flow(20)
    report = romae.compress(data, tmp_path / "a.romae", rel=1e-2, model=fitted("vqvae"))
    assert "network" not in report.manifest["methods"]
    assert "won no chunk" in str(report)
    assert not (tmp_path / "a.romae" / "side" / "network.bin").exists()


def test_models_that_cannot_predict_these_data(tmp_path):
    data, target = flow(), tmp_path / "a.romae"

    def refused(error, match, source=data, **options):
        with pytest.raises(error, match=match):
            romae.compress(source, target, rel=1e-3, **options)
        assert not list(tmp_path.glob("a.romae*"))

    refused(GridMismatchError, "has fields p, u", data[["p", "u"]], model=fitted("pod"))
    refused(GridMismatchError, "points", data.isel(x=slice(0, 20)), model=fitted("pod"))
    refused(GridMismatchError, "masked", flow(masked=True), model=fitted("pod"))
    refused(OptionError, "there is no file", model=fitted("pod"), embed=False)
    refused(OptionError, "there is no file", embed=False)
    refused(MissingFileError, "no model at", model=tmp_path / "none.rom")
    refused(romae.errors.NotFittedError, "not been fitted", model=romae.POD(rank=2))
    refused(OptionError, "cannot predict", model=3)
    family = xr.concat([flow(30, seed=i) for i in range(2)], "case").assign_coords(
        Re=("case", [1.0, 2.0])
    )
    told = romae.ConditionalAutoencoder(2, hidden=(8,), train=QUICK).fit(family)
    refused(OptionError, "parameters of the case", family, model=told)


def test_a_reduced_model_and_what_is_none(tmp_path):
    z = fitted("pod").encode(flow())
    rom = romae.ReducedModel(fitted("pod"), romae.DMD().fit(z))
    rom.save(tmp_path / "whole.rom")
    options = {"rel": 1e-3, "embed": False}
    romae.compress(flow(), tmp_path / "a.romae", model=tmp_path / "whole.rom", **options)
    assert romae.verify(tmp_path / "a.romae", against=flow()).ok
    romae.DMD().fit(z).save(tmp_path / "dmd.rom")
    with pytest.raises(OptionError, match="does not decode fields"):
        romae.compress(flow(), tmp_path / "b.romae", model=tmp_path / "dmd.rom", **options)


def test_cut_payloads_are_damage():
    method, x, eps = prepared("pod")
    payload, _ = method.encode(x, eps)
    for end in (0, 1, 9, len(payload) // 2):
        with pytest.raises(ArchiveError):
            method.decode(payload[:end], x.shape, eps)
    with pytest.raises(UnsuitableError, match="the model decodes"):
        method.encode(x[:, :, :4], eps)
