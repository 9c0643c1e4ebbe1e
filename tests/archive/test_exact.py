"""Every bit of every dtype comes back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from romae.archive.exact import decode_exact, encode_exact
from romae.archive.scattered import (
    decode_mask,
    decode_places,
    encode_mask,
    encode_places,
)
from romae.errors import ArchiveError

SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">f4", ">i2"]
ANY = st.sampled_from(DTYPES).flatmap(
    lambda dtype: SHAPES.flatmap(
        lambda shape: hnp.arrays(np.uint8, (*shape, np.dtype(dtype).itemsize)).map(
            lambda raw: (raw & 1 if dtype == "?" else raw).view(dtype)[..., 0]
        )
    )
)


@settings(deadline=None, max_examples=150)
@given(ANY)
def test_bits_come_back(x: np.ndarray) -> None:
    back = decode_exact(encode_exact(x), x.dtype, x.shape)
    assert back.dtype == x.dtype
    assert back.tobytes() == x.tobytes()


def test_smooth_in_time_is_smaller_than_its_bytes() -> None:
    x = np.cumsum(np.ones((64, 500), np.int32), axis=0) + np.arange(500, dtype=np.int32) ** 2
    assert len(encode_exact(x)) < x.nbytes / 50


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=80))
def test_damage_is_refused_or_harmless(noise: bytes) -> None:
    for data in (noise, b"", encode_exact(np.arange(30.0).reshape(5, 6))[:-3]):
        try:
            assert decode_exact(data, np.dtype("f8"), (5, 6)).shape == (5, 6)
        except ArchiveError:
            continue


@settings(deadline=None, max_examples=60)
@given(SHAPES.flatmap(lambda shape: hnp.arrays(bool, shape)))
def test_masks_and_places_come_back(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_mask(encode_mask(mask), mask.shape), mask)
    places = decode_places(encode_places(mask), mask.size)
    np.testing.assert_array_equal(places, np.flatnonzero(mask))


def test_a_constant_mask_costs_one_frame() -> None:
    one = np.random.default_rng(0).random((1, 40, 40)) < 0.5
    assert len(encode_mask(np.repeat(one, 64, axis=0))) == len(encode_mask(one))


def test_equal_values_cost_one() -> None:
    odd = np.full(1000, np.nan, np.float32)
    assert len(encode_exact(odd)) == 5
    assert decode_exact(encode_exact(odd), odd.dtype, (1000,)).tobytes() == odd.tobytes()
    odd.view(np.uint32)[7] ^= 1  # another payload
    assert decode_exact(encode_exact(odd), odd.dtype, (1000,)).tobytes() == odd.tobytes()


def test_places_beyond_the_field_are_refused() -> None:
    data = encode_places(np.ones(50, bool))
    with pytest.raises(ArchiveError, match=r"below 20|of its 20"):
        decode_places(data, 20)
