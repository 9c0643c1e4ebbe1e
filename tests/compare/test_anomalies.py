"""detect(): laws of the scores and of ROC, the place found, blocks, cases, wrong use."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from romae.compare import detect, watch
from romae.compare.deviations import Deviation, Moments, smoothed
from romae.compare.roc import auc, calibrated, roc
from romae.errors import DataError, GridMismatchError, OptionError
from romae.fields import Field, Layout, open_snapshots
from romae.reducers import POD, SequenceAutoencoder, TrainConfig


def bumped(data: xr.Dataset, times: slice, y: int, x: int, size: float) -> xr.Dataset:
    """``data`` with u raised around one point of the grid at ``times``."""
    data = data.copy(deep=True)
    rows, columns = np.ogrid[: data.sizes["y"], : data.sizes["x"]]
    away = (columns - x + 7) % 14 - 7  # x is periodic
    bump = size * np.exp(-0.5 * ((rows - y) ** 2 + away**2))
    data["u"][{"time": times}] += bump
    return data


@pytest.fixture(scope="module")
def wake(make_flow):
    return make_flow(160)


@pytest.fixture(scope="module")
def parts(wake):
    train, ordinary, test = open_snapshots(wake).split(0.5, 0.25, 0.25)
    return POD(4).fit(train, device="cpu"), ordinary, test


def found_of(parts, data=None, **options):
    pod, ordinary, test = parts
    return detect(pod, test if data is None else data, validation=ordinary, **options)


def test_a_local_disturbance_is_flagged_where_it_is(parts):
    truth = np.arange(40) % 10 > 6
    data = parts[2].to_dataset().load()
    for t in np.flatnonzero(truth):
        data = bumped(data, slice(t, t + 1), 6, 10, 0.1)
    found = found_of(parts, data, labels=truth, smooth=1.0)
    local = found.sel(kind="local")
    assert float(local["auc"]) == 1.0
    assert float(local["auc"]) > float(found["auc"].sel(kind="global"))
    np.testing.assert_array_equal(local["score"] > local["calibrated_threshold"], truth)
    y, x = found["y"].values[6], found["x"].values[10]
    assert np.abs(found["at_x"].values[truth] - x).max() < 0.45  # one point of x
    assert np.abs(found["at_y"].values[truth] - y).max() < 0.2
    assert found["at_x"].attrs["units"] == "m"


@pytest.mark.parametrize("column", [0, 5, 13])
def test_the_place_across_a_periodic_edge(column):
    layout = Layout((Field("u"),), "time", ("y", "x"), (9, 14), periodic=(False, True))
    ordinary = Moments()
    ordinary.add(np.random.default_rng(0).standard_normal((50, 1, 9, 14)))
    rows, columns = np.ogrid[:9, :14]
    away = (columns - column + 7) % 14 - 7
    bump = np.exp(-0.25 * ((rows - 4) ** 2 + away**2))
    y, x = Deviation.fit(layout, 1.0, ordinary, np.ones(1)).place(50 * bump[None])
    assert y == pytest.approx(4, abs=0.01)
    assert (x - column + 7) % 14 - 7 == pytest.approx(0, abs=0.01)


def test_ordinary_snapshots_are_rarely_flagged(parts):
    found = found_of(parts)
    assert found["flagged"].sel(kind="local").mean() <= 0.1
    assert found["score"].notnull().all()


def test_few_ordinary_snapshots_do_not_make_a_low_threshold(parts):
    """Scores by their own mean and sigma would be: they fit themselves."""
    pod, ordinary, test = parts
    few = detect(pod, test, validation=ordinary.isel(time=slice(0, 8)), quantile=0.5)
    local = few.sel(kind="local")
    assert local["threshold"] > local["score"].median()


def test_score_is_the_largest_deviation_and_the_nrmse(parts):
    found = found_of(parts)
    largest = found["deviation"].max(("y", "x"))
    np.testing.assert_allclose(largest, found["score"].sel(kind="local"), rtol=1e-6)
    np.testing.assert_array_equal(
        found["error"].sel(field="all"), found["score"].sel(kind="global")
    )
    assert found["deviation"].isnull().any("time").sum() == 6  # the obstacle
    assert found["deviation"].chunks is not None  # nothing is decoded before it is asked for


def test_blocks_do_not_matter(parts, monkeypatch):
    whole = found_of(parts).load()
    monkeypatch.setattr(watch, "BLOCK_BYTES", 3 * parts[2].layout.size * 8)
    xr.testing.assert_allclose(found_of(parts).load(), whole, rtol=1e-3, atol=1e-3)  # float32


def test_a_reducer_that_looks_back_sees_the_same_in_any_blocks(wake, monkeypatch):
    train, ordinary, test = open_snapshots(wake).split(0.5, 0.25, 0.25)
    short = TrainConfig(steps=20)
    model = SequenceAutoencoder(2, window=4, width=8, train=short).fit(train, ordinary)
    whole = found_of((model, ordinary, test)).load()
    monkeypatch.setattr(watch, "BLOCK_BYTES", 3 * test.layout.size * 8)
    xr.testing.assert_allclose(found_of((model, ordinary, test)).load(), whole, 1e-3, 1e-3)


def test_units_do_not_matter(parts, wake):
    bars = wake.assign(p=(wake["p"] * 1e-5).assign_attrs(units="bar"))
    train, ordinary, test = open_snapshots(bars).split(0.5, 0.25, 0.25)
    other = detect(POD(4).fit(train, device="cpu"), test, validation=ordinary)
    np.testing.assert_allclose(other["score"], found_of(parts)["score"], rtol=0.05)


def test_cases_of_different_length(wake, tmp_path):
    for i, (a, b) in enumerate([(0, 40), (40, 80), (80, 120), (120, 150)]):
        part = wake.isel(time=slice(a, b)).assign_coords(time=wake["time"][: b - a])
        part.to_netcdf(tmp_path / f"{i}.nc")
    runs = open_snapshots(str(tmp_path / "*.nc"), cases="file")
    pod = POD(4).fit(runs.isel(case=[0]), device="cpu")
    marks = np.zeros((2, 40), bool)
    marks[:, 5:9] = True
    options = {"validation": runs.isel(case=[1]), "labels": marks}
    found = detect(pod, runs.isel(case=[2, 3]), **options).load()
    assert found["score"].dims == ("kind", "case", "time")
    assert found["deviation"].dims == ("case", "time", "y", "x")
    alone = detect(pod, runs.isel(case=[3]), validation=runs.isel(case=[1])).load()
    for name in ("score", "at_x", "deviation"):
        one = alone[name]
        xr.testing.assert_allclose(found[name].isel(case=1, time=slice(0, 30), drop=True), one)
        assert found[name].isel(case=1, time=slice(30, 40)).isnull().all()
    assert not found["flagged"].isel(case=1, time=slice(30, 40)).any()
    assert found["label"].sum() == 8


def test_wrong_use(parts, wake):
    pod, ordinary, test = parts
    train = open_snapshots(wake).split(0.5, 0.25, 0.25)[0]
    with pytest.raises(DataError, match="fitted to these very validation snapshots"):
        detect(pod, test, validation=train)
    with pytest.raises(GridMismatchError, match="the data to look through"):
        detect(pod, test.to_dataset().isel(x=slice(0, 12)), validation=ordinary)
    with pytest.raises(DataError, match="needs at least 4"):
        detect(pod, test, validation=ordinary.isel(time=slice(0, 3)))
    with pytest.raises(DataError, match=r"shape \(40,\)"):
        detect(pod, test, validation=ordinary, labels=np.zeros(3))
    with pytest.raises(DataError, match="0 of 40"):
        detect(pod, test, validation=ordinary, labels=np.zeros(40))
    with pytest.raises(OptionError, match=r"type 0\.99"):
        detect(pod, test, validation=ordinary, quantile=99)
    with pytest.raises(OptionError, match="smooth"):
        detect(pod, test, validation=ordinary, smooth=-1)


def test_smoothing_keeps_constants_at_masks_and_edges():
    mask = np.ones((1, 6, 7), bool)
    mask[0, 2:4, 3] = False
    layout = Layout((Field("u"),), "time", ("y", "x"), (6, 7), periodic=(False, True), mask=mask)
    found = smoothed(np.full((2, 1, 6, 7), 3.0), mask, layout, 1.5)
    np.testing.assert_allclose(found[:, mask], 3.0)
    assert (found[:, ~mask] == 0).all()


def test_deviations_of_normal_errors_have_rms_one():
    layout = Layout((Field("u"), Field("v")), "time", ("x",), (40,))
    errors = np.random.default_rng(0).normal([[2.0], [-1.0]], [[3.0], [0.1]], (4000, 2, 40))
    moments = Moments()
    moments.add(errors[:1500])
    moments += _moments(errors[1500:])
    q = Deviation.fit(layout, 0.0, moments, np.ones(2)).of(errors)
    assert np.sqrt((q**2).mean()) == pytest.approx(1, abs=0.01)


def _moments(errors):
    found = Moments()
    found.add(errors)
    return found


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_roc_against_all_pairs(pairs):
    score = np.array([p[0] for p in pairs], float)
    label = np.array([p[1] for p in pairs])
    if label.all() or not label.any():
        return
    a, b = score[label][:, None], score[~label][None]
    assert auc(score, label) == pytest.approx(((a > b) + 0.5 * (a == b)).mean())
    alarms, hits, threshold = roc(score, label)
    for f, h, at in zip(alarms, hits, threshold, strict=True):
        assert f == (score[~label] > at).mean()
        assert h == (score[label] > at).mean()
    best = calibrated(score, label)
    assert (score[label] > best).mean() - (score[~label] > best).mean() == max(hits - alarms)
