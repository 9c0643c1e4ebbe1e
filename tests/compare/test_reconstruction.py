"""compare() against the definitions, against theory, and against wrong use."""

import json

import numpy as np
import pytest
import xarray as xr

import romae
from romae import metrics
from romae.compare import compare, table, write_comparison
from romae.compare.ladders import OVERLAP, SAME, ladders, ranks
from romae.errors import DataError, GridMismatchError, NotFittedError, OptionError
from romae.fields import Snapshots, open_snapshots
from romae.reducers import POD


def quick(models, test, **options):
    return compare(models, test, rates="skip", **options)


def direct(model, snapshots, mean):
    """Error of all fields by the public path: reconstruct, then the definition."""
    layout = snapshots.layout
    back = model.reconstruct(snapshots)
    guess = np.stack([back[n].values for n in layout.names], axis=1)
    truth = snapshots.read(0, len(snapshots)).astype(float)
    groups = metrics.unit_groups([f.units for f in layout.fields])
    return metrics.relative_l2(truth, guess, mean=mean, weights=layout.quadrature, groups=groups)


def test_pod_on_its_training_data_loses_the_tail_of_the_singular_values(make_flow):
    snapshots = open_snapshots(make_flow()[["u", "v"]])  # one group, as POD weighs it
    pod = POD(8).fit(snapshots, device="cpu")
    found = quick(pod, snapshots, on_leak="flag")
    s2 = pod.singular_values**2
    for name, k in zip(found["model"].values, found["latent"].values, strict=True):
        expected = np.sqrt(s2[k:].sum() / s2.sum())
        error = float(found["error"].sel(model=name, field="all"))
        assert error == pytest.approx(expected, rel=1e-4)


def test_equals_the_definition_by_the_public_path(pod, coarse, test_set):
    found = quick([pod, coarse], test_set)
    mean = np.asarray(pod.scaling.mean)
    for model, name in ((pod, "POD k=8"), (pod.truncate(3), "POD k=3"), (coarse, None)):
        row = found["error"].sel(model=name or f"CoarseGrid k={coarse.latent}", field="all")
        assert float(row) == pytest.approx(direct(model, test_set, mean), rel=1e-5)


def test_one_fit_gives_the_whole_curve(pod, test_set):
    curve = quick(pod, test_set)
    assert curve["latent"].values.tolist() == [1, 2, 3, 4, 6, 8]
    for k in (1, 4, 6):
        alone = quick(pod.truncate(k), test_set, pod_curve=False)
        one = curve.sel(model=f"POD k={k}")
        for name in ("error", "error_mean", "error_worst", "nbytes", "stored_bytes"):
            np.testing.assert_allclose(one[name], alone[name][0], rtol=1e-5)


def test_blocks_do_not_matter(pod, coarse, test_set):
    whole = quick([pod, coarse], test_set)
    parts = quick([pod, coarse], test_set, block_bytes=3 * test_set.layout.size * 8)
    for name in ("error", "error_mean", "error_worst", "worst_snapshot"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-5)


def test_reads_by_blocks_and_once(pod, coarse, test_set, monkeypatch):
    asked = []
    read = Snapshots.read

    def counted(self, start, stop, case=0):
        asked.append((start, stop))
        return read(self, start, stop, case)

    monkeypatch.setattr(Snapshots, "read", counted)
    test_set.fingerprint  # noqa: B018 (reads a sample of its own, once)
    asked.clear()
    quick([pod, coarse, pod.truncate(2)], test_set, block_bytes=4 * test_set.layout.size * 8)
    assert max(b - a for a, b in asked) <= 4
    assert sum(b - a for a, b in asked) == len(test_set)


def test_mean_error_worst_are_ordered_and_squares_agree(pod, test_set):
    found = quick(pod, test_set)
    assert (found["error_mean"] <= found["error"] * (1 + 1e-9)).all()
    assert (found["error"] <= found["error_worst"] * (1 + 1e-9)).all()
    xr.testing.assert_allclose(found["mse_over_variance"], found["error"] ** 2)


def test_masked_points_and_units_of_fields_do_not_matter(make_flow):
    data = make_flow()
    bars = data.assign(p=(data["p"] * 1e-5).assign_attrs(units="bar"))
    found = []
    for ds in (data, bars):
        snapshots = open_snapshots(ds)
        model = POD(4).fit(snapshots.isel(time=slice(0, 50)), device="cpu")
        found.append(quick(model, snapshots.isel(time=slice(50, 80)))["error"].values)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3)
    assert np.isfinite(found[0]).all()


def test_constant_field_has_no_error_and_does_not_count(make_flow):
    data = make_flow()
    constant = xr.full_like(data["u"], 7.3).where(data["u"].notnull())
    data = data.assign(c=constant.assign_attrs(units="K"))
    snapshots = open_snapshots(data)
    model = POD(4).fit(snapshots.isel(time=slice(0, 50)), device="cpu")
    found = quick(model, snapshots.isel(time=slice(50, 80)), pod_curve=False)
    assert np.isnan(found["error"].sel(field="c")).all()
    assert np.isfinite(found["error"].sel(field="all")).all()


def test_several_cases(make_flow):
    pieces = [make_flow(30, 7 * i, seed=i) for i in range(4)]
    pieces = [p.assign_coords(time=pieces[0]["time"]) for p in pieces]
    snapshots = open_snapshots(xr.concat(pieces, xr.Variable("case", [1, 2, 3, 4])))
    seen, unseen = snapshots.isel(case=[0, 1, 2]), snapshots.isel(case=[3])
    found = quick(POD(4).fit(seen, device="cpu"), unseen)
    assert found.attrs["test_snapshots"] == 30
    assert found.attrs["leak"] == ""
    assert float(found["error"].sel(model="POD k=4", field="all")) < 0.1


def test_every_number_says_its_unit(pod, test_set):
    found = compare(pod, test_set)
    for name, values in found.data_vars.items():
        assert values.attrs["units"], name
        assert values.attrs["long_name"], name
    assert (found["encode_rate"] > 0).all()
    assert (found["decode_rate"] > 0).all()
    assert found["encode_rate"].attrs["batch"] == 30
    assert found.attrs["device"] == "cpu"


def test_rates_can_be_left_out(pod, test_set):
    assert "encode_rate" not in quick(pod, test_set)


def test_training_data_as_test_data_is_refused_or_flagged(pod, train, test_set, flow):
    with pytest.raises(DataError, match=r"fitted to these very snapshots.*split first"):
        quick(pod, train)
    assert SAME in quick(pod, train, on_leak="flag").attrs["leak"]
    assert OVERLAP in quick(pod, flow.isel(time=slice(40, 80))).attrs["leak"]
    assert quick(pod, test_set).attrs["leak"] == ""


def test_wrong_use(pod, test_set, make_flow):
    other = open_snapshots(make_flow().isel(x=slice(0, 12)))
    with pytest.raises(GridMismatchError, match="POD k=8"):
        quick(pod, other)
    with pytest.raises(NotFittedError, match="POD has not been fitted"):
        quick(POD(2), test_set)
    with pytest.raises(OptionError, match="Expected at least one"):
        quick([], test_set)
    with pytest.raises(OptionError, match="cannot compare a str"):
        quick(["pod.rom"], test_set)
    with pytest.raises(OptionError, match=r"skip"):
        compare(pod, test_set, rates="skp")  # type: ignore[arg-type]


def test_stray_nan_is_refused_with_its_place(pod, make_flow):
    data = make_flow().isel(time=slice(50, 80)).copy(deep=True)
    data["v"][4, 0, 0] = np.nan
    snapshots = open_snapshots(make_flow().isel(time=slice(50, 80)))
    broken = open_snapshots(data, mask=xr.DataArray(snapshots.layout.valid[0], dims=("y", "x")))
    with pytest.raises(DataError, match=r"time 5.4 .*'v' is NaN at 1 of 120"):
        quick(pod, broken)


def test_names(pod, coarse, test_set):
    found = quick({"mine": pod, "theirs": coarse}, test_set)
    assert found["model"].values[-2:].tolist() == ["mine k=8", "theirs"]
    assert found["family"].values[-1] == "CoarseGrid"
    twice = quick([coarse, type(coarse)(2).fit(test_set.isel(time=slice(0, 9)))], test_set)
    assert len(set(twice["model"].values)) == 2
    same = quick([pod, pod.truncate(8)], test_set)  # the same numbers: one row each
    assert len(same["model"]) == 6


def test_ladder_holds_the_sizes_of_the_others(pod):
    small = pod.truncate(5)
    rungs = ladders([pod, small])[0].rungs
    assert [r.latent for r in rungs] == [1, 2, 3, 4, 5, 6, 8]
    assert ranks(1) == [1]
    assert ranks(33)[-3:] == [24, 32, 33]


def test_function_and_package_have_one_name(pod, test_set):
    import romae.compare as package
    from romae.compare import compare as function

    assert callable(romae.compare)
    assert callable(package)
    found = romae.compare(pod, test_set, rates="skip")
    xr.testing.assert_identical(found, function(pod, test_set, rates="skip"))
    import sys

    xr.testing.assert_identical(
        found,
        sys.modules["romae.compare"](pod, test_set, rates="skip"),  # type: ignore[operator]
    )


def test_table_and_files(pod, coarse, test_set, tmp_path):
    found = compare([pod, coarse], test_set)
    rows = table(found)
    assert list(rows.index) == list(found["model"].values)
    assert rows.loc["POD k=4", "error v"] == float(found["error"].sel(model="POD k=4", field="v"))
    assert rows.attrs["units"]["fit_seconds"] == "s"
    assert found.romae.table().equals(rows)
    csv, text, nc = write_comparison(found, tmp_path / "data")
    import pandas as pd

    back = pd.read_csv(csv, comment="#", index_col="model")
    np.testing.assert_allclose(back["error all"], rows["error all"])
    assert "fit_seconds [s]" in csv.read_text().splitlines()[0]
    document = json.loads(text.read_text())
    assert document["models"][0]["model"] == "POD k=1"
    assert document["attributes"]["test_snapshots"] == 30
    with xr.open_dataset(nc) as stored:
        xr.testing.assert_equal(stored.load(), found)
        assert stored["error"].attrs["units"] == "1"
    write_comparison(found, tmp_path / "data")  # again, in place
    assert sorted(p.name for p in (tmp_path / "data").iterdir()) == [
        "comparison.csv", "comparison.json", "comparison.nc",
    ]  # fmt: skip


def test_table_of_something_else(test_set):
    with pytest.raises(DataError, match=r"Expected what romae\.compare"):
        table(test_set.to_dataset())


def test_sizes_of_one_pod_are_listed_once(train, test_set):
    """The largest holds the others; other data or another scaling make another curve."""
    small, large = POD(rank=2).fit(train), POD(rank=5).fit(train)
    found = compare([small, large], test_set, rates="skip")
    assert list(found["model"].values) == [f"POD k={k}" for k in (1, 2, 3, 4, 5)]
    alone = compare([small], test_set, rates="skip")
    np.testing.assert_allclose(
        found["error"].sel(model="POD k=2"), alone["error"].sel(model="POD k=2"), rtol=1e-5
    )
    other = POD(rank=2).fit(train.isel(time=slice(0, len(train) // 2)))
    found = compare([other, large], test_set, rates="skip", on_leak="flag")
    assert found.sizes["model"] == 2 + 5
    scaled = POD(rank=2, scale="none").fit(train)
    assert compare([scaled, large], test_set, rates="skip").sizes["model"] == 2 + 5
