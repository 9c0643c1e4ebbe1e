"""POD of a file larger than the memory it may use, beside its peers: one process for each.

    python benchmarks/pod_memory.py                                  1, 2, 4, 8 GB; romae under 2 GB
    python benchmarks/pod_memory.py --gigabytes 1 --cap 800 --only romae,dask

romae's private memory may grow by ``--cap`` MiB after imports and a warm-up, and no further
(`RLIMIT_DATA`): an allocation beyond it fails. Peers run without a cap, for ``--limit`` seconds
at most, and are left out when they are not installed. A bare read goes over the file once with
romae's reader. `passes` are the seconds of romae's two, statistics with a sketch and the modes;
the error is that of the projection over the smallest, both found afterwards from the file.

The file is dropped from the page cache before every way and between romae's passes, as a file
larger than the machine would be; ``--cached`` leaves it there.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

POINTS, RANK = 1 << 20, 200
CACHED = "--cached" in sys.argv
Result = tuple[np.ndarray | None, dict[str, float]]


def write(path: Path, T: int, n: int) -> None:
    """Travelling structures of a decaying spectrum, noise and a mean, block by block."""
    rng = np.random.default_rng(0)
    shapes, mean = (rng.standard_normal(s, dtype=np.float32) for s in ((RANK, n), n))
    noise = 0.02 * rng.standard_normal(2 * n, dtype=np.float32)  # a window of it for each snapshot
    i = np.arange(1, RANK + 1)
    with h5py.File(path, "w") as file:
        file["time"] = np.arange(T, dtype=np.float64)
        file["x"] = np.arange(n, dtype=np.float64)
        u = file.create_dataset("u", (T, n), "f4", chunks=(8, n))
        for name in ("time", "x"):
            file[name].make_scale(name)
        for axis, name in enumerate(("time", "x")):
            u.dims[axis].attach_scale(file[name])
        for a in range(0, T, 64):
            t = np.arange(a, min(a + 64, T))[:, None]
            amplitude = (np.cos(0.02 * t * i**0.7 + i) / i).astype(np.float32)
            block = amplitude @ shapes
            for row, offset in zip(block, rng.integers(n, size=len(t)), strict=True):
                row += noise[offset : offset + n] + mean
            u[a : a + 64] = block


def forget(path: Path) -> None:
    """Drop the file from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def status(name: str) -> int:
    """A line of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(s for s in lines if s.startswith(name)).split()[1])


def bare(path: Path, k: int, cap: int) -> Result:
    """Read every block once, the next one read meanwhile as in a pass."""
    import romae
    from romae.fields.blocks import read_ahead

    snapshots = romae.open_snapshots(path)
    ranges = snapshots.block_ranges()
    reads = [lambda r=r: snapshots.read_raw(r[1], r[2], r[0]) for r in ranges]
    for block in read_ahead(reads):
        del block
    return None, {}


def romae_fit(path: Path, k: int, cap: int) -> Result:
    """`POD.fit` of the file under the cap."""
    import xarray as xr

    import romae
    from romae.progress import silent
    from romae.reducers.pod_data import FirstLook

    survey, marks = FirstLook.survey, []

    def timed(self: FirstLook) -> object:
        started = time.perf_counter()
        found = survey(self)
        marks.append(time.perf_counter() - started)
        if not CACHED:
            forget(path)
        return found

    with silent():
        small = np.random.default_rng(0).random((40, 50))
        romae.POD(2, method="randomized", memory=1).fit(
            xr.Dataset({"u": (("time", "x"), small)}), device="cpu"
        )
        grown = status("VmData") + (cap << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (grown, grown))
        FirstLook.survey = timed  # type: ignore[method-assign]
        start = time.perf_counter()
        pod = romae.POD(k, method="randomized", memory=(cap << 20) // 2)
        pod.fit(path, device="cpu")
        took = time.perf_counter() - start
    told = {"seconds": took, "survey": marks[0], "rest": took - marks[0], "excess": pod.excess}
    return pod.module.modes.numpy(), told


def dask_compressed(path: Path, k: int, cap: int) -> Result:
    import dask.array as da

    with h5py.File(path) as file:
        X = da.from_array(file["u"], chunks=(128, file["u"].shape[1]))
        Y = X - X.mean(0)
        return np.asarray(da.linalg.svd_compressed(Y, k, n_power_iter=0, seed=0)[2]), {}


def incremental_pca(path: Path, k: int, cap: int) -> Result:
    from sklearn.decomposition import IncrementalPCA

    pca = IncrementalPCA(k)
    with h5py.File(path) as file:
        u = file["u"]
        for a in range(0, len(u) - len(u) % 125, 125):
            pca.partial_fit(u[a : a + 125])
    return pca.components_, {}


def xeofs_eof(path: Path, k: int, cap: int) -> Result:
    import xarray as xr
    import xeofs

    u = xr.open_dataset(path, chunks={"time": 128})["u"]
    found = xeofs.single.EOF(n_modes=k).fit(u, "time").components()
    return found.transpose("mode", ...).values, {}


WAYS: dict[str, Callable[[Path, int, int], Result]] = {
    f.__name__: f for f in (bare, romae_fit, dask_compressed, incremental_pca, xeofs_eof)
}


def child(way: str, path: Path, k: int, cap: int, out: Path) -> None:
    """Do one way, save its modes, print what it took."""
    before, start = status("VmRSS"), time.perf_counter()
    modes, told = WAYS[way](path, k, cap)
    told = {"seconds": time.perf_counter() - start} | told
    told["peak"] = status("VmHWM") - before
    if modes is not None:
        np.save(out, modes.astype(np.float32))
    print(json.dumps(told))


def errors(path: Path, k: int, found: dict[str, Path]) -> dict[str, float]:
    """Projection error over the smallest, less 1: all of the file at once, tile by tile."""
    with h5py.File(path) as file:
        X = file["u"][:]
    T, n = X.shape
    bases = {name: np.load(p) for name, p in found.items()}
    G, total = np.zeros((T, T)), 0.0
    held = {name: np.zeros((T, k)) for name in bases}
    gram = {name: np.zeros((k, k)) for name in bases}
    for a in range(0, n, 1 << 14):
        Y = X[:, a : a + (1 << 14)]
        Y = Y - Y.mean(0, dtype=np.float64).astype(np.float32)
        G += Y @ Y.T
        total += float(np.vdot(Y, Y))
        for name, U in bases.items():
            u = U[:, a : a + (1 << 14)]
            held[name] += Y @ u.T
            gram[name] += u @ u.T
    best = total - np.linalg.eigvalsh(G)[-k:].sum()
    lost = {m: total - np.sum(held[m] * np.linalg.solve(gram[m], held[m].T).T) for m in bases}
    return {name: float((e / best) ** 0.5 - 1) for name, e in lost.items()}


def run(way: str, path: Path, options: argparse.Namespace, out: Path) -> dict[str, float] | str:
    """The way in a process of its own; why not, where it gives nothing."""
    command = [sys.executable, __file__, "--child", way, "--path", str(path), "--out", str(out)]
    command += ["--modes", str(options.modes), "--cap", str(options.cap)]
    if CACHED:
        command.append("--cached")
    else:
        forget(path)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=options.limit
        )
    except subprocess.TimeoutExpired:
        return f"more than {options.limit} s"
    if done.returncode:
        last = done.stderr.strip().split("\n")[-1]
        return "out of memory" if done.returncode < 0 or "Memory" in last else last
    return dict(json.loads(done.stdout.strip().split("\n")[-1]))


def table(gigabytes: float, options: argparse.Namespace, folder: Path) -> None:
    """One file: rows of the markdown table."""
    T = int(gigabytes * 250)
    path = folder / "large.nc"
    write(path, T, POINTS)
    results: dict[str, dict[str, float] | str] = {}
    for way in WAYS:
        if way == "bare" or any(part in way for part in options.only.split(",")):
            results[way] = run(way, path, options, folder / f"{way}.npy")
    files = {w: folder / f"{w}.npy" for w in results if (folder / f"{w}.npy").exists()}
    over = errors(path, options.modes, files)
    read = results["bare"]
    assert isinstance(read, dict), read
    print(f"\n{T} x {POINTS} float32 ({4e-9 * T * POINTS:.1f} GB), {options.modes} modes\n")
    print(
        "| way | seconds | times a bare read | passes | peak memory, MB | error over the smallest |"
    )
    print("|---|---|---|---|---|---|")
    for way, found in results.items():
        if isinstance(found, str):
            if "ModuleNotFound" not in found:
                print(f"| {way} | {found} | | | | |")
            continue
        took = found["seconds"]
        passes = f"{found['survey']:.1f} + {found['rest']:.1f}" if "survey" in found else ""
        error = f"{100 * over[way]:.2f} %" if way in over else ""
        print(
            f"| {way} | {took:.1f} | {took / read['seconds']:.1f} | {passes} "
            f"| {found['peak'] / 1e6:.0f} | {error} |",
            flush=True,
        )
    for file in (path, *files.values()):
        file.unlink()


def main() -> None:
    """Write files, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--cap", type=int, default=1900, help="MiB of growth (default 1900)")
    parser.add_argument("--modes", type=int, default=64)
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    parser.add_argument("--limit", type=int, default=180, help="seconds for each way")
    parser.add_argument("--folder", help="where the file goes (default: temporary files)")
    parser.add_argument("--cached", action="store_true", help="leave the file in the page cache")
    for name in ("--child", "--path", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, Path(options.path), options.modes, options.cap, Path(options.out))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for gigabytes in options.gigabytes:
            table(gigabytes, options, Path(folder))


if __name__ == "__main__":
    main()
