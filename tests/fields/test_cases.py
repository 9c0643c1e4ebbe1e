"""Several trajectories: from a case dimension or from one file each, with their parameters."""

import numpy as np
import pytest
import xarray as xr

from romae.errors import DataError, OptionError
from romae.fields import open_snapshots, survey


def ensemble(make_flow) -> xr.Dataset:
    runs = xr.concat([make_flow(10, seed=i) for i in range(3)], dim="case")
    return runs.assign_coords(Re=("case", [100.0, 200.0, 300.0]), case=["a", "b", "c"])


def test_case_dimension(tmp_path, make_flow):
    runs = ensemble(make_flow).transpose("time", "case", "y", "x")
    runs.to_netcdf(tmp_path / "runs.nc")
    for source in (runs, tmp_path / "runs.nc"):
        opened = open_snapshots(source)
        assert opened.cases == 3
        assert opened.lengths == (10, 10, 10)
        assert opened.shape == (30, 3, 5, 6)
        assert list(opened.params["Re"]) == [100.0, 200.0, 300.0]
        for i in range(3):
            expected = runs["p"].isel(case=i).values[2:5]
            np.testing.assert_array_equal(opened.read(2, 5, case=i)[:, 2], expected)
        xr.testing.assert_equal(opened.to_dataset().load(), runs)
        part = opened.isel(case=[2, 0])
        assert list(part.params["Re"]) == [300.0, 100.0]
        np.testing.assert_array_equal(part.read(0, 10, 0), opened.read(0, 10, 2))


def test_named_case_dimension_is_its_own_parameter(make_flow):
    runs = xr.concat([make_flow(4, seed=i) for i in range(2)], dim="Re").assign_coords(Re=[50, 60])
    opened = open_snapshots(runs, case="Re")
    assert list(opened.params["Re"]) == [50, 60]
    with pytest.raises(OptionError, match=r"'Rey'.*'Re'"):
        open_snapshots(runs, case="Rey")


def test_label_with_cases(make_flow):
    runs = ensemble(make_flow).transpose("time", "y", "case", "x")
    opened = open_snapshots(runs)
    values = np.stack([opened.read(0, 10, i) for i in range(3)])
    back = opened.layout.to_dataset(values, opened.times(), case=runs["case"])
    xr.testing.assert_identical(back, runs)


def test_one_file_per_case_of_different_length(tmp_path, make_flow):
    for i, n in enumerate((8, 5)):
        make_flow(n, seed=i).assign_coords(Re=100.0 * (i + 1)).to_netcdf(tmp_path / f"run{i}.nc")
    opened = open_snapshots(tmp_path / "run*.nc", cases="file")
    assert opened.lengths == (8, 5)
    assert list(opened.params["Re"]) == [100.0, 200.0]
    assert "Re" not in opened.layout.coords
    first, second = opened.split(0.6, 0.4)
    assert first.lengths == (5, 3)
    assert second.lengths == (3, 2)
    a, b = opened.split(0.5, 0.5, by="case")
    assert (a.lengths, b.lengths) == ((8,), (5,))
    assert list(b.params["Re"]) == [200.0]
    assert survey(opened).count == 13
    with pytest.raises(DataError, match="one case"):
        opened.to_dataset()
    with pytest.raises(DataError, match='cases="file"'):
        open_snapshots(tmp_path / "run*.nc")
    with pytest.raises(OptionError, match="expected 0 to 1"):
        opened.read(0, 1, case=2)


def own_times(make_flow, case_first=True):
    """Two cases over (case, time), each with times of its own in the coordinate ``t``."""
    runs = xr.concat([make_flow(8, seed=i) for i in range(2)], "case").drop_vars("time")
    times = np.stack([0.25 * np.arange(8), 10 + 0.25 * np.arange(8)])
    dims = ("case", "time") if case_first else ("time", "case")
    return runs.assign_coords(t=(dims, times if case_first else times.T, {"units": "s"})), times


@pytest.mark.parametrize("case_first", [True, False])
def test_cases_with_times_of_their_own(tmp_path, make_flow, case_first):
    runs, times = own_times(make_flow, case_first)
    runs.to_netcdf(tmp_path / "a.nc")
    opened = open_snapshots(tmp_path / "a.nc")
    assert opened.dt == pytest.approx(0.25)
    for i in range(2):
        np.testing.assert_array_equal(opened.times(i).values, times[i])
        assert opened.times(i).attrs == {"units": "s"}
        np.testing.assert_array_equal(opened.read(0, 8, i)[:, 0], runs.u.values[i])
    alone = opened.isel(case=[1]).to_dataset()
    np.testing.assert_array_equal(alone.t.values, times[1])
    with pytest.raises(DataError, match="case 1 has other times"):
        opened.to_dataset()
    bad = runs.copy()
    bad["t"] = bad.t.copy(data=np.where(bad.t == 10.5, 10.25, bad.t))
    with pytest.raises(DataError, match=r"dataset, case 1: time 't' repeats at index 2"):
        open_snapshots(bad)


def test_several_files_of_cases_with_times_of_their_own(tmp_path, make_flow):
    runs, times = own_times(make_flow)
    runs.isel(time=slice(0, 5)).to_netcdf(tmp_path / "b.nc")
    runs.isel(time=slice(5, 8)).to_netcdf(tmp_path / "a.nc")
    opened = open_snapshots(tmp_path / "?.nc")
    assert opened.lengths == (8, 8)
    np.testing.assert_array_equal(opened.times(1).values, times[1])
    np.testing.assert_array_equal(opened.read(3, 7, 1)[:, 1], runs.v.values[1, 3:7])
    runs.isel(time=slice(4, 8)).to_netcdf(tmp_path / "c.nc")
    with pytest.raises(DataError, match=r"c.nc starts at t = 1.0, not after b.nc"):
        open_snapshots([tmp_path / "b.nc", tmp_path / "c.nc"])
