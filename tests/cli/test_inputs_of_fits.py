"""``romae fit --dynamics`` with inputs, uneven times and auto; ``--compare`` with inputs."""

import importlib

import numpy as np
import pytest
import xarray as xr

import romae

N = 120


@pytest.fixture
def sea(tmp_path):
    """sea.nc and wind.nc in the working folder; every 37th snapshot of gappy.nc is missing."""
    force, z = np.random.default_rng(0).normal(size=N), np.zeros(N)
    for n in range(N - 1):
        z[n + 1] = 0.9 * z[n] + force[n]
    x, axis = np.linspace(0, 1, 12), ("time", 0.1 * np.arange(N), {"units": "s"})
    data = xr.Dataset({"u": (("time", "x"), z[:, None] * np.sin(3 * x))}, {"time": axis, "x": x})
    data.to_netcdf(tmp_path / "sea.nc")
    data.isel(time=np.delete(np.arange(N), [37, 74])).to_netcdf(tmp_path / "gappy.nc")
    wind = xr.Dataset({"wind": ("time", force)}, {"time": axis})
    wind.to_netcdf(tmp_path / "wind.nc")
    return data, wind


@pytest.mark.filterwarnings("ignore:.*The forecast extrapolates")  # of winds a little stronger
def test_fit_with_inputs_is_the_python_fit(call, call_json, sea):
    data, wind = sea
    words = ["fit", "pod", "sea.nc", "-o", "sea.rom", "--latent", 1, "--dynamics", "opinf"]
    facts = call_json(*words, "--inputs", "wind.nc", "--split", "0.7,0.3")
    assert facts["horizon"] is None
    facts = call_json(*words, "--inputs", "wind.nc", "--split", "0.5,0.3,0.2", "--overwrite")
    assert facts["horizon"]["of"] == "fields"
    train, valid, _ = romae.open_snapshots(data).split(0.5, 0.3, 0.2)
    own = romae.ReducedModel(romae.POD(1), romae.OperatorInference()).fit(train, valid, inputs=wind)
    begin = data.isel(time=slice(0, 70))
    loaded = romae.load("sea.rom")
    np.testing.assert_allclose(
        loaded.forecast(begin, 20, inputs=wind).u, own.forecast(begin, 20, inputs=wind).u, atol=1e-6
    )
    call("forecast", "sea.rom", "sea.nc", "--split", "0.5,0.5", "--steps", 9, "-o", "f.nc",
         "--inputs", "wind.nc")  # fmt: skip
    ranked = call_json(
        "forecast", "sea.rom", "sea.nc", "--compare", "--steps", 8, "--starts", 4, "--kinds",
        "opinf", "--split", "0.5,0.25,0.25", "--inputs", "wind.nc"
    )  # fmt: skip
    assert ranked["models"][0]["model"] == "OperatorInference"
    assert any("(wind) are known to OperatorInference" in line for line in ranked["verdict"])


def test_fit_of_uneven_times(call, call_json, sea):
    words = ["fit", "pod", "gappy.nc", "-o", "sea.rom", "--latent", 1, "--dynamics", "opinf"]
    assert "uneven time steps" in " ".join(call(*words, status=2).stderr.split())
    call(*words, "--resample", "median", "--inputs", "wind.nc", "--split", "0.7,0.15,0.15")
    model = romae.load("sea.rom")
    assert model.dynamics.dt.size == pytest.approx(0.1)
    assert model.horizon.of == "latents"
    call(*words, "--resample", "0.2 s", "--overwrite")
    assert romae.load("sea.rom").dynamics.dt.size == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--inputs", "wind.nc"), "without --dynamics"),
        (("--resample", "6 h"), "without --dynamics"),
        (("--dynamics", "dmd", "--inputs", "wind.nc"), "takes no inputs"),
        (("--dynamics", "opinf", "--inputs", "no.nc"), "no data file 'no.nc'"),
        (("--dynamics", "opinf", "--inputs", "sea.nc"), "select the rest away"),
        (("--dynamics", "auto", "--set", "dynamics.hidden=3"), "Name the model"),
        (("--dynamics", "atuo"), "unknown dynamics 'atuo'"),
    ],
)
def test_what_does_not_go_together(call, sea, words, text):
    shown = call("fit", "pod", "sea.nc", "-o", "x.rom", "--latent", 1, *words, status=2).stderr
    assert text in " ".join(shown.split())


def test_an_uneven_history_goes_on_by_the_step_of_the_model(call, sea):
    words = ["fit", "pod", "sea.nc", "-o", "sea.rom", "--latent", 1, "--dynamics", "dmd"]
    call(*words, "--set", "dynamics.delays=3")
    sea[0].isel(time=np.delete(np.arange(N), N - 2)).to_netcdf("late.nc")
    ahead = ["forecast", "sea.rom", "late.nc", "--steps", 3, "-o", "f.nc"]
    assert "--resample" in call(*ahead, status=2).stderr
    shown = call(*ahead, "--resample", "1 s", status=2).stderr
    assert "DMD steps by 0.1 s" in " ".join(shown.split())
    call(*ahead, "--resample", "median")
    with xr.open_dataset("f.nc") as found:
        np.testing.assert_allclose(found.time, 0.1 * np.arange(N, N + 3))


def test_auto_keeps_the_ranking(call, call_json, sea, monkeypatch):
    import romae.kinds

    few = {k: romae.kinds.DYNAMICS[k] for k in ("persistence", "climatology", "dmd", "opinf")}
    module = importlib.import_module("romae.compare.candidates")
    monkeypatch.setattr(module, "DYNAMICS", few)
    facts = call_json(
        "fit", "pod", "sea.nc", "-o", "sea.rom", "--latent", 1, "--dynamics", "auto", "--inputs",
        "wind.nc", "--split", "0.5,0.3,0.2"
    )  # fmt: skip
    assert facts["dynamics"] == "OperatorInference"
    assert romae.load("sea.rom").choice[0]["model"] == "OperatorInference"
