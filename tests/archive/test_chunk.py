"""Whatever the numbers, every value of a chunk obeys its bound; what is no number keeps its bits.

``ROMAE_CHUNKS=10000 pytest tests/archive/test_chunk.py -k any_array`` tries as many arrays.
"""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from romae.archive.chunk import chunk_bytes, encode_chunk
from romae.archive.chunk_reading import chunk_facts, decode_chunk
from romae.archive.lattice import quantise, restore
from romae.archive.method import Method, UnsuitableError
from romae.archive.spline import Spline
from romae.errors import ArchiveError

METHODS = {"spline": Spline()}
FLOATS = ["f2", "f4", "f8"]
INTEGERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
MANY = int(os.environ.get("ROMAE_CHUNKS", "150"))


def checked(x, eps, methods=METHODS):  # type: ignore[no-untyped-def]
    """Encode and decode; assert the guarantee; the chunk and what came back."""
    data = encode_chunk(x, eps, list(methods.values()))
    back = decode_chunk(data, methods)
    facts = chunk_facts(data)
    assert len(back) == len(x)
    for source, stored, bound, field in zip(x, back, eps, facts.fields, strict=True):
        assert stored.dtype == source.dtype
        assert stored.shape == source.shape
        finite = np.isfinite(source)
        assert stored[~finite].tobytes() == source[~finite].tobytes()
        if source.dtype.kind in "iu":  # whole numbers of Python are exact
            pairs = zip(stored.ravel().tolist(), source.ravel().tolist(), strict=True)
            worst = float(max((abs(a - b) for a, b in pairs), default=0))
        else:
            with np.errstate(over="ignore"):
                gap = stored[finite].astype(np.float64) - source[finite].astype(np.float64)
            worst = float(np.abs(gap).max(initial=0.0))
        assert worst <= bound
        if field.lossy:
            assert field.misses or field.max_error >= worst * (1 - 1e-15)
        else:
            assert stored.tobytes() == source.tobytes()
    return data, back


@st.composite
def fields(draw):  # type: ignore[no-untyped-def]
    """One or two fields of one shape, of any dtype, smooth or not, with odd values; bounds."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, eps = [], []
    for _ in range(draw(st.integers(1, 2))):
        dtype = np.dtype(draw(st.sampled_from(FLOATS + INTEGERS)))
        kind = draw(st.sampled_from(["smooth", "noise", "constant", "bits", "spikes"]))
        top = float(np.finfo(dtype).max if dtype.kind == "f" else np.iinfo(dtype).max)
        tiny = float(np.finfo(dtype).smallest_subnormal) if dtype.kind == "f" else 1.0
        scale = 10.0 ** draw(st.floats(np.log10(tiny), np.log10(top) - 1e-9))
        if kind == "smooth":
            u = sum(np.sin(0.5 * i + k) for k, i in enumerate(np.indices(shape)))
        elif kind == "constant":
            u = np.full(shape, 1.0)
        else:
            u = rng.normal(size=shape) ** (1 if kind == "noise" else 9)
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            u = np.clip(np.asarray(u) * scale, -top, top)
            if dtype.kind in "iu":
                u = np.clip(u, float(np.iinfo(dtype).min), top * (1 - 2.0**-50))
            u = u.astype(dtype)
        if kind == "bits":
            raw = rng.integers(0, 256, (*shape, dtype.itemsize), dtype=np.uint8)
            u = raw.view(dtype)[..., 0]
        if dtype.kind == "f" and u.size:
            for odd in draw(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, -0.0, tiny]))):
                u[rng.random(shape) < draw(st.sampled_from([0.02, 0.3, 1.0]))] = odd
        x.append(u)
        relative = 10.0 ** draw(st.floats(-12, 1))
        near = min(relative * scale, 1e300)
        eps.append(draw(st.sampled_from([0.0, near, near, 1.0, tiny])))
    return x, eps


@pytest.mark.slow
@settings(deadline=None, max_examples=MANY)
@given(fields())
def test_any_array_obeys_its_bound(case) -> None:  # type: ignore[no-untyped-def]
    checked(*case)


class Lattice(Method):
    """Rounds to the lattice and writes the steps out; ``wrong`` values are spoilt on purpose."""

    name = "lattice"

    def __init__(self, wrong: float = 0.0) -> None:
        self.wrong = wrong

    def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
        q = quantise(x, 0.0, eps.reshape(-1, *[1] * (x.ndim - 2)))
        q[np.random.default_rng(0).random(x.shape) < self.wrong] += 3
        payload = q.astype(np.int8).tobytes()
        return payload, self.decode(payload, x.shape, eps)

    def decode(self, payload: bytes, shape: tuple[int, ...], eps: np.ndarray) -> np.ndarray:
        q = np.frombuffer(payload, np.int8).astype(np.int64).reshape(shape)
        return restore(q, 0.0, eps.reshape(-1, *[1] * (len(shape) - 2)))


def test_what_a_method_misses_is_stored() -> None:
    x = [np.random.default_rng(0).normal(size=(20, 30)).astype(np.float32)]
    data, _ = checked(x, [0.3], {"lattice": Lattice(wrong=0.05)})
    field = chunk_facts(data).fields[0]
    assert 0.02 * x[0].size < field.misses < 0.08 * x[0].size


def test_a_method_that_decodes_something_else_is_passed_over() -> None:
    class Liar(Lattice):
        name = "liar"

        def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
            return super().encode(x, eps)[0][:10] * (x.size // 10), x

    x = [np.random.default_rng(5).normal(size=(20, 30))]
    methods = {"liar": Liar(), "lattice": Lattice()}
    data, _ = checked(x, [0.3], methods)
    assert chunk_facts(data).method == "lattice"


def test_facts_are_the_errors() -> None:
    x = [np.random.default_rng(1).normal(size=(20, 30)).astype(np.float32)]
    data, (back,) = checked(x, [0.01])
    gap = back.astype(np.float64) - x[0].astype(np.float64)
    field = chunk_facts(data).fields[0]
    assert field.max_error == np.abs(gap).max()
    assert field.square_error == pytest.approx(np.sum(gap**2), rel=1e-12)


def test_fewest_bytes_win_and_the_unsuitable_are_passed_over() -> None:
    class Never(Lattice):
        name = "never"

        def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
            raise UnsuitableError("other fields")

    t, i = np.ogrid[:64, :200]
    methods = {"never": Never(), "lattice": Lattice(), "spline": Spline()}
    data, _ = checked([np.sin(t / 9 + i / 20.0)], [0.01], methods)
    assert chunk_facts(data).method == "spline"
    checked([np.sin(t / 9 + i / 20.0)], [0.01], {"never": Never()})  # exactly, then


@pytest.mark.parametrize("value", [0.0, -0.0, 1e300, 5e-324, np.nan])
def test_constants_cost_a_few_dozen_bytes(value: float) -> None:
    x = [np.full((64, 96, 256), value)] * 2
    data, _ = checked(x, [1e-3, 1e-3])
    assert len(data) < 150


def test_gaps_cost_little() -> None:
    t, y, x = np.ogrid[:64, :40, :40]
    u = np.sin(t / 9 + y / 7 + x / 5.0).astype(np.float32)
    land = u.copy()
    land[:, (y[0] - 20) ** 2 + (x[0] - 10) ** 2 < 60] = np.nan
    sizes = [len(checked([v], [1e-2])[0]) for v in (u, land)]
    assert sizes[1] < 1.6 * sizes[0]  # filled by its mean, the gap would cost 2600 bytes


def test_a_bound_below_the_rounding_is_exact() -> None:
    x = [np.random.default_rng(2).normal(1e6, 1, (10, 20)).astype(np.float32)]
    data, (back,) = checked(x, [1e-3])
    assert not chunk_facts(data).fields[0].lossy
    assert back.tobytes() == x[0].tobytes()


def test_a_huge_range_over_a_tiny_bound_is_exact() -> None:
    x = [np.array([[1e30, -1e30, 0.0, 1e-30]] * 4)]
    assert not chunk_facts(checked(x, [1e-20])[0]).fields[0].lossy


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_wide_integers_are_compared_exactly(dtype: str) -> None:
    info = np.iinfo(dtype)
    x = np.array([[info.min, info.max, info.max - 1, info.min + 1, 2**53 + 1, 7]] * 3, dtype)
    for eps in (0.0, 1.0, 1e15, 1e19):
        checked([x], [eps])


def test_array_with_fields_on_an_axis() -> None:
    x = np.random.default_rng(3).normal(size=(12, 2, 5, 6))
    data = encode_chunk(x, [0.01, 0.1], [Spline()], ["f4", "f8"])
    u, v = decode_chunk(data, METHODS)
    assert (u.dtype, v.dtype) == (np.float32, np.float64)
    assert np.abs(v - x[:, 1]).max() <= 0.1


@pytest.mark.slow
def test_flipped_bits_never_crash() -> None:
    """The container's checksum finds them; here they may only raise ArchiveError or decode."""
    t, i = np.ogrid[:20, :30]
    u = np.sin(t / 9 + i / 20.0).astype(np.float32)
    u[3, 4] = np.nan
    good = encode_chunk([u, u + 1], [0.01, 0.0], [Spline()])
    rng = np.random.default_rng(4)
    refused = 0
    for _ in range(400):
        bad = bytearray(good)
        bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
        try:
            decode_chunk(
                bytes(bad[: int(rng.integers(len(bad)))] if rng.random() < 0.2 else bad), METHODS
            )
        except ArchiveError:
            refused += 1
    assert refused > 20


def test_unknown_method_and_foreign_bytes() -> None:
    t, i = np.ogrid[:20, :30]
    data = encode_chunk([np.sin(t / 9 + i / 20.0)], [0.01], [Spline()])
    with pytest.raises(ArchiveError, match="'spline'"):
        decode_chunk(data, {})
    with pytest.raises(ArchiveError, match="newer romae"):
        decode_chunk(b"CDF" + data[3:], METHODS)


def test_a_method_that_cannot_come_below_its_floor_is_not_tried() -> None:
    class Counted(Lattice):
        tried = 0

        def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
            Counted.tried += 1
            return super().encode(x, eps)

    t, i = np.ogrid[:64, :200]
    smooth, rough = np.sin(t / 9 + i / 20.0), np.random.default_rng(2).normal(size=(64, 200))
    lattice, spline = Counted(), Spline()
    lattice.floor, spline.floor = 200.0, 5.0  # bytes per snapshot
    data = encode_chunk([smooth], [0.01], [lattice, spline])
    assert chunk_facts(data).method == "spline"
    assert Counted.tried == 0
    encode_chunk([rough], [0.02], [lattice, spline])  # here the spline needs more than expected
    assert Counted.tried == 1
    assert chunk_bytes([smooth], [0.01], spline) == len(data)
