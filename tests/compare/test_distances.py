"""Distances of long runs have no units, and axes of spectra have the right ones."""

import numpy as np
import pytest
import xarray as xr

from romae.compare import compare_statistics
from romae.compare.ranked import add_costs
from romae.dynamics import DMD, Climatology
from romae.fields import open_snapshots
from romae.model import ReducedModel
from romae.reducers import POD

OMEGA, WAVE, DT, LENGTH = 1.5, 3, 0.1, 4.0


def flow(factor=1.0, offset=0.0):
    """A wave of three periods over a length of 4, and a slower one of one."""
    t, x = DT * np.arange(240)[:, None], LENGTH * np.arange(32) / 32
    k = 2 * np.pi / LENGTH
    u = np.cos(WAVE * k * x - OMEGA * t) + 0.2 * np.sin(k * x - 0.3 * t)
    u = u + 0.05 * np.random.default_rng(0).standard_normal(u.shape)
    coords = {
        "time": ("time", DT * np.arange(240), {"units": "s"}),
        "x": ("x", x, {"units": "m", "periodic": 1}),
    }
    return open_snapshots(xr.Dataset({"u": (("time", "x"), factor * u + offset)}, coords))


@pytest.fixture(scope="module")
def pair():
    """Of one flow, in two units and about two levels."""
    found = []
    for data in (flow(), flow(1000.0, 5e4)):
        train, test = data.isel(time=slice(0, 120)), data.isel(time=slice(120, 240))
        pod = POD(4).fit(train, device="cpu")
        models = {
            "dmd": ReducedModel(pod, DMD()).fit(train),
            "mean": ReducedModel(pod, Climatology()).fit(train),
        }
        found.append(compare_statistics(models, test, steps=150, lyapunov="skip"))
    return found


def test_distances_do_not_know_the_unit(pair):
    one, other = pair
    names = [n for n in one.data_vars if "distance" in n or "wasserstein" in n]
    assert len(names) >= 5
    for name in names:
        np.testing.assert_allclose(other[name], one[name], rtol=0.02, atol=2e-3, err_msg=name)
    np.testing.assert_allclose(other.pdf * 1000, one.pdf, rtol=0.05, atol=5e-3 * one.pdf.max())
    centres = 1000 * one.value + 5e4
    np.testing.assert_allclose(other.value, centres, rtol=1e-3, atol=20)


def test_powers_peak_at_the_frequency_and_the_wave_number(pair):
    for found in pair:
        for model in ("test data", "dmd"):
            row = found.sel(model=model, field="u")
            over = row.time_spectrum.isel(frequency=slice(1, None))
            peak = float(over.frequency[over.values.argmax()])
            assert peak == pytest.approx(OMEGA / (2 * np.pi), abs=float(found.frequency[1]))
            over = row.space_spectrum_x.isel(wavenumber_x=slice(1, None))
            peak = float(over.wavenumber_x[over.values.argmax()])
            assert peak == pytest.approx(2 * np.pi * WAVE / LENGTH, rel=1e-6)
        assert found.frequency.attrs["units"] == "s-1"


def test_a_step_of_many_rollouts_is_counted_per_start_and_lead():
    table = xr.Dataset({"error": (("model", "start", "lead"), np.zeros((2, 5, 4)))})
    add_costs(table, [(3.0, 0.25, 40.0, 800.0), (np.nan,) * 4])
    row = table.isel(model=0)
    assert [float(row[n]) for n in ("fit_seconds", "step_seconds", "nbytes")] == [3.0, 0.25, 800.0]
    assert float(row.batch_step_seconds) == 2.0  # of 40 seconds for 5 starts and 4 leads
    assert table.isel(model=1).drop_vars("error").to_array().isnull().all()
    assert table.batch_step_seconds.attrs["units"] == "s"
