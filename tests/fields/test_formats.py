"""The same snapshots come back from every kind of file, written by that kind's own library."""

import pickle

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from romae.errors import DataError
from romae.fields import Snapshots, open_snapshots
from romae.fields.classic import expected_bytes


def stacked(dataset: xr.Dataset) -> np.ndarray:
    names = ["u", "v", "p"]
    return np.stack([dataset[n].transpose("time", "y", "x").values for n in names], axis=1)


def check(opened: Snapshots, dataset: xr.Dataset) -> None:
    """Values, times, order, fingerprint and pickling agree with the Dataset in memory."""
    expected = open_snapshots(dataset)
    assert opened.layout.names == ("u", "v", "p")
    assert opened.shape == expected.shape
    np.testing.assert_array_equal(opened.read(0, len(opened)), stacked(dataset))
    np.testing.assert_array_equal(opened.read(7, 16), stacked(dataset)[7:16])
    np.testing.assert_array_equal(opened.times().values, dataset.time.values)
    assert opened.dt == pytest.approx(0.25)
    assert opened.fingerprint == expected.fingerprint
    assert pickle.loads(pickle.dumps(opened)).fingerprint == expected.fingerprint
    opened.layout.check_same(expected.layout)


@pytest.mark.parametrize("form", ["NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_64BIT", "NETCDF3_CLASSIC"])
def test_netcdf(tmp_path, small, form):
    small.to_netcdf(tmp_path / "a.nc", format=form, unlimited_dims=["time"])
    opened = open_snapshots(tmp_path / "a.nc")
    check(opened, small)
    xr.testing.assert_identical(opened.to_dataset().load(), small)


def test_netcdf_group_written_by_netcdf4(tmp_path, small):
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        top = file.createGroup("run").createGroup("flow")
        for name, size in small.sizes.items():
            top.createDimension(name, None if name == "time" else size)
        for name in ("time", "y", "x", "u", "v", "p"):
            source = small[name]
            made = top.createVariable(name, source.dtype, source.dims, zlib=True)
            made[:] = source.values
            made.setncatts(source.attrs)
    check(open_snapshots(tmp_path / "a.nc", group="run/flow"), small)


@pytest.mark.parametrize("kind", ["netcdf", "zarr"])
def test_variables_in_groups_alone(tmp_path, small, kind):
    path = tmp_path / ("a.nc" if kind == "netcdf" else "a.zarr")
    for name in ("coarse", "run/fine"):
        if kind == "netcdf":
            small.to_netcdf(path, group=name, mode="a")
        else:
            small.to_zarr(path, group=name, mode="a", zarr_format=3, consolidated=False)
    with pytest.raises(
        DataError, match=r"a.\w+ holds no variables at its top, but in groups: .*fine"
    ):
        open_snapshots(path)
    check(open_snapshots(path, group="run/fine", variables=["u", "v", "p"]), small)


def test_packed_integers_are_unpacked(tmp_path, small):
    packing = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 3.0, "_FillValue": -32768}
    small["u"][:, 0, 0] = np.nan
    small.to_netcdf(tmp_path / "a.nc", encoding={"u": packing})
    opened = open_snapshots(tmp_path / "a.nc")
    u = opened.read(0, 24)[:, 0]
    np.testing.assert_allclose(u, small.u.values, atol=0.0051)
    assert not opened.layout.valid[0, 0, 0]
    # a reconstruction outside the packed range must not wrap around when written
    wide = np.full((1, *opened.shape[1:]), 1e6, dtype="f8")
    written = opened.layout.to_dataset(wide, opened.times()[:1])
    written.to_netcdf(tmp_path / "b.nc")
    with xr.open_dataset(tmp_path / "b.nc") as back:
        assert back.u.max() == 1e6


@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_zarr(tmp_path, small, version, consolidated):
    chunks = {n: {"chunks": (8, 5, 3)} for n in ("u", "v", "p")}
    path = tmp_path / "a.zarr"
    small.to_zarr(path, zarr_format=version, consolidated=consolidated, encoding=chunks)
    opened = open_snapshots(path, variables=["u", "v", "p"])
    check(opened, small)
    assert open_snapshots(path).layout.names == ("p", "u", "v")
    assert opened.block_ranges(1) == [(0, t, t + 1) for t in range(24)]
    two_chunks = 16 * opened.layout.size * 4
    assert opened.block_ranges(two_chunks) == [(0, 0, 16), (0, 16, 24)]


def test_zarr_shards_are_the_storage_chunks(tmp_path, small):
    sharded = {n: {"chunks": (2, 5, 6), "shards": (8, 5, 6)} for n in ("u", "v", "p")}
    path = tmp_path / "a.zarr"
    small.to_zarr(path, zarr_format=3, consolidated=False, encoding=sharded)
    opened = open_snapshots(path, variables=["u", "v", "p"])
    check(opened, small)
    nine = 9 * opened.layout.size * 4
    assert opened.block_ranges(nine) == [(0, 0, 8), (0, 8, 16), (0, 16, 24)]


def test_files_are_joined_in_time_order(tmp_path, small):
    for name, part in (("a", slice(16, 24)), ("b", slice(0, 9)), ("c", slice(9, 16))):
        small.isel(time=part).to_netcdf(tmp_path / f"{name}.nc")
    opened = open_snapshots(tmp_path / "*.nc")
    check(opened, small)
    check(open_snapshots([tmp_path / "a.nc", tmp_path / "c.nc", str(tmp_path / "b.nc")]), small)
    assert "3 files" in opened.source
    xr.testing.assert_identical(opened.to_dataset().load(), small)


def test_one_file_per_step_with_scalar_time(tmp_path, small):
    for i in range(24):
        small.isel(time=i).to_netcdf(tmp_path / f"step_{i}.nc")
    opened = open_snapshots(str(tmp_path / "step_*.nc"))
    check(opened, small)
    assert opened.block_ranges() == [(0, 0, 24)]
    xr.testing.assert_equal(opened.to_dataset().load(), small)


def test_numbered_files_without_time_keep_their_natural_order(tmp_path, small):
    bare = small.drop_vars("time")
    for i in range(12):
        bare.isel(time=slice(2 * i, 2 * i + 2)).to_netcdf(tmp_path / f"part{i}.nc")
    opened = open_snapshots(str(tmp_path / "part*.nc"))
    np.testing.assert_array_equal(opened.read(0, 24), stacked(small))
    np.testing.assert_array_equal(opened.times().values, np.arange(24))
    assert opened.dt == 1.0


def write_hdf5(path, dataset, chunks=None):
    with h5py.File(path, "w") as file:
        for name in ("u", "v", "p"):
            made = file.create_dataset(f"flow/{name}", data=dataset[name].values, chunks=chunks)
            made.attrs["units"] = dataset[name].attrs["units"]
        file["flow/t"] = dataset.time.values
        file["mesh/x"], file["mesh/y"] = dataset.x.values, dataset.y.values
        file["mesh/x"].attrs["periodic"] = 1


def test_hdf5_by_layout(tmp_path, small):
    write_hdf5(tmp_path / "a.h5", small, chunks=(8, 5, 6))
    layout = {
        "fields": {"u": "/flow/u", "v": "flow/v", "p": "/flow/p"},
        "dims": ["time", "y", "x"],
        "coords": {"time": "/flow/t", "x": "/mesh/x", "y": "/mesh/y"},
        "attrs": {"time": {"units": "s"}},
    }
    opened = open_snapshots(tmp_path / "a.h5", layout=layout)
    check(opened, small)
    assert opened.block_ranges(9 * opened.layout.size * 4) == [(0, 0, 8), (0, 8, 16), (0, 16, 24)]
    assert opened.layout.periodic == (False, True)


def test_hdf5_by_paths_and_by_guess(tmp_path, small):
    write_hdf5(tmp_path / "a.h5", small)
    by_path = open_snapshots(tmp_path / "a.h5", variables=["/flow/u", "/flow/v", "/flow/p"])
    check(by_path, small)
    guessed = open_snapshots(tmp_path / "a.h5", variables=["u", "v", "p"])
    check(guessed, small)


def test_netcdf4_file_opens_as_plain_hdf5(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc")
    check(open_snapshots(tmp_path / "a.nc", layout={}, variables=["u", "v", "p"]), small)


def test_in_memory_array_and_dask(small):
    check(open_snapshots(small.chunk({"time": 5})), small)
    alone = open_snapshots(small["u"].rename(None))
    assert alone.layout.names == ("field",)
    chunked = open_snapshots(small.chunk({"time": 5}))
    assert chunked.block_ranges(7 * chunked.layout.size * 4)[0] == (0, 0, 5)


def test_closed_files_open_again(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc")
    write_hdf5(tmp_path / "a.h5", small)
    for name in ("a.nc", "a.h5"):
        opened = open_snapshots(tmp_path / name, variables=["u", "v", "p"])
        opened.close()
        np.testing.assert_array_equal(opened.read(0, 24), stacked(small))


def test_dataset_stays_lazy(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc")
    opened = open_snapshots(tmp_path / "a.nc")
    masked = open_snapshots(tmp_path / "a.nc", mask=small.x > 0.3)
    for lazy in (opened, opened.isel(time=slice(3, 20, 2)), masked):
        dataset = lazy.to_dataset()
        assert not any(dataset[n].variable._in_memory for n in ("u", "v", "p"))
        again = open_snapshots(dataset)
        np.testing.assert_array_equal(again.read(0, len(again)), lazy.read(0, len(lazy)))


@pytest.mark.parametrize("unlimited", [True, False])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("form", ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"])
def test_length_of_classic_files_follows_from_the_header(tmp_path, form, count, unlimited):
    with netCDF4.Dataset(tmp_path / "a.nc", "w", format=form) as file:
        for name, n in {"time": None if unlimited else 7, "y": 3, "x": 5}.items():
            file.createDimension(name, n)
        for name in "uvp"[:count]:
            made = file.createVariable(name, "i2", ("time", "y", "x"))
            made.long_name = "odd length"
            made[:] = np.ones((7, 3, 5), "i2")
    size = (tmp_path / "a.nc").stat().st_size
    assert 0 <= size - expected_bytes(str(tmp_path / "a.nc")) < 4  # padding at the end


def test_nothing_is_read_when_opening(tmp_path, small, monkeypatch):
    small.to_netcdf(tmp_path / "a.nc")
    seen = []
    read = Snapshots.read_raw
    monkeypatch.setattr(
        Snapshots, "read_raw", lambda s, a, b, case=0: seen.append(b - a) or read(s, a, b, case)
    )
    opened = open_snapshots(tmp_path / "a.nc")
    opened.split(0.5, 0.5)
    repr(opened)
    assert seen == [1]  # the first snapshot, for the mask
