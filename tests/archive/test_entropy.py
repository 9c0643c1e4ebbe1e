"""Integers come back, cost about their entropy, and damage is found or harmless."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from romae.archive.entropy import decode_integers, encode_integers
from romae.errors import ArchiveError, DataError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=6)


def there_and_back(q: np.ndarray) -> bytes:
    data = encode_integers(q)
    np.testing.assert_array_equal(decode_integers(data, q.shape), q)
    return data


@settings(deadline=None, max_examples=60)
@given(
    SHAPES.flatmap(
        lambda shape: st.one_of(
            hnp.arrays(np.int64, shape, elements=st.integers(-3, 3)),
            hnp.arrays(np.int64, shape, elements=st.integers(-(2**61), 2**61)),
        )
    )
)
def test_integers_come_back(q: np.ndarray) -> None:
    there_and_back(q)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_every_width_is_taken(dtype: type) -> None:
    info = np.iinfo(dtype)
    q = np.array([[info.min >> 2, -1, 0, 1, info.max >> 2]], dtype)
    there_and_back(q)


def test_what_is_too_large_is_refused() -> None:
    for q in (np.array([2**62]), np.array([-(2**62)]), np.array([2**63], np.uint64)):
        with pytest.raises(DataError, match="below 2\\^62"):
            encode_integers(q)


def test_octaves_and_their_neighbours() -> None:
    powers = [s * (2**k + d) for k in range(62) for d in (-1, 0, 1) for s in (-1, 1)]
    there_and_back(np.array(powers).reshape(-1, 6))


def test_nothing_costs_nothing() -> None:
    assert len(there_and_back(np.zeros((64, 96, 256), np.int64))) <= 4
    assert there_and_back(np.zeros((0, 7), np.int64)) == b""


def test_an_empty_frame_costs_a_bit() -> None:
    q = np.zeros((64, 64, 64), np.int64)
    q[31] = np.random.default_rng(0).integers(-1, 2, (64, 64))
    alone = len(there_and_back(q[31:32]))
    assert len(there_and_back(q)) < alone + 24


@pytest.mark.parametrize(("sigma", "excess"), [(0.3, 1.015), (3.0, 1.01), (20.0, 1.01)])
def test_noise_costs_its_entropy(sigma: float, excess: float) -> None:
    q = np.rint(np.random.default_rng(1).normal(size=(32, 64, 64)) * sigma).astype(np.int64)
    _, count = np.unique(q, return_counts=True)
    bits = -np.sum(count * np.log2(count / q.size))
    assert bits / 8 < len(there_and_back(q)) * 1.001 < excess * bits / 8


def test_neighbours_are_used() -> None:
    """Noise that is loud in some places: contexts save a tenth over the entropy of all values."""
    loud = 10.0 ** (2 * np.sin(np.arange(64) / 10.0))
    q = np.rint(np.random.default_rng(2).normal(size=(32, 64, 64)) * loud).astype(np.int64)
    _, count = np.unique(q, return_counts=True)
    bits = -np.sum(count * np.log2(count / q.size))
    assert len(there_and_back(q)) < 0.9 * bits / 8


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
def test_damage_ends(noise: bytes, at: int, flip: int) -> None:
    """Any bytes decode to something or raise ArchiveError."""
    good = bytearray(encode_integers(np.arange(120).reshape(5, 4, 6)))
    good[at % len(good)] ^= flip
    for data in (noise, bytes(good), bytes(good[: at % len(good)])):
        try:
            q = decode_integers(data, (5, 4, 6))
        except ArchiveError:
            continue
        assert q.shape == (5, 4, 6)


def test_a_stream_that_ends_in_many_zero_bytes_is_whole() -> None:
    """Zeros below large numbers are dear, and may all lie at the low end of the interval."""
    q = np.zeros((1, 3, 64, 64), np.int64)
    q[0, 0, :48, :48] = 1000
    there_and_back(q)


def test_a_stream_cut_short_is_refused() -> None:
    q = np.random.default_rng(3).integers(-(2**40), 2**40, (50, 40))
    data = encode_integers(q)
    with pytest.raises(ArchiveError, match="end too early"):
        decode_integers(data[: len(data) // 2], q.shape)


def test_bytes_are_those_of_earlier_versions() -> None:
    """Faster loops may not change a byte: digest from before they were rewritten."""
    k = np.arange(7 * 11 * 13 * 17).reshape(7, 11, 13, 17)
    noise = k * k * 7919 % 1009
    seen = hashlib.sha256()
    for q in (noise - 504, noise // 300 - 1, noise // 1008 * (k - 9000), noise[:, 0, 0] << 40):
        seen.update(there_and_back(q))
    assert seen.hexdigest()[:16] == "7a8905931de81cdf"


@pytest.mark.slow
def test_plain_python_gives_the_same_bytes(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Without the compiler: the integers' coder and interpolation."""
    code = """
import sys, numpy as np
from romae.archive.entropy import decode_integers, encode_integers
from romae.archive.spline import Spline
rng = np.random.default_rng(0)
q = np.rint(rng.normal(size=(6, 5, 9)) ** 3).astype(np.int64)
q[2, 3] = 2**55
t, y, x = np.ogrid[:9, :6, :16]
u = np.stack([np.sin(t + y + x / 3.0) * 1e3, rng.normal(size=(9, 6, 16))], axis=1)
eps = np.array([1e-2, 0.1])
coded, (payload, decoded) = encode_integers(q), Spline().encode(u, eps)
assert np.array_equal(decode_integers(coded, q.shape), q)
assert np.array_equal(Spline().decode(payload, u.shape, eps), decoded)
np.savez(sys.argv[1], coded=list(coded), payload=list(payload), decoded=decoded)
"""
    results = []
    for name, off in (("compiled", "0"), ("plain", "1")):
        path = tmp_path / f"{name}.npz"
        environment = os.environ | {"NUMBA_DISABLE_JIT": off}
        subprocess.run([sys.executable, "-c", code, path], check=True, env=environment)
        results.append(np.load(path))
    for key in ("coded", "payload", "decoded"):
        np.testing.assert_array_equal(results[0][key], results[1][key])
