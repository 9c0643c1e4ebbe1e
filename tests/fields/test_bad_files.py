"""Every bad file gives one clear error that is also the builtin, before anything is fitted."""

import h5py
import numpy as np
import pytest

from romae.errors import (
    DataError,
    GridMismatchError,
    MissingFileError,
    OptionError,
    UnreadableFileError,
)
from romae.fields import open_snapshots, survey


def test_missing_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wake.nc").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"no file 'wkae.nc'.*Did you mean 'wake.nc'"):
        open_snapshots("wkae.nc")
    with pytest.raises(MissingFileError, match=rf"matches 'run\*.nc' in {tmp_path}"):
        open_snapshots("run*.nc")
    with pytest.raises(MissingFileError, match=r"nowhere"):
        open_snapshots(tmp_path / "nowhere" / "a.nc")


def test_not_data(tmp_path):
    (tmp_path / "notes.nc").write_text("velocity fields, see wiki")
    with pytest.raises(
        UnreadableFileError, match=r"no data file.*25 bytes, starts with b'velocity'"
    ):
        open_snapshots(tmp_path / "notes.nc")
    with pytest.raises(OSError, match=r"folder without a Zarr store.*\*\.nc"):
        open_snapshots(tmp_path)


def test_zarr_store_without_its_metadata(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    (tmp_path / "a.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_')
    with pytest.raises(UnreadableFileError, match=r"a.zarr: cannot be opened"):
        open_snapshots(tmp_path / "a.zarr")


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF3_CLASSIC"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_truncated(tmp_path, make_flow, form, kept):
    path = tmp_path / "a.nc"
    make_flow(50, 20, 20).to_netcdf(path, format=form)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(UnreadableFileError, match=r"a.nc"):
        survey(open_snapshots(path))


def test_damaged_inside(tmp_path, small):
    path = tmp_path / "a.nc"
    packed = {n: {"zlib": True, "chunksizes": (4, 5, 6)} for n in ("u", "v", "p")}
    small.to_netcdf(path, encoding=packed)
    with h5py.File(path) as file:
        where = file["v"].id.get_chunk_info(3).byte_offset
    data = bytearray(path.read_bytes())
    data[where : where + 40] = b"\xff" * 40
    path.write_bytes(data)
    opened = open_snapshots(path)
    with pytest.raises(
        UnreadableFileError, match=r"a.nc: cannot read 'v' at time indices 12 to 15"
    ):
        opened.read(12, 16)
    opened.read(0, 12)


def test_wrong_group(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc", group="run")
    with pytest.raises((UnreadableFileError, OptionError), match=r"rnu|group"):
        open_snapshots(tmp_path / "a.nc", group="rnu")
    with pytest.raises(OptionError, match=r"'rnu'.*Did you mean 'run'"):
        open_snapshots(tmp_path / "a.nc", group="rnu", layout={})


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ({"feilds": {}}, "'feilds'.*'fields'"),
        ({"fields": {"u": "/flow/w"}}, "no numeric HDF5 dataset '/flow/w'"),
        ({"fields": ["/flow/u"], "dims": ["time", "x"]}, "has 3 axes"),
        ({"fields": ["/flow/u"], "coords": {"x": "/flow/u"}}, "coordinate 'x' has shape"),
    ],
)
def test_wrong_hdf5_layout(tmp_path, small, layout, expected):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["flow/u"] = small.u.values
    with pytest.raises(OptionError, match=expected):
        open_snapshots(tmp_path / "a.h5", layout=layout)


def test_hdf5_without_fields(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["list"] = np.arange(4)
    with pytest.raises(DataError, match=r"no dataset looks like a field.*/list \(4,\)"):
        open_snapshots(tmp_path / "a.h5")


def test_one_snapshot_opens_and_is_refused_by_name(tmp_path, small):
    small.isel(time=[0]).to_netcdf(tmp_path / "a.nc")
    opened = open_snapshots(tmp_path / "a.nc")
    assert opened.shape == (1, 3, 5, 6)
    with pytest.raises(DataError, match=r"a.nc has 1 snapshot; fitting needs at least 2"):
        opened.require(2, "fitting")


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0, 1, 3, 2, 4], r"a.nc: time 'time' goes back at index 3: 3.0 is followed by 2.0"),
        ([0, 1, 1, 2, 3], r"repeats at index 2: 1.0 is followed by 1.0"),
        ([0, np.nan, 1, 2, 3], r"missing \(NaN\) at index 1"),
    ],
)
def test_time_that_does_not_increase(tmp_path, make_flow, times, expected):
    bad = make_flow(5).assign_coords(time=np.array(times, dtype=float))
    bad.to_netcdf(tmp_path / "a.nc")
    with pytest.raises(ValueError, match=expected):
        open_snapshots(tmp_path / "a.nc")


def test_files_that_disagree(tmp_path, small):
    def open_with(second):
        small.isel(time=slice(0, 12)).to_netcdf(tmp_path / "a.nc")
        second.to_netcdf(tmp_path / "b.nc")
        return open_snapshots(tmp_path / "?.nc")

    later = small.isel(time=slice(12, 24))
    with pytest.raises(GridMismatchError, match=r"b.nc: x has 5 points; expected 6 as in a.nc"):
        open_with(later.isel(x=slice(5)))
    with pytest.raises(
        GridMismatchError, match=r"b.nc: coordinate 'y' is 1.0 at index 1; .*0.0625"
    ):
        open_with(later.assign_coords(y=np.arange(5.0)))
    with pytest.raises(
        DataError, match=r"b.nc has no variable 'p', which a.nc has; it holds u, v. .*\['u', 'v'\]"
    ):
        open_with(later.drop_vars("p"))
    with pytest.raises(DataError, match=r"b.nc starts at time = 3.25, not after a.nc.*4.75"):
        open_with(small.isel(time=slice(5, 24)))
    with pytest.raises(DataError, match=r"b.nc has no time coordinate"):
        open_with(later.drop_vars("time"))
    with pytest.raises(DataError, match=r"cannot be compared"):
        dates = np.datetime64("2001-01-01", "ns") + np.arange(12) * np.timedelta64(1, "h")
        open_with(later.assign_coords(time=dates))
    assert len(open_with(later)) == 24
