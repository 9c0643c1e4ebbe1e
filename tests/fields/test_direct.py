"""Byte ranges give what xarray gives, bit for bit; files that change or break say so."""

import contextlib
import multiprocessing
import os
import pickle
import struct
import threading
import zlib

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from romae.errors import UnreadableFileError
from romae.fields import Snapshots, decode, filters, open_snapshots, work
from romae.fields.chunks import learn
from romae.fields.filters import Filter, FilterError, decoders

DIMS = ("time", "y", "x")
ROOM = np.empty(4096, "u1")


def library(snapshots: Snapshots) -> np.ndarray:
    """All snapshots (T, C, *space) by xarray alone, in the type that romae gives."""
    parts = []
    for trajectory in snapshots.trajectories:
        for segment in trajectory.segments:
            names = snapshots.layout.names
            part = np.stack(
                [
                    segment._read(n, slice(0, segment.steps[-1] + 1), snapshots.layout)
                    for n in names
                ],
                axis=1,
            )
            parts.append(part[list(segment.steps)].astype(snapshots.dtype))
    return np.concatenate(parts)


def used(snapshots: Snapshots) -> set[str]:
    """Fields that were read by byte ranges."""
    tables = snapshots.trajectories[0].segments[0].tables
    return {name for name, table in tables.items() if table is not None}


def same_bits(a: np.ndarray, b: np.ndarray) -> None:
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert a.tobytes() == b.tobytes()


def check(snapshots: Snapshots, direct_fields: set[str], start=0, stop=None, step=1) -> None:
    expected = library(snapshots)
    part = snapshots.isel(time=slice(start, stop, step))
    same_bits(part.read_raw(0, len(part)), expected[start:stop:step])
    assert used(part) == direct_fields


COMPRESSION = [
    {},
    {"zlib": True, "complevel": 1, "shuffle": False},
    {"zlib": True, "complevel": 4, "shuffle": True},
    {"zlib": True, "shuffle": True, "fletcher32": True},
    {"fletcher32": True},
    {"compression": "zstd", "shuffle": True},
    {"compression": "zstd", "shuffle": False, "fletcher32": True},
]


@st.composite
def variables(draw):
    """(type, compression, chunk, decoding attributes) of one netCDF variable."""
    dtype = draw(st.sampled_from(["f4", "f8", "i2", "u1", "i4", "<f4", ">f4", ">f8", ">i2"]))
    compression = draw(st.sampled_from(COMPRESSION))
    chunk = None
    if compression or draw(st.booleans()):
        chunk = (draw(st.integers(1, 11)), draw(st.integers(1, 5)), draw(st.integers(2, 7)))
    attrs, fill = {}, None
    if draw(st.booleans()):
        fill = draw(st.sampled_from([3, -2] if "u" not in dtype else [3, 250]))
    if "f" not in dtype and draw(st.booleans()):
        attrs["scale_factor"] = draw(st.sampled_from([np.float32(0.1), np.float64(0.37)]))
        if draw(st.booleans()):
            attrs["add_offset"] = draw(st.sampled_from([np.float32(7.3), np.float64(-1.7)]))
    return dtype, compression, chunk, attrs, fill


def write_netcdf(path, made, order, unwritten):
    rng = np.random.default_rng(1)
    sizes = {"time": 11, "y": 5, "x": 7}
    with netCDF4.Dataset(path, "w") as file:
        for name, size in sizes.items():
            file.createDimension(name, size)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(11)
        for name, (dtype, compression, chunk, attrs, fill) in made.items():
            kind = np.dtype(dtype)
            options = dict(compression)
            if chunk is not None:
                options["chunksizes"] = [chunk[DIMS.index(d)] for d in order]
            endian = "big" if dtype.startswith(">") else "native"
            variable = file.createVariable(
                name, kind, order, fill_value=fill, endian=endian, **options
            )
            variable.setncatts(attrs)
            variable.set_auto_maskandscale(False)
            values = rng.integers(0, 9, [sizes[d] for d in order]).astype(kind.newbyteorder("="))
            if kind.kind == "f":
                values.ravel()[::13] = np.nan
            last = 5 if unwritten else 11
            where = tuple(slice(0, last) if d == "time" else slice(None) for d in order)
            variable[where] = values[where]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    made=st.lists(variables(), min_size=1, max_size=3),
    order=st.permutations(DIMS),
    unwritten=st.booleans(),
    start=st.integers(0, 8),
    length=st.integers(1, 11),
    step=st.sampled_from([1, 2, 3, 9]),
    threads=st.booleans(),
)
def test_netcdf_values_are_those_of_xarray(
    tmp_path_factory, made, order, unwritten, start, length, step, threads
):
    path = tmp_path_factory.mktemp("direct") / "a.nc"
    named = {f"v{i}": m for i, m in enumerate(made)}
    write_netcdf(path, named, order, unwritten)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "ALONE_BYTES", 0 if threads else 1 << 30)
        patch.setattr(work, "processors", lambda: 3)
        snapshots = open_snapshots(path, time="time", space=["y", "x"], mask=np.ones((5, 7), bool))
        check(snapshots, set(named), start, min(11, start + length), step)
        snapshots.close()
    path.unlink()


@pytest.mark.parametrize("chunk", [None, (1, 5, 6), (4, 5, 6), (5, 2, 6), (3, 3, 4)])
@pytest.mark.parametrize("kind", ["none", "lz4", "zstd", "gzip", "fletcher32"])
def test_plain_hdf5(tmp_path, small, chunk, kind):
    options = {"chunks": chunk, "shuffle": kind != "none"}
    if kind in ("lz4", "zstd"):
        plugin = pytest.importorskip("hdf5plugin")
        options |= {"lz4": plugin.LZ4, "zstd": plugin.Zstd}[kind]()
    elif kind != "none":
        options |= {"compression": "gzip"} if kind == "gzip" else {"fletcher32": True}
    if chunk is None:
        if kind != "none":
            pytest.skip("contiguous data have no filters")
        options = {}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in "uvp":
            file.create_dataset(f"flow/{name}", data=small[name].values, **options)
    layout = {"fields": {n: f"flow/{n}" for n in "uvp"}, "dims": list(DIMS)}
    snapshots = open_snapshots(tmp_path / "a.h5", layout=layout)
    check(snapshots, {"u", "v", "p"})
    check(snapshots, {"u", "v", "p"}, 3, 22, 2)
    check(snapshots, {"u", "v", "p"}, 1, 24, 10)


@pytest.mark.parametrize("shuffle", [0, 1, 2])
@pytest.mark.parametrize("kind", ["blosc_lz4", "blosc_zstd", "blosc_zlib"])
def test_blosc(tmp_path, kind, shuffle):
    values = np.cumsum(np.ones((10, 64, 64)), axis=1).astype("f4")
    with netCDF4.Dataset(tmp_path / "a.nc", "w") as file:
        for name, size in zip(DIMS, values.shape, strict=True):
            file.createDimension(name, size)
        options = {"compression": kind, "blosc_shuffle": shuffle, "chunksizes": (3, 64, 40)}
        file.createVariable("u", "f4", DIMS, **options)[:] = values
    check(open_snapshots(tmp_path / "a.nc"), {"u"})


def test_cases_and_other_axes_of_length_one(tmp_path):
    values = np.arange(3 * 8 * 4 * 5, dtype="f4").reshape(3, 8, 1, 4, 5)
    data = xr.Dataset({"u": (("case", "time", "z", "y", "x"), values)}, {"time": np.arange(8.0)})
    data.to_netcdf(tmp_path / "a.nc", encoding={"u": {"zlib": True, "chunksizes": (2, 3, 1, 4, 2)}})
    snapshots = open_snapshots(tmp_path / "a.nc", space=["y", "x"])
    for case in range(3):
        same_bits(snapshots.read(2, 7, case)[:, 0], values[case, 2:7, 0])
    assert used(snapshots) == {"u"}
    first, second = (snapshots.trajectories[i].segments[0].tables for i in (0, 1))
    assert first is second  # learned once


def test_one_snapshot_a_file_and_groups(tmp_path, small):
    for t in range(4):
        small.isel(time=t).to_netcdf(tmp_path / f"{t}.nc", group="a/b")
    snapshots = open_snapshots(str(tmp_path / "*.nc"), group="a/b")
    same_bits(snapshots.read(1, 4)[:, 0], small.u.values[1:4])
    assert used(snapshots) == {"u", "v", "p"}


def left_alone(tmp_path, small):
    """Sources that the library has to read."""
    small.to_netcdf(tmp_path / "classic.nc", format="NETCDF3_64BIT")
    small.to_zarr(tmp_path / "a.zarr", zarr_format=2, consolidated=False)
    small.to_netcdf(tmp_path / "a.nc")
    with h5py.File(tmp_path / "scaled.h5", "w") as file:
        made = file.create_dataset("u", (24, 5, 6), "i4", chunks=(4, 5, 6), scaleoffset=0)
        made[:] = np.arange(720).reshape(24, 5, 6)
    with h5py.File(tmp_path / "block.h5", "w", userblock_size=512) as file:
        file["u"] = small.u.values
    virtual = h5py.VirtualLayout((24, 5, 6), "f4")
    virtual[:] = h5py.VirtualSource(str(tmp_path / "a.nc"), "u", (24, 5, 6))
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("u", virtual)
    with h5py.File(tmp_path / "unset.h5", "w") as file:
        made = file.create_dataset("u", (24, 5, 6), "f4", chunks=(4, 5, 6), fill_time="never")
        made[:12] = 1
    opened = xr.open_dataset(tmp_path / "a.nc")
    return {
        "classic": tmp_path / "classic.nc",
        "zarr": tmp_path / "a.zarr",
        "memory": small,
        "part": opened[["u"]].isel(time=slice(2, 9)),
        "dask": xr.open_dataset(tmp_path / "a.nc", chunks={}),
        "scaled": tmp_path / "scaled.h5",
        "block": tmp_path / "block.h5",
        "virtual": tmp_path / "virtual.h5",
        "unset": tmp_path / "unset.h5",
    }


@pytest.mark.parametrize(
    "name", ["classic", "zarr", "memory", "part", "dask", "scaled", "block", "virtual", "unset"]
)
def test_what_byte_ranges_do_not_serve_is_left_to_the_library(tmp_path, small, name):
    snapshots = open_snapshots(left_alone(tmp_path, small)[name])
    same_bits(snapshots.read_raw(1, 6), library(snapshots)[1:6])
    assert used(snapshots) == set()


def test_a_file_open_for_writing_in_this_process_is_left_to_the_library(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        made = file.create_dataset("u", (6, 4, 4), "f4", chunks=(2, 4, 4))
        made[:] = 1
        file.flush()
        made[:] = 2  # perhaps not in the file yet
        assert learn(str(tmp_path / "a.h5"), "u") is None


def test_a_variable_that_was_changed_in_memory_is_not_read_from_its_file(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc")
    opened = xr.open_dataset(tmp_path / "a.nc")
    snapshots = open_snapshots(opened)
    snapshots.read(0, 2)
    snapshots.trajectories[0].segments[0].dataset.u[0] = 7
    assert (snapshots.read(0, 1)[0, 0] == 7).all()


def packed(path, dataset, **options):
    encoding = {n: {"zlib": True, "chunksizes": (4, 5, 6), **options} for n in ("u", "v", "p")}
    dataset.to_netcdf(path, encoding=encoding)


def test_a_file_that_is_cut_midway(tmp_path, small):
    path = tmp_path / "a.nc"
    packed(path, small)
    with h5py.File(path) as file:
        end = file["p"].id.get_chunk_info(5).byte_offset + 10
    snapshots = open_snapshots(path)
    snapshots.read(0, 24)
    os.truncate(path, end)
    with pytest.raises(UnreadableFileError, match=r"a.nc: cannot read 'u' .*was \d+ bytes and is"):
        snapshots.read(0, 24)


def test_bytes_that_are_missing_name_the_chunk(tmp_path, small, monkeypatch):
    packed(tmp_path / "a.nc", small)
    snapshots = open_snapshots(tmp_path / "a.nc")
    snapshots.read(0, 24)
    monkeypatch.setattr(os, "preadv", lambda file, views, at: 0)
    with pytest.raises(
        UnreadableFileError, match=r"a.nc: cannot read 'u' .*chunk \[8:12, 0:5, 0:6\]"
    ):
        snapshots.read(8, 10)


def test_a_file_that_vanishes_midway(tmp_path, small):
    packed(tmp_path / "a.nc", small)
    snapshots = open_snapshots(tmp_path / "a.nc")
    snapshots.read(0, 2)
    (tmp_path / "a.nc").unlink()
    with pytest.raises(
        UnreadableFileError, match=r"a.nc: cannot read 'u' .*does not open any more"
    ):
        snapshots.read(0, 2)


@pytest.mark.parametrize("options", [{"fletcher32": True, "zlib": False}, {}])
def test_a_damaged_chunk_is_named(tmp_path, small, options):
    path = tmp_path / "a.nc"
    packed(path, small, **options)
    with h5py.File(path) as file:
        where = file["v"].id.get_chunk_info(3).byte_offset
    with open(path, "r+b") as file:
        file.seek(where)
        file.write(b"\xff" * 40)
    snapshots = open_snapshots(path)
    with pytest.raises(
        UnreadableFileError,
        match=r"a.nc: cannot read 'v' at time indices 0 to 23.*chunk \[12:16, 0:5, 0:6\]",
    ):
        snapshots.read(0, 24)
    snapshots.read(0, 12)


def test_a_chunk_that_only_the_library_understands(tmp_path, small, monkeypatch):
    packed(tmp_path / "a.nc", small)
    snapshots = open_snapshots(tmp_path / "a.nc")
    snapshots.read(0, 1)

    def broken(*_):
        raise FilterError("not known here")

    monkeypatch.setattr(decode, "by_numpy", broken)
    same_bits(snapshots.read(0, 24)[:, 0], small.u.values)
    assert used(snapshots) == set()


def test_a_file_that_is_replaced_is_learned_again(tmp_path, small):
    path = tmp_path / "a.nc"
    packed(path, small)
    snapshots = open_snapshots(path)
    snapshots.read(0, 24)
    snapshots.close()
    packed(tmp_path / "b.nc", small + 1, shuffle=False)
    os.replace(tmp_path / "b.nc", path)
    same_bits(snapshots.read(0, 24)[:, 0], (small + 1).u.values)


def _read_in_child(pipe, snapshots):
    pipe.send(snapshots.read(0, 24).sum())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_pickles_forks_and_threads(tmp_path, small, monkeypatch):
    monkeypatch.setattr(work, "ALONE_BYTES", 0)
    packed(tmp_path / "a.nc", small)
    snapshots = open_snapshots(tmp_path / "a.nc")
    expected = snapshots.read(0, 24)
    again = pickle.loads(pickle.dumps(snapshots))
    assert not again.trajectories[0].segments[0].tables
    same_bits(again.read(0, 24), expected)
    fork = multiprocessing.get_context("fork")  # after HDF5 and threads have run
    ours, theirs = fork.Pipe()
    child = fork.Process(target=_read_in_child, args=(theirs, snapshots))
    child.start()
    assert ours.poll(30)
    assert ours.recv() == expected.sum()
    child.join()
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(snapshots.read(0, 24))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for values in results:
        same_bits(values, expected)
    assert not [t for t in threading.enumerate() if t.name == "romae-chunks"]


@pytest.mark.parametrize("name", ["deflate", "zlib"])
def test_deflate_with_and_without_libdeflate(name, monkeypatch):
    if name == "zlib":
        monkeypatch.setitem(__import__("sys").modules, "deflate", None)
    else:
        pytest.importorskip("deflate")
    (decode,) = decoders([Filter(filters.DEFLATE, (4,))])
    data = np.arange(100, dtype="f4").tobytes()
    assert decode(zlib.compress(data), 400, ROOM) == data
    for bad in (b"", zlib.compress(data)[:50], b"\xff" * 40):
        with pytest.raises(FilterError, match="deflate"):
            decode(bad, 400, ROOM)


def test_filters_that_are_not_known():
    assert decoders([Filter(32013)]) is None


@pytest.mark.parametrize("code", [filters.BLOSC, filters.LZ4, filters.ZSTD, filters.FLETCHER32])
@given(data=st.binary(max_size=64))
def test_damaged_bytes_are_errors_and_nothing_worse(code, data):
    (decode,) = decoders([Filter(code)])
    for stored in (data, struct.pack(">QI", 64, 32) + data):
        with contextlib.suppress(FilterError):
            decode(np.frombuffer(stored, "u1"), 64, ROOM)
