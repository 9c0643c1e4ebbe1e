"""The commands do what the Python API does, on files."""

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
    assert call_json(*words)["dynamics"] == "DMD"
    facts = call_json("forecast", "rom.rom", chaos, "--steps", "6", "-o", "f.nc", *SPLIT)
    test = romae.open_snapshots(chaos).split(0.7, 0.15, 0.15)[2]
    with xr.open_dataset("f.nc") as forecast:
        np.testing.assert_allclose(forecast.time.values, test.times().values[:6])
        assert facts["first"] == forecast.time.values[0]
    assert (
        "no dynamics" in call("forecast", pod, chaos, "--steps", "2", "-o", "g.nc", status=2).stderr
    )


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
