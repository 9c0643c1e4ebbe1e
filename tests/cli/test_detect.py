"""`romae detect`, on a wake with a weak vortex in it."""

import numpy as np
import pytest
import xarray as xr

import romae


@pytest.fixture(scope="module")
def wake(tmp_path_factory):
    """Files: the wake, the same with a vortex of 2 % in its last snapshots, labels."""
    from romae.cases import make_case

    folder = tmp_path_factory.mktemp("wake")
    make_case("cylinder", "tiny", folder / "wake.nc", progress=False)
    data = xr.load_dataset(folder / "wake.nc")[["u", "v"]]
    truth = np.arange(240) >= 220
    x, y = (data["x"] - 4.0) / 0.35, (data["y"] - 1.5) / 0.35
    speed = (0.02 * np.exp(0.5 - 0.5 * (x**2 + y**2))).transpose("y", "x").values
    on = truth[:, None, None]
    data["u"] = data["u"] - on * speed * y.values[:, None]
    data["v"] = data["v"] + on * speed * x.values
    data.to_netcdf(folder / "new.nc")
    label = xr.Dataset({"label": ("time", truth[192:].astype("int8"))})
    label.to_netcdf(folder / "labels.nc")
    train = romae.open_snapshots(folder / "wake.nc", variables=["u", "v"]).isel(time=slice(0, 144))
    romae.POD(8).fit(train, device="cpu").save(folder / "pod.rom")
    return folder


@pytest.mark.slow
def test_a_weak_vortex_in_a_wake(call_json, wake, tmp_path):
    words = [wake / "pod.rom", wake / "new.nc", "--split", "0.6,0.2,0.2", "-o", "found"]
    said = call_json("detect", *words, "--labels", wake / "labels.nc")
    local = said["scores"][1]
    assert local["kind"] == "local"
    assert local["auc"] >= 0.99
    assert local["flagged"] == 20
    assert said["snapshots"] == 48
    names = {p.name for p in (tmp_path / "found").iterdir()}
    assert names == {"detection.nc", "deviations.nc", "maps.png", "maps.svg", "scores.png",
                     "scores.svg"}  # fmt: skip
    with xr.open_dataset(tmp_path / "found" / "detection.nc") as found:
        place = np.stack([found["at_x"][-20:] - 4.0, found["at_y"][-20:] - 1.5])
        assert np.median(np.linalg.norm(place, axis=0)) < 0.25  # one step of the grid
        assert found["label"].sum() == 20
    with xr.open_dataset(tmp_path / "found" / "deviations.nc") as maps:
        assert maps["deviation"].dims == ("time", "y", "x")
        assert maps.sizes["time"] == 20
    assert "exists already" in call_json_error(call_json, "detect", *words)


def call_json_error(call_json, *words):
    """Standard error of a command that is used wrongly."""
    from click.testing import CliRunner

    from romae.cli import main

    done = CliRunner(catch_exceptions=False).invoke(main, [str(w) for w in words])
    assert done.exit_code == 2
    return done.output


@pytest.mark.slow
def test_nothing_unusual_and_wrong_use(call, wake, tmp_path):
    model, same, new = wake / "pod.rom", wake / "wake.nc", wake / "new.nc"
    done = call("detect", model, same, "--split", "0.6,0.2,0.2", "--variables", "u,v", "-o", "calm")
    assert "local         0" in done.stdout
    assert not (tmp_path / "calm" / "deviations.nc").exists()
    assert "Type --validation" in call("detect", model, new, "-o", "x", status=2).output
    wrong = call("detect", model, new, "--validation", new, "--labels", same, "-o", "x", status=2)
    assert "no variable 'label'" in wrong.output
    call("detect", model, new, "--validation", same, "--variables", "u,v", "--maps", 1, "-o", "y")
    assert (tmp_path / "y" / "maps.png").exists()
