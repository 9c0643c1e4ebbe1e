"""POD, training, encode and decode, against what the device can copy and multiply.

    python benchmarks/throughput.py                          # CUDA if there is one
    python benchmarks/throughput.py --device cpu --size small

Needs torch, numpy, xarray, h5py and safetensors, and no installed romae: `gpu.sh` beside this
file sets PYTHONPATH. The snapshots are made in memory: waves that travel at different speeds.

    copy       b <- a of a large float32 array, bytes read and written per second
    matrix     C = A B, square, 2 n^3 operations
    GB/s       bytes of the snapshots that went in or came out (not of weights or activations)
    TFLOP/s    products and convolutions only, as torch.utils.flop_counter counts them

Times are medians over repeated calls after a warm-up, with the device synchronised; the two
ceilings are the fastest call. A share above 100 % means that the machine was busy meanwhile, or
that a convolution library needs fewer operations than are counted.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch.utils.flop_counter import FlopCounterMode

import romae
from romae.feed import TensorScaling, pick_device
from romae.fields import Snapshots
from romae.progress import silent
from romae.reducers import Reducer, TrainConfig


@dataclass(frozen=True)
class Size:
    """How much is computed: snapshots, grid (y, x), modes, training updates, batch."""

    snapshots: int
    grid: tuple[int, int]
    modes: int
    dense_steps: int
    conv_steps: int
    batch: int
    copy_bytes: int
    matrix: int


SIZES = {
    "small": Size(160, (48, 96), 16, 60, 12, 16, 256 << 20, 1024),
    "large": Size(1024, (192, 256), 64, 3000, 300, 64, 2 << 30, 8192),
}
SECONDS, LEAST, MOST = 0.5, 5, 200  # per measurement


def seconds_each(call: Callable[[], object], device: torch.device, least: int) -> list[float]:
    """Seconds of repeated calls after a warm-up, work on the device included."""
    for _ in range(min(least, 3)):
        call()
    finish(device)
    took: list[float] = []
    while len(took) < least or (sum(took) < SECONDS and len(took) < MOST):
        begin = time.perf_counter()
        call()
        finish(device)
        took.append(time.perf_counter() - begin)
    return took


def median_seconds(call: Callable[[], object], device: torch.device, least: int = LEAST) -> float:
    """Median of at least ``least`` calls."""
    return float(np.median(seconds_each(call, device, least)))


def best_seconds(call: Callable[[], object], device: torch.device) -> float:
    """The fastest call: for ceilings, which other processes only lower."""
    return min(seconds_each(call, device, 20))


def finish(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def operations(call: Callable[[], object]) -> int:
    """Floating-point operations of the products and convolutions in ``call``."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def copy_rate(nbytes: int, device: torch.device) -> float:
    """Bytes read and written per second by a copy of a large array."""
    a = torch.rand(nbytes // 4, device=device)
    b = torch.empty_like(a)
    return 2 * a.nbytes / best_seconds(lambda: b.copy_(a), device)


def matrix_rate(n: int, dtype: torch.dtype, device: torch.device) -> float:
    """Operations per second of a square product."""
    A, B = (torch.rand(n, n, device=device, dtype=dtype) for _ in range(2))
    C = torch.empty_like(A)
    return 2 * n**3 / best_seconds(lambda: torch.mm(A, B, out=C), device)


def waves(size: Size) -> xr.Dataset:
    """Velocity fields u, v (time, y, x) float32: waves of many speeds, and a little noise."""
    rng = np.random.default_rng(0)
    T, (ny, nx) = size.snapshots, size.grid
    y, x = np.meshgrid(np.arange(ny) / ny, np.arange(nx) / nx, indexing="ij")
    kx, ky = rng.integers(1, 6, (2, 8))
    speed, amplitude = rng.uniform(0.2, 2, (2, 8))
    place = 2 * np.pi * (np.multiply.outer(kx, x) + np.multiply.outer(ky, y)).reshape(8, -1)
    shape = np.concatenate([np.cos(place), np.sin(place)]).astype(np.float32)
    angle = np.multiply.outer(np.arange(T) / 6, speed)
    values = np.empty((2, T, ny, nx), dtype=np.float32)
    for c, shift in enumerate((0.0, 0.5 * np.pi)):  # cos(place - angle - shift), summed
        parts = [amplitude * np.cos(angle + shift), amplitude * np.sin(angle + shift)]
        values[c] = (np.concatenate(parts, axis=1).astype(np.float32) @ shape).reshape(T, ny, nx)
    values += 1e-3 * rng.standard_normal(values.shape, dtype=np.float32)
    dims = ("time", "y", "x")
    fields = {n: (dims, v, {"units": "m/s"}) for n, v in zip("uv", values, strict=True)}
    return xr.Dataset(fields, {"time": 0.1 * np.arange(T)})


class Table:
    """Rows of measurements, printed as they come."""

    COLUMNS = ("what", "snapshots/s", "GB/s", "of copy", "TFLOP/s", "of float32 matrix")

    def __init__(self, peak: dict[str, float]) -> None:
        self.peak = peak
        self.rows: list[dict[str, object]] = []

    def start(self) -> None:
        """The two lines above the rows."""
        print(f"\n| {' | '.join(self.COLUMNS)} |\n|---{'|---:' * (len(self.COLUMNS) - 1)}|")

    def add(self, what: str, rate: float, nbytes: int, flops: float | None = None) -> None:
        """``rate``: snapshots/s; ``nbytes``, ``flops``: of one snapshot."""
        row: dict[str, object] = {"what": what, "rate": rate, "bytes_per_s": rate * nbytes}
        cells = [what, f"{rate:.3g}", f"{rate * nbytes / 1e9:.3g}"]
        cells.append(f"{rate * nbytes / self.peak['copy']:.1%}")
        if flops is not None:
            row["flops_per_s"] = rate * flops
            cells += [f"{rate * flops / 1e12:.3g}", f"{rate * flops / self.peak['float32']:.1%}"]
        self.rows.append(row)
        cells += [""] * (len(self.COLUMNS) - len(cells))
        print(f"| {' | '.join(cells)} |", flush=True)


def fitted(size: Size, snapshots: Snapshots, device: torch.device) -> list[Reducer]:
    """The three reducers, trained for a fixed number of updates."""
    dense = TrainConfig(steps=size.dense_steps, batch=size.batch)
    conv = TrainConfig(steps=size.conv_steps, batch=size.batch)
    reducers: list[Reducer] = [
        romae.POD(size.modes),
        romae.PODAutoencoder(4, modes=size.modes, train=dense),
        romae.ConvAutoencoder(4, train=conv),
    ]
    for reducer in reducers:
        reducer.fit(snapshots, device=str(device))
    return reducers


def training_rate(reducer: Reducer, snapshots: int) -> float:
    """Snapshots per second of the training loop, without its first epoch."""
    history = reducer.history
    seconds = np.diff([record["seconds"] for record in history])
    return 0.9 * snapshots / float(np.median(seconds))  # a tenth is held out


def training_flops(reducer: Reducer, x: torch.Tensor) -> float:
    """Operations of one snapshot in one update: forward and backward."""
    coder = reducer.module
    coder.requires_grad_(True)
    try:
        if hasattr(coder, "coordinates"):  # trained in POD coordinates
            a = coder.coordinates(x).detach()
            total = operations(lambda: coder.expand(coder.squeeze(a)).sum().backward())
        else:
            total = operations(lambda: coder(x).sum().backward())
    finally:
        coder.zero_grad(set_to_none=True)
        coder.requires_grad_(False)
    return total / len(x)


def pod_on_device(x: torch.Tensor, k: int) -> torch.Tensor:
    """The peer of the POD: method of snapshots in float32 on the device, data resident."""
    Y = x.flatten(1)
    energy, V = torch.linalg.eigh(Y @ Y.T)
    return (V[:, -k:] / energy[-k:].clamp_min(1e-30).sqrt()).T @ Y


def peer_rate(
    snapshots: Snapshots, scale: TensorScaling, k: int, device: torch.device
) -> tuple[float, float]:
    """Snapshots per second of :func:`pod_on_device`, and its operations per snapshot."""
    blocks = (torch.from_numpy(block.values).to(device) for block in snapshots.blocks())
    x = torch.cat([scale.forward(block) for block in blocks])
    seconds = median_seconds(lambda: pod_on_device(x, k), device)
    return len(x) / seconds, 2 * (len(x) + k) * x[0].numel()


def round_trip(reducer: Reducer, x: torch.Tensor) -> str:
    """Save, load, encode and decode give the same bits; says so or how they differ."""
    with tempfile.TemporaryDirectory() as folder:
        again = romae.load(reducer.save(Path(folder) / "model.rom")).to(str(x.device))
    z = reducer.encode_tensor(x)
    same = torch.equal(z, again.encode_tensor(x))
    same = same and torch.equal(reducer.decode_tensor(z), again.decode_tensor(z))
    return "same bits after save and load" if same else "DIFFERS after save and load"


def measure(size: Size, device: torch.device, table: Table) -> dict[str, object]:
    """All rows; the checks and times beside them."""
    data = waves(size)
    snapshots = romae.open_snapshots(data, time="time", space=("y", "x"))
    T, C, *space = snapshots.shape
    nbytes = 4 * C * int(np.prod(space))
    begin = time.perf_counter()
    with silent():
        reducers = fitted(size, snapshots, device)
    total = time.perf_counter() - begin
    pod, *trained = reducers
    scale = TensorScaling(pod.scaling, device)
    block = torch.from_numpy(snapshots.read(0, min(T, 256))).to(device)
    table.start()
    table.add(f"POD fit, k={pod.latent} (host, statistics included)", T / pod.fit_seconds, nbytes)
    rate, flops = peer_rate(snapshots, scale, pod.latent, device)
    table.add("peer: method of snapshots in torch, resident", rate, nbytes, flops)
    seconds = median_seconds(lambda: scale.forward(block), device)
    table.add("scaling of a resident block", len(block) / seconds, nbytes)
    for reducer in trained:
        flops = training_flops(reducer, scale.forward(block[: size.batch]))
        rate = training_rate(reducer, T)
        table.add(f"train {reducer.name}, batch {size.batch}", rate, nbytes, flops)
    checks = {}
    for reducer in reducers:
        with torch.inference_mode():
            checks[reducer.name] = code(reducer, scale.forward(block), size.batch, nbytes, table)
        seconds = median_seconds(lambda r=reducer: r.encode(snapshots), device, least=2)
        table.add(f"{reducer.name}.encode, labelled, from host memory", T / seconds, nbytes)
    return {
        "checks": checks,
        "fit_seconds": {r.name: r.fit_seconds for r in reducers},
        "fits": total,
    }


def code(reducer: Reducer, x: torch.Tensor, batch: int, nbytes: int, table: Table) -> str:
    """Encode and decode of tensors, one batch and all of ``x`` at a time."""
    for b in sorted({min(batch, len(x)), len(x)}):
        part = x[:b].contiguous()
        z = reducer.encode_tensor(part)
        calls = {
            "encode": lambda p=part: reducer.encode_tensor(p),
            "decode": lambda z=z: reducer.decode_tensor(z),
        }
        for verb, call in calls.items():
            flops = operations(call) / b
            name = f"{reducer.name} {verb}, k={reducer.latent}, batch {b}"
            table.add(name, b / median_seconds(call, x.device), nbytes, flops)
    return round_trip(reducer, x[:batch])


def machine(device: torch.device) -> dict[str, str]:
    """Versions and names, for the heading."""
    found = {
        "romae": romae.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "host": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "device": "cpu",
    }
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        found["device"] = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())
        if tool := shutil.which("nvidia-smi"):
            query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
            done = subprocess.run(query, capture_output=True, text=True, check=False)
            found["driver"] = done.stdout.strip().partition("\n")[0] or "unknown"
    return found


def loaded() -> str:
    """Libraries that romae can do without and that this process has loaded all the same."""
    names = ("dask", "netCDF4", "zarr", "cf_xarray", "click", "rich", "matplotlib", "scipy")
    return ", ".join(n for n in names if sys.modules.get(n)) or "none"


def main() -> int:
    """Measure, print, and fail when a model differs after save and load."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--size", choices=sorted(SIZES), default="large")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    options = parser.parse_args()
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    begin = time.perf_counter()
    device, size = pick_device(options.device), SIZES[options.size]
    peak = {
        "copy": copy_rate(size.copy_bytes, device),
        "float32": matrix_rate(size.matrix, torch.float32, device),
        "bfloat16": matrix_rate(size.matrix, torch.bfloat16, device),
    }
    facts = machine(device)
    print("\n".join(f"{k}: {v}" for k, v in facts.items()))
    T, grid = size.snapshots, " x ".join(map(str, size.grid))
    print(f"data: {T} snapshots of 2 fields on {grid} points, float32, made in memory")
    print(f"copy: {peak['copy'] / 1e9:.3g} GB/s")
    for name in ("float32", "bfloat16"):
        print(f"matrix {name}, n = {size.matrix}: {peak[name] / 1e12:.3g} TFLOP/s")
    table = Table(peak)
    result = measure(size, device, table)
    checks: dict[str, str] = result["checks"]  # type: ignore[assignment]
    print("\n" + "\n".join(f"{name}: {text}" for name, text in checks.items()))
    print(f"loaded besides torch, numpy, xarray, h5py, safetensors: {loaded()}")
    print(f"{time.perf_counter() - begin:.0f} s in all")
    if options.json:
        text = json.dumps({**facts, "peak": peak, "rows": table.rows, **result}, indent=2)
        options.json.write_text(text + "\n")
    return int(any(text.startswith("DIFFERS") for text in checks.values()))


if __name__ == "__main__":
    sys.exit(main())
