"""Results on full disks: one error with the numbers, and nothing left behind."""

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections import namedtuple

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr

from romae.errors import UnwritableFileError
from romae.fields import writing
from romae.fields.writing import bytes_on_disk, open_written, write_fields

MB = 1 << 20
Usage = namedtuple("Usage", "total used free")


def in_pieces(do=lambda i: None, megabytes=8):
    """Noise by pieces of 1 MiB; ``do(i)`` is called before piece i is made."""

    def piece(i):
        do(i)
        return np.random.default_rng(i).random((2, 1 << 16))

    parts = [
        da.from_delayed(dask.delayed(piece, pure=False)(i), (2, 1 << 16), float)
        for i in range(megabytes)
    ]
    return xr.Dataset({"u": (("time", "x"), da.concatenate(parts))})


@pytest.fixture
def files_of_4_mb():
    """No file may grow beyond 4 MiB, as with `ulimit -f`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 * MB, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def disk_of_4_mb(tmp_path):
    """A file system of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True
    )
    if made.returncode:
        pytest.skip("mounting needs the rights of an administrator")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_netcdf_that_will_not_fit_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10 * MB, 3 * MB, 7 * MB))
    made = []
    with pytest.raises(
        OSError,
        match=r"out.nc cannot be written: the disk has no room.* 8388608 bytes \(8 MiB\) are "
        r"needed, 7340032 \(7 MiB\) are free in ",
    ):
        write_fields(in_pieces(made.append), tmp_path / "out.nc")
    assert made == []
    write_fields(in_pieces(made.append), tmp_path / "out.zarr")  # may be smaller: compressed
    assert sorted(made) == list(range(8))


def test_disk_that_fills_while_writing(disk_of_4_mb, monkeypatch):
    (disk_of_4_mb / "kept.txt").write_text("kept")
    with pytest.raises(UnwritableFileError, match=r"out.zarr cannot be written: .*No space left"):
        write_fields(in_pieces(), disk_of_4_mb / "out.zarr")
    with monkeypatch.context() as patch:  # as if another process had filled it meanwhile
        patch.setattr(writing, "bytes_on_disk", lambda _: 0)
        with pytest.raises(UnwritableFileError, match=r"out.nc cannot be written: NetCDF"):
            write_fields(in_pieces(), disk_of_4_mb / "out.nc")
    assert os.listdir(disk_of_4_mb) == ["kept.txt"]


@pytest.mark.parametrize("name", ["out.nc", "out.zarr"])
def test_quota(tmp_path, files_of_4_mb, name):
    fields = in_pieces().chunk(time=16)  # one chunk: a file of its own in a store
    with pytest.raises(UnwritableFileError, match=rf"{name} cannot be written: .*ulimit -f"):
        write_fields(fields, tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_errors_of_the_computation_keep_their_kind(tmp_path):
    def fail(i):
        if i == 3:
            raise RuntimeError("out of something else")

    for name in ("out.nc", "out.zarr"):
        with pytest.raises(RuntimeError, match="something else"):
            write_fields(in_pieces(fail), tmp_path / name)
    assert os.listdir(tmp_path) == []


KILLED = """
import os, runpy, signal, sys

test = runpy.run_path(sys.argv[1])
fields = test["in_pieces"](lambda i: i == 5 and os.kill(os.getpid(), signal.SIGKILL))
test["write_fields"](fields, sys.argv[2])
"""


@pytest.mark.parametrize("name", ["out.nc", "out.zarr"])
def test_killed_while_writing(tmp_path, name):
    """No file of the final name; the next writer sweeps up what the killed one left."""
    done = subprocess.run([sys.executable, "-c", KILLED, __file__, str(tmp_path / name)])
    assert done.returncode == -signal.SIGKILL
    left = os.listdir(tmp_path)
    assert len(left) == 1
    assert left[0].startswith(f"{name}.partial-")
    write_fields(in_pieces(), tmp_path / name)
    assert os.listdir(tmp_path) == [name]
    xr.testing.assert_identical(open_written(tmp_path / name).load(), in_pieces().compute())


def test_bytes_follow_from_the_types_on_disk(tmp_path):
    fields = in_pieces(megabytes=2)
    assert bytes_on_disk(fields) == 2 * MB
    fields["u"].encoding["dtype"] = "float32"
    assert bytes_on_disk(fields) == MB
    write_fields(fields, tmp_path / "out.nc")
    assert 0 <= (tmp_path / "out.nc").stat().st_size - MB < 32768
