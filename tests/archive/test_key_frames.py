"""The first snapshots of a chunk, decoded without the others, have the bits of the whole."""

import numpy as np
import pytest
import xarray as xr

import romae
from romae.archive import Archive
from romae.archive.choose import classes
from romae.archive.chunk import chunk_facts, decode_chunk, encode_chunk
from romae.archive.coded_pod_fit import fit_pod
from romae.archive.equation_fit import fit_equation
from romae.archive.spline import Spline
from romae.archive.stencil_fit import fit_stencil

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


@pytest.fixture
def archive(tmp_path, make_waves):
    data = make_waves(40)[["u"]]
    romae.compress(data, tmp_path / "a.romae", rel=1e-3, chunk=8)
    return tmp_path / "a.romae"


@pytest.fixture
def decoded(monkeypatch):
    """What is decoded: (chunk, how many snapshots or None for all)."""
    found, decode = [], Archive.decode

    def spy(self, item, first=None):
        found.append((item[1], first))
        return decode(self, item, first)

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
