"""POD of a matrix in memory: romae beside its peers, interleaved, medians, as a markdown table.

    python benchmarks/pod.py                             100 000 x 1000 float32, 64 modes
    python benchmarks/pod.py --points 20000 --rounds 5   another size
    python benchmarks/pod.py --only romae,gemm,sklearn   some of them

Peers that are not installed are left out (pip install scikit-learn pymor xeofs ezyrb dask). Each
subtracts the temporal mean, or is given fluctuations where it cannot (`*`). The error is that of
the projection on the 64 modes over the smallest possible one; memory is what the way adds to the
matrix at its peak, in a process of its own. The machine's own rates of products are measured in
the same run, and what of that of a large square one romae's randomised way reaches: its products
are 2 T n l for the modes, T^2 m for the sketch of m columns and 2 n l^2.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import romae
from romae.linalg import decompose
from romae.progress import silent

Modes = np.ndarray  # (k, n)


def matrix(T: int, n: int) -> np.ndarray:
    """X (T, n) float32: travelling waves of a turbulent spectrum, noise, and a mean."""
    rng = np.random.default_rng(0)
    r = min(T // 2, 300)
    t, i = np.linspace(0, 40, T)[:, None], np.arange(1, r + 1)
    a = np.cos(t * i**0.7 + rng.uniform(0, 7, r)) * i**-0.8
    X = a.astype(np.float32) @ rng.standard_normal((r, n), dtype=np.float32)
    X += 0.05 * rng.standard_normal(X.shape, dtype=np.float32)
    X += rng.standard_normal(n, dtype=np.float32)
    return X


def romae_randomized(X: np.ndarray, k: int) -> Modes:
    return _romae(X, k, "randomized")


def romae_exact(X: np.ndarray, k: int) -> Modes:
    return _romae(X, k, "snapshots")


def _romae(X: np.ndarray, k: int, method: str) -> Modes:
    shift = torch.from_numpy(X).mean(0).double().numpy()
    blocks = lambda first=0: iter([(0, X)])  # noqa: E731
    return decompose(blocks, X.shape, k, method, shift=shift, dtype=X.dtype).modes  # type: ignore[arg-type]


def romae_fit(X: np.ndarray, k: int) -> Modes:
    """The whole of `romae.POD(k).fit`: opening, survey of every value, scaling, modes."""
    import xarray as xr

    data = xr.Dataset({"u": (("time", "x"), X)}, {"time": np.arange(len(X))})
    with silent():
        pod = romae.POD(k, method="randomized").fit(data, device="cpu")
    return pod.modes["u"].values


def gemm(X: np.ndarray, k: int) -> Modes:
    """Method of snapshots in float32 by numpy."""
    Y = X - X.mean(0)
    _, V = np.linalg.eigh(Y @ Y.T)
    modes = V[:, : -k - 1 : -1].T @ Y
    return modes / np.linalg.norm(modes, axis=1, keepdims=True)


def subspace(X: np.ndarray, k: int) -> Modes:
    """Two steps of subspace iteration with QR, as one writes it down."""
    Y = torch.from_numpy(X)
    Y = Y - Y.mean(0)
    Q = torch.linalg.qr(Y.T @ torch.randn(len(Y), k + 16))[0]
    for _ in range(2):
        Q = torch.linalg.qr(Y.T @ (Y @ Q))[0]
    _, _, Vh = torch.linalg.svd(Y @ Q, full_matrices=False)
    return (Q @ Vh[:k].T).T.numpy()


def torch_lowrank(X: np.ndarray, k: int) -> Modes:
    return torch.pca_lowrank(torch.from_numpy(X), k + 16, niter=2)[2][:, :k].T.numpy()


def sklearn_randomized(X: np.ndarray, k: int) -> Modes:
    from sklearn.decomposition import PCA

    return PCA(k, svd_solver="randomized", random_state=0).fit(X).components_


def sklearn_transposed(X: np.ndarray, k: int) -> Modes:
    """* covariance_eigh of the transpose: the fast way through scikit-learn."""
    from sklearn.decomposition import PCA

    Y = (X - X.mean(0)).T
    return _unit(PCA(k, svd_solver="covariance_eigh").fit_transform(Y).T)


def dask_compressed(X: np.ndarray, k: int) -> Modes:
    import dask.array as da

    Y = da.from_array(X - X.mean(0), chunks=(len(X), -(-X.shape[1] // 8)))
    return np.asarray(da.linalg.svd_compressed(Y, k, n_power_iter=0, seed=0)[2])


def dask_two(X: np.ndarray, k: int) -> Modes:
    import dask.array as da

    Y = da.from_array(X - X.mean(0), chunks=(len(X), -(-X.shape[1] // 8)))
    return np.asarray(da.linalg.svd_compressed(Y, k, n_power_iter=2, seed=0)[2])


def pymor_snapshots(X: np.ndarray, k: int) -> Modes:
    from pymor.algorithms.pod import pod
    from pymor.vectorarrays.numpy import NumpyVectorSpace

    Y = X - X.mean(0)
    try:
        vectors = NumpyVectorSpace.from_numpy(Y)
    except Exception:  # columns in newer versions
        vectors = NumpyVectorSpace.from_numpy(Y.T)
    if len(vectors) != len(X):
        vectors = NumpyVectorSpace.from_numpy(Y.T)
    found = pod(vectors, modes=k, method="method_of_snapshots", orth_tol=np.inf)[0].to_numpy()
    return found if found.shape[1] == X.shape[1] else found.T


def ezyrb_svd(X: np.ndarray, k: int) -> Modes:
    """* a full SVD of the transpose."""
    return _ezyrb(X, k, "svd")


def ezyrb_correlation(X: np.ndarray, k: int) -> Modes:
    """* its method of snapshots."""
    return _ezyrb(X, k, "correlation_matrix")


def _ezyrb(X: np.ndarray, k: int, method: str) -> Modes:
    from ezyrb import POD

    return POD(method, rank=k).fit((X - X.mean(0)).T).modes.T


def sklearn_incremental(X: np.ndarray, k: int) -> Modes:
    from sklearn.decomposition import IncrementalPCA

    return IncrementalPCA(k, batch_size=125).fit(X).components_


def xeofs_eof(X: np.ndarray, k: int) -> Modes:
    import xarray as xr
    import xeofs

    coords = {"time": np.arange(len(X)), "x": np.arange(X.shape[1])}
    data = xr.DataArray(X, dims=("time", "x"), coords=coords)
    found = xeofs.single.EOF(n_modes=k).fit(data, "time").components()
    return found.transpose("mode", "x").values


WAYS: dict[str, Callable[[np.ndarray, int], Modes]] = {
    f.__name__: f
    for f in (
        romae_randomized,
        romae_exact,
        romae_fit,
        gemm,
        subspace,
        torch_lowrank,
        sklearn_transposed,
        sklearn_randomized,
        dask_compressed,
        dask_two,
        pymor_snapshots,
        ezyrb_svd,
        ezyrb_correlation,
        sklearn_incremental,
        xeofs_eof,
    )
}
SLOW = {"xeofs_eof", "sklearn_randomized", "sklearn_incremental", "ezyrb_svd"}  # once


def _unit(modes: np.ndarray) -> np.ndarray:
    return modes / np.linalg.norm(modes, axis=1, keepdims=True)


def lost(X: np.ndarray, modes: np.ndarray) -> float:
    """Squared error of the projection on the span of ``modes``, float64 where it counts."""
    Y = torch.from_numpy(X - X.mean(0, dtype=np.float64).astype(np.float32))
    Q = torch.linalg.qr(torch.from_numpy(np.ascontiguousarray(modes.T)).double())[0].float()
    rest = (Y - (Y @ Q) @ Q.T).view(-1)
    return sum(float(torch.dot(r, r)) for r in rest.split(1 << 16))


def rates(X: np.ndarray, k: int) -> dict[str, float]:
    """GFLOP/s of float32 products."""
    Y, Q, S = torch.from_numpy(X), torch.randn(k + 16, len(X)), torch.randn(4096, 4096)
    found = {}
    for name, product, flop in (
        ("A @ B", lambda: Q @ Y, 2 * (k + 16) * X.size),
        ("X @ X.T", lambda: X @ X.T, 2 * len(X) * X.size),
        ("square", lambda: S @ S, 2 * 4096**3),
    ):
        product()
        start = time.perf_counter()
        product()
        found[name] = flop / (time.perf_counter() - start) / 1e9
    return found


def flops(T: int, n: int, k: int) -> float:
    """Operations of romae's randomised way: modes, Gram matrices of the sketch and of the modes."""
    from romae.linalg.randomized import OVERSAMPLE, sketch_for

    sketch, size = sketch_for((n,), k, T), k + OVERSAMPLE
    return float(2 * T * n * size + T**2 * (sketch.buckets if sketch else 0) + 2 * n * size**2)


def peak(way: str, path: Path, k: int) -> float:
    """Bytes that ``way`` adds to the matrix at its peak, in a process of its own."""
    command = [sys.executable, __file__, "--child", way, "--path", str(path), "--modes", str(k)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else float("nan")


def child(way: str, path: Path, k: int) -> None:
    """Print how far the resident memory rises."""
    WAYS[way](matrix(40, 2000), 4)  # imports, threads
    X = np.load(path)
    before = _status("VmRSS")
    WAYS[way](X, k)
    print(max(_status("VmHWM") - before, 0))


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(s for s in lines if s.startswith(name)).split()[1])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--snapshots", type=int, default=1000)
    parser.add_argument("--modes", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="parts of names, separated by commas")
    for name in ("--child", "--path"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, Path(options.path), options.modes)
        return
    X, k = matrix(options.snapshots, options.points), options.modes
    parts = options.only.split(",")
    ways = {n: f for n, f in WAYS.items() if any(p in n for p in parts)}
    seconds: dict[str, list[float]] = {n: [] for n in ways}
    errors = {}
    for turn in range(options.rounds + 1):  # the first warms up
        for name, way in list(ways.items()):
            if turn > 1 and name in SLOW:
                continue
            start = time.perf_counter()
            try:
                modes = way(X, k)
            except ImportError:
                del ways[name], seconds[name]
                continue
            if turn or name in SLOW:
                seconds[name].append(time.perf_counter() - start)
            if name not in errors:
                errors[name] = lost(X, modes)
    best = lost(X, romae_exact(X, k))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "matrix.npy"
        np.save(path, X)
        peaks = {name: peak(name, path, k) for name in ways}
    ours = float(np.median(seconds.get("romae_fit", [np.nan])))
    rate = rates(X, k)
    told = ", ".join(f"{name} {value:.0f} GFLOP/s" for name, value in rate.items())
    size = f"{options.points} x {options.snapshots} float32, {k} modes"
    print(f"{size}; {told}; {torch.get_num_threads()} threads\n")
    print("| way | seconds | times romae_fit | peak memory, MB | error over the smallest |")
    print("|---|---|---|---|---|")
    for name, times in seconds.items():
        took = float(np.median(times))
        over = (errors[name] / best) ** 0.5 - 1
        memory = f"{peaks[name] / 1e6:.0f}"
        print(f"| {name} | {took:.2f} | {took / ours:.2f} | {memory} | {100 * over:.2f} % |")
    work = flops(*X.shape, k) / 1e9
    for name in ("romae_randomized", "romae_fit"):
        if name in seconds:
            reached = work / float(np.median(seconds[name]))
            share = 100 * reached / rate["square"]
            print(f"\n{name}: {reached:.0f} GFLOP/s, {share:.0f} % of a square product", end="")
    print()


if __name__ == "__main__":
    main()
