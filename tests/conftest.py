"""A small study with everything that is said of forecasts, run once for all tests that read it."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

STUDY = """
[data]
files = "waves.nc"
split = [0.5, 0.2, 0.3]
[[reducers]]
kind = "pod"
latent = 4
[[dynamics]]
kind = "dmd"
[[dynamics]]
kind = "persistence"
name = "still"
[[dynamics]]
kind = "auto"
options = { models = ["opinf"], starts = 6, steps = 10 }
[forecast]
steps = 10
starts = 3
long_run = 60
ensemble = 5
"""


@pytest.fixture(scope="session")
def forecast_study(tmp_path_factory):
    """``folder`` with waves.nc, ``text`` of waves.toml, ``run`` the folder of its results."""
    from romae.progress import silent
    from romae.study import run_study

    folder = tmp_path_factory.mktemp("study")
    t, x = 0.1 * np.arange(200), 2 * np.pi * np.arange(16) / 16
    rng = np.random.default_rng(0)
    u = np.cos(x - t[:, None]) + 0.5 * np.cos(2 * x - 2.2 * t[:, None])
    u += 0.02 * rng.normal(size=u.shape)
    coords = {"time": ("time", t, {"units": "s"}), "x": ("x", x, {"units": "m", "periodic": 1})}
    xr.Dataset({"u": (("time", "x"), u, {"units": "m/s"})}, coords).to_netcdf(folder / "waves.nc")
    (folder / "waves.toml").write_text(STUDY)
    with silent():
        run_study(folder / "waves.toml", folder / "run")
    return SimpleNamespace(folder=folder, text=STUDY, run=folder / "run")
