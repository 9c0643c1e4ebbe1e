"""Files that change under a pass over them, and files of one series that do not go together."""

import os
import shutil

import h5py
import numpy as np
import pytest
import xarray as xr

from romae.errors import DataError, GridMismatchError, UnreadableFileError
from romae.fields import open_snapshots, survey


def write(kind, folder, data):
    """``data`` in three files (or stores) of one kind, and what opens them."""
    for i in range(3):
        part = data.isel(time=slice(8 * i, 8 * i + 8))
        stem = str(folder / f"part_{i}")
        if kind == "netcdf4":
            part.to_netcdf(stem + ".nc")
        elif kind == "netcdf3":
            part.to_netcdf(stem + ".nc", format="NETCDF3_CLASSIC")
        elif kind == "deflate":
            packed = {n: {"zlib": True, "chunksizes": (2, 5, 6)} for n in "uvp"}
            part.to_netcdf(stem + ".nc", encoding=packed)
        elif kind == "hdf5":
            with h5py.File(stem + ".h5", "w") as file:
                file["u"], file["time"] = part.u.values, part.time.values
        elif kind == "npy":
            np.save(stem + ".npy", part.u.values)
        elif kind == "npz":
            np.savez_compressed(stem + ".npz", u=part.u.values, t=part.time.values)
        elif kind == "zarr":
            part.to_zarr(stem + ".zarr", zarr_format=3, consolidated=False)
    return open_snapshots(str(folder / "part_*"))


KINDS = ["netcdf4", "netcdf3", "deflate", "hdf5", "npy", "npz", "zarr"]


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_file_that_vanishes(tmp_path, small, kind, touched):
    opened = write(kind, tmp_path, small)
    if touched:
        opened.read(0, 24)
    opened.close()
    path = next(p for p in tmp_path.iterdir() if p.stem == "part_1")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(
        OSError, match=rf"{path.name}: cannot read '\w+' at time indices 0 to 7: .*No such file"
    ):
        survey(opened)
    opened.read(0, 8)
    opened.read(16, 24)


@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize("kept", [0.5, 0.95])
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "zarr"])
def test_file_that_is_cut_short(tmp_path, make_flow, kind, kept, touched):
    opened = write(kind, tmp_path, make_flow(24, 40, 50))
    if touched:
        opened.read(0, 24)
    path = next(p for p in tmp_path.iterdir() if p.stem == "part_1")
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(
        UnreadableFileError, match=rf"{path.name}: cannot read '\w+' at time indices \d to \d"
    ):
        survey(opened)


def test_chunk_of_a_store_that_is_cut_short(tmp_path, small):
    opened = write("zarr", tmp_path, small)
    os.truncate(tmp_path / "part_1.zarr/v/c/0/0/0", 20)
    with pytest.raises(UnreadableFileError, match=r"part_1.zarr: cannot read 'v' at time indices"):
        survey(opened)


def test_what_was_loaded_needs_no_file(tmp_path, small):
    opened = write("netcdf4", tmp_path, small)
    loaded = opened.isel(time=slice(0, 8)).to_dataset().load()
    for path in tmp_path.iterdir():
        path.unlink()
    np.testing.assert_array_equal(open_snapshots(loaded).read(0, 8)[:, 0], small.u.values[:8])


def test_a_file_may_grow(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc", format="NETCDF3_CLASSIC", unlimited_dims="time")
    opened = open_snapshots(tmp_path / "a.nc")
    with open(tmp_path / "a.nc", "ab") as file:
        file.write(bytes(1000))
    np.testing.assert_array_equal(opened.read(0, 24)[:, 1], small.v.values)


def test_series_in_other_units_or_axes(tmp_path, small):
    def open_with(second):
        small.isel(time=slice(0, 12)).to_netcdf(tmp_path / "a.nc")
        second.to_netcdf(tmp_path / "b.nc")
        return open_snapshots(tmp_path / "?.nc")

    later = small.isel(time=slice(12, 24))
    other = later.copy()
    other["v"] = other.v.assign_attrs(units="cm/s")
    with pytest.raises(GridMismatchError, match=r"b.nc: v is in 'cm/s'; expected 'm/s' as in a.nc"):
        open_with(other)
    hours = later.assign_coords(time=later.time.assign_attrs(units="h"))
    with pytest.raises(GridMismatchError, match=r"b.nc: time is in 'h'; expected 's' as in a.nc"):
        open_with(hours)
    with pytest.raises(GridMismatchError, match=r"b.nc has no dimension 'x'.*lon=6.*rename it"):
        open_with(later.rename(x="lon"))
    del other["v"].attrs["units"]  # nothing said, nothing contradicted
    assert len(open_with(other)) == 24


@pytest.mark.parametrize("wide", [0, 1])
def test_one_file_in_double_precision_keeps_its_digits(tmp_path, small, wide):
    parts = [small.isel(time=slice(0, 12)), small.isel(time=slice(12, 24))]
    parts[wide] = parts[wide].astype("f8")
    parts[wide]["p"] += 1e9 + 1e-3
    for name, part in zip("ab", parts, strict=True):
        part.to_netcdf(tmp_path / f"{name}.nc")
    opened = open_snapshots(tmp_path / "?.nc")
    assert opened.dtype == np.float64
    got = opened.read(12 * wide, 12 * wide + 12)[:, 2]
    np.testing.assert_array_equal(got, parts[wide].p.values)
    labelled = opened.layout.to_dataset(opened.read(0, 24), opened.times())
    labelled.to_netcdf(tmp_path / "c.nc")
    with xr.open_dataset(tmp_path / "c.nc") as back:
        np.testing.assert_array_equal(back.p.values[12 * wide :][:12], parts[wide].p.values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((4, 5, 6), "a"), r"has type <U1.*astype\('float32'\), or leave it out"),
        (np.ones((4, 5, 6), complex), r"has type complex128.*\['u'\].real and ds\['u'\].imag"),
        (np.ones((4, 5, 6), bool), r"has type bool.*astype\('float32'\)"),
        (np.full((4, 5, 6), None), r"has type object.*astype\('float32'\)"),
        (np.ones((4, 5, 6), "m8[s]"), r"has type timedelta64\[s\].*total_seconds\(\)"),
    ],
)
def test_types_that_are_no_real_numbers(values, expected):
    data = xr.Dataset({"u": (("time", "y", "x"), values)})
    for variables in (None, "u"):
        with pytest.raises(DataError, match=expected):
            open_snapshots(data, variables=variables)


@pytest.mark.parametrize("dtype", ["f2", "i8", "u1", ">f4", ">i2"])
def test_types_that_are(tmp_path, dtype):
    values = np.random.default_rng(0).integers(0, 9, (4, 5, 6)).astype(dtype)
    np.save(tmp_path / "u.npy", values)
    with h5py.File(tmp_path / "u.h5", "w") as file:
        file["u"] = values
    for name in ("u.npy", "u.h5"):
        np.testing.assert_array_equal(open_snapshots(tmp_path / name).read(0, 4)[:, 0], values)
