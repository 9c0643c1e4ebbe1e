"""POD on a cluster of processes: the modes of one process, also when a worker is killed."""

import itertools
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import ClusterError, DataError, MissingDependencyError, OptionError
from romae.reducers import distributed as engine

BLOCK = 4 * 15 * 12 * 20 * 4  # bytes of 15 snapshots of two fields


def flow(T=180, shape=(12, 20)):
    """Travelling waves and noise in two units, with a mean, an obstacle and a stretched grid."""
    rng = np.random.default_rng(0)
    t, y, x = np.meshgrid(np.arange(T), *map(np.arange, shape), indexing="ij")
    u = sum(np.cos(0.1 * m * (x - t) + 0.2 * y) / m**2 for m in range(1, 9))
    u = (3 + u + 0.001 * rng.standard_normal(u.shape)).astype("f4")
    u[:, 3:5, 4:8] = np.nan
    dims = ("time", "y", "x")
    p = 1e5 + 40 * (u[::-1] * (1 + x / 20) + 0.3 * np.sin(u))
    data = {"u": (dims, u, {"units": "m/s"}), "p": (dims, p, {"units": "Pa"})}
    coords = {"time": 0.5 * np.arange(T), "x": np.linspace(0, 1, shape[1]) ** 2}
    return xr.Dataset(data, coords)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The flow in three files."""
    folder, data = tmp_path_factory.mktemp("flow"), flow()
    for i in range(3):
        part = data.isel(time=slice(60 * i, 60 * (i + 1)))
        encoding = {n: {"chunksizes": (5, 12, 20)} for n in ("u", "p")}
        part.to_netcdf(folder / f"flow-{i}.nc", encoding=encoding)
    return str(folder / "flow-*.nc")


@pytest.fixture(scope="module")
def client():
    """Two processes of one thread each."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.fixture
def small(monkeypatch):
    """Groups of 64 snapshots or so in blocks of few: several tasks a pass."""
    monkeypatch.setattr(engine, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(engine, "GROUP_BYTES", 1)


def close(one, other, modes=4):
    assert one.latent == other.latent
    np.testing.assert_allclose(one.singular_values, other.singular_values, rtol=2e-5)
    np.testing.assert_allclose(one.scaling.mean, other.scaling.mean, rtol=1e-6)
    np.testing.assert_allclose(one.scaling.scale, other.scaling.scale, rtol=1e-10)
    assert one.total == pytest.approx(other.total, rel=1e-8)
    U, V = (np.nan_to_num(p.modes.to_dataarray().values[:, :modes]) for p in (one, other))
    np.testing.assert_allclose(U, V, atol=5e-3 * np.abs(V).max())


def serial(files, rank=6):
    return romae.POD(rank, method="randomized", memory=1).fit(files, device="cpu")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [6, 0.999])
def test_modes_are_those_of_one_process(rank, client, files, small):
    pod = romae.POD(rank).fit(files, client=client)
    close(pod, serial(files, rank))
    assert pod.training["snapshots"] == 180
    assert pod.fit_seconds > 0


class Here:
    """What is used of a client, in this process and at once."""

    def __init__(self):
        self.log = []

    def wait_for_workers(self, n, timeout):
        pass

    def scatter(self, value, **options):
        return value

    def submit(self, task, *arguments, pure):
        self.log.append(task.__name__)
        future = Future()
        ready = [a.result() if isinstance(a, Future) else a for a in arguments]
        future.set_result(task(*ready))
        return future

    def gather(self, futures):
        return [f.result() for f in futures]


def test_the_sketch_of_groups_is_that_of_one_process(small):
    """Large enough for a sketch: two passes, and the same columns in the same buckets."""
    client, data = Here(), flow(180, (40, 120))
    pod = romae.POD(2).fit(data, client=client)
    close(pod, serial(data, 2), modes=2)
    assert "_project" in client.log
    assert "_multiply" not in client.log
    assert client.log.count("_look") > 1


@pytest.mark.slow
def test_an_address_is_a_client(client, files, small):
    by_address = romae.POD(6).fit(files, client=client.scheduler.address)
    np.testing.assert_array_equal(
        by_address.singular_values, romae.POD(6).fit(files, client=client).singular_values
    )


@pytest.mark.slow
def test_bad_values_are_named(client, small, tmp_path):
    data = flow()
    data.u[100, 0, 0] = np.inf
    data.to_netcdf(tmp_path / "bad.nc")
    with pytest.raises(DataError, match=r"bad\.nc, time 50"):
        romae.POD(6).fit(tmp_path / "bad.nc", client=client)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("reads", [3, 15], ids=["statistics", "modes"])
def test_a_killed_worker_does_not_lose_the_run(reads, client, files, small, tmp_path):
    """In either pass: of 12 blocks each."""
    client.wait_for_workers(2, timeout=60)
    log = tmp_path / "reads"
    client.run(_log_reads, str(log))
    pids = client.run(os.getpid)
    killed = []

    def kill():
        while not killed:
            lines = log.read_text().split() if log.exists() else []
            if len(lines) >= reads:
                os.kill(int(lines[-1]), signal.SIGKILL)
                killed.append(int(lines[-1]))
            time.sleep(0.01)

    thread = threading.Thread(target=kill)
    thread.start()
    pod = romae.POD(6).fit(files, client=client)
    seen = len(log.read_text().split())
    killed.append(0)
    thread.join()
    assert killed[0] in pids.values()
    assert seen >= reads
    close(pod, serial(files))


def _log_reads(path):
    """In a worker: every read is slow, and a line with its process in a file."""
    from romae.fields import Snapshots

    plain = getattr(Snapshots.read_raw, "plain", Snapshots.read_raw)

    def read_raw(self, *arguments, **options):
        with open(path, "a") as log:
            log.write(f"{os.getpid()}\n")
        time.sleep(0.1)
        return plain(self, *arguments, **options)

    read_raw.plain = plain
    Snapshots.read_raw = read_raw


def test_wrong_use(files, monkeypatch):
    with pytest.raises(OptionError, match="auto or randomized"):
        romae.POD(6, method="svd").fit(files, client="tcp://127.0.0.1:1")
    with pytest.raises(OptionError, match="scheduler"):
        romae.POD(6).fit(files, client=3)
    with pytest.raises(OptionError, match="Leave checkpoint out"):
        romae.POD(6).fit(files, client="tcp://127.0.0.1:1", checkpoint="state")
    other = romae.open_snapshots(files)
    narrow = other.to_dataset().isel({other.layout.space[-1]: slice(1, None)})
    with pytest.raises(DataError, match="validation data"):
        romae.POD(6).fit(files, narrow, client="tcp://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"romae\[cluster\]"):
        romae.POD(6).fit(files, client="tcp://127.0.0.1:1")


@pytest.mark.slow
def test_no_scheduler(files, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(engine, "CONNECT", 0.5)
    with pytest.raises(ClusterError, match="no scheduler answers"):
        romae.POD(6).fit(files, client="tcp://127.0.0.1:1")


@pytest.mark.parametrize("size", [1, 4, 11, 40])
def test_groups_are_whole_blocks_and_large_enough(size, files):
    snapshots = romae.open_snapshots(files)
    part = engine.Part(snapshots, BLOCK)
    ranges = engine.groups(part, size, 1)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(snapshots)
    assert all(b == c for (_, b), (c, _) in itertools.pairwise(ranges))
    assert all(b - a >= min(2 * size, len(snapshots)) for a, b in ranges)
    rows = [row for a, b in ranges for row, _ in part(a, b)]
    assert rows == sorted(set(rows))
    assert sum(len(X) for a, b in ranges for _, X in part(a, b)) == len(snapshots)
