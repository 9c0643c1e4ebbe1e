"""One call of blosc gives what filter by filter gives; damaged bytes are errors, nothing worse."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import lz4, zstd

from romae.fields.decode import ROOM, Pipeline
from romae.fields.filters import DEFLATE, LZ4, SHUFFLE, ZSTD, Filter, FilterError
from romae.fields.framing import SMALL, unshuffle
from romae.fields.work import Scratch


def aside(work):
    """Its result, from another thread than the main one, where frames are used."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(lambda: work(Scratch())).result()


def shuffled(values: bytes, size: int) -> bytes:
    return np.frombuffer(values, "u1").reshape(-1, size).T.tobytes()


def stored(values: bytes, code: int) -> bytes:
    if code == DEFLATE:
        return zlib.compress(values)
    if code == ZSTD:
        return zstd.compress(values, 3)
    packed = lz4.compress(values)[4:]  # numcodecs puts the length in front, HDF5 its own header
    if len(packed) >= len(values):
        packed = values
    return struct.pack(">QII", len(values), max(len(values), 1 << 20), len(packed)) + packed


def undo(pipeline: Pipeline, packed: bytes, scratch: Scratch, skipped: int = 0) -> bytes:
    framed = np.frombuffer(bytes(ROOM) + packed, "u1").copy()
    out = np.empty(pipeline.size, "u1")
    pipeline.undo(framed, skipped, out, scratch)
    return out.tobytes()


@pytest.mark.parametrize("code", [DEFLATE, LZ4, ZSTD])
@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("count", [3, SMALL // 8, SMALL, 40_000])
@pytest.mark.parametrize("noise", [0, 1])
def test_frames_give_what_the_filters_give_one_by_one(code, size, count, noise):
    rng = np.random.default_rng(count)
    values = (np.arange(count * size) // 7 + noise * rng.integers(0, 256, count * size)) % 256
    values = values.astype("u1").tobytes()
    pipeline = Pipeline([Filter(SHUFFLE, (size,)), Filter(code)], size, len(values))
    packed = stored(shuffled(values, size), code)
    assert aside(lambda scratch: undo(pipeline, packed, scratch)) == values
    assert undo(pipeline, packed, Scratch()) == values  # on the main thread by numpy
    plain = stored(values, code)  # a chunk that skipped the shuffle
    assert aside(lambda scratch: undo(pipeline, plain, scratch, skipped=1)) == values
    out = np.empty(len(values), "u1")
    unshuffle(np.frombuffer(shuffled(values, size), "u1"), size, out)
    assert out.tobytes() == values


@pytest.mark.parametrize("code", [DEFLATE, LZ4, ZSTD])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_chunks_are_errors_or_other_values_and_nothing_worse(code, data):
    values = np.arange(2 * SMALL, dtype="f4").tobytes()
    pipeline = Pipeline([Filter(SHUFFLE, (4,)), Filter(code)], 4, len(values))
    packed = bytearray(stored(shuffled(values, 4), code))
    where = st.integers(0, len(packed) - 1)
    for at, byte in data.draw(st.lists(st.tuples(where, st.integers(0, 255)), max_size=5)):
        packed[at] = byte
    cut = data.draw(st.none() | where)
    try:
        found = aside(lambda scratch: undo(pipeline, bytes(packed[:cut]), scratch))
    except FilterError:
        return
    assert len(found) == len(values)
    if code == DEFLATE:  # which has a checksum
        assert found == values
