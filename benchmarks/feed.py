"""Snapshots from a file to tensors: MB/s of float32 delivered, romae beside other ways.

    python benchmarks/feed.py                             # about 130 MB a file, five rounds
    python benchmarks/feed.py --kinds zlib --chunks 16 --snapshots 8000

Snapshots of 128 x 128, one variable, 1 or 16 a chunk, stored raw or with shuffle and zlib, zstd or
lz4. All ways read every snapshot (the fast ones eight times, as a training would), from a file in
the page cache; in each round each takes its turn and opens the file anew, and the table holds
medians of the rounds. Ways that are slow deliver the first ``--few`` snapshots of their order.
Peers that are not installed, or cannot read a filter, show a dash. A second table says what memory
the feed takes: a process of its own reads the file again and again.

    feed        romae.feed.StreamFeed: shuffled batches of 32 as tensors, as the peers give them
    feed scaled the same, mean subtracted and divided by the scale, as training takes them
    blocks      Snapshots.blocks: arrays in order
    h5py        bare reads of 64 MiB blocks into one reused array: what a library reader can give
    h5py item, xarray item    a shuffled torch DataLoader of single snapshots, no worker
    xbatcher    batches of 32 in order
    dask        open_dataset(chunks={}), batches of 32 in order, computed one by one
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import xarray as xr

from romae.feed import StreamFeed
from romae.fields import Scaling, open_snapshots

SHAPE, BATCH = (128, 128), 32
PASSES = 8  # of the fast ways, or opening the file would be what is measured
FILTERS = {"raw": 0, "zlib": 1, "zstd": 32015, "lz4": 32004}


def write(path: Path, kind: str, chunk: int, snapshots: int) -> None:
    """Waves that travel, with noise in the last bits; a netCDF4-like HDF5 file."""
    import hdf5plugin

    options = {
        "raw": {},
        "zlib": {"compression": "gzip", "compression_opts": 4, "shuffle": True},
        "zstd": {"shuffle": True, **hdf5plugin.Zstd()},
        "lz4": {"shuffle": True, **hdf5plugin.LZ4()},
    }[kind]
    rng = np.random.default_rng(0)
    y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
    with h5py.File(path, "w") as file:
        for name, size in (("time", snapshots), ("y", SHAPE[0]), ("x", SHAPE[1])):
            file[name] = np.arange(size, dtype="f8")
            file[name].make_scale(name)
        u = file.create_dataset("u", (snapshots, *SHAPE), "f4", chunks=(chunk, *SHAPE), **options)
        for d, name in enumerate(("time", "y", "x")):
            u.dims[d].attach_scale(file[name])
        for t in range(0, snapshots, 64):
            n = min(64, snapshots - t)
            when = np.arange(t, t + n)[:, None, None]
            waves = sum(np.cos(0.05 * m * (x - when) + 0.03 * y) / m for m in range(1, 8))
            noise = rng.normal(0, 1e-3, (n, *SHAPE))
            u[t : t + n] = (np.round((waves + noise) * 4096) / 4096).astype("f4")


# -- ways: each yields tensors or arrays ------------------------------------------------------


def feed(path: Path) -> Iterator[torch.Tensor]:
    with closing(open_snapshots(path, engine="netcdf4")) as data:
        stream = StreamFeed(data, None, batch=BATCH, block_bytes=4 << 20)
        for epoch in range(PASSES):
            yield from stream.epoch(epoch)


def feed_scaled(path: Path) -> Iterator[torch.Tensor]:
    with closing(open_snapshots(path, engine="netcdf4")) as data:
        scaling = Scaling(np.full(data.shape[1:], 0.1), np.full(1, 0.3), "units")
        stream = StreamFeed(data, scaling, batch=BATCH, block_bytes=4 << 20)
        for epoch in range(PASSES):
            yield from stream.epoch(epoch)


def blocks(path: Path) -> Iterator[np.ndarray]:
    with closing(open_snapshots(path, engine="netcdf4")) as data:
        for _ in range(PASSES):
            for block in data.blocks(16 << 20):
                yield block.values


def h5py_blocks(path: Path) -> Iterator[torch.Tensor]:
    n = (64 << 20) // (4 * SHAPE[0] * SHAPE[1])
    out = np.empty((n, *SHAPE), "f4")
    with h5py.File(path) as file:
        u = file["u"]
        for t in list(range(0, len(u), n)) * PASSES:
            m = min(n, len(u) - t)
            u.read_direct(out[:m], np.s_[t : t + m])
            yield torch.from_numpy(out[:m])


class Items(torch.utils.data.Dataset):
    """Single snapshots by ``get(i)``."""

    def __init__(self, n: int, get: Callable[[int], np.ndarray]) -> None:
        self.n, self.get = n, get

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> torch.Tensor:
        return torch.from_numpy(self.get(i))


def _loader(n: int, get: Callable[[int], np.ndarray]) -> torch.utils.data.DataLoader:
    order = torch.Generator().manual_seed(0)
    return torch.utils.data.DataLoader(Items(n, get), BATCH, shuffle=True, generator=order)


def h5py_items(path: Path) -> Iterator[torch.Tensor]:
    with h5py.File(path) as file:
        u = file["u"]
        yield from _loader(len(u), lambda i: u[i])


def xarray_items(path: Path) -> Iterator[torch.Tensor]:
    with xr.open_dataset(path, engine="netcdf4", cache=False) as opened:
        yield from _loader(len(opened.u), lambda i: opened.u[i].values)


def xbatcher_batches(path: Path) -> Iterator[torch.Tensor]:
    import xbatcher

    with xr.open_dataset(path, engine="netcdf4", cache=False) as opened:
        sizes = {"time": BATCH, "y": SHAPE[0], "x": SHAPE[1]}
        for batch in xbatcher.BatchGenerator(opened[["u"]], sizes):
            yield torch.from_numpy(batch.u.values)


def dask_batches(path: Path) -> Iterator[torch.Tensor]:
    with xr.open_dataset(path, engine="netcdf4", chunks={}) as opened:
        for t in range(0, opened.sizes["time"], BATCH):
            yield torch.from_numpy(opened.u[t : t + BATCH].values)


WAYS = {
    "feed": (feed, False),
    "feed scaled": (feed_scaled, False),
    "blocks": (blocks, False),
    "h5py": (h5py_blocks, False),
    "h5py item": (h5py_items, True),
    "xarray item": (xarray_items, True),
    "xbatcher": (xbatcher_batches, True),
    "dask": (dask_batches, True),
}


def rate(way: str, path: Path, few: int) -> float | None:
    """MB/s of one pass, None where the peer is missing or fails."""
    function, slow = WAYS[way]
    begun, nbytes = time.perf_counter(), 0
    try:
        for values in function(path):
            nbytes += values.nbytes
            if slow and nbytes >= few * 4 * SHAPE[0] * SHAPE[1]:
                break
    except (ImportError, OSError, RuntimeError):
        return None
    return nbytes / 1e6 / (time.perf_counter() - begun)


def held(path: Path) -> list[float]:
    """MB that this process takes before, after the first and the last epoch, and at most."""
    page, found = os.sysconf("SC_PAGE_SIZE"), []
    with closing(open_snapshots(path, engine="netcdf4")) as data:
        stream = StreamFeed(data, None, batch=BATCH, block_bytes=4 << 20)
        for epoch in range(-1, PASSES):
            if epoch >= 0:
                for batch in stream.epoch(epoch):
                    del batch
            found.append(int(Path("/proc/self/statm").read_text().split()[1]) * page / 1e6)
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return [found[0], found[1], found[-1], int(status["VmHWM"].split()[0]) * 1024 / 1e6]


def memory(path: Path) -> list[float]:
    """:func:`held` in a process that did nothing else."""
    command = [sys.executable, "-W", "ignore", __file__, "--memory", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=list(FILTERS), default=list(FILTERS))
    parser.add_argument("--chunks", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--snapshots", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--few", type=int, default=320, help="snapshots of the slow ways")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(held(options.memory)))
        return
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    print(f"| file | size | {' | '.join(WAYS)} | feed / h5py | feed / xarray item |")
    print("|---" * (len(WAYS) + 4) + "|")
    results: list[dict[str, Any]] = []
    for kind, chunk in itertools.product(options.kinds, options.chunks):
        with tempfile.TemporaryDirectory(prefix="romae-feed-") as folder:
            path = Path(folder) / "waves.nc"
            write(path, kind, chunk, options.snapshots)
            rounds = [
                {way: rate(way, path, options.few) for way in WAYS}
                for _ in range(options.rounds + 1)
            ][1:]  # the first warms up
            taken = memory(path)
            size = path.stat().st_size / (options.snapshots * 4 * SHAPE[0] * SHAPE[1])
        found = {
            way: statistics.median(r[way] for r in rounds) if rounds[0][way] else None
            for way in WAYS
        }
        results.append({"kind": kind, "chunk": chunk, "size": size, **found, "memory": taken})
        shown = [f"{v:.0f}" if v else "-" for v in found.values()]
        ratios = [
            f"{found['feed'] / found[way]:.2f}" if found[way] else "-"
            for way in ("h5py", "xarray item")
        ]
        row = [f"{kind}, {chunk} per chunk", f"{size:.2f}", *shown, *ratios]
        print(f"| {' | '.join(row)} |", flush=True)
    each = options.snapshots * 4e-6 * SHAPE[0] * SHAPE[1]
    print(f"\nMemory of the process, MB, over {PASSES} epochs of {each:.0f} MB:\n")
    print("| file | before | after 1 epoch | after the last | peak |\n|---|---|---|---|---|")
    for r in results:
        row = " | ".join(f"{v:.0f}" for v in r["memory"])
        print(f"| {r['kind']}, {r['chunk']} per chunk | {row} |")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
