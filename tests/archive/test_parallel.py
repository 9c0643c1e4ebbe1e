"""However many processes write an archive, it has the bytes that one process gives."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import xarray as xr

import romae
from romae.archive import write
from romae.errors import OptionError


def test_parts_in_any_order_give_the_archive_of_one_process(tmp_path, source, files):
    romae.compress(source, tmp_path / "whole.romae", rel=1e-3, chunk=4)
    path = tmp_path / "a.romae"
    plan = romae.compress(source, path, rel=1e-3, chunk=4, part="plan")
    assert (plan.finished, plan.missing) == (False, 10)
    for i, left in ((2, 7), (0, 3), (1, 0)):
        report = romae.compress(source, path, rel=1e-3, chunk=4, part=(i, 3))
        assert report.missing == left
        assert report.finished == (i == 1)
    assert files(path) == files(tmp_path / "whole.romae")
    again = romae.compress(source, path, rel=1e-3, chunk=4, part=(0, 3))  # a job that was requeued
    assert again.finished
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("part", [(3, 3), (-1, 2), (0, 0), "half", (0.5, 2), (1,)])
def test_a_wrong_part_is_refused(tmp_path, source, part):
    with pytest.raises(OptionError, match="no share"):
        romae.compress(source, tmp_path / "a.romae", rel=1e-3, part=part)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_change_a_byte(tmp_path, source, files, monkeypatch, threads):
    romae.compress(source, tmp_path / "whole.romae", rel=1e-3, chunk=4)
    monkeypatch.setattr(write, "thread_count", lambda facts: threads)
    romae.compress(source, tmp_path / "a.romae", rel=1e-3, chunk=4)
    assert files(tmp_path / "a.romae") == files(tmp_path / "whole.romae")


def test_a_dask_client_gives_the_same_bytes(tmp_path, source, files):
    distributed = pytest.importorskip("distributed")
    romae.compress(source, tmp_path / "whole.romae", rel=1e-3, chunk=4)
    options = {"processes": False, "n_workers": 2, "threads_per_worker": 1}
    with distributed.Client(**options, dashboard_address=None) as client:
        romae.compress(source, tmp_path / "a.romae", rel=1e-3, chunk=4, client=client)
    assert files(tmp_path / "a.romae") == files(tmp_path / "whole.romae")


@pytest.mark.slow
def test_several_processes_at_once_give_the_same_bytes(tmp_path, source, files):
    romae.compress(source, tmp_path / "whole.romae", rel=1e-3, chunk=4)
    words = [
        sys.executable,
        "-m",
        "romae",
        "compress",
        str(source),
        "--rel",
        "1e-3",
        "--chunk",
        "4",
    ]
    parts = [*(["--part", f"{i}/3"] for i in range(3)), []]  # and one that does everything
    running = [
        subprocess.Popen(
            [*words, "-o", str(tmp_path / "a.romae"), *part],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for part in parts
    ]
    for process in running:
        _, errors = process.communicate(timeout=300)
        # The one that came when all was done finds the path taken, which is no fault.
        assert process.returncode == 0 or b"exists already" in errors, errors
    assert files(tmp_path / "a.romae") == files(tmp_path / "whole.romae")
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "thread_count", lambda facts: 1)
    rng = np.random.default_rng(0)
    peaks = []
    for n in (64, 512):
        x = rng.normal(size=(n, 32, 32)).astype("f4")
        path = tmp_path / f"{n}.nc"
        xr.Dataset({"u": (("time", "y", "x"), x)}).to_netcdf(path)
        del x
        snapshots = romae.open_snapshots(path)
        monkeypatch.setattr(type(snapshots), "block_ranges", _small_blocks)
        tracemalloc.start()
        romae.compress(snapshots, tmp_path / f"{n}.romae", rel=1e-2, model=None, chunk=16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 0.5 * 512 * 32 * 32 * 4


def _small_blocks(self, nbytes=0):
    return [(0, a, min(a + 16, len(self))) for a in range(0, len(self), 16)]
