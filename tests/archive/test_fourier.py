"""Transforms that give the same bits everywhere, and wavelets."""

import numpy as np
import pytest

from romae.archive import fourier, wavelet
from romae.archive.fourier import radices, roots, transform
from romae.archive.pseudospectral import etd_draft, etd_tables
from romae.archive.wavelet import forward, inverse


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def run(x, function=transform):
    """Forward transform along the first axis of complex ``x`` (n, batch)."""
    n, batch = x.shape
    xr, xi = x.real.ravel().copy(), x.imag.ravel().copy()
    yr, yi = np.zeros_like(xr), np.zeros_like(xi)
    flipped = function(xr, xi, yr, yi, n, batch, radices(n), *roots(n))
    return (yr + 1j * yi if flipped else xr + 1j * xi).reshape(n, batch)


@pytest.mark.parametrize("n", [1, 2, 8, 12, 35, 48, 91, 128, 512])
def test_equals_the_definition(rng, n):
    x = rng.standard_normal((n, 3)) + 1j * rng.standard_normal((n, 3))
    np.testing.assert_allclose(run(x), np.fft.fft(x, axis=0), atol=1e-13 * n)


@pytest.mark.parametrize("n", [8, 15, 16])
def test_plain_python_gives_the_same_bits(rng, n, monkeypatch):
    x = rng.standard_normal((n, 2)) + 1j * rng.standard_normal((n, 2))
    expected = run(x)
    for name in ("_pass", "_pass2", "_pass4"):
        monkeypatch.setattr(fourier, name, getattr(fourier, name).py_func)
    assert np.array_equal(expected, run(x, transform.py_func))


def test_a_column_does_not_depend_on_its_batch(rng):
    x = rng.standard_normal((128, 9)) + 1j * rng.standard_normal((128, 9))
    assert np.array_equal(run(x)[:, 4:5], run(np.ascontiguousarray(x[:, 4:5])))


def test_roots_are_rounded_once():
    cosines, sines = roots(96)
    assert (cosines[0], sines[0], cosines[24], sines[24]) == (1.0, 0.0, 0.0, -1.0)
    assert np.array_equal(cosines[1:], cosines[:0:-1])
    angles = 2 * np.pi * np.arange(96) / 96
    np.testing.assert_allclose(cosines - 1j * -sines, np.exp(-1j * angles), atol=4e-16)


def test_large_prime_factors_are_refused():
    assert radices(2 * 17) is None


@pytest.mark.parametrize("shape", [(50,), (33, 40), (12, 17, 30)])
def test_wavelets_invert(rng, shape):
    x = rng.standard_normal((2, *shape))
    np.testing.assert_allclose(inverse(forward(x, len(shape)), len(shape)), x, atol=1e-13)


@pytest.mark.parametrize(
    "shape", [(50,), (33, 40), (11, 12), (255, 3), (12, 17, 30), (2, 13, 5, 14)]
)
def test_compiled_wavelets_have_the_bits_of_slices(rng, shape, monkeypatch):
    x = rng.standard_normal((2, *shape))
    quick = forward(x, len(shape)), inverse(x, len(shape))
    monkeypatch.setattr(wavelet, "numba", None)
    slow = forward(x, len(shape)), inverse(x, len(shape))
    for a, b in zip(quick, slow, strict=True):
        assert a.tobytes() == b.tobytes()


def test_wavelets_keep_noise_and_gather_smooth_fields(rng):
    noise = rng.standard_normal((4, 64, 64))
    assert 0.9 < np.std(forward(noise, 2)) < 1.1
    s = np.linspace(0, 1, 64)
    bent = forward(np.sin(3 * s[:, None] + 2 * s), 2)  # has a kink where it is mirrored
    assert np.sum(bent[16:, 16:] ** 2) < 1e-5 * np.sum(bent**2)
    smooth = forward(np.cos(np.pi * s[:, None]) * np.cos(2 * np.pi * s), 2)
    assert np.sum(smooth[16:, 16:] ** 2) < 1e-7 * np.sum(smooth**2)


@pytest.mark.parametrize("h", [1.0, 0.25])
def test_quick_tables_are_those_that_are_coded_with(h):
    c = np.concatenate([[0.0, 0.5], -np.logspace(-12, 3.5, 40)])
    for exact, quick in zip(etd_tables(c, h), etd_draft(c, h), strict=True):
        np.testing.assert_allclose(quick, exact, rtol=1e-9, atol=1e-13)
