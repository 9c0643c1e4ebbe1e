"""Wrong use is a RomaeError that says what to type, and is found before training begins."""

import numpy as np
import pytest
import xarray as xr

from romae import load, open_snapshots, parts
from romae.errors import DataError, GridMismatchError, NotFittedError, OptionError, PathExistsError
from romae.reducers import POD, ConvAutoencoder, PODAutoencoder, TrainConfig, autoencoder

KINDS = {"pod": POD, "pod-ae": PODAutoencoder, "conv": ConvAutoencoder}
every = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    """Training would be too late to find any of this."""
    monkeypatch.setattr(autoencoder, "train", lambda *a, **k: pytest.fail("training began"))


@every
@pytest.mark.parametrize("size", [0, -1, True, 2.0, 1.5, "2", None, float("nan")])
def test_sizes_that_are_none(kind, size):
    with pytest.raises(OptionError, match=r"(rank|latent) is .*Expected a (whole )?number"):
        KINDS[kind](size)


@every
def test_numpy_integers_are_integers(kind):
    made = KINDS[kind](np.int64(3))
    assert made.latent == 3
    assert all(not isinstance(v, np.generic) for v in made.arguments.values())


def test_a_size_by_energy_is_for_pod_alone():
    assert POD(0.9).rank == 0.9
    assert POD(np.float32(0.5)).rank == 0.5
    with pytest.raises(OptionError, match=r"latent is 0\.9"):
        PODAutoencoder(0.9)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: POD(2, method="qr"), r"unknown method 'qr'.*svd, snapshots, covariance"),
        (lambda: POD(2, scale="unit"), r"unknown scale 'unit'.*Did you mean 'units'"),
        (lambda: PODAutoencoder(2, scale="fields"), r"unknown scale.*Did you mean 'field'"),
        (lambda: PODAutoencoder(2, act="rellu"), r"unknown act.*Did you mean 'relu'"),
        (lambda: PODAutoencoder(2, hidden=(8, 0)), r"hidden is 0.*Expected"),
        (
            lambda: PODAutoencoder(4, modes=3),
            r"modes of PODAutoencoder\(latent=4\) is 3.*4 or more",
        ),
        (lambda: PODAutoencoder(4, train={"epochs": 3}), r"train is a dict.*TrainConfig\(epochs"),
        (lambda: ConvAutoencoder(2, kernel=4), r"kernel is 4.*odd"),
        (lambda: ConvAutoencoder(2, kernel=0), r"kernel is 0"),
        (lambda: ConvAutoencoder(2, act="rellu"), r"unknown act.*Did you mean 'relu'"),
        (lambda: ConvAutoencoder(2, down="stride"), r"unknown down.*Did you mean 'strided'"),
        (lambda: ConvAutoencoder(2, widths=()), r"widths is empty"),
        (lambda: ConvAutoencoder(2, widths=(8, -1)), r"widths is -1"),
        (lambda: ConvAutoencoder(2, patch=0), r"patch is 0"),
        (lambda: ConvAutoencoder(2, head=0), r"head is 0"),
        (lambda: ConvAutoencoder(2, blocks=-1), r"blocks is -1"),
    ],
)
def test_options_that_are_none_are_found_where_they_are_given(make, says):
    with pytest.raises(OptionError, match=says):
        make()


@every
@pytest.mark.parametrize(("times", "most"), [(8, 7), (30, 17)])
def test_more_latents_than_the_snapshots_determine(kind, times, most, flows):
    data = flows["line"]().isel(time=slice(0, times))
    with pytest.raises(OptionError, match=rf"{most + 1} latents, and .* at most {most} "):
        KINDS[kind](most + 1).fit(data)


def test_as_many_latents_as_values_want_a_regulariser():
    u = np.random.default_rng(0).standard_normal((40, 6))
    data = xr.Dataset({"u": (("time", "x"), u)}, {"time": np.arange(40.0), "x": np.arange(6.0)})
    says = r"6 latents .* 6 values.*size of 5 or less.*Noise"
    for options in ({}, {"bottleneck": parts.Saturated()}):
        with pytest.raises(OptionError, match=says):
            PODAutoencoder(6, **options).fit(data)
    with pytest.raises(OptionError, match=r"5 latents .* 5 values"):
        PODAutoencoder(5).fit(data.where(data.x > 0))  # one of them is masked
    PODAutoencoder(5).check_size(open_snapshots(data))
    for options in (
        {"bottleneck": parts.Sparse()},
        {"corruption": parts.Noise()},
        {"objective": (parts.MSE(), parts.Contractive())},
    ):
        PODAutoencoder(6, **options).check_size(open_snapshots(data))


@pytest.mark.parametrize("kind", ["pod-ae", "conv"])
def test_more_latents_than_independent_modes(kind):
    t, x = 2 * np.pi * np.arange(12) / 12, np.arange(9.0)
    u = np.sin(t)[:, None] * np.cos(x) + np.cos(t)[:, None] * np.sin(x)
    data = xr.Dataset({"u": (("time", "x"), u)}, {"time": t, "x": x})
    with pytest.raises(OptionError, match=r"only 2 independent modes.*size of 2 or less"):
        KINDS[kind](3).fit(data)


@every
def test_one_snapshot(kind, flows):
    with pytest.raises(DataError, match=r"has 1 snapshot; fit .* needs at least 2"):
        KINDS[kind](1).fit(flows["line"]().isel(time=[0]))


@every
def test_data_that_do_not_change(kind, flows):
    data = flows["line"]()
    still = data * 0 + 3
    with pytest.raises(DataError, match=r"u stay the same at all 30 times.*variables="):
        KINDS[kind](1).fit(still)


def test_one_field_that_does_not_change_is_no_error(flows):
    data = flows["line"]()
    data["w"] = data.u * 0 + 3
    np.testing.assert_allclose(POD(4).fit(data).reconstruct(data).w, 3.0)


@every
def test_not_fitted(kind, flows, tmp_path):
    data, new = flows["line"](), KINDS[kind](2)
    z = POD(2).fit(data).encode(data)
    for use in (
        lambda: new.encode(data),
        lambda: new.decode(z),
        lambda: new.save(tmp_path / "a"),
        lambda: new.nbytes,
        lambda: new.device,
        lambda: new.to("cpu"),
    ):
        with pytest.raises(NotFittedError, match=r"has not been fitted.*romae\.load"):
            use()
    assert not (tmp_path / "a").exists()


@every
def test_validation_on_another_grid(kind, flows):
    data = flows["line"]()
    with pytest.raises(GridMismatchError, match=r"validation data has x=16 points; expected x=17"):
        KINDS[kind](2).fit(data, data.isel(x=slice(0, 16)))


@every
def test_validation_with_stray_nan(kind, flows):
    data = flows["line"]()
    torn = data.copy(deep=True)
    torn.u[7, 3] = np.nan
    with pytest.raises(DataError, match=r"'u' is NaN at 1 of 17 valid points"):
        KINDS[kind](2).fit(data, torn)


@every
def test_training_data_with_stray_nan(kind, flows):
    data = flows["line"]()
    data.u[7, 3] = np.nan
    with pytest.raises(DataError, match=r"time 5\.7.*'u' is NaN at 1 of 17 valid points"):
        KINDS[kind](2).fit(data)


@every
def test_unknown_device(kind, flows):
    with pytest.raises(OptionError, match=r"unknown device 'gpu'"):
        KINDS[kind](2).fit(flows["line"](), device="gpu")


def test_a_fit_that_fails_leaves_no_fitted_reducer(flows, monkeypatch):
    pod = POD(2).fit(flows["line"]())
    monkeypatch.setattr(pod, "_fit", lambda data: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pod.fit(flows["box"]())
    with pytest.raises(NotFittedError):
        pod.encode(flows["line"]())


@pytest.fixture
def pod(flows):
    return POD(2).fit(flows["plane"]())


def test_encode_refuses_other_grids_fields_and_masks(pod, flows):
    data = flows["plane"]()
    moved = data.assign_coords(x=data.x + 0.01)
    renamed = data.rename(u="w")
    filled = data.fillna(0.0)
    for other, says in (
        (data.isel(lev=slice(0, 8)), r"POD\.encode has lev=8 x x=11 points; expected lev=9"),
        (moved, r"coordinate 'x' is .*expected 0\.0"),
        (renamed, r"fields w, v, p; expected u, v, p"),
        (filled, r"u is valid at index .*expected masked"),
        (flows["line"](), r"expected u, v, p"),
    ):
        with pytest.raises(GridMismatchError, match=says):
            pod.encode(other)


def test_encode_refuses_values_that_are_none(pod, flows):
    data = flows["plane"]()
    for bad in (np.nan, np.inf):
        torn = data.copy(deep=True)
        torn.p[4, 0, 2] = bad
        with pytest.raises(DataError, match=r"'p' is (NaN|infinite) at 1 of 95 valid points"):
            pod.encode(torn)


def test_decode_refuses_what_are_no_latents(pod, flows):
    z = pod.encode(flows["plane"]())
    for wrong, says in (
        (z.values, r"POD\.decode got ndarray.*decode_tensor"),
        (z[:, :1], r"'latent': 1.*latent: 2"),
        (z.T, r"Expected dims \(time, latent: 2\)"),
        (z.rename(latent="mode"), r"Expected dims"),
        (z[0], r"Expected dims"),
    ):
        with pytest.raises(DataError, match=says):
            pod.decode(wrong)


def test_latents_without_times_can_be_decoded(pod, flows):
    z = pod.encode(flows["plane"]())
    fields = pod.decode(z.drop_vars("time"))
    assert "t" not in fields.coords
    np.testing.assert_array_equal(fields.u, pod.decode(z).u)


def test_saving_replaces_nothing_unasked(pod, flows, tmp_path):
    path = pod.save(tmp_path / "a.rom")
    before = (path / "romae.json").read_bytes()
    with pytest.raises(PathExistsError, match=r"exists already.*overwrite=True"):
        POD(1).fit(flows["line"]()).save(path)
    assert (path / "romae.json").read_bytes() == before
    POD(1).fit(flows["line"]()).save(path, overwrite=True)
    assert load(path).latent == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.rom"]


def test_cases_on_other_times_cannot_share_an_axis(flows):
    data = flows["line"]()
    other = data.assign_coords(time=data.time + 1)
    snapshots = open_snapshots([data, other], cases="file")
    pod = POD(2).fit(snapshots)
    with pytest.raises(DataError, match=r"case 1 has another time axis.*isel\(case=\[1\]\)"):
        pod.encode(snapshots)
    assert pod.encode(snapshots.isel(case=[1])).sizes["time"] == 30


def test_cases_that_end_early_are_filled(flows):
    data = flows["line"]()
    snapshots = open_snapshots([data, data.isel(time=slice(0, 11))], cases="file")
    pod = POD(2).fit(snapshots)
    z = pod.encode(snapshots)
    assert z.sizes == {"case": 2, "time": 30, "latent": 2}
    assert np.isfinite(z[1, :11]).all()
    assert np.isnan(z[1, 11:]).all()
    fields = pod.decode(z)
    assert np.isfinite(fields.u[1, :11]).all()
    assert np.isnan(fields.u[1, 11:]).all()


def test_cases_of_uneven_length_train(flows, monkeypatch):
    """A case too short to be split must not stop the fit."""
    monkeypatch.undo()
    data = flows["line"]()
    snapshots = open_snapshots([data, data.isel(time=slice(0, 3))], cases="file")
    fitted = PODAutoencoder(2, hidden=(4,), train=TrainConfig(epochs=1)).fit(snapshots)
    assert fitted.history
