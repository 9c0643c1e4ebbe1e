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
