"""Coded modes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from romae.archive import coded_pod
from romae.archive.coded_pod import CodedPOD, arrange, disarrange, from_wavelets, to_wavelets
from romae.archive.coded_pod_fit import fit_pod
from romae.archive.entropy import encode_integers
from romae.archive.method import UnsuitableError
from romae.errors import ArchiveError

from .flows import bounds, wave, worst


def blocks(x, size=50):
    return lambda: (x[i : i + size] for i in range(0, len(x), size))


@pytest.fixture(scope="module")
def example():
    x = wave(noise=2e-5)
    eps = bounds(x, 1e-3)
    return x, eps, fit_pod(blocks(x), eps)


def test_decodes_to_what_was_encoded_within_the_bound(example):
    x, eps, method = example
    payload, decoded = method.encode(x, eps)
    again = CodedPOD.from_bytes(method.to_bytes())
    assert np.array_equal(again.decode(payload, x.shape, eps), decoded)
    assert worst(decoded, x, eps) < 1 + 1e-9


def test_finds_the_rank_and_the_symmetry(example):
    _, _, method = example
    assert method.rank == 2
    assert method.fold == (0,)  # even and odd along y


def test_all_bytes_pay(example):
    """Modes, coefficients and residual against the same residual coder without modes."""
    x, eps, method = example
    whole = len(method.to_bytes()) + len(method.encode(x, eps)[0])
    q = np.rint(x / (2 * eps.reshape(-1, 1, 1))).astype(np.int64)
    assert 10 * whole < len(encode_integers(q))
    assert 100 * whole < x.size * 4


def test_noise_is_left_to_the_residual():
    x = wave(noise=0.01)
    eps = bounds(x, 1e-2)
    method = fit_pod(blocks(x), eps)
    payload, decoded = method.encode(x, eps)
    assert worst(decoded, x, eps) < 1 + 1e-9
    assert np.array_equal(method.decode(payload, x.shape, eps), decoded)


def test_modes_of_blocks_are_the_singular_vectors():
    """Rank 2 about the mean, whatever the blocks; the incremental basis loses nothing."""
    x = wave()
    eps = bounds(x, 1e-3)
    a, b = fit_pod(blocks(x, 7), eps), fit_pod(blocks(x, 120), eps)
    assert a.rank == b.rank == 2
    unit = eps.reshape(-1, 1, 1)
    flat = ((x - x.mean(axis=0)) / unit).reshape(len(x), -1)
    _, s, vh = np.linalg.svd(flat, full_matrices=False)
    for method in (a, b):
        psi = from_wavelets(method.q * method.step, method.fold)[1:].reshape(2, -1)
        size = np.linalg.norm(psi, axis=1)
        np.testing.assert_allclose(size * np.sqrt(len(x)), s[:2], rtol=1e-2)
        inside = np.linalg.norm(psi @ vh[:2].T, axis=1)
        np.testing.assert_allclose(inside / size, 1.0, atol=1e-3)


def test_unseen_snapshots(example):
    """Later times of the same wave are coded by the modes of the earlier ones."""
    _, eps, method = example
    later = wave(400, noise=2e-5, seed=3)[300:]
    payload, decoded = method.encode(later, eps)
    assert worst(decoded, later, eps) < 1 + 1e-9
    assert len(payload) < later.size * 4 / 300


@pytest.mark.parametrize("length", [1, 2, 7, 64])
def test_any_chunk_length(example, length):
    x, eps, method = example
    payload, decoded = method.encode(x[:length], eps)
    assert worst(decoded, x[:length], eps) < 1 + 1e-9
    assert np.array_equal(method.decode(payload, (length, *x.shape[1:]), eps), decoded)


@pytest.mark.slow
def test_same_values_with_other_threads_and_plain_python(example, tmp_path, monkeypatch):
    x, eps, method = example
    payload, decoded = method.encode(x[:20], eps)
    (tmp_path / "side").write_bytes(method.to_bytes())
    (tmp_path / "payload").write_bytes(payload)
    np.savez(tmp_path / "expected.npz", decoded=decoded, eps=eps)
    script = (
        "import numpy as np, pathlib, sys\n"
        "from romae.archive.coded_pod import CodedPOD\n"
        "p = pathlib.Path(sys.argv[1]); e = np.load(p / 'expected.npz')\n"
        "m = CodedPOD.from_bytes((p / 'side').read_bytes())\n"
        "d = m.decode((p / 'payload').read_bytes(), e['decoded'].shape, e['eps'])\n"
        "assert np.array_equal(d, e['decoded'])\n"
    )
    threads = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=threads)
    for name in ("sum_modes", "recur"):
        monkeypatch.setattr(coded_pod, name, getattr(coded_pod, name).py_func)
    assert np.array_equal(method.decode(payload, decoded.shape, eps), decoded)


@pytest.mark.parametrize("fold", [(), (0,), (1,)])
def test_wavelets_of_halves_invert(fold):
    psi = np.random.default_rng(0).standard_normal((3, 2, 24, 32))
    y = to_wavelets(psi, fold)
    np.testing.assert_allclose(from_wavelets(y, fold), psi, atol=1e-13)
    q = np.rint(10 * y).astype(np.int64)
    assert np.array_equal(disarrange(arrange(q, fold), q.shape, fold), q)


@pytest.mark.parametrize("space", [(50,), (12, 16, 20), (7, 9)])
def test_any_number_of_axes(space):
    rng = np.random.default_rng(0)
    modes = rng.standard_normal((2, 1, *space))
    a = np.stack([np.sin(0.3 * np.arange(60)), np.cos(0.3 * np.arange(60))], axis=1)
    x = np.tensordot(a, modes, 1)
    eps = bounds(x, 1e-3)
    method = fit_pod(blocks(x), eps)
    payload, decoded = method.encode(x, eps)
    assert worst(decoded, x, eps) < 1 + 1e-9
    again = CodedPOD.from_bytes(method.to_bytes())
    assert np.array_equal(again.decode(payload, x.shape, eps), decoded)


def test_says_no_where_modes_cannot_pay():
    noise = np.random.default_rng(0).standard_normal((300, 1, 40, 40))
    assert fit_pod(blocks(noise), bounds(noise, 1e-3)) is None
    assert fit_pod(blocks(wave(8)), np.full(2, 1e-3)) is None  # few snapshots
    assert fit_pod(blocks(np.ones((60, 1, 30))), np.full(1, 1e-3)) is None  # no change at all


def test_refuses_other_grids_and_cut_payloads(example):
    x, eps, method = example
    with pytest.raises(UnsuitableError, match="its modes have"):
        method.encode(x[:, :, :16], eps)
    payload, _ = method.encode(x[:9], eps)
    with pytest.raises(ArchiveError, match="cut off"):
        method.decode(payload[:6], (9, *x.shape[1:]), eps)
