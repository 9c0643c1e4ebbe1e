"""``romae denoise``: noise and gaps, file to file."""

import numpy as np
import pytest
import xarray as xr

import romae


@pytest.fixture
def clean():
    t, x = 0.1 * np.arange(120)[:, None], 2 * np.pi * np.arange(16) / 16
    u = np.cos(t - x) + 0.3 * np.cos(2 * (t - x)) + 5
    coords = {"time": t[:, 0], "x": ("x", x, {"periodic": 1})}
    return xr.DataArray(u, dims=("time", "x"), coords=coords, name="u").to_dataset()


@pytest.fixture
def model(clean, tmp_path):
    train = romae.TrainConfig(steps=400, lr=5e-3)
    fitted = romae.DenoisingAutoencoder(2, noise=0.5, hidden=(32,), train=train)
    return str(fitted.fit(clean.isel(time=slice(0, 90)), device="cpu").save(tmp_path / "d.rom"))


def test_noise_goes_and_the_flow_stays(call, model, clean, tmp_path):
    truth = clean.isel(time=slice(90, None))
    noisy = truth + 0.3 * np.random.default_rng(0).standard_normal(truth.u.shape)
    noisy.to_netcdf("noisy.nc")
    call("denoise", model, "noisy.nc", "-o", "restored.nc")
    with xr.open_dataset("restored.nc") as restored:
        left = float(((restored.u - truth.u) ** 2).mean())
    assert left < 0.3 * float(((noisy.u - truth.u) ** 2).mean())
    pod = romae.POD(2).fit(clean.isel(time=slice(0, 90)), device="cpu")
    assert left < float(((pod.reconstruct(noisy).u - truth.u) ** 2).mean())


def test_gaps_are_closed_when_asked(call, model, clean):
    torn = clean.isel(time=slice(90, None)).copy(deep=True)
    torn.u[3, 4:7] = np.nan
    torn.to_netcdf("torn.nc")
    said = call("denoise", model, "torn.nc", "-o", "restored.nc", status=2).stderr
    assert "NaN at 3 of 16" in said
    call("denoise", model, "torn.nc", "-o", "restored.nc", "--gaps", "mean")
    with xr.open_dataset("restored.nc") as restored:
        gap = float(abs(restored.u[3, 4:7] - clean.u[93, 4:7]).max())
    assert gap < float(abs(clean.u[93, 4:7] - clean.u.mean("time")[4:7]).max())


def test_an_output_that_exists_is_kept(call, model, clean):
    clean.to_netcdf("a.nc")
    assert "--overwrite" in call("denoise", model, "a.nc", "-o", "a.nc", status=2).stderr
