"""POD of data larger than the memory it may use: the same modes, and a killed fit goes on."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import xarray as xr

import romae
from romae.reducers import TrainConfig

FLOWS = ["line", "plane", "box", "family", "whole"]


def long_flow(T=240, shape=(12, 20)):
    """Travelling waves and noise, with a mean, an obstacle and a stretched grid."""
    rng = np.random.default_rng(0)
    t, y, x = np.meshgrid(np.arange(T), *map(np.arange, shape), indexing="ij")
    u = sum(np.cos(0.1 * m * (x - t) + 0.2 * y) / m for m in range(1, 9))
    u = (3 + u + 0.01 * rng.standard_normal(u.shape)).astype("f4")
    u[:, 3:5, 4:8] = np.nan
    coords = {"time": 0.5 * np.arange(T), "x": np.linspace(0, 1, shape[1]) ** 2}
    return xr.Dataset({"u": (("time", "y", "x"), u, {"units": "m/s"})}, coords)


@pytest.mark.parametrize("memory", [1 << 30, 1])
@pytest.mark.parametrize("name", FLOWS)
def test_randomized_finds_the_modes_of_svd(name, memory, flows):
    """Masks, weights, units, cases, integers and both precisions."""
    data = flows[name]()
    exact = romae.POD(4, method="svd").fit(data, device="cpu")
    fast = romae.POD(4, method="randomized", memory=memory).fit(data, device="cpu")
    k = fast.latent
    np.testing.assert_allclose(fast.singular_values, exact.singular_values[:k], rtol=1e-4)
    np.testing.assert_allclose(fast.energy, exact.energy[:k], rtol=1e-5)
    xr.testing.assert_allclose(
        fast.reconstruct(data), exact.reconstruct(data), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("method", ["snapshots", "randomized"])
def test_memory_and_blocks_do_not_change_the_modes(method, monkeypatch):
    data = long_flow()
    held = romae.POD(6, method=method).fit(data, device="cpu")
    monkeypatch.setattr("romae.reducers.pod_data.BLOCK_BYTES", 20_000)
    streamed = romae.POD(6, method=method, memory=100_000).fit(data, device="cpu")
    s = held.singular_values  # below 6e-8 s_1 there is only rounding
    np.testing.assert_allclose(streamed.singular_values, s, rtol=1e-4, atol=6e-8 * s[0])
    for mode in range(6):
        a, b = (p.modes["u"][mode].fillna(0) for p in (held, streamed))
        np.testing.assert_allclose(a, b, atol=2e-3 * float(abs(a).max()))


def test_energy_counts_what_the_modes_leave_out(tmp_path):
    data = long_flow()
    exact = romae.POD(6, method="svd").fit(data, device="cpu")
    fast = romae.POD(6, method="randomized").fit(data, device="cpu")
    np.testing.assert_allclose(fast.energy, exact.energy[:6], rtol=1e-5)
    assert fast.energy[-1] < 0.999
    fast.save(tmp_path / "pod.rom")
    opened = romae.load(tmp_path / "pod.rom")
    np.testing.assert_array_equal(opened.energy, fast.energy)
    np.testing.assert_array_equal(fast.truncate(3).energy, fast.energy)
    assert fast.error == pytest.approx(np.sqrt(1 - exact.energy[5]), rel=1e-3)
    assert 0 <= opened.excess == fast.excess < 0.01
    by_energy = romae.POD(0.95, method="randomized").fit(data, device="cpu")
    assert abs(by_energy.latent - romae.POD(0.95).fit(data, device="cpu").latent) <= 1


def test_autoencoders_start_from_a_streamed_pod(monkeypatch):
    monkeypatch.setattr("romae.linalg.pod.SVD_ENTRIES", 0)
    monkeypatch.setattr("romae.linalg.pod.PATIENCE", 0)
    monkeypatch.setattr("romae.linalg.pod.F64", 1.0)
    data, short = long_flow(), TrainConfig(steps=2, batch=16)
    model = romae.PODAutoencoder(2, modes=6, train=short).fit(data, device="cpu")
    pod = romae.POD(2, method="svd").fit(data, device="cpu")
    z, expected = model.encode(data).values, pod.encode(data).values
    assert np.linalg.norm(z - expected / expected[:, :1].std()) < 0.2 * np.linalg.norm(z)


KILLED = """
import os, signal, sys
import numpy as np
import romae, romae.linalg.rows as rows, romae.reducers.pod_data as pod
sys.path.insert(0, {here!r})
from test_pod_any_size import long_flow

rows.CHECKPOINT_SECONDS = 0
pod.BLOCK_BYTES = 20_000
write, count = rows.Checkpoint.write, 0

def counted(self, state, arrays):
    global count
    write(self, state, arrays)
    count += 1
    if count == {blocks}:
        os.kill(os.getpid(), signal.SIGKILL)

rows.Checkpoint.write = counted
pod = romae.POD(6, method={method!r}, memory={memory})
pod.fit(long_flow(), device="cpu", checkpoint={folder!r})
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("method", "memory", "blocks"),
    [
        ("randomized", 1, 20),
        ("snapshots", 100_000, 7),
        ("covariance", 1, 5),
    ],
)
def test_a_killed_fit_goes_on_at_the_block(method, memory, blocks, tmp_path, monkeypatch):
    here = os.path.dirname(__file__)
    text = KILLED.format(
        here=here, blocks=blocks, folder=str(tmp_path), method=method, memory=memory
    )
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(text)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.glob("*.safetensors"))

    monkeypatch.setattr("romae.reducers.pod_data.BLOCK_BYTES", 20_000)
    data, reads = romae.open_snapshots(long_flow()), []
    monkeypatch.setattr("romae.reducers.pod_data.rows", _counted(reads))
    whole = romae.POD(6, method=method, memory=memory).fit(data, device="cpu")
    all_reads = len(reads)
    reads.clear()
    pod = romae.POD(6, method=method, memory=memory)
    pod.fit(data, device="cpu", checkpoint=tmp_path)
    np.testing.assert_array_equal(pod.singular_values, whole.singular_values)
    xr.testing.assert_equal(pod.modes, whole.modes)
    assert len(reads) < all_reads  # not from the beginning
    assert not list(tmp_path.glob("*.safetensors"))  # done: nothing is left


def _counted(reads):
    from romae.reducers.pod_data import rows as _rows

    def rows(data, first=0, **options):
        for row, block in _rows(data, first, **options):
            reads.append(row)
            yield row, block

    return rows
