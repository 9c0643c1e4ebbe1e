"""romae beside its peers, in one run: `make bench`. Look at the ratios in parentheses.

Each group does one thing in several ways on the same data. Nothing is asserted about time: a
loaded machine must not fail a test; it is asserted that the peers find the same.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

import romae
from romae.fields import Snapshots
from romae.progress import silent

T, SHAPE, K = 400, (96, 128), 16


@pytest.fixture(scope="module")
def wake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A netCDF file of two fields, 16 snapshots a chunk: waves that travel."""
    t, y, x = np.ogrid[:T, : SHAPE[0], : SHAPE[1]]
    dims = ("time", "y", "x")
    fields = {}
    for name, phase in (("u", 0.0), ("v", 1.6)):
        value = sum(np.cos(0.05 * m * (x - t) + 0.03 * y + phase) / m**2 for m in range(1, 12))
        fields[name] = (dims, value.astype(np.float32), {"units": "m/s"})
    path = tmp_path_factory.mktemp("bench") / "waves.nc"
    chunks = {n: {"chunksizes": (16, *SHAPE)} for n in fields}
    xr.Dataset(fields, {"time": np.arange(T)}).to_netcdf(path, engine="netcdf4", encoding=chunks)
    return path


@pytest.fixture(scope="module")
def snapshots(wake: Path) -> Snapshots:
    return romae.open_snapshots(wake)


# -- POD of a file: mean, modes and singular values ----------------------------------------


def pod_romae(path: Path) -> np.ndarray:
    with silent():
        return romae.POD(K).fit(romae.open_snapshots(path), device="cpu").singular_values[:K]


def _matrix(path: Path, dtype: type) -> np.ndarray:
    """All snapshots in memory (T, n), mean removed, scaled by one number."""
    with xr.open_dataset(path, engine="netcdf4") as data:
        Y = np.concatenate([data[n].values.reshape(T, -1) for n in "uv"], axis=1).astype(dtype)
    Y -= Y.mean(0)
    return Y / np.sqrt(np.mean(Y**2))


def pod_numpy_snapshots(path: Path) -> np.ndarray:
    Y = _matrix(path, np.float64)
    energy, V = np.linalg.eigh(Y @ Y.T)
    s = np.sqrt(energy[::-1][:K])
    modes = (V[:, ::-1][:, :K] / s).T @ Y
    assert modes.shape == (K, Y.shape[1])
    return s


def pod_torch_lowrank(path: Path) -> np.ndarray:
    Y = torch.from_numpy(_matrix(path, np.float32))
    torch.manual_seed(0)
    return torch.pca_lowrank(Y, K + 8, center=False, niter=2)[1][:K].double().numpy()


@pytest.mark.benchmark(group="POD of a file")
@pytest.mark.parametrize("way", [pod_romae, pod_numpy_snapshots, pod_torch_lowrank])
def test_pod(benchmark: Callable, wake: Path, way: Callable) -> None:
    s = benchmark.pedantic(way, (wake,), rounds=3, warmup_rounds=1)
    expected = pod_numpy_snapshots(wake)
    np.testing.assert_allclose(s[:8] / s[0], expected[:8] / expected[0], rtol=1e-3)


# -- reading all snapshots once ---------------------------------------------------------------


def read_blocks(path: Path) -> float:
    return sum(float(block.values.sum()) for block in romae.open_snapshots(path).blocks(8 << 20))


def read_each(path: Path) -> float:
    """One snapshot at a time, as a data loader over samples does."""
    with xr.open_dataset(path, engine="netcdf4") as data:
        return sum(float(data[n][i].values.sum()) for i in range(T) for n in "uv")


def read_dask(path: Path) -> float:
    """Lazily by dask, a task per storage chunk."""
    with xr.open_dataset(path, engine="netcdf4", chunks={}) as data:
        return sum(float(data[n].sum(dtype=np.float64).compute()) for n in "uv")


@pytest.mark.benchmark(group="reading a file once")
@pytest.mark.parametrize("way", [read_blocks, read_each, read_dask])
def test_read(benchmark: Callable, wake: Path, way: Callable) -> None:
    assert abs(benchmark.pedantic(way, (wake,), rounds=3, warmup_rounds=1) / T) < 1e4


# -- encode and decode, tensors in, tensors out -------------------------------------------------


@pytest.fixture(scope="module")
def pod(snapshots: Snapshots) -> romae.POD:
    with silent():
        return romae.POD(K).fit(snapshots, device="cpu")


@pytest.mark.benchmark(group="POD encode and decode of 64 snapshots")
@pytest.mark.parametrize("way", ["romae", "two bare products"])
def test_code(benchmark: Callable, pod: romae.POD, way: str) -> None:
    x = torch.randn(64, 2, *SHAPE)
    U = torch.from_numpy(np.stack([pod.modes[n].values for n in "uv"], axis=1)).flatten(1).float()
    W = torch.from_numpy(pod.layout.quadrature.reshape(-1)).float()

    def ours() -> torch.Tensor:
        return pod.decode_tensor(pod.encode_tensor(x))

    def bare() -> torch.Tensor:
        return (((x.flatten(1) * W) @ U.T) @ U).reshape(x.shape)

    result = benchmark(ours if way == "romae" else bare)
    torch.testing.assert_close(result, bare(), rtol=1e-4, atol=1e-4)
