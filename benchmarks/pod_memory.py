"""POD of a file larger than the memory it may use: the cap is enforced, peak and time measured.

    python benchmarks/pod_memory.py --gigabytes 1 --cap 400

After imports and a small warm-up private memory may grow by ``--cap`` MiB and no further
(`RLIMIT_DATA`): an allocation beyond it fails. Printed: seconds of one bare read of the file, of
the fit (a survey, then the passes of the randomized method), and how far the resident memory rose.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import netCDF4
import numpy as np
import xarray as xr

import romae
from romae.progress import silent

POINTS, RANK = 1 << 18, 200


def write(path: Path, T: int, n: int) -> None:
    """Travelling structures of a decaying spectrum, noise and a mean, block by block."""
    rng = np.random.default_rng(0)
    shapes, mean = (rng.standard_normal(s, dtype=np.float32) for s in ((RANK, n), n))
    i = np.arange(1, RANK + 1)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", T)
        file.createDimension("x", n)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(T)
        u = file.createVariable("u", "f4", ("time", "x"), chunksizes=(8, n))
        for a in range(0, T, 64):
            t = np.arange(a, min(a + 64, T))[:, None]
            amplitude = (np.cos(0.02 * t * i**0.7 + i) / i).astype(np.float32)
            noise = 0.02 * rng.standard_normal((len(t), n), dtype=np.float32)
            u[a : a + 64] = amplitude @ shapes + noise + mean


def status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(s for s in lines if s.startswith(name)).split()[1])


def main() -> None:
    """Write, cap, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--cap", type=int, default=400, help="MiB of growth")
    parser.add_argument("--modes", type=int, default=16)
    options = parser.parse_args()
    T = int(options.gigabytes * 1e9 / 4 / POINTS)
    with tempfile.TemporaryDirectory() as folder, silent():
        path = Path(folder) / "large.nc"
        write(path, T, POINTS)
        small = xr.Dataset({"u": (("time", "x"), np.random.default_rng(0).random((40, 50)))})
        romae.POD(2, method="randomized", memory=1).fit(small, device="cpu")
        before = status("VmRSS")
        grown = status("VmData") + (options.cap << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (grown, grown))
        snapshots = romae.open_snapshots(path)
        start = time.perf_counter()
        for block in snapshots.block_ranges():
            snapshots.read(block[1], block[2])
        bare = time.perf_counter() - start
        start = time.perf_counter()
        pod = romae.POD(options.modes, method="randomized", memory=64 << 20)
        pod.fit(snapshots, device="cpu")
        took = time.perf_counter() - start
        rose = status("VmHWM") - before
    print(f"{T} snapshots of {POINTS} float32 ({4e-9 * T * POINTS:.1f} GB), {options.modes} modes")
    print(f"bare read {bare:.1f} s; fit {took:.1f} s; resident memory rose by {rose >> 20} MiB")
    print(f"under a cap of {options.cap} MiB; energy held {100 * pod.energy[-1]:.2f} %")


if __name__ == "__main__":
    main()
