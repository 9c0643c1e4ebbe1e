"""Fixed masks are found or given; values that come and go are refused, by name and time."""

import numpy as np
import pytest
import xarray as xr

from romae.errors import DataError, GridMismatchError, OptionError
from romae.fields import open_snapshots, survey


def obstacle(small: xr.Dataset) -> xr.DataArray:
    return xr.DataArray(np.add.outer(np.arange(5), np.arange(6)) % 4 != 0, dims=("y", "x"))


def test_nan_of_the_first_snapshot_is_the_mask(small):
    valid = obstacle(small)
    opened = open_snapshots(small.assign(u=small.u.where(valid)))
    np.testing.assert_array_equal(opened.layout.mask[0], valid)
    assert opened.layout.mask[1:].all()
    assert open_snapshots(small).layout.mask is None
    found = survey(opened)
    assert np.isnan(found.mean[0]).sum() == (~valid).sum()
    reference = small.u.where(valid)
    assert found.minimum[0] == reference.min()


def test_given_mask(small):
    valid = obstacle(small)
    flagged = small.assign(fluid=valid.astype("i1"))
    for mask in ("fluid", valid, valid.values, valid.T):
        opened = open_snapshots(flagged, variables=["u", "p"], mask=mask)
        np.testing.assert_array_equal(opened.layout.valid, [valid, valid])
        assert (np.isnan(opened.read(3, 5)) == ~opened.layout.valid).all()
        survey(opened)  # values under the mask do not count, whatever they are
    lazily = opened.to_dataset()
    np.testing.assert_array_equal(lazily["u"].isel(time=2).notnull(), valid)


def test_land_flag_is_turned(small):
    land = (~obstacle(small)).astype("i4").assign_attrs(standard_name="land_binary_mask")
    opened = open_snapshots(small, mask=land)
    np.testing.assert_array_equal(opened.layout.valid[0], obstacle(small))


def test_mask_of_one_axis_is_repeated(small):
    opened = open_snapshots(small, mask=small.x > 0.3)
    assert opened.layout.valid.shape == (3, 5, 6)
    np.testing.assert_array_equal(opened.layout.valid[1, 2], small.x > 0.3)
    assert open_snapshots(small, mask=small.x > -1).layout.mask is None


@pytest.mark.parametrize(
    ("mask", "error", "expected"),
    [
        ("fluidd", OptionError, "unknown mask variable 'fluidd'"),
        (np.full((5, 6), 2.0), OptionError, r"holds 2\.0"),
        (np.zeros((5, 6)), DataError, "no valid point"),
        (np.ones((6, 5)), GridMismatchError, r"\(6, 5\)"),
        (xr.DataArray(np.ones((24, 5)), dims=("time", "y")), GridMismatchError, "isel"),
    ],
)
def test_wrong_mask(small, mask, error, expected):
    with pytest.raises(error, match=expected):
        open_snapshots(small, mask=mask)


def spoiled(small: xr.Dataset, value: float, t: int) -> xr.Dataset:
    small["v"][{"time": t, "y": 1, "x": 2}] = value
    return small


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_values_that_go_are_named(tmp_path, small, value, word):
    bad = spoiled(small, value, 17)
    bad.isel(time=slice(0, 10)).to_netcdf(tmp_path / "a.nc")
    bad.isel(time=slice(10, 24)).to_netcdf(tmp_path / "b.nc")
    opened = open_snapshots(tmp_path / "?.nc")
    expected = rf"b.nc, time 6.25 \(index 7\): 'v' is {word} at 1 of 30.*slice\(None, 6\)"
    with pytest.raises(DataError, match=expected):
        survey(opened)
    survey(opened.isel(time=slice(0, 17)))  # what the message tells to type


def test_infinite_at_first_and_nan_under_a_given_mask(small):
    with pytest.raises(DataError, match=r"index 0\): 'v' is infinite"):
        survey(open_snapshots(spoiled(small, np.inf, 0)))
    with pytest.raises(DataError, match=r"'v' is NaN.*mask="):
        survey(open_snapshots(spoiled(small, np.nan, 0), mask=xr.ones_like(small.x)))


def test_values_that_come_are_named(small):
    valid = obstacle(small)
    u = small.u.where(valid)
    u[9] = small.u[9]
    with pytest.raises(DataError, match=r"index 9\): 'u' has values at \d+ points"):
        survey(open_snapshots(small.assign(u=u)))


def test_empty_variables(small):
    empty = small.assign(v=small.v * np.nan)
    with pytest.raises(DataError, match=r"'v' is NaN everywhere.*variables=\['u', 'p'\]"):
        open_snapshots(empty)
    late = small.assign(v=small.v.where(small.time > 2.1))
    with pytest.raises(DataError, match=r"first time 2.0 and not at 2.25"):
        open_snapshots(late)
