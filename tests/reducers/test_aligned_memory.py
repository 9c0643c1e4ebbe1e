"""An alignment is fitted to files larger than the memory that the process may use."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CAPPED = """
import resource, sys
from pathlib import Path
import romae
from romae.fields.snapshots import Snapshots
from romae.progress import silent

ranges = Snapshots.block_ranges  # small blocks, so that a small file is many times as large as they
Snapshots.block_ranges = lambda self, nbytes=1 << 21: ranges(self, min(nbytes, 1 << 21))

def data_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(s for s in lines if s.startswith("VmData")).split()[1])

path, cap = sys.argv[1], int(sys.argv[2]) << 20
made = lambda: romae.Aligned(romae.POD(2, memory=1 << 21), "x")
with silent():
    snapshots = romae.open_snapshots(path)
    made().fit(snapshots.isel(time=slice(0, 100)), device="cpu")  # threads and libraries are there
    grown = data_bytes() + cap
    resource.setrlimit(resource.RLIMIT_DATA, (grown, grown))
    fitted = made().fit(snapshots, device="cpu")
    rest = snapshots.isel(time=slice(0, 64))
    error = float(abs(fitted.reconstruct(rest).u - rest.to_dataset().u).max())
    try:
        snapshots.to_dataset().load()  # which does not fit
    except MemoryError:
        print(error)
"""


def write_wave(path: Path, T: int, ny: int, nx: int) -> None:
    """A wave of changing shape that travels along x, float32, T ny nx values."""
    import netCDF4

    x, y = np.arange(nx) * 2 * np.pi / nx, np.linspace(0, 1, ny)
    with netCDF4.Dataset(path, "w") as file:
        for name, values in {"time": np.arange(T), "y": y, "x": x}.items():
            file.createDimension(name, len(values))
            file.createVariable(name, "f8", (name,))[:] = values
        file["x"].periodic = 1
        u = file.createVariable("u", "f4", ("time", "y", "x"), chunksizes=(8, ny, nx))
        for a in range(0, T, 8):
            t = np.arange(a, min(a + 8, T))[:, None, None]
            phase = x - 0.1 * t
            second = 0.3 * np.cos(0.37 * t) * y[:, None] * np.cos(2 * phase)
            u[a : a + 8] = np.cos(phase) + second


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts everything on Linux only")
def test_a_file_larger_than_memory(tmp_path):
    """288 MiB, by a process that may grow by 224: the POD inside has buffers of its own."""
    write_wave(tmp_path / "wave.nc", 1152, 256, 256)
    done = subprocess.run(
        [sys.executable, "-c", CAPPED, str(tmp_path / "wave.nc"), "224"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-3
