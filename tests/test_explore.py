"""Interpolation, sampling and maps of latents: laws, labels, wrong use."""

import json
import sys

import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import DataError, MissingDependencyError, OptionError
from romae.report.figures import latent_map_figure

RE = np.array([1.0, 2.0, 4.0, 5.0, 7.0])


def family(values=RE) -> xr.Dataset:
    """Waves whose amplitudes are quadratic in the parameter: (case, time, x)."""
    t, x = np.arange(30) * 0.2, np.linspace(0, 2 * np.pi, 20, endpoint=False)
    p = np.asarray(values, float)[:, None, None]
    phase = x[None, None] - t[None, :, None]
    u = p * np.cos(phase) + 0.3 * p**2 * np.sin(2 * phase)
    coords = {"time": ("time", t, {"units": "s"}), "x": x, "Re": ("case", np.asarray(values))}
    return xr.Dataset({"u": (("case", "time", "x"), u, {"units": "m/s"})}, coords)


@pytest.fixture(scope="module")
def data():
    return family()


@pytest.fixture(scope="module")
def pod(data):
    return romae.POD(4).fit(data, device="cpu")  # exact: the waves are four modes


def one(data, case, t):
    return romae.open_snapshots(data).isel(case=[case], time=slice(t, t + 1))


def test_states_in_between(pod, data):
    a, b = one(data, 0, 3), one(data, 2, 8)
    z = romae.interpolate_states(pod, a, b, 5)
    assert z.dims == ("time", "latent")
    assert z["time"].values.tolist() == [0, 0.25, 0.5, 0.75, 1]
    fields = pod.decode(z)["u"]
    ends = [data["u"].isel(case=0, time=3), data["u"].isel(case=2, time=8)]
    for s, state in zip(z["time"].values, fields.values, strict=True):
        straight = (1 - s) * ends[0] + s * ends[1]  # POD is linear
        np.testing.assert_allclose(state, straight, atol=2e-4 * float(abs(data["u"]).max()))
    with pytest.raises(DataError, match="b holds 30 snapshots"):
        romae.interpolate_states(pod, a, romae.open_snapshots(data).isel(case=[0]))


def test_cases_in_between(pod, data):
    truth = family([3.0])["u"].isel(case=0).values
    error = {}
    for method in ("rbf", "linear"):
        z = romae.interpolate_cases(pod, data, {"Re": 3.0}, method=method)
        assert z.dims == ("case", "time", "latent")
        assert z["Re"].values.tolist() == [3.0]
        fields = pod.decode(z)
        assert fields["u"].dims == ("case", "time", "x")
        error[method] = np.linalg.norm(fields["u"].values[0] - truth) / np.linalg.norm(truth)
    nearest = np.linalg.norm(family([2.0])["u"].values[0] - truth) / np.linalg.norm(truth)
    assert error["rbf"] < error["linear"] < nearest
    assert error["linear"] == pytest.approx(0.09, abs=0.03)  # 0.3 (10 - 9) of the second wave
    known = romae.interpolate_cases(pod, data, {"Re": 4.0})
    np.testing.assert_allclose(known.values[0], pod.encode(data).values[2], atol=1e-4)


def test_two_parameters(pod, data):
    several = xr.concat([data, 2 * data, 3 * data], "case")
    several = several.assign_coords(Re=("case", np.tile(RE, 3)),
                                    size=("case", np.repeat([1.0, 2.0, 3.0], 5)))  # fmt: skip
    truth = pod.encode(1.5 * family([4.0])).values
    for method in ("rbf", "linear"):
        z = romae.interpolate_cases(pod, several, {"Re": 4.0, "size": 1.5}, method=method)
        assert np.linalg.norm(z - truth) < 0.02 * np.linalg.norm(truth)
    with pytest.raises(OptionError, match="each of Re, size"):
        romae.interpolate_cases(pod, several, {"Re": 4.0})


def test_cases_in_between_wrong_use(pod, data):
    with pytest.raises(OptionError, match="lies outside the cases, 1 to 7"):
        romae.interpolate_cases(pod, data, {"Re": 9.0})
    with pytest.raises(DataError, match="no parameter differs"):
        romae.interpolate_cases(pod, data.drop_vars("Re"), {"Re": 3.0})
    with pytest.raises(DataError, match="too few"):
        romae.interpolate_cases(pod, data.isel(case=slice(0, 2)), {"Re": 1.5})
    with pytest.raises(OptionError, match="rbf"):
        romae.interpolate_cases(pod, data, {"Re": 3.0}, method="cubic")  # type: ignore[arg-type]


def test_new_states_scatter_as_the_old_do(pod, data):
    old = pod.encode(data).values.reshape(-1, 4)
    new = romae.sample_states(pod, data, 20000).values
    np.testing.assert_allclose(new.mean(0), old.mean(0), atol=0.03 * old.std(0).max())
    scale = np.abs(np.cov(old.T)).max()
    np.testing.assert_allclose(np.cov(new.T), np.cov(old.T), atol=0.04 * scale)
    same = romae.sample_states(pod, pod.encode(data), 20000)
    np.testing.assert_array_equal(same, new)
    other = romae.sample_states(pod, data, 20000, seed=1)
    assert not np.array_equal(other, new)
    assert pod.decode(romae.sample_states(pod, data, 3))["u"].sizes["time"] == 3


def test_the_map_by_pca_keeps_distances_of_a_plane(pod, data):
    z = pod.encode(data)
    flat = z.copy(data=z.values @ np.diag([1.0, 1.0, 0, 0]).astype("float32"))
    found = romae.latent_map(pod, flat)
    plane = np.stack([found["first"], found["second"]], axis=-1).reshape(-1, 2)
    old = flat.values.reshape(-1, 4)
    for i, j in ((0, 5), (3, 140)):
        new = np.linalg.norm(plane[i] - plane[j])
        assert new == pytest.approx(np.linalg.norm(old[i] - old[j]), rel=1e-5)
    assert sum(found.attrs["share_of_variance"]) == pytest.approx(1)
    assert found["first"].dims == ("case", "time")
    assert found["first"].var() >= found["second"].var()


def test_maps_without_the_library_and_wrong_use(pod, data, monkeypatch):
    for method, module, library in (("tsne", "sklearn", "scikit-learn"),
                                    ("umap", "umap", "umap-learn")):  # fmt: skip
        for name in (module, f"{module}.manifold"):
            monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(MissingDependencyError, match=rf"needs {library}.*romae\[maps\]"):
            romae.latent_map(pod, data, method=method)
    with pytest.raises(OptionError, match="takes no options, got perplexity"):
        romae.latent_map(pod, data, perplexity=3)
    with pytest.raises(DataError, match="2 latents or more"):
        romae.latent_map(pod.truncate(1), data)


def test_the_map_by_tsne_keeps_neighbours(pod, data):
    pytest.importorskip("sklearn")
    found = romae.latent_map(pod, data, method="tsne")
    at = np.stack([found["first"], found["second"]], axis=-1)
    steps = np.linalg.norm(np.diff(at, axis=1), axis=-1)
    assert np.median(steps) < 0.3 * at.std(axis=(0, 1)).min()
    again = romae.latent_map(pod, data, method="tsne")
    np.testing.assert_array_equal(again["first"], found["first"])


def test_picture_and_command(pod, data, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from romae.cli import main

    found = romae.latent_map(pod, data)
    for colour, said in (("time", "time [s]"), ("Re", "Re")):
        figure = latent_map_figure(found, colour=colour)
        assert [ax.get_ylabel() for ax in figure.axes][1] == said
        figure.draw_without_rendering()
    with pytest.raises(OptionError, match=r"cannot colour by 're'.*'Re'"):
        latent_map_figure(found, colour="re")
    monkeypatch.chdir(tmp_path)
    pod.save("pod.rom")
    data.to_netcdf("data.nc")
    call = CliRunner(catch_exceptions=False).invoke
    done = call(main, ["map", "pod.rom", "data.nc", "-o", "map.svg", "--colour", "Re", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["snapshots"] == 150
    assert (tmp_path / "map.svg").read_text().startswith("<?xml")
    assert call(main, ["map", "pod.rom", "data.nc", "-o", "map.pdf"]).exit_code == 2


def test_states_from_the_prior_of_a_variational_model(data):
    train = romae.TrainConfig(steps=50)
    model = romae.VAE(2, hidden=(8,), train=train).fit(data, device="cpu")
    z = romae.sample_states(model, n=4000, seed=1)
    assert abs(z.values.mean(0)).max() < 0.1
    np.testing.assert_allclose(z.values.std(0), 1, atol=0.1)
    assert romae.sample_states(model, n=4000, seed=1).identical(z)
    assert model.decode(z[:3])["u"].sizes["time"] == 3


def test_a_model_without_a_prior_asks_for_data(data):
    with pytest.raises(OptionError, match=r"no prior.*sample_states\(model, snapshots\)"):
        romae.sample_states(romae.POD(2).fit(data, device="cpu"))
