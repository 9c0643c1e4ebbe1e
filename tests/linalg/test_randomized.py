"""The randomized way against the exact one, held in memory and streamed, in every cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.linalg import decompose

HELD, STREAMED = 1 << 30, 1
both = pytest.mark.parametrize("panel_bytes", [HELD, STREAMED])
shapes = pytest.mark.parametrize("shape", [(150, 400), (400, 150), (200, 200)])
SPECTRA = {
    "fast": lambda i: 0.7**i,
    "algebraic": lambda i: (1 + i) ** -1.0,
    "slow": lambda i: (1 + i) ** -0.3,
    "flat tail": lambda i: np.where(i < 10, 10.0 / (1 + i), 0.2),
    "low rank": lambda i: np.where(i < 7, 1.0 / (1 + i), 0.0),
}


def matrix(shape, spectrum="algebraic", seed=0):
    rng = np.random.default_rng(seed)
    r = min(shape)
    V, _ = np.linalg.qr(rng.standard_normal((shape[0], r)))
    U, _ = np.linalg.qr(rng.standard_normal((shape[1], r)))
    return (V * SPECTRA[spectrum](np.arange(r))) @ U.T


def cut(X, edges=(60,)):
    starts = sorted({0, *edges})
    ends = [*starts[1:], len(X)]
    return lambda first=0: ((a, X[a:b]) for a, b in zip(starts, ends, strict=True) if a >= first)


def fast(X, rank, panel_bytes, edges=(60,), **options):
    options = {"dtype": X.dtype} | options
    return decompose(cut(X, edges), X.shape, rank, "randomized", panel_bytes=panel_bytes, **options)


def error(Y, modes):
    return np.linalg.norm(Y - (Y @ modes.T) @ modes)


@both
@shapes
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_error_within_a_percent_of_the_optimum(spectrum, shape, panel_bytes):
    Y = matrix(shape, spectrum)
    s = np.linalg.svd(Y, compute_uv=False)
    for k in (1, 5, 24):
        found = fast(Y, k, panel_bytes)
        best = np.sqrt(np.sum(s[k:] ** 2))
        lost = error(Y, found.modes.astype(float))
        assert lost <= 1.01 * best + 2e-6 * s[0]
        # what it says of itself: |Y|, singular values, the tail, and how far from the best
        assert found.total == pytest.approx(np.sum(s**2), rel=1e-6)
        tail = np.sqrt(max(found.total - np.sum(found.s**2), 0))
        np.testing.assert_allclose(tail, lost, rtol=5e-3, atol=1e-3 * s[0])
        half = min(k, len(found.s)) // 2
        if spectrum != "slow":
            np.testing.assert_allclose(found.s[:half], s[:half], rtol=0.01)
        assert 0 <= found.excess < 0.01
        identity = np.eye(len(found.modes))
        np.testing.assert_allclose(found.modes @ found.modes.T, identity, atol=2e-5)


@both
def test_modes_are_those_of_the_exact_way(panel_bytes):
    Y = matrix((150, 400), "fast")
    exact = decompose(cut(Y), Y.shape, 6, "svd")
    found = fast(Y, 6, panel_bytes)
    np.testing.assert_allclose(found.s, exact.s[:6], rtol=1e-6)
    np.testing.assert_allclose(found.modes, exact.modes, atol=2e-5)


@both
def test_small_singular_values_are_found_in_double(panel_bytes):
    """s_k = 1e-6 s_1: float32 products alone would lose it."""
    Y = matrix((120, 300), "fast")
    s = np.linalg.svd(Y, compute_uv=False)
    k = 38
    assert s[k - 1] < 3e-6 * s[0]
    found = fast(Y, k, panel_bytes)
    np.testing.assert_allclose(found.s, s[:k], rtol=1e-2)
    assert error(Y, found.modes) <= 1.01 * np.sqrt(np.sum(s[k:] ** 2))


@both
@shapes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("mean", [0.0, 3.0, 1e3])
def test_shift_and_factor_are_those_of_the_scaled_matrix(mean, dtype, shape, panel_bytes):
    rng = np.random.default_rng(3)
    factor = rng.uniform(0.5, 2, shape[1])
    factor[7:11] = 0  # masked
    X = (matrix(shape) + mean * rng.standard_normal(shape[1])).astype(dtype)
    shift = X.mean(0, dtype=float)
    Y = (X.astype(float) - shift) * factor
    found = fast(X, 6, panel_bytes, shift=shift, factor=factor)
    s = np.linalg.svd(Y, compute_uv=False)
    np.testing.assert_allclose(found.s, s[:6], rtol=1e-2)
    assert error(Y, found.modes) <= 1.005 * np.sqrt(np.sum(s[6:] ** 2))
    assert np.all(found.modes[:, 7:11] == 0)
    assert found.total == pytest.approx(np.sum(Y**2), rel=1e-5)


@pytest.mark.parametrize("method", ["svd", "snapshots", "covariance"])
@pytest.mark.parametrize("panel_bytes", [HELD, 20_000, STREAMED])
def test_exact_ways_scale_as_they_read(method, panel_bytes):
    rng = np.random.default_rng(0)
    X = (matrix((40, 90)) + 5).astype(np.float32)
    shift, factor = X.mean(0, dtype=float), rng.uniform(0, 2, 90)
    Y = (X.astype(float) - shift) * factor
    options = {"shift": shift, "factor": factor, "dtype": X.dtype, "panel_bytes": panel_bytes}
    found = decompose(cut(X, (13, 29)), X.shape, 5, method, **options)
    expected = decompose(cut(Y), Y.shape, 5, "svd")
    np.testing.assert_allclose(found.s[:30], expected.s[:30], rtol=1e-10)
    np.testing.assert_allclose(found.modes, expected.modes, atol=1e-8)
    assert found.total == pytest.approx(np.sum(Y**2), rel=1e-12)


@both
def test_rank_by_energy(panel_bytes):
    Y = matrix((200, 300), "algebraic")
    s = np.linalg.svd(Y, compute_uv=False)
    energy = np.cumsum(s**2) / np.sum(s**2)
    for fraction in (0.5, 0.9, 0.99):  # 99 % takes more modes than the first guess of the method
        k = len(fast(Y, fraction, panel_bytes).modes)
        assert abs(k - (np.searchsorted(energy, fraction) + 1)) <= 1
        assert energy[k - 1] >= fraction * (1 - 1e-3)


@settings(max_examples=15, deadline=None)
@given(edges=st.sets(st.integers(1, 199), max_size=6), panel_bytes=st.sampled_from([HELD, 1]))
def test_the_cut_into_blocks_does_not_matter(edges, panel_bytes):
    Y = matrix((200, 250), "fast")
    whole, pieces = (fast(Y, 5, panel_bytes, edges=e) for e in ((), edges))
    np.testing.assert_allclose(pieces.s, whole.s, rtol=1e-5)
    np.testing.assert_allclose(pieces.modes, whole.modes, atol=1e-4)


@both
def test_the_same_bits_again(panel_bytes):
    Y = matrix((150, 400), "slow")
    first, again = (fast(Y, 5, panel_bytes) for _ in range(2))
    np.testing.assert_array_equal(first.modes, again.modes)
    np.testing.assert_array_equal(first.s, again.s)


@both
def test_zeros_and_data_left_as_they_were(panel_bytes):
    assert np.array_equal(fast(np.zeros((60, 80)), 3, panel_bytes).modes, np.zeros((1, 80)))
    Y = matrix((100, 120))
    before = Y.copy()
    fast(Y, 3, panel_bytes, factor=np.full(120, 2.0))
    np.testing.assert_array_equal(Y, before)


def test_data_that_fit_are_read_once():
    Y = matrix((100, 300)).astype(np.float32)
    for method in ("snapshots", "randomized", "svd"):
        reads = []

        def blocks(first=0, reads=reads):
            reads.append(first)
            return cut(Y)(first)

        decompose(blocks, Y.shape, 4, method, dtype=Y.dtype)
        assert len(reads) == 1


def test_auto_is_randomized_where_both_sides_are_large():
    from romae.linalg import pod

    def choose(shape, rank=64):
        return pod.choose(shape, np.float32, rank, 1 << 30)

    assert choose((300, 100_000)) == "snapshots"
    assert choose((100_000, 1000)) == "covariance"
    assert choose((1000, 100_000)) == "randomized"
    assert choose((2000, 1 << 20)) == "randomized"
    assert choose((50_000, 50_000)) == "randomized"
    assert choose((50_000, 50_000), None) == "snapshots"
