"""Sources as programs write them, odd and legal: the archive gives back what was there."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import DataError, OptionError


@pytest.fixture
def ocean(tmp_path):
    """A packed ocean model's file: noleap calendar, bounds of times, typed attributes, text."""
    path, rng = tmp_path / "ocean.nc", np.random.default_rng(0)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in (("time", None), ("lat", 5), ("lon", 7), ("nv", 2), ("letters", 8)):
            file.createDimension(name, size)
        station = file.createVariable("station", "S1", ("letters",))
        station[:] = netCDF4.stringtochar(np.array(["Helgolan"], "S8"))[0]
        bounds = file.createVariable("time_bnds", "f8", ("time", "nv"))
        time = file.createVariable("time", "i4", ("time",))
        time.setncatts(
            {"units": "days since 1990-01-01", "calendar": "noleap", "bounds": bounds.name}
        )
        quality = file.createVariable("quality", "i1", ("lat", "lon"))
        quality.setncatts({"flag_values": np.array([0, 1], "i1"), "flag_meanings": "good bad"})
        temp = file.createVariable("temp", "f4", ("time", "lat", "lon"), fill_value=1e20)
        temp.setncatts({"units": "degC", "valid_range": np.array([-5, 40], "f4")})
        file.setncatts({"levels": np.array([1, 2], "i2"), "title": "océan"})
        time[:], quality[:] = 3650 + np.arange(12), 1
        bounds[:] = time[:][:, None] + [-0.5, 0.5]
        temp[:] = 15 + rng.normal(size=(12, 5, 7)).cumsum(0)
    return path


def encoding(variable, *names):
    return {n: variable.encoding.get(n) for n in names}


@pytest.mark.parametrize("chunks", [None, {"time": 5}])
def test_bounds_of_cftime_types_of_attributes_and_order_come_back(tmp_path, ocean, chunks):
    """In memory by dask, too: bounds of dates are dask arrays of objects there."""
    romae.compress(xr.open_dataset(ocean, chunks=chunks), tmp_path / "a", rel=1e-3, chunk=5)
    source, back = xr.open_dataset(ocean), xr.open_dataset(tmp_path / "a")
    assert list(back.data_vars) == list(source.data_vars)
    xr.testing.assert_identical(back.drop_vars("temp").load(), source.drop_vars("temp").load())
    for a, b in ((source, back), *((source[n], back[n]) for n in source.variables)):
        assert {k: np.asarray(v).dtype for k, v in b.attrs.items()} == {
            k: np.asarray(v).dtype for k, v in a.attrs.items()
        }
    assert back.time_bnds.encoding["dtype"] == source.time_bnds.encoding["dtype"] == "f8"


def test_decompressed_netcdf_declares_what_the_source_declares(tmp_path, ocean):
    romae.compress(ocean, tmp_path / "a.romae", abs=1e-3)
    romae.decompress(tmp_path / "a.romae", tmp_path / "back.nc")
    with netCDF4.Dataset(ocean) as a, netCDF4.Dataset(tmp_path / "back.nc") as b:
        assert set(a.variables) == set(b.variables)
        assert b.dimensions["time"].isunlimited()
        assert "letters" in b.dimensions
        assert b.levels.dtype == a.levels.dtype
        for name, one in a.variables.items():
            other = b.variables[name]
            assert (other.dimensions, other.dtype) == (one.dimensions, one.dtype)
            for key in one.ncattrs():
                np.testing.assert_array_equal(other.getncattr(key), one.getncattr(key))
                assert (
                    np.asarray(other.getncattr(key)).dtype == np.asarray(one.getncattr(key)).dtype
                )


@pytest.fixture
def ragged(tmp_path, make_waves):
    """Two runs of unequal length, Re their parameter, in one archive; and the sources."""
    runs = [make_waves(n, seed=n).assign_coords(Re=10.0 * n) for n in (9, 13)]
    romae.compress(romae.open_snapshots(runs, cases="file"), tmp_path / "a.romae", rel=1e-3)
    return tmp_path / "a.romae", runs


def test_cases_of_unequal_length_open_as_a_tree_and_as_snapshots(ragged):
    path, runs = ragged
    tree = xr.open_datatree(path)
    assert list(tree.children) == ["0", "1"]
    for i, run in enumerate(runs):
        back = tree[str(i)].to_dataset().load()
        xr.testing.assert_identical(back.drop_vars(["u", "p"]), run.drop_vars(["u", "p"]))
        xr.testing.assert_identical(back, xr.open_dataset(path, engine="romae", case=i).load())
    snapshots = romae.open_snapshots(path)
    assert snapshots.lengths == (9, 13)
    assert list(snapshots.params["Re"]) == [90.0, 130.0]
    assert romae.POD(2).fit(snapshots).encode(snapshots.isel(case=[1])).sizes["time"] == 13


def test_an_archive_of_one_dataset_opens_as_a_tree(tmp_path, source):
    romae.compress(source, tmp_path / "a.romae", rel=1e-3)
    tree = xr.open_datatree(tmp_path / "a.romae")
    xr.testing.assert_identical(tree.to_dataset(), xr.open_dataset(tmp_path / "a.romae"))


def test_decompressing_cases_of_unequal_length_says_what_to_type(ragged, tmp_path):
    with pytest.raises(romae.RomaeError, match="--case 0"):
        romae.decompress(ragged[0], tmp_path / "a.nc")


def test_text_goes_to_zarr_without_a_warning(tmp_path, make_waves):
    """Warnings are errors here; Zarr has one for text in its version 3."""
    data = make_waves().assign_coords(station=("x", list("abcdefgh")))
    romae.compress(data, tmp_path / "a.romae", rel=1e-3, model=None)
    romae.decompress(tmp_path / "a.romae", tmp_path / "a.zarr")
    back = xr.open_zarr(tmp_path / "a.zarr", consolidated=True)
    assert list(back.station.values) == list("abcdefgh")


@pytest.mark.parametrize("bound", [{"rel": 1e-3}, {"abs": 0.1}, {"nrmse": 1e-3}])
@pytest.mark.parametrize("empty", [["p"], ["u", "p"]])
def test_fields_without_a_number_are_stored(tmp_path, make_waves, bound, empty):
    data = make_waves()
    for name in empty:
        data[name][:] = np.nan
    data.to_netcdf(tmp_path / "a.nc")
    report = romae.compress(tmp_path / "a.nc", tmp_path / "a.romae", **bound, model=None)
    assert f"{', '.join(empty)}: stored exactly, for no value is finite" in str(report)
    assert romae.verify(tmp_path / "a.romae", against=tmp_path / "a.nc").ok
    back = xr.open_dataset(tmp_path / "a.romae").load()
    for name in empty:
        xr.testing.assert_identical(back[name], data[name])
    with pytest.raises(DataError, match="NaN everywhere"):
        romae.open_snapshots(tmp_path / "a.romae")


def test_a_field_that_begins_with_nan_is_stored(tmp_path, make_waves):
    """A rain gauge that is switched on later."""
    data = make_waves()
    data.p[:5] = np.nan
    romae.compress(data, tmp_path / "a.romae", rel=1e-3, chunk=8)
    assert romae.verify(tmp_path / "a.romae", against=data).ok
    longer = xr.concat([data, data.assign_coords(time=data.time + 10)], "time")
    romae.compress(longer, tmp_path / "a.romae", append=True)
    assert romae.verify(tmp_path / "a.romae", against=longer).ok


@pytest.mark.parametrize("bound", [{"rel": 1}, {"nrmse": 1.5}, {"rel": {"u": 1e-3, "p": 1.0}}])
def test_a_share_of_the_range_is_below_one(tmp_path, make_waves, bound):
    with pytest.raises(OptionError, match=r"whole range.*in the field's own unit, abs="):
        romae.compress(make_waves(), tmp_path / "a.romae", **bound)
    romae.compress(make_waves(), tmp_path / "a.romae", rel=0.99)
    romae.compress(make_waves(), tmp_path / "b.romae", abs=99)
