"""A sketch of many columns: unbiased, and good enough for the modes of the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.linalg import decompose
from romae.linalg import sketch as sketches
from romae.linalg.products import Affine, Pass, multiply, project
from romae.linalg.sketch import Sketch, Sketcher, leading

T, N = 60, 16_000
SPECTRA = {
    "fast": lambda i: 0.6**i,
    "algebraic": lambda i: (1 + i) ** -1.0,
    "slow": lambda i: (1 + i) ** -0.3,
    "flat tail": lambda i: np.where(i < 6, 10.0 / (1 + i), 0.2),
    "low rank": lambda i: np.where(i < 3, 1.0 / (1 + i), 0.0),
}


def matrix(spectrum="algebraic", seed=0):
    """Y (T, N) without mean, few of its columns carrying a tenth of every mode."""
    rng = np.random.default_rng(seed)
    V = rng.standard_normal((T, T))
    V, _ = np.linalg.qr(V - V.mean(0))
    U = rng.standard_normal((N, T))
    U[:40] *= 7
    U, _ = np.linalg.qr(U)
    return (V[:, :-1] * SPECTRA[spectrum](np.arange(T - 1))) @ U[:, :-1].T


def cut(X, edges=(17, 31), reads=None):
    starts = sorted({0, *edges})
    ends = [*starts[1:], len(X)]

    def blocks(first=0):
        if reads is not None:
            reads.append(first)
        return ((a, X[a:b]) for a, b in zip(starts, ends, strict=True) if a >= first)

    return blocks


def error(Y, modes):
    return np.linalg.norm(Y - (Y @ modes.T) @ modes)


@given(sizes=st.lists(st.integers(1, 400), min_size=1, max_size=4), buckets=st.integers(1, 90))
@settings(deadline=None, max_examples=60)
def test_every_column_goes_to_one_bucket_of_its_group(sizes, buckets):
    sketch = Sketch(tuple(sizes), buckets)
    times = np.zeros(sum(sizes))
    own = sketch.ranges()
    group = np.repeat(np.arange(len(sizes)), sizes)
    for columns, into in sketch.pieces():
        times[columns] += 1
        assert columns.stop - columns.start == into.stop - into.start
        for g in set(group[columns]):
            assert own[g].start <= into.start <= into.stop <= own[g].stop
    assert (times == 1).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_the_sketch_are_signed_sums(dtype):
    X = (matrix() + 1e3).astype(dtype)
    sketcher = Sketcher(Sketch((N,), 900), X[0].copy(), np.full(N, 2.0))
    whole = sketcher.rows(X)
    parts = torch.cat([sketcher.rows(X[:7]), sketcher.rows(X[7:])])
    assert torch.equal(whole, parts)
    S = np.zeros((N, 900))
    for columns, into in sketcher.sketch.pieces():
        S[np.arange(columns.start, columns.stop), np.arange(into.start, into.stop)] = 2
    S *= sketcher.sketch.signs().numpy()[:, None]
    expected = (X - X[0]).astype(np.float64) @ S
    np.testing.assert_allclose(whole.numpy(), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("spectrum", ["algebraic", "slow", "flat tail"])
def test_its_tail_is_what_no_basis_does_better_than(spectrum):
    Y, k = matrix(spectrum), 8
    s = np.linalg.svd(Y, compute_uv=False)
    ratios = []
    for seed in range(6):
        sketch = Sketch((N,), 3000, seed)
        V, e, energy = leading(Sketcher(sketch, 0 * Y[0], None).rows(Y), k, 4)
        assert V.shape == (k + 4, T)
        np.testing.assert_allclose(V @ V.T, np.eye(k + 4), atol=1e-6)
        ratios.append((energy - float(e[:k].sum())) / np.sum(s[k:] ** 2))
    assert 0.96 < np.mean(ratios) < 1.005
    assert np.std(ratios) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ratio", [0.8, 0.4, 0.2])  # of a singular value to the one before
@pytest.mark.parametrize("shape", [(500, 60), (60, 500)])
def test_left_vectors_come_from_the_smaller_square(shape, ratio, dtype, monkeypatch):
    """V and s^2 are those of the SVD, and no square is larger than the short side of B."""
    sizes, plain = [], sketches.eigh
    monkeypatch.setattr(sketches, "eigh", lambda G, k: (sizes.append(len(G)), plain(G, k))[1])
    rng = np.random.default_rng(3)
    U, W = (np.linalg.qr(rng.standard_normal((n, 60)))[0] for n in shape)
    B = (U * ratio ** np.arange(60)) @ W.T
    _, s, _ = np.linalg.svd(B - B.mean(0), full_matrices=False)
    V, e, energy = leading(torch.from_numpy(B + 0.01).to(dtype), 6, 2)
    assert set(sizes) == {60}
    np.testing.assert_allclose(V @ V.T, np.eye(8), atol=1e-12)
    np.testing.assert_allclose(e, s[:8] ** 2, rtol=1e-3, atol=1e-6 * s[0] ** 2)
    assert energy == pytest.approx(np.sum(s**2), rel=1e-5)
    Y = B - B.mean(0)
    left = np.linalg.norm(Y - V.numpy().T[:, :6] @ (V.numpy()[:6] @ Y))
    assert left <= 1.001 * np.sqrt(np.sum(s[6:] ** 2))


def test_fewer_directions_than_are_asked_for():
    """Two of them, in a sketch taller than it is wide: the rest is orthonormal all the same."""
    t = np.linspace(0, 20, 300)[:, None]
    B = np.sin(t) * np.ones(40) + np.cos(2 * t) * np.arange(40)
    V, e, _ = leading(torch.from_numpy(B), 4, 2)
    np.testing.assert_allclose(V @ V.T, np.eye(6), atol=1e-12)
    assert (e[2:] < 1e-9 * e[0]).all()


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("spectrum", SPECTRA)
def test_two_looks_give_modes_within_a_percent_of_the_best(spectrum, held):
    rng = np.random.default_rng(1)
    factor, shift = rng.uniform(0.5, 2, N), rng.standard_normal(N)
    factor[100:200] = 0  # masked
    X = (matrix(spectrum) + shift).astype(np.float32)
    shift = X.mean(0, dtype=np.float64)
    Y = (X - shift) * factor
    s = np.linalg.svd(Y, compute_uv=False)
    reads, k = [], 5
    options = {"shift": shift, "factor": factor, "dtype": X.dtype, "total": float(np.sum(Y**2))}
    found = decompose(
        cut(X, reads=reads), X.shape, k, "randomized", panel_bytes=1 << 30 if held else 1, **options
    )
    best = np.sqrt(np.sum(s[k:] ** 2))
    lost = error(Y, found.modes.astype(float))
    assert lost <= 1.01 * best + 2e-6 * s[0]
    assert lost <= (1 + found.excess) * 1.005 * best + 2e-6 * s[0]
    assert 0 <= found.excess < 0.011
    np.testing.assert_allclose(found.s, s[: len(found.s)], rtol=0.02, atol=1e-6 * s[0])
    assert np.all(found.modes[:, 100:200] == 0)
    if spectrum in ("algebraic", "slow", "flat tail"):
        assert len(reads) == (1 if held else 2)


@pytest.mark.parametrize("held", [True, False])
def test_a_sketch_that_is_not_near_enough_only_begins(held, monkeypatch):
    monkeypatch.setattr("romae.linalg.randomized.NEAR", -1.0)
    Y = matrix("slow")
    s = np.linalg.svd(Y, compute_uv=False)
    found = decompose(cut(Y), Y.shape, 5, "randomized", panel_bytes=1 << 30 if held else 1)
    assert error(Y, found.modes.astype(float)) <= 1.003 * np.sqrt(np.sum(s[5:] ** 2))
    np.testing.assert_allclose(found.s, s[:5], rtol=5e-3)


@pytest.mark.parametrize("panel_bytes", [1 << 30, 1])
def test_small_singular_values_are_found_in_double(panel_bytes):
    Y = matrix("fast")
    s = np.linalg.svd(Y, compute_uv=False)
    k = 26
    assert s[k - 1] < 5e-6 * s[0]
    found = decompose(cut(Y), Y.shape, k, "randomized", panel_bytes=panel_bytes)
    np.testing.assert_allclose(found.s, s[:k], rtol=1e-2)
    assert error(Y, found.modes) <= 1.01 * np.sqrt(np.sum(s[k:] ** 2))


@pytest.mark.parametrize("panel_bytes", [1 << 30, 1])
def test_rank_by_energy(panel_bytes):
    Y = matrix()
    energy = np.cumsum(np.linalg.svd(Y, compute_uv=False) ** 2)
    energy /= energy[-1]
    for fraction in (0.5, 0.9, 0.99):
        found = decompose(cut(Y), Y.shape, fraction, "randomized", panel_bytes=panel_bytes)
        assert abs(len(found.modes) - (np.searchsorted(energy, fraction) + 1)) <= 1
        assert np.sum(found.s**2) / found.total >= fraction


@given(edges=st.sets(st.integers(1, T - 1), max_size=5), mean=st.sampled_from([0.0, 1e3]))
@settings(deadline=None, max_examples=15)
def test_parts_of_a_pass_add_up(edges, mean):
    """Any cut into parts, summed apart and merged, is the pass over all rows."""
    rng = np.random.default_rng(0)
    n, X = 80, rng.standard_normal((T, 80)) + mean
    shift, factor = X.mean(0), rng.uniform(0.5, 2, n)
    Y = (X - shift) * factor
    affine = Affine.of(shift, factor, n, about=np.linalg.norm(Y) / T**0.5)
    assert affine.explicit == (mean > 0)
    P, V = (torch.from_numpy(rng.standard_normal((4, m))) for m in (n, T))
    blocks = list(cut(X, edges)())
    C = Y @ P.numpy().T

    def merged(parts: list[Pass]) -> Pass:
        whole = parts[0]
        for part in parts[1:]:
            whole.merge(part)
        return whole.complete(affine)

    found = merged([multiply([b], P * affine.factor, affine, energy=True) for b in blocks])
    np.testing.assert_allclose(found.D, C.T @ Y, rtol=1e-8, atol=1e-6)
    np.testing.assert_allclose(found.G, C.T @ C, rtol=1e-8, atol=1e-6)
    assert found.total == pytest.approx(np.sum(Y**2))
    found = merged([project([b], V, affine, energy=True) for b in blocks])
    np.testing.assert_allclose(found.D, V.numpy() @ Y, rtol=1e-8, atol=1e-7)
    assert found.total == pytest.approx(np.sum(Y**2))
