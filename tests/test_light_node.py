"""A compute node with only torch, numpy, xarray, h5py and safetensors can use reducers.

The other libraries are blocked in a fresh process: importing one raises ImportError there.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ABSENT = ["dask", "netCDF4", "zarr", "cf_xarray", "click", "rich", "matplotlib", "jinja2", "scipy"]

BLOCK = f"""
import sys
for name in {ABSENT!r}:
    sys.modules[name] = None  # `import name` raises ImportError
import numpy as np, torch, xarray as xr
import romae
from romae.reducers import TrainConfig

def wave(T=40, n=(6, 8)):
    t, y, x = np.meshgrid(np.arange(T), *(np.arange(m) for m in n), indexing="ij")
    u = np.sin(0.3 * t - 0.7 * x) + 0.3 * np.cos(0.6 * t + y)
    values = {{"u": (("time", "y", "x"), u.astype("f4"), {{"units": "m/s"}})}}
    return xr.Dataset(values, {{"time": 0.5 * np.arange(T)}})

snapshots = romae.open_snapshots(wave(), time="time", space=("y", "x"))
short = TrainConfig(steps=4, batch=8)
"""

ROUND_TRIP = """
for reducer in (
    romae.POD(3),
    romae.PODAutoencoder(2, train=short),
    romae.ConvAutoencoder(2, widths=(8, 8), train=short),
):
    reducer.fit(snapshots, device="cpu")
    x = torch.randn(5, 1, 6, 8)
    z = reducer.encode_tensor(x)
    assert z.shape == (5, reducer.latent), z.shape
    back = reducer.decode_tensor(z)
    assert back.shape == x.shape
    reducer.save(f"{folder}/{reducer.name}.rom")
    again = romae.load(f"{folder}/{reducer.name}.rom")
    assert torch.equal(again.encode_tensor(x), z)
    assert torch.equal(again.decode_tensor(z), back)
    fields = reducer.decode(reducer.encode(snapshots))
    assert fields["u"].attrs["units"] == "m/s" and fields["u"].shape == (40, 6, 8)
"""

DYNAMICS = """
pod = romae.POD(2).fit(snapshots)
for dynamics in (romae.DMD(), romae.GRU(8, context=4, unroll=8, updates=2)):
    model = romae.ReducedModel(pod, dynamics).fit(snapshots)
    assert model.forecast(snapshots, 3).sizes["time"] == 3
try:
    romae.ReducedModel(pod, romae.EchoState(units=20, context=4)).fit(snapshots)
except romae.RomaeError as error:
    assert "pip install scipy" in str(error)
else:
    raise AssertionError("EchoState without scipy should say what to install")
"""

# A terminal without rich gets plain lines.
TERMINAL = """
import os
from romae.progress import track
os.environ["TERM"] = "xterm"
sys.stderr.isatty = lambda: True
with track(2, "fitting") as task:
    task.advance()
"""

# POD by every method gives with numpy what it gives with scipy.
METHODS = """
sums = []
for blocked in (True, False):
    if not blocked:
        del sys.modules["scipy"]
    for method in ("svd", "snapshots", "covariance"):
        pod = romae.POD(3, method=method).fit(snapshots)
        sums.append(np.array([*pod.singular_values[:3], float(abs(pod.modes["u"]).sum())]))
assert "scipy.linalg" in sys.modules
for other in sums[1:]:
    np.testing.assert_allclose(other, sums[0], rtol=1e-4)
"""


def run_light(code: str, folder: object) -> None:
    """Run ``code`` after :data:`BLOCK` in a fresh process, warnings as errors."""
    script = BLOCK + f"folder = {str(folder)!r}\n" + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [ROUND_TRIP, DYNAMICS, METHODS, TERMINAL],
    ids=["reducers", "dynamics", "pod", "terminal"],
)
def test_works_without_file_and_terminal_libraries(code, tmp_path):
    run_light(code, tmp_path)


@pytest.mark.slow
def test_throughput_runs_from_the_checkout(tmp_path):
    root = Path(__file__).parent.parent
    code = f"""
    import runpy
    sys.argv = ["throughput.py", "--device", "cpu", "--size", "small", "--json", folder + "/t.json"]
    try:
        runpy.run_path({str(root / "benchmarks" / "throughput.py")!r}, run_name="__main__")
    except SystemExit as end:
        assert end.code == 0, end.code
    """
    run_light(code, tmp_path)
    found = json.loads((tmp_path / "t.json").read_text())
    assert all(text == "same bits after save and load" for text in found["checks"].values())
    assert all(row["rate"] > 0 for row in found["rows"])
