"""The three ways to decompose, against numpy, for any cut of the rows into blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.linalg import decompose
from romae.linalg.pod import signed

METHODS = ["svd", "snapshots", "covariance"]
every = pytest.mark.parametrize("method", METHODS)


def matrix(T: int, n: int, s: np.ndarray, seed: int = 0) -> np.ndarray:
    """Y (T, n) with the singular values ``s``."""
    rng = np.random.default_rng(seed)
    V, _ = np.linalg.qr(rng.standard_normal((T, len(s))))
    U, _ = np.linalg.qr(rng.standard_normal((n, len(s))))
    return (V * s) @ U.T


def cut(Y: np.ndarray, edges=()):
    """The rows of Y as ``decompose`` wants them: blocks that begin at ``edges``."""
    starts = sorted({0, *edges})
    ends = [*starts[1:], len(Y)]
    return lambda first=0: ((a, Y[a:b]) for a, b in zip(starts, ends, strict=True) if a >= first)


def error(Y, modes):
    """|Y - Y U U^T|_F."""
    return np.linalg.norm(Y - (Y @ modes.T) @ modes)


@every
@pytest.mark.parametrize(("T", "n"), [(12, 30), (30, 12), (17, 17), (2, 5), (5, 1)])
def test_agrees_with_numpy(method, T, n):
    Y = np.random.default_rng(1).standard_normal((T, n))
    s = np.linalg.svd(Y, compute_uv=False)
    found = decompose(cut(Y), (T, n), None, method)
    assert found.method == method
    assert found.s.shape == (min(T, n),)
    np.testing.assert_allclose(found.s, s, rtol=1e-10, atol=1e-12 * s[0])
    k = len(found.modes)
    assert k == min(T, n)
    np.testing.assert_allclose(found.modes @ found.modes.T, np.eye(k), atol=1e-12)
    for j in range(1, k):
        tail = np.sqrt(np.sum(s[j:] ** 2))
        assert error(Y, found.modes[:j]) == pytest.approx(tail, rel=1e-9)


@given(
    data=st.data(),
    T=st.integers(2, 15),
    n=st.integers(1, 15),
    method=st.sampled_from(METHODS),
    panel=st.integers(1, 2000),
)
@settings(deadline=None, max_examples=60)
def test_neither_blocks_nor_panels_change_the_result(data, T, n, method, panel):
    edges = data.draw(st.lists(st.integers(1, T - 1), max_size=5))
    Y = matrix(T, n, 3.0 ** -np.arange(min(T, n)), seed=T + 31 * n)
    whole = decompose(cut(Y), (T, n), None, method)
    pieces = decompose(cut(Y, edges), (T, n), None, method, panel_bytes=panel)
    np.testing.assert_allclose(pieces.s, whole.s, atol=1e-7)
    k = min(len(whole.modes), len(pieces.modes), 6)  # 3^-6: all ways resolve these
    np.testing.assert_allclose(pieces.modes[:k], whole.modes[:k], atol=1e-9)


@every
def test_single_precision_rows_are_summed_in_double(method):
    Y = matrix(40, 9, np.array([1.0, 1e-3, 1e-6])).astype(np.float32)
    s = np.linalg.svd(Y.astype(np.float64), compute_uv=False)
    found = decompose(cut(Y, [7, 20]), Y.shape, 3, method)
    np.testing.assert_allclose(found.s[:3], s[:3], rtol=1e-3)


@every
@pytest.mark.parametrize(("T", "n"), [(40, 60), (60, 40)])
def test_modes_stay_orthonormal_where_singular_values_decay(method, T, n):
    s = np.geomspace(1, 1e-7, 15)
    Y = matrix(T, n, s)
    found = decompose(cut(Y, [10, 11]), (T, n), 15, method)
    assert len(found.modes) == 15
    np.testing.assert_allclose(found.modes @ found.modes.T, np.eye(15), atol=1e-12)
    np.testing.assert_allclose(found.s[:10], s[:10], rtol=1e-4)
    assert error(Y, found.modes) < 3e-8  # the squared ways know the last mode to a tenth


@every
def test_low_rank_gives_no_more_modes_than_stand_above_rounding(method):
    Y = matrix(20, 30, np.array([5.0, 2.0, 1.0]))
    for rank in (None, 3, 11):
        found = decompose(cut(Y), Y.shape, rank, method)
        assert len(found.modes) == 3
        assert error(Y, found.modes) < 1e-7
    assert len(decompose(cut(Y), Y.shape, 2, method).modes) == 2


@every
def test_signs_are_fixed_by_the_largest_entry(method):
    Y = matrix(12, 9, np.array([3.0, 2.0, 1.0]))
    found, mirrored = (decompose(cut(X), X.shape, 3, method).modes for X in (Y, -Y))
    np.testing.assert_allclose(found, mirrored, atol=1e-10)
    for mode in found:
        assert mode[np.abs(mode).argmax()] > 0


@every
def test_rank_by_energy(method):
    Y = matrix(20, 25, np.sqrt([70.0, 20.0, 9.0, 1.0]))
    for energy, k in ((0.5, 1), (0.69, 1), (0.71, 2), (0.89, 2), (0.985, 3), (0.995, 4)):
        assert len(decompose(cut(Y), Y.shape, energy, method).modes) == k


@every
@pytest.mark.parametrize("rank", [None, 1, 3, 0.9])
def test_nothing_but_zeros_gives_numbers(method, rank):
    found = decompose(cut(np.zeros((6, 8))), (6, 8), rank, method)
    assert np.array_equal(found.s, np.zeros(6))
    assert np.isfinite(found.modes).all()
    assert len(found.modes) == 1


@every
def test_data_are_left_as_they_were(method):
    Y = np.random.default_rng(0).standard_normal((8, 5))
    before = Y.copy()
    decompose(cut(Y), Y.shape, 2, method)
    np.testing.assert_array_equal(Y, before)


def test_auto_takes_the_cheapest(monkeypatch):
    monkeypatch.setattr("romae.linalg.pod.SVD_ENTRIES", 100)
    for shape, method in (((4, 5), "svd"), ((10, 40), "snapshots"), ((40, 10), "covariance")):
        Y = np.random.default_rng(0).standard_normal(shape)
        assert decompose(cut(Y), shape, 2).method == method


@pytest.mark.parametrize("order", ["C", "F"])
def test_signs_change_whole_modes(order):
    """LAPACK gives modes stored by columns."""
    modes = np.random.default_rng(0).normal(size=(8, 18))
    got = signed(np.array(modes, order=order))
    peaks = np.take_along_axis(modes, np.abs(modes).argmax(1)[:, None], axis=1)
    np.testing.assert_array_equal(got, modes * np.sign(peaks))
