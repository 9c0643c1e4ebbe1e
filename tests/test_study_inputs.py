"""``inputs`` and ``resample`` in a study, with the words of the Python interface."""

import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import DataError, MissingFileError, OptionError, UnreadableFileError
from romae.progress import silent
from romae.study import run_study

STUDY = """
[data]
files = "sea.nc"
split = [0.5, 0.25, 0.25]
inputs = "wind.nc"

[[reducers]]
kind = "pod"
latent = 1

[[dynamics]]
kind = "opinf"
options = { terms = "linear" }

[[dynamics]]
kind = "dmd"

[forecast]
steps = 10
starts = 4
"""
N = 160


@pytest.fixture
def folder(tmp_path):
    force, z = np.random.default_rng(0).normal(size=N), np.zeros(N)
    for n in range(N - 1):
        z[n + 1] = 0.9 * z[n] + force[n]
    x, t = np.linspace(0, 1, 12), 0.1 * np.arange(N)
    axis = ("time", t, {"units": "s"})
    xr.Dataset(
        {"u": (("time", "x"), z[:, None] * np.sin(3 * x))}, {"time": axis, "x": x}
    ).to_netcdf(tmp_path / "sea.nc")
    xr.Dataset({"wind": ("time", force)}, {"time": axis}).to_netcdf(tmp_path / "wind.nc")
    (tmp_path / "study.toml").write_text(STUDY)
    return tmp_path


def run(folder, *settings, **options):
    with silent():
        found = run_study(folder / "study.toml", folder / "run", settings=settings, **options)
    return [step["name"] for step in found.data["steps"] if step["done"]]


@pytest.mark.filterwarnings("ignore:.*The forecast extrapolates")  # of winds a little stronger
def test_dynamics_that_take_inputs_get_them_in_fit_horizon_and_forecast(folder):
    run(folder, until="forecast")
    told = romae.load(folder / "run/dynamics/pod-1+opinf.rom")
    blind = romae.load(folder / "run/dynamics/pod-1+dmd.rom")
    assert told.horizon.median == told.horizon.longest
    assert blind.horizon.median < told.horizon.median
    found = xr.load_dataset(folder / "run/forecast/forecasts.nc")
    error = found.error_median.sel(field="all").max("lead")
    assert float(error.sel(model="POD k=1 + OperatorInference")) < 1e-3
    assert float(error.sel(model="POD k=1 + DMD")) > 0.1
    # other winds, other models; the reducer has nothing to do with them
    wind = xr.load_dataset(folder / "wind.nc")
    (wind * 2).to_netcdf(folder / "wind.nc")
    again = run(folder, until="forecast")
    assert again == ["dynamics/pod-1+opinf", "dynamics/pod-1+dmd", "forecast"]
    # the same words in Python give the same forecast
    data = romae.open_snapshots(folder / "sea.nc")
    train, valid, test = data.split(0.5, 0.25, 0.25)
    own = romae.ReducedModel(romae.POD(1), romae.OperatorInference("linear"))
    own.fit(train, valid, inputs=wind * 2)
    study = romae.load(folder / "run/dynamics/pod-1+opinf.rom")
    one, other = (
        m.forecast(test.isel(time=slice(0, 9)), 20, inputs=2 * wind) for m in (own, study)
    )
    np.testing.assert_allclose(one.u, other.u, atol=1e-6)


def test_driven_models_are_in_long_runs_and_ensembles(folder):
    run(folder, "forecast.long_run=200", "forecast.ensemble=5", until="forecast")
    long = xr.load_dataset(folder / "run/forecast/statistics.nc")
    names = ["POD k=1 + OperatorInference", "POD k=1 + DMD"]
    assert list(long.model.values[1:3]) == names
    assert long.attrs["inputs"] == f"wind: {names[0]}"
    moving = long.functional_std.sel(functional="energy") / long.functional_std[0].sel(
        functional="energy"
    )
    assert float(moving.sel(model=names[0])) > 0.5
    assert float(moving.sel(model=names[1])) < 0.5  # it knows of no wind and dies away
    spread = xr.load_dataset(folder / "run/forecast/calibration.nc")
    assert list(spread.model.values) == ["POD k=1 + OperatorInference"]  # the better of the two
    assert float(spread.skill[0, 0, -1]) < 0.05


def test_auto_is_told_of_inputs_and_steps(folder):
    data = xr.load_dataset(folder / "sea.nc")
    data.isel(time=np.delete(np.arange(N), [7, 99, 150])).to_netcdf(folder / "sea.nc")
    choice = '["opinf", "koopman"], starts = 4, steps = 8'
    text = STUDY.partition("[[dynamics]]")[0] + (
        f'[[dynamics]]\nkind = "auto"\noptions = {{ models = {choice} }}\n'
        "[forecast]\nsteps = 10\nstarts = 4\n"
    )
    (folder / "study.toml").write_text(text)
    with pytest.raises(OptionError, match=r'uneven.*resample = "6 h"'):
        run(folder, until="forecast")
    assert not (folder / "run/models").exists()
    run(folder, "data.resample=0.1", until="forecast")
    ranking = xr.load_dataset(folder / "run/dynamics/pod-1+auto.choice/dynamics.nc")
    assert ranking.model.values[0] == "OperatorInference"
    assert "(wind) are known to OperatorInference;" in ranking.attrs["verdict"]
    rom = romae.load(folder / "run/dynamics/pod-1+auto.rom")
    assert rom.dynamics.dt.size == pytest.approx(0.1)
    assert rom.horizon.of == "latents"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (("wind.nc", "storm.nc"), MissingFileError, r"\[data\].inputs.*storm.nc"),
        (("wind.nc", "study.toml"), UnreadableFileError, r"cannot be read.*netCDF"),
        (("wind.nc", "sea.nc"), DataError, r"over 'time'.*select the rest"),
        (('inputs = "wind.nc"', "resample = 'soon'"), OptionError, "soon"),
        (('kind = "opinf"\noptions = { terms = "linear" }', 'kind = "koopman"'), OptionError,
         r"none of the dynamics \(Koopman, DMD\) takes inputs"),
        (('inputs = "wind', 'input = "wind'), OptionError, "Did you mean 'inputs'"),
        (('inputs = "wind.nc"', "inputs = 3"), OptionError, "expected a string"),
    ],
)  # fmt: skip
def test_wrong_inputs_are_found_before_any_work(folder, change, error, words):
    (folder / "study.toml").write_text(STUDY.replace(*change))
    with pytest.raises(error, match=words):
        run(folder)
    assert not (folder / "run/models").exists()


def test_inputs_and_steps_say_nothing_to_a_reducer(folder):
    text = STUDY.partition("[[dynamics]]")[0]
    (folder / "study.toml").write_text(text)
    with pytest.raises(OptionError, match=r"inputs = .*without \[\[dynamics\]\]"):
        run(folder)


def test_a_series_that_ends_before_the_data(folder):
    wind = xr.load_dataset(folder / "wind.nc").isel(time=slice(0, 100))
    wind.to_netcdf(folder / "wind.nc")
    with pytest.raises(DataError, match="inputs are missing from"):
        run(folder)
    assert not (folder / "run/models").exists()
