"""Files that break under a feed: the error names file, variable and snapshots; nothing hangs."""

import os
import subprocess
import sys
import threading

import h5py
import numpy as np
import pytest
import xarray as xr

from romae.errors import UnreadableFileError
from romae.feed import StreamFeed
from romae.fields import open_snapshots, work

T, SHAPE = 96, (16, 16)
CHUNK = {"u": {"chunksizes": (4, *SHAPE)}}
STORAGE = {
    "plain": {},
    "checksum": {"fletcher32": True},
    "zlib": {"zlib": True, "shuffle": True, "fletcher32": True},
    "zstd": {"compression": "zstd", "shuffle": True},
}


def written(path, kind):
    values = np.arange(T, dtype="f4")[:, None, None] + np.random.default_rng(0).random(SHAPE)
    data = xr.DataArray(values.astype("f4"), dims=("time", "y", "x"), name="u")
    data.to_netcdf(path, encoding={"u": {**CHUNK["u"], **STORAGE[kind]}})
    return values.astype("f4")


def stream(path, **options):
    return StreamFeed(
        open_snapshots(path), None, batch=8, block_bytes=4 * 4 * 256, shuffle=False, **options
    )


def consume(feed, expected, act=lambda: None):
    """Read an epoch, ``act`` after the first batch; every batch that comes is whole and right."""
    done = 0
    try:
        for i, batch in enumerate(feed.epoch(0)):
            assert len(batch) == feed.sizes[i]
            np.testing.assert_array_equal(batch[:, 0].numpy(), expected[done : done + len(batch)])
            done += len(batch)
            if i == 0:
                act()
    finally:
        assert not [t for t in threading.enumerate() if t.name == "romae-reader"]
    return done


@pytest.mark.parametrize("kind", ["checksum", "zlib", "zstd"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_damaged_chunk(tmp_path, kind, threads, monkeypatch):
    monkeypatch.setattr(work, "processors", lambda: threads)
    path = tmp_path / "a.nc"
    expected = written(path, kind)
    with h5py.File(path) as file:
        info = file["u"].id.get_chunk_info(12)
    with open(path, "r+b") as file:
        file.seek(info.byte_offset)  # zstd itself has no checksum, but a header
        file.write(b"\x5a" * 8)
    with pytest.raises(
        UnreadableFileError,
        match=r"a.nc: cannot read 'u' at time indices 48 to 51.*chunk \[48:52, 0:16, 0:16\]",
    ):
        consume(stream(path), expected)


@pytest.mark.parametrize("kind", list(STORAGE))
def test_a_file_that_is_cut_during_an_epoch(tmp_path, kind):
    path = tmp_path / "a.nc"
    expected = written(path, kind)
    size = path.stat().st_size
    with pytest.raises(UnreadableFileError, match=r"a.nc: cannot read 'u' at time indices \d+ to"):
        consume(stream(path), expected, lambda: os.truncate(path, size // 2))


@pytest.mark.parametrize("kind", ["plain", "zlib"])
def test_a_file_that_vanishes_during_an_epoch(tmp_path, kind):
    path = tmp_path / "a.nc"
    expected = written(path, kind)
    with pytest.raises(UnreadableFileError, match=r"a.nc: cannot read 'u' .*not open any more"):
        consume(stream(path), expected, path.unlink)


@pytest.mark.parametrize("kind", list(STORAGE))
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_do_not_depend_on_the_threads(tmp_path, kind, shuffle, monkeypatch):
    path, found = tmp_path / "a.nc", []
    written(path, kind)
    for threads in (1, 2, 5):
        monkeypatch.setattr(work, "processors", lambda n=threads: n)
        feed = StreamFeed(
            open_snapshots(path), None, batch=10, block_bytes=5000, shuffle=shuffle, seed=3
        )
        found.append([batch.numpy().tobytes() for batch in feed.epoch(1)])
    assert found[0] == found[1] == found[2]


LIBRARIES = """
import sys, warnings
warnings.simplefilter("ignore")
import h5py, numpy as np, torch, xarray as xr
from romae.feed import StreamFeed
from romae.fields import open_snapshots

class Items(torch.utils.data.Dataset):
    def __init__(self, path): self.snapshots = open_snapshots(path)
    def __len__(self): return len(self.snapshots)
    def __getitem__(self, i): return self.snapshots.read(i, i + 1)[0]

def main(path):
    with h5py.File(path) as file: file["u"][:]
    xr.open_dataset(path, chunks={}).u.mean().compute()
    feed = StreamFeed(open_snapshots(path), None, batch=8, block_bytes=8192)
    n = sum(map(len, feed.epoch(0)))
    epoch = feed.epoch(1)
    next(epoch)  # threads of the feed are at work while workers are forked
    for context in ("fork", "forkserver"):
        loader = torch.utils.data.DataLoader(
            Items(path), 8, num_workers=2, multiprocessing_context=context)
        n += sum(map(len, loader))
    n += sum(map(len, epoch)) + 8 + sum(map(len, feed.epoch(2)))
    print(n)

if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.slow
def test_no_deadlock_beside_dask_hdf5_and_loaders(tmp_path):
    written(tmp_path / "a.nc", "zlib")
    (tmp_path / "run.py").write_text(LIBRARIES)
    done = subprocess.run(
        [sys.executable, "run.py", str(tmp_path / "a.nc")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path[1:]])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == 5 * T
