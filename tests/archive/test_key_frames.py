"""Snapshots of a chunk, decoded without the others, have the bits of the whole."""

import numpy as np
import pytest
import xarray as xr

import romae
from romae.archive import Archive
from romae.archive.choose import classes
from romae.archive.chunk import encode_chunk
from romae.archive.chunk_reading import chunk_facts, decode_chunk
from romae.archive.coded_pod_fit import fit_pod
from romae.archive.equation_fit import fit_equation
from romae.archive.spline import Spline
from romae.archive.stencil_fit import fit_stencil
from romae.archive.store import Store

from .flows import bounds, velocity, wave

N = 24
FIT = {
    "spline": lambda x, eps: Spline(),
    "coded-pod": lambda x, eps: fit_pod(lambda: [wave(90)], eps),
    "stencil": lambda x, eps: fit_stencil([x], eps, (True, True)),
    "equation": lambda x, eps: fit_equation([x], eps, (True, True)),
}


def test_every_method_that_decodes_in_order_is_tried_here():
    causal = {name for name, method in classes().items() if method.causal}
    assert causal == set(FIT) - {"spline"}


@pytest.mark.parametrize("kind", FIT)
@pytest.mark.parametrize("odd", ["", "gaps", "exact"])
def test_first_snapshots_are_those_of_the_whole(kind, odd):
    """Also with gaps that move, where methods miss the bound, and with a field stored exactly."""
    x = wave(90)[:N] if kind == "coded-pod" else velocity()[:N]
    eps = bounds(x, 1e-4)
    method = FIT[kind](x, eps)
    fields = [x[:, 0].astype("f4"), x[:, 1].astype("f4")]
    if odd == "gaps":
        for t in range(N):
            fields[0][t, t, 3:9] = [np.nan, np.inf, -np.inf][t % 3]
        fields[1][7] = np.inf
    if odd == "exact":
        count = np.arange(N, dtype="i4")[:, None, None]
        fields.append(np.broadcast_to(count, fields[0].shape))
        eps = np.append(eps, 0.0)
    data = encode_chunk(fields, eps, [method])
    assert chunk_facts(data).method == kind
    methods = {kind: method}
    whole = decode_chunk(data, methods)
    for m in (1, 2, 3, 11, N, N + 5):
        first = decode_chunk(data, methods, first=m)
        for a, b in zip(first, whole, strict=True):
            assert a.dtype == b.dtype
            assert a.tobytes() == b[:m].tobytes()
    for start, stop in ((0, 1), (1, 2), (7, 8), (7, 11), (N - 1, N), (5, N + 5)):
        part = decode_chunk(data, methods, first=stop, start=start)
        for a, b in zip(part, whole, strict=True):
            assert a.shape == b[start:stop].shape
            assert a.tobytes() == b[start:stop].tobytes()


@pytest.fixture
def archive(tmp_path, make_waves):
    data = make_waves(40)[["u"]]
    romae.compress(data, tmp_path / "a.romae", rel=1e-3, chunk=8)
    return tmp_path / "a.romae"


@pytest.fixture
def decoded(monkeypatch):
    """What is decoded: (chunk, how many snapshots or None for all)."""
    found, decode = [], Archive.decode

    def spy(self, item, first=None, start=0):
        found.append((item[1], first))
        return decode(self, item, first, start)

    monkeypatch.setattr(Archive, "decode", spy)
    return found


def test_key_frames_are_read_alone_and_kept(archive, decoded):
    data = xr.open_dataset(archive, cache_bytes=2**20)
    keys = data.u.isel(time=slice(None, None, 8)).load()
    assert decoded == [(i, 1) for i in range(5)]
    data.u.isel(time=slice(None, None, 16)).load()
    assert len(decoded) == 5
    whole = data.u.load()
    assert decoded[5:] == [(i, None) for i in range(5)]
    xr.testing.assert_identical(keys, whole.isel(time=slice(None, None, 8)))


def test_a_loop_over_all_snapshots_decodes_each_chunk_once_and_its_key_frame(archive, decoded):
    data = xr.open_dataset(archive, cache_bytes=2**20)
    for t in range(40):
        data.u.isel(time=t).load()
    assert decoded == [(i, first) for i in range(5) for first in (1, None)]
    decoded.clear()
    other = xr.open_dataset(archive, cache_bytes=2**20)
    other.u.isel(time=slice(16, 24)).load()
    other.u.isel(time=16).load()  # in memory with its chunk
    assert decoded == [(2, None)]


@pytest.mark.parametrize("causal", [True, False])
def test_one_snapshot_is_decoded_without_those_after_it_and_a_second_brings_the_chunk(
    archive, decoded, monkeypatch, causal
):
    whole = xr.open_dataset(archive, cache_bytes=0).u.load()
    decoded.clear()
    monkeypatch.setattr(Archive, "_in_order", causal)
    data = xr.open_dataset(archive, cache_bytes=2**20)
    for t, want in (
        (19, [(2, 4 if causal else None)]),
        (19, []),
        (21, [(2, None)] * causal),
        (18, []),
    ):
        xr.testing.assert_identical(data.u.isel(time=t).load(), whole.isel(time=t))
        assert decoded == want
        decoded.clear()
    twice = data.u.isel(time=[30, 30, 33]).load()
    xr.testing.assert_identical(twice, whole.isel(time=[30, 30, 33]))
    assert decoded == [(3, 7 if causal else None), (4, 2 if causal else None)]


@pytest.mark.parametrize("packed", [False, True])
def test_a_snapshot_touches_one_chunk_and_no_more_than_two(
    tmp_path, make_waves, monkeypatch, packed
):
    """Whatever is learned, at every place of a chunk and over all fields."""
    path = tmp_path / "a.romae"
    romae.compress(make_waves(), path, rel=1e-3, chunk=8)
    if packed:
        path = romae.pack(path, tmp_path / "b.romae")
    touched, read = [], Store.read
    monkeypatch.setattr(Store, "read", lambda self, n: touched.append(n) or read(self, n))
    for t in (0, 7, 8, 19, 39):
        touched.clear()
        xr.open_dataset(path, cache_bytes=2**20).isel(time=t).load()
        assert [n for n in touched if "/c." in n] == [f"coded/0/c.{t // 8}.0.0.0"]
        touched.clear()
        Archive(path, cache_bytes=0).read(t, t + 1)
        assert [n for n in touched if "/c." in n] == [f"coded/0/c.{t // 8}.0.0.0"]
