"""Training speed: snapshots per second beside a plain PyTorch loop and the AE of EZyRB.

    python benchmarks/training.py            # 1 minute; with rows of EZyRB where it is installed

Every contender trains the same networks on the same snapshots, for the same epochs and batches, and
is timed as a whole, with its optimiser, shuffling and bookkeeping. They take turns; medians.

    romae         romae.train.train with a ResidentFeed: AdamW, clipping, NaN watch, best weights
    loop          for x in DataLoader(dataset of single snapshots, shuffle=True): torch.optim.AdamW
    loop, xarray  the same; a snapshot is read from a netCDF file by xarray when it is asked for
    EZyRB         ezyrb.AE on flattened snapshots: Adam, all snapshots in every update

GFLOP/s counts products and convolutions, forward and backward, as torch.utils.flop_counter does;
the share is of the rate of a large square float32 product on this machine.
"""

import argparse
import contextlib
import copy
import functools
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from throughput import Size, operations, waves
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import romae
from romae.feed import ResidentFeed
from romae.nets.dense import MLP
from romae.progress import silent
from romae.reducers import TrainConfig
from romae.train import train
from romae.train.objective import MSE, Frame, Training, objective

SIZE = Size(64, (96, 192), 48, 0, 0, 16, 0, 0)
Run = Callable[[], None]
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def misfit(module: nn.Module, x: Tensor, progress: float = 1.0) -> Tensor:
    """Mean squared error of the reconstruction."""
    return (x - module(x)).square().mean()


class Memory(Dataset):
    """Single snapshots of an array in memory."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> Tensor:
        return torch.from_numpy(self.data[i])


class File(Memory):
    """Single snapshots of a netCDF file, opened lazily by xarray."""

    def __init__(self, path: Path) -> None:
        self.data = xr.open_dataset(path)

    def __len__(self) -> int:
        return self.data.sizes["time"]

    def __getitem__(self, i: int) -> Tensor:
        fields = self.data.isel(time=i)
        return torch.from_numpy(np.stack([fields[name].values for name in ("u", "v")]))


def by_romae(module: nn.Module, data: Tensor, epochs: int, batch: int, **options) -> Run:
    """Training by this package; judged on four snapshots after each epoch."""
    config = TrainConfig(epochs=epochs, batch=batch, **options)
    measure = objective if isinstance(module, Training) else misfit

    def run() -> None:
        held_out = ResidentFeed(data[:4], batch=4, shuffle=False)
        train(copy.deepcopy(module), measure, ResidentFeed(data, batch=batch), held_out, config)

    return run


def by_loop(module: nn.Module, data: Dataset, epochs: int, batch: int) -> Run:
    """What one writes by hand."""

    def run() -> None:
        net = copy.deepcopy(module).train()
        wanted = [p for p in net.parameters() if p.requires_grad]
        optimiser = torch.optim.AdamW(wanted, lr=2e-3)
        for _ in range(epochs):
            total = 0.0
            for x in DataLoader(data, batch_size=batch, shuffle=True):
                loss = misfit(net, x)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                total += loss.item()

    return run


def by_ezyrb(flat: np.ndarray, hidden: int, latent: int, epochs: int) -> Run:
    """EZyRB's autoencoder; snapshots are columns there."""
    from ezyrb import AE

    def run() -> None:
        ae = AE([hidden, latent], [latent, hidden], nn.GELU(), nn.GELU(), epochs)
        with contextlib.redirect_stdout(io.StringIO()):
            ae.fit(flat.T)

    return run


def networks(reducer: romae.ConvAutoencoder | romae.PODAutoencoder) -> nn.Module:
    """The coder of a fit of one update, its networks ready to be trained."""
    module = reducer.module
    for part in (module.encoder, module.decoder):
        part.requires_grad_(True)
    return module


def flops(module: nn.Module, x: Tensor) -> float:
    """Operations of one snapshot in one update."""
    return operations(lambda: misfit(module, x).backward()) / len(x)


def product_rate(n: int) -> float:
    """Operations per second of the fastest of twenty square float32 products."""
    A, B, now = torch.rand(n, n), torch.rand(n, n), CLOCKS[options().clock]
    times = []
    for _ in range(20):
        begin = now()
        A @ B
        times.append(now() - begin)
    return 2 * n**3 / min(times)


class Dense(nn.Module):
    """Encoder and decoder on plain vectors."""

    def __init__(self, size: int, hidden: tuple[int, ...], latent: int) -> None:
        super().__init__()
        self.encoder = MLP(size, latent, hidden=hidden)
        self.decoder = MLP(latent, size, hidden=hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def pod_coordinates(size: int, hidden: tuple[int, ...], latent: int) -> nn.Module:
    """What ``PODAutoencoder.fit`` trains, on ``size`` coordinates."""
    fields = {"u": (("time", "x"), np.random.default_rng(0).normal(size=(2 * size, size)))}
    data = romae.open_snapshots(xr.Dataset(fields), time="time", space=("x",))
    once = TrainConfig(steps=1)
    reducer = romae.PODAutoencoder(latent, modes=size, hidden=hidden, train=once).fit(data)
    frame = Frame(data.layout, None, None, 1.0, latent, None, torch.device("cpu"))
    return Training(networks(reducer), (MSE(),), None, frame)


def compare(what: str, runs: dict[str, Run], samples: int, each: float, peak: float) -> None:
    """Rows of one comparison: rate, ratio to the first, GFLOP/s and its share of ``peak``."""
    now = CLOCKS[options().clock]
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(4):
        for name, run in runs.items():
            begin = now()
            run()
            if turn:  # the first warms up
                times[name].append(now() - begin)
    rates = {name: samples / statistics.median(t) for name, t in times.items()}
    first = next(iter(rates.values()))
    for name, rate in rates.items():
        work = f"{rate * each / 1e9:.1f} | {rate * each / peak:.0%}" if each else " | "
        print(f"| {what} | {name} | {rate:,.0f} | {first / rate:.2f} | {work} |", flush=True)


@functools.cache
def options() -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="of torch; default: all")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: where others compute meanwhile"
    )
    return parser.parse_args()


def main() -> None:
    """All comparisons."""
    if options().threads:
        torch.set_num_threads(options().threads)
    peak = product_rate(2048)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {peak / 1e9:.0f} GFLOP/s")
    print(
        "\n| networks | trained by | snapshots/s | time over romae's | GFLOP/s | of the ceiling |"
    )
    print("|---|---|---:|---:|---:|---:|")
    data = waves(SIZE)
    snapshots = romae.open_snapshots(data, time="time", space=("y", "x"))
    x = torch.from_numpy(snapshots.read(0, len(snapshots)))
    with silent(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "waves.nc")
        data.to_netcdf(path)
        once = TrainConfig(steps=1, batch=16)
        conv = networks(romae.ConvAutoencoder(4, train=once).fit(snapshots))
        runs = {
            "romae": by_romae(conv, x, 2, 16),
            "romae, bf16": by_romae(conv, x, 2, 16, precision="bf16"),
            "romae, muon": by_romae(conv, x, 2, 16, optimiser="muon"),
            "loop": by_loop(conv, Memory(x.numpy()), 2, 16),
            "loop, xarray": by_loop(conv, File(path), 2, 16),
        }
        compare("conv, batch 16", runs, 2 * len(x), flops(conv, x[:16]), peak)
        small(x, folder, peak)
        wide(x, peak)


def small(x: Tensor, folder: str, peak: float) -> None:
    """Dense networks on 48 numbers a snapshot, as in POD coordinates; many snapshots."""
    a = torch.randn(4096, 48)
    net, coder = Dense(48, (128, 128), 2), pod_coordinates(48, (128, 128), 2)
    for batch in (64, 256):
        runs = {
            "romae": by_romae(coder, a, 2, batch),
            "romae, networks alone": by_romae(net, a, 2, batch),
            "romae, muon": by_romae(coder, a, 2, batch, optimiser="muon"),
            "loop": by_loop(net, Memory(a.numpy()), 2, batch),
        }
        compare(f"dense 48-128-128-2, batch {batch}", runs, 2 * len(a), flops(net, a[:64]), peak)


def wide(x: Tensor, peak: float) -> None:
    """Dense networks on whole snapshots, and the same widths in POD coordinates."""
    flat, epochs = x.flatten(1).contiguous(), 5
    net = Dense(flat.shape[1], (64,), 2)
    runs = {
        "romae, all in one batch": by_romae(net, flat, epochs, len(flat)),
        "romae, in 48 POD coordinates": by_romae(
            Dense(48, (64,), 2), torch.randn(len(flat), 48), epochs, len(flat)
        ),
        "loop, all in one batch": by_loop(net, Memory(flat.numpy()), epochs, len(flat)),
    }
    with contextlib.suppress(ImportError):
        runs["EZyRB"] = by_ezyrb(flat.numpy(), 64, 2, epochs)
    compare(f"dense {flat.shape[1]}-64-2", runs, epochs * len(flat), 0.0, peak)


if __name__ == "__main__":
    main()
