"""``romae modes`` writes what the Python functions return."""

import os

import numpy as np
import pytest
import xarray as xr

import romae


@pytest.mark.slow
def test_modes(call, call_json, chaos, tmp_path):
    found = call_json("modes", chaos, "-o", "m", "--rank", "6", "--spectral", "--block", "64")
    assert found["modes"] == 6
    assert found["spectral"]["block"] == 64
    assert {
        "energy.png",
        "convergence.png",
        "modes-u.png",
        "spectrum.png",
        "spectral-u.png",
    } == set(found["figures"])
    for name in found["figures"]:
        assert os.path.getsize(tmp_path / "m" / name) > 5000
    snapshots = romae.open_snapshots(chaos)
    pod = romae.load(tmp_path / "m" / "pod.rom")
    with xr.open_dataset(tmp_path / "m" / "modes.nc") as modes:
        np.testing.assert_array_equal(modes.u, pod.modes.u)
        np.testing.assert_allclose(modes.energy, np.diff(pod.energy[:6], prepend=0), rtol=1e-6)
    spectral = romae.spectral_pod(snapshots, block=64)
    with xr.open_dataset(tmp_path / "m" / "spectral.nc") as saved:
        np.testing.assert_allclose(saved.energy, spectral.energy, rtol=1e-6)
        back = saved.u_real.values + 1j * saved.u_imag.values
        np.testing.assert_allclose(back, spectral.u, rtol=1e-5, atol=1e-7)
    with xr.open_dataset(tmp_path / "m" / "convergence.nc") as saved:
        assert saved.attrs["verdict"] == found["verdict"]
    assert "--overwrite" in call("modes", chaos, "-o", "m", status=2).stderr


@pytest.mark.slow
def test_pdf_and_text(call, chaos, tmp_path):
    said = call("modes", chaos, "-o", "m", "--rank", "0.9", "--format", "pdf").stdout
    assert "of the energy" in said
    assert "wrote m" in said
    assert (tmp_path / "m" / "energy.pdf").read_bytes().startswith(b"%PDF")
    assert not (tmp_path / "m" / "spectral.nc").exists()


@pytest.mark.slow
def test_uneven_times_are_refused_at_once(call, tmp_path):
    u = np.random.default_rng(0).standard_normal((40, 8))
    time = np.arange(40.0) ** 1.5
    xr.Dataset({"u": (("time", "x"), u)}, {"time": time}).to_netcdf(tmp_path / "uneven.nc")
    said = call("modes", "uneven.nc", "-o", "m", "--spectral", status=2).stderr
    assert "interp(time=" in said
    assert not (tmp_path / "m").exists()
    call("modes", "uneven.nc", "-o", "m")
