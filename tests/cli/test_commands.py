"""The commands do what the Python API does, on files."""

import re

import numpy as np
import pytest
import xarray as xr

import romae

SPLIT = ["--split", "0.7,0.15,0.15"]


@pytest.fixture(scope="session")
def pod(chaos, tmp_path_factory):
    """POD of the training part of ``chaos``, saved by the command."""
    from click.testing import CliRunner

    from romae.cli import main

    path = tmp_path_factory.mktemp("models") / "pod.rom"
    words = ["fit", "pod", str(chaos), "-o", str(path), "--latent", "8", *SPLIT]
    result = CliRunner(catch_exceptions=False).invoke(main, words)
    assert result.exit_code == 0, result.output
    return path


def test_fit_names_every_kind(call):
    from romae.kinds import REDUCERS

    said = call("fit", "--help").stdout
    for kind in REDUCERS:
        assert re.search(rf"^  .*(?<![\w-]){kind}(?![\w-])", said, re.M), kind
    assert "--set axes=x --set inner=pod" in said


def test_aligned_takes_its_options_and_those_inside(call, tmp_path):
    x = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    u = np.cos(x - np.arange(40)[:, None] * 0.3) + 0.3 * np.cos(2 * x)
    axes = {"time": np.arange(40.0), "x": x}
    xr.Dataset({"u": (("time", "x"), u)}, axes).to_netcdf(tmp_path / "wave.nc")
    words = ["fit", "aligned", "wave.nc", "-o", "wave.rom", "--set", "inner=pod"]
    assert "open the data with --periodic x" in call(*words, status=2).stderr
    words += ["--periodic", "x"]
    wrong = call(*words, "--set", "axis=x", status=2).stderr
    assert "'axis'. Expected one of: axes, inner, rank" in wrong
    assert "Did you mean 'axes'?" in wrong
    for size in (["--latent", "4"], ["--set", "latent=4"]):
        call(*words, "--set", "axes=x", *size, "--overwrite")
        model = romae.load(tmp_path / "wave.rom")
        assert (model.latent, model.fitted.latent) == (4, 2)


def test_data_list_and_show(call, call_json):
    listed = call_json("data", "list")
    names = [case["name"] for case in listed["cases"]]
    assert "cylinder" in names
    assert set(names) <= set(call("data", "list").stdout.split())
    assert call_json("data", "show", "burgers")["card"].startswith("# ")


def test_data_make(call, call_json, tmp_path):
    made = call_json("data", "make", "burgers", "--size", "tiny", "--set", "snapshots=7")
    assert made["bytes"] == (tmp_path / made["path"]).stat().st_size
    with xr.open_dataset(tmp_path / made["path"]) as data:
        assert data.sizes["time"] == 7
    again = call("data", "make", "burgers", "--size", "tiny", status=2)
    assert "--overwrite" in again.stderr
    call("data", "make", "burgers", "--size", "tiny", "--overwrite")


def test_info(call, call_json, chaos, tmp_path):
    found = call_json("info", chaos)
    assert found["shape"] == [280, 1, 64]
    assert "nothing wrong" in call("info", chaos).stdout
    bad = xr.Dataset({"u": (("time", "x"), np.full((3, 4), np.nan))}, {"time": [0.0, 1.0, 2.0]})
    bad.to_netcdf(tmp_path / "bad.nc")
    assert "error: " in call("info", "bad.nc", status=1).stdout
    assert call_json("info", "bad.nc", status=1)["findings"][-1]["level"] == "error"
    call("info", "missing.nc", status=2)
    speed = call_json("info", chaos, "--speed")["speed"]
    assert min(speed.values()) > 0
    assert "snapshots/s) once the files are in memory" in call("info", chaos, "--speed").stdout


def test_data_options_reach_the_data(call_json, chaos):
    assert call_json("info", chaos, "--variables", "u", "--space", "x")["fields"] == {"u": "1"}


def test_unknown_variable_is_wrong_use(call, chaos):
    assert "'w'" in call("info", chaos, "--variables", "w", status=2).stderr


def test_fit_is_the_python_fit(pod, chaos):
    train, _, test = romae.open_snapshots(chaos).split(0.7, 0.15, 0.15)
    here, saved = romae.POD(8).fit(train), romae.load(pod)
    np.testing.assert_array_equal(here.encode(test).values, saved.encode(test).values)


def test_fit_refuses_before_work(call, pod, chaos):
    assert "--overwrite" in call("fit", "pod", chaos, "-o", pod, status=2).stderr
    assert "65" in call("fit", "pod", chaos, "-o", "x.rom", "--latent", "65", status=2).stderr
    assert "many" in call("fit", "pod", chaos, "-o", "x.rom", "--latent", "many", status=2).stderr
    call("fit", "pod", chaos, "-o", "x.rom", "--split", "0.7", status=2)


def test_encode_then_decode(call, pod, chaos, tmp_path):
    call("encode", pod, chaos, "-o", "z.nc")
    call("decode", pod, "z.nc", "-o", "back.nc")
    model, snapshots = romae.load(pod), romae.open_snapshots(chaos)
    with xr.open_dataset("z.nc") as z:
        np.testing.assert_array_equal(z["latents"].values, model.encode(snapshots).values)
    with xr.open_dataset("back.nc") as back, xr.open_dataset(chaos) as data:
        xr.testing.assert_identical(back.x, data.x)
        xr.testing.assert_identical(back.time, data.time)
        assert back.u.attrs == data.u.attrs
        assert float(abs(back.u - data.u).mean() / abs(data.u).mean()) < 0.3


def test_latents_and_fields_in_zarr(call, pod, chaos):
    call("encode", pod, chaos, "-o", "z.zarr")
    call("decode", pod, "z.zarr", "-o", "back.zarr")
    call("decode", pod, "z.zarr", "-o", "back.nc")
    with xr.open_dataset("back.nc") as one, xr.open_zarr("back.zarr", consolidated=False) as other:
        xr.testing.assert_identical(one.load(), other.load())


def test_decode_of_other_files(call, pod, chaos, tmp_path):
    assert "latents" in call("decode", pod, chaos, "-o", "x.nc", status=2).stderr
    call("decode", pod, "none.nc", "-o", "x.nc", status=2)
    (tmp_path / "text.nc").write_text("no data")
    call("decode", pod, "text.nc", "-o", "x.nc", status=2)
    call("encode", pod, chaos, "-o", "latents.csv", status=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["text.nc"]


def test_compare(call, call_json, pod, chaos):
    found = call_json("compare", chaos, pod, *SPLIT)
    test = romae.open_snapshots(chaos).split(0.7, 0.15, 0.15)[2]
    direct = romae.compare(romae.load(pod), test, rates="skip")
    assert [m["error all"] for m in found["models"]] == list(direct.error.sel(field="all").values)
    assert "error u" in call("compare", pod, chaos, *SPLIT).stdout
    assert "no saved model at" in call("compare", chaos, "no.rom", status=2).stderr
    assert "no data file" in call("compare", pod, status=2).stderr
    assert "no saved model" in call("compare", chaos, status=2).stderr


@pytest.mark.slow
def test_compare_writes_the_report(call, pod, chaos, tmp_path):
    call("compare", chaos, pod, "-o", "report", *SPLIT)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "POD" in page or "pod" in page
    assert (tmp_path / "report" / "data" / "comparison.csv").exists()
    call("compare", chaos, pod, "-o", "report", *SPLIT, status=2)
    call("compare", chaos, pod, "-o", "report", *SPLIT, "--overwrite")


def test_forecast_goes_on_where_the_history_ends(call, call_json, chaos, pod):
    words = ["fit", "pod", chaos, "-o", "rom.rom", "--latent", "4", "--dynamics", "dmd", *SPLIT]
    fitted, rom = call_json(*words), romae.load("rom.rom")
    assert fitted["dynamics"] == "DMD"
    assert fitted["fit_seconds"] == rom.reducer.fit_seconds + rom.dynamics.fit_seconds
    assert fitted["horizon"] == rom.horizon.to_state()
    assert f"forecasts {rom.horizon}" in call(*words, "--overwrite").stdout
    facts = call_json("forecast", "rom.rom", chaos, "--steps", "6", "-o", "f.nc", *SPLIT)
    test = romae.open_snapshots(chaos).split(0.7, 0.15, 0.15)[2]
    with xr.open_dataset("f.nc") as forecast:
        np.testing.assert_allclose(forecast.time.values, test.times().values[:6])
        assert facts["first"] == forecast.time.values[0]
    assert (
        "no dynamics" in call("forecast", pod, chaos, "--steps", "2", "-o", "g.nc", status=2).stderr
    )


def _rom(call, chaos, *words):
    call("fit", "pod", chaos, "-o", "rom.rom", "--latent", "4", "--dynamics", "dmd", *SPLIT, *words)


def test_forecast_by_duration(call, call_json, chaos):
    _rom(call, chaos)
    call("forecast", "rom.rom", chaos, "--steps", "7", "-o", "f.nc", *SPLIT)
    with xr.open_dataset("f.nc") as steps:
        step = float(np.diff(steps.time)[0])
        units = steps.time.attrs.get("units", "")
        facts = call_json(
            "forecast", "rom.rom", chaos, "--duration", f"{7 * step:g}", "-o", "g.nc", *SPLIT
        )
        assert facts["steps"] == 7
        with xr.open_dataset("g.nc") as duration:
            xr.testing.assert_identical(steps, duration)
    if units == "s":
        words = ["--duration", f"{7e3 * step:g} ms", "-o", "h.nc", *SPLIT]
        assert call_json("forecast", "rom.rom", chaos, *words)["steps"] == 7
    wrong = call("forecast", "rom.rom", chaos, "--duration", "soon", "-o", "i.nc", status=2)
    assert "text such as '45 D'" in wrong.stderr
    both = ["--duration", "3", "--steps", "3", "-o", "i.nc"]
    assert "Expected exactly one" in call("forecast", "rom.rom", chaos, *both, status=2).stderr


def test_forecast_of_an_ensemble(call, call_json, chaos):
    _rom(call, chaos)
    words = ["forecast", "rom.rom", chaos, "--steps", "5", "--ensemble", "3", *SPLIT]
    assert call_json(*words, "-o", "f.nc")["members"] == 3
    call(*words, "-o", "g.zarr")
    call(*words, "-o", "h.nc", "--seed", "1")
    other = xr.load_dataset("h.nc")
    with xr.open_dataset("f.nc") as one, xr.open_zarr("g.zarr", consolidated=False) as two:
        assert one.u.dims[:2] == ("member", "time")
        assert one.sizes["member"] == 3
        np.testing.assert_array_equal(one.u, two.u)
        assert not np.array_equal(one.u, other.u)
        assert float(one.u.std("member").max()) > 0


@pytest.mark.filterwarnings("always::UserWarning")
def test_forecast_that_leaves_the_range(call, chaos, tmp_path):
    history = romae.open_snapshots(chaos)
    romae.ReducedModel(romae.POD(4), romae.DMD(growth="free")).fit(history).save("rom.rom")
    model = romae.load("rom.rom")
    model.dynamics.eigenvalues = model.dynamics.eigenvalues * 1.5  # every mode grows
    model.save("rom.rom", overwrite=True)
    words = ["forecast", "rom.rom", chaos, "--steps", "40"]
    stopped = call(*words, "-o", "stop.nc", "--on-blowup", "stop").stderr
    assert "left three times the range" in stopped
    assert "the forecast ends before it" in stopped
    assert "NaN from there on" in call(*words, "-o", "nan.nc", "--on-blowup", "nan").stderr
    failed = call(*words, "-o", "raise.nc", "--on-blowup", "raise", status=2)
    assert "Expected it to stay inside" in failed.stderr
    assert not (tmp_path / "raise.nc").exists()
    with xr.open_dataset("stop.nc") as stop, xr.open_dataset("nan.nc") as nan:
        # what a reader of the file alone needs to know
        left = nan.attrs["left_training_range_at"]
        assert stop.attrs["left_training_range_at"] == left
        assert stop.sizes["time"] < nan.sizes["time"] == 40
        assert float(stop.time[-1]) < left
        assert bool(np.isnan(nan.u.sel(time=slice(left, None))).all())
        assert bool(np.isfinite(nan.u.sel(time=slice(None, float(stop.time[-1])))).all())


@pytest.mark.filterwarnings("always::UserWarning")
def test_forecast_with_parameters_and_inputs(call, call_json, tmp_path):
    t, x = 0.1 * np.arange(60), np.linspace(0, 1, 16)
    force = np.sin(0.4 * t)

    def run(rate):
        z = np.zeros(60)
        for n in range(59):
            z[n + 1] = 0.9 * z[n] + rate * force[n]
        u = z[:, None] * np.sin(3 * x) + 0.1 * np.cos(2 * t)[:, None] * x
        coords = {"time": ("time", t, {"units": "s"}), "x": x}
        return xr.Dataset({"u": (("time", "x"), u)}, coords)

    family = xr.concat([run(r) for r in (0.1, 0.2, 0.3)], "case").assign_coords(
        rate=("case", [0.1, 0.2, 0.3])
    )
    series = xr.Dataset({"force": ("time", force)}, {"time": t})
    dynamics = romae.OperatorInference("linear")
    model = romae.ReducedModel(romae.POD(2), dynamics).fit(family, inputs=series)
    model.save("rom.rom")
    run(0.2).isel(time=slice(0, 30)).to_netcdf("begin.nc")
    series.to_netcdf("force.nc")
    words = ["forecast", "rom.rom", "begin.nc", "--steps", "20", "--inputs", "force.nc"]
    call(*words, "--params", "rate=0.2", "-o", "f.nc")
    direct = model.forecast(
        run(0.2).isel(time=slice(0, 30)), 20, params={"rate": 0.2}, inputs=series
    )
    with xr.open_dataset("f.nc") as found:
        np.testing.assert_array_equal(found.u, direct.u)
    facts = call_json(*words, "--params", "rate=0.9", "-o", "g.nc")
    assert "rate = 0.9 (trained on 0.1 to 0.3)" in facts["outside_training_range"]
    with xr.open_dataset("g.nc") as found:
        assert "rate = 0.9" in found.attrs["outside_training_range"]
    for wrong, text in (("rate", "names and numbers"), ("rat=1", "Did you mean 'rate'")):
        assert text in call(*words, "--params", wrong, "-o", "h.nc", status=2).stderr
    lost = [*words[:-1], "no.nc", "--params", "rate=0.2", "-o", "h.nc"]
    assert "no data file" in call(*lost, status=2).stderr
    assert "has none" in call(*words[:-2], "--params", "rate=0.2", "-o", "h.nc", status=2).stderr


def test_doctor(call, call_json):
    facts = call_json("doctor")
    assert facts["problems"] == []
    assert facts["romae"] == romae.__version__
    assert "burgers" in facts["share"]["cases"]
    assert "problems    none" in call("doctor").stdout


def test_info_with_a_layout(call, call_json, tmp_path):
    np.save(tmp_path / "both.npy", np.random.default_rng(0).normal(size=(6, 2, 5)))
    text = 'dims = ["time", "component", "x"]\ncomponents = ["u", "v"]\n'
    (tmp_path / "layout.toml").write_text(text)
    found = call_json("info", "both.npy", "--layout", "layout.toml")
    assert (found["space"], list(found["fields"])) == ({"x": 5}, ["u", "v"])
    (tmp_path / "layout.toml").write_text("dms = []")
    wrong = call("info", "both.npy", "--layout", "layout.toml", status=2)
    assert "Did you mean 'dims'" in " ".join(wrong.output.split())


def test_a_cluster_is_for_pod(call, chaos):
    words = ["-o", "x.rom", "--latent", "2", "--scheduler", "tcp://127.0.0.1:1"]
    assert "only pod" in call("fit", "pod-ae", chaos, *words, status=2).stderr
