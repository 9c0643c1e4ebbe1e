"""Convergence of the modes: angles that are known, and verdicts that follow."""

import numpy as np
import pytest
import scipy.linalg
import xarray as xr

import romae
from romae.diagnose.convergence import verdict
from romae.errors import DataError, OptionError

from .flows import broadband, wave


def test_modes_that_repeat_are_converged():
    found = romae.convergence(wave(128, cycles=32), pod=romae.POD(2))
    np.testing.assert_allclose(found.angle.sel(mode=2), 0, atol=0.1)
    np.testing.assert_allclose(found.energy.sel(mode=2), 1, rtol=1e-5)
    assert found.attrs["converged"] == 2
    assert "first 2 of 2 modes" in found.attrs["verdict"]


def test_two_halves_that_share_nothing_are_at_right_angles():
    x = np.arange(16)
    t = np.arange(64)[:, None]
    u = np.where(t < 32, np.cos(t) * (x < 8), np.cos(t) * (x >= 8)).astype("f4")
    data = xr.Dataset({"u": (("time", "x"), u)}, {"time": np.arange(64.0)})
    found = romae.convergence(data, pod=romae.POD(1))
    assert float(found.angle.sel(part="halves", mode=1)) == pytest.approx(90, abs=0.1)
    assert found.attrs["converged"] == 0
    assert "no mode" in found.attrs["verdict"]


def test_angles_are_those_of_subspaces():
    """Against scipy, on the modes of two separate fits of fields of one unit."""
    data = broadband(160)
    found = romae.convergence(data, pod=romae.POD(6))
    snapshots = romae.open_snapshots(data)
    first, second = snapshots.split(0.5, 0.5)
    root = np.sqrt(snapshots.layout.quadrature).reshape(-1, 1)

    def columns(pod, k):
        flat = np.stack([pod.modes[n].values for n in "uv"], 1)[:k].reshape(k, -1)
        return np.nan_to_num(flat).T * root

    pods = [romae.POD(6).fit(part, device="cpu") for part in (first, second, snapshots)]
    for k in (1, 3, 6):
        U, V, whole = (columns(pod, k) for pod in pods)
        expected = np.degrees(scipy.linalg.subspace_angles(U, V).max())
        assert float(found.angle.sel(part="halves", mode=k)) == pytest.approx(expected, abs=0.1)
        expected = np.degrees(scipy.linalg.subspace_angles(U, whole).max())
        assert float(found.angle.sel(part="1/2", mode=k)) == pytest.approx(expected, abs=0.1)


def test_no_modes_hold_more_than_those_of_all():
    found = romae.convergence(broadband(160), pod=romae.POD(8))
    assert np.all(found.energy.values <= found.best.values * (1 + 1e-6) + 1e-9)
    pod = romae.POD(8).fit(broadband(160), device="cpu")
    np.testing.assert_allclose(found.best, pod.energy[:8], rtol=1e-5)


def test_short_parts_have_fewer_modes():
    found = romae.convergence(broadband(40), pod=romae.POD(10))
    missing = np.isnan(found.angle.sel(part="1/8"))
    assert list(missing.values) == [False] * 4 + [True] * 6  # 5 snapshots have 4 modes
    assert np.isnan(found.energy.sel(part="1/8")).sum() == 6


def test_a_fitted_pod_is_the_whole():
    pod = romae.POD(4).fit(broadband(), device="cpu")
    given, fresh = romae.convergence(broadband(), pod=pod), romae.convergence(broadband())
    np.testing.assert_allclose(given.angle, fresh.angle.sel(mode=given.mode), atol=0.1)


def test_wrong_use():
    with pytest.raises(DataError, match="at least 16"):
        romae.convergence(broadband(12))
    with pytest.raises(OptionError, match="tolerance"):
        romae.convergence(broadband(), tolerance=0)
    with pytest.raises(OptionError, match="other snapshots"):
        romae.convergence(broadband(), pod=romae.POD(2).fit(broadband(seed=3), device="cpu"))


def test_verdicts():
    assert verdict(np.array([50.0, 3.0, 20.0, np.nan]), 10)[1] == 2
    assert verdict(np.array([0.0]), 10)[0].startswith("the first mode is converged to 0.01")
    words, count = verdict(np.array([50.0, 40.0]), 10)
    assert words.startswith("no mode is converged to 10 degrees")
    assert "least 40" in words
    assert count == 0
