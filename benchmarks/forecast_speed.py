"""A whole forecast, decode included, against the solver that made the data, in one run.

    python benchmarks/forecast_speed.py [cylinder kolmogorov] [--rounds 7] [--steps 1000]

Solver: time steps alone, no file, no spin-up, of the sizes ``demo``: 9 steps a snapshot of the
cylinder, 10 of Kolmogorov flow at Re 30 (snapshots 0.5 apart); twice 8 snapshots a round. Forecast:
``ReducedModel.forecast(history, steps)``, fields to fields: open and encode the history, roll
the latents out, decode, label. again: the same straight after it, which is quicker where the system
takes back free memory in the pause that the solver is. kept: with ``out=`` an earlier forecast,
whose memory is written over, straight after the solver. Parts: latents (all before the decode) and
decode; fill: writing a number to each place of a new array of that size, which no decode into new
memory can undercut; product: that of coordinates and modes alone, into an array that is there.

Solver, forecasts and parts take turns; medians, in processor time of this process and on the
clock. On a busy machine the clock says little: the ratio to quote is that of processor time, with
one thread (OMP_NUM_THREADS=1). error: relative L2 of the fluctuation over the first 1000 snapshots
against the solver's; floor: of encoding and decoding those. Data and reducers are those of
``forecast_targets.py wake`` and ``chaos.py kolmogorov``, made when they are not there. Each
row goes to ``benchmarks/results/forecast_speed.jsonl``.
"""

import argparse
import json
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chaos
import numpy as np
import torch
import xarray as xr

import romae
from romae.cases import make_case
from romae.cases.catalogue import get_case
from romae.cases.cylinder import Flow
from romae.cases.kolmogorov import Spectral
from romae.progress import silent

RESULTS = Path(__file__).parent / "results" / "forecast_speed.jsonl"
STEPS, SNAPSHOTS = 1000, 8
Make = Callable[[], Any]


def cylinder(folder: Path) -> tuple[Callable[[], None], xr.Dataset, int, dict[str, Any]]:
    """One snapshot of the solver, the data, where training ends, models by name."""
    case: Any = get_case("cylinder", "demo")
    flow = Flow(case)

    def snapshot() -> None:
        for _ in range(case.save_every):
            flow.step()

    path = folder / "cylinder-demo-100-periods.nc"
    if not path.exists():
        make_case("cylinder", "demo", path, snapshots=4800)
    data = xr.open_dataset(path).isel(time=slice(0, 450 + STEPS)).load()
    ae = folder / "wake-k2.rom"
    models: dict[str, tuple[Make, Make]] = {
        "POD 8, DMD 20": (lambda: romae.POD(8), lambda: romae.DMD(20)),
        "POD 12, DMD 20": (lambda: romae.POD(12), lambda: romae.DMD(20)),
        "PODAutoencoder 2, DMD 20": (
            lambda: romae.load(ae) if ae.exists() else romae.PODAutoencoder(2),
            lambda: romae.DMD(20, rank=11, method="optimised", growth="neutral"),
        ),
    }
    return snapshot, data, 450, models


def kolmogorov(folder: Path) -> tuple[Callable[[], None], xr.Dataset, int, dict[str, Any]]:
    case = chaos.FLOW
    solver = Spectral(case.points, 30.0, case.dt, case.wavenumber)
    w = [case.initial(solver)]

    def snapshot() -> None:
        for _ in range(5 * case.save_every):
            w[0] = solver.step(w[0])

    u = chaos.trajectory(case, folder / "kolmogorov-30.npy")
    data = chaos.snapshots(case, np.asarray(u[: chaos.END + 5 * STEPS + 5 : 5]), 0.5)
    ae = folder / "kolmogorov-30-18.rom"
    models: dict[str, tuple[Make, Make]] = {
        "POD 18, DMD 8": (lambda: romae.POD(18), lambda: romae.DMD(8)),
        "POD 48, DMD 8": (lambda: romae.POD(48), lambda: romae.DMD(8)),
    }
    if ae.exists():
        models["PODAutoencoder 18, DMD 8"] = (lambda: romae.load(ae), lambda: romae.DMD(8))
        models["PODAutoencoder 18, PolynomialMap"] = (
            lambda: romae.load(ae), lambda: romae.PolynomialMap(3, ridge=1e-6, noise=1e-2)
        )  # fmt: skip
    return snapshot, data, chaos.END // 5, models


def timed(call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of processor and of clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def measure(name: str, folder: Path, rounds: int, steps: int, only: str) -> None:
    snapshot, data, end, models = {"cylinder": cylinder, "kolmogorov": kolmogorov}[name](folder)
    train, truth = data.isel(time=slice(0, end)), data.isel(time=slice(end, end + STEPS))
    values = sum(v.size for v in truth.data_vars.values()) // STEPS

    def solve() -> None:
        for _ in range(SNAPSHOTS):
            snapshot()

    for label, (make, law) in models.items():
        if only not in label:
            continue
        reducer = make()
        if not hasattr(reducer, "module"):
            reducer.fit(train.isel(time=slice(None, None, -(-end // 1000))))
        model = romae.ReducedModel(reducer, law()).fit(train)
        history = data.isel(time=slice(end - max(model.dynamics.context, 2), end))
        z = model.forecast_latents(history, steps)
        modes = getattr(reducer.module, "basis", reducer.module).modes
        a, old = torch.randn(steps, len(modes)), torch.zeros(steps, values)
        kept = model.forecast(history, steps)
        calls: dict[str, Callable[[], Any]] = {
            "solver": solve,
            "forecast": lambda m=model, h=history: m.forecast(h, steps),
            "again": lambda m=model, h=history: m.forecast(h, steps),
            "kept": lambda m=model, h=history, k=kept: m.forecast(h, steps, out=k),
            "latents": lambda m=model, h=history: m.forecast_latents(h, steps),
            "decode": lambda m=model, z=z: m.decode(z),
            "fill": lambda: np.ones(steps * values, np.float32),
            "product": lambda a=a, u=modes, old=old: torch.mm(a, u, out=old),
        }
        taken: dict[str, list[tuple[float, float]]] = {n: [] for n in calls}
        for call in calls.values():
            call()
        order = ["solver", "kept", *(n for n in calls if n != "kept")]  # a pause before both ways
        for _ in range(rounds):
            for n in order:
                taken[n].append(timed(calls[n]))
        each = {n: SNAPSHOTS if n == "solver" else steps for n in calls}
        cpu, wall = (
            {n: 1e6 * statistics.median(t[i] for t in ts) / each[n] for n, ts in taken.items()}
            for i in (0, 1)
        )
        mean = train.mean("time")

        def error(found: xr.Dataset, mean: xr.Dataset = mean) -> float:
            lost = sum(float(((found[v] - truth[v]) ** 2).sum()) for v in truth)
            return (lost / sum(float(((truth[v] - mean[v]) ** 2).sum()) for v in truth)) ** 0.5

        row = {
            "case": name, "model": label, "steps": steps, "values": values,
            "modes": len(modes),
            "cpu_us_per_snapshot": cpu, "wall_us_per_snapshot": wall,
            "ratio_cpu": cpu["solver"] / cpu["forecast"],
            "ratio_again": cpu["solver"] / cpu["again"],
            "ratio_kept": cpu["solver"] / cpu["kept"],
            "ratio_wall": wall["solver"] / wall["forecast"],
            "ratio_wall_kept": wall["solver"] / wall["kept"],
            "error": error(model.forecast(history, STEPS)),
            "floor": error(reducer.reconstruct(truth)),
            "threads": torch.get_num_threads(), "machine": platform.machine(),
            "when": time.strftime("%Y-%m-%d"),
        }  # fmt: skip
        RESULTS.parent.mkdir(exist_ok=True)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        parts = " | ".join(f"{cpu[n]:.1f}" for n in calls)
        print(
            f"| {name} | {label} | {steps} | {row['modes']} | {parts} | {row['ratio_cpu']:.0f} | "
            f"{row['ratio_again']:.0f} | {row['ratio_kept']:.0f} | {row['ratio_wall_kept']:.0f} | "
            f"{row['error']:.2%} | {row['floor']:.2%} |",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", default=["cylinder", "kolmogorov"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--only", default="", help="models whose name holds this")
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "Microseconds of processor a snapshot\n\n| case | model | steps | modes | solver | "
        "forecast | again | kept | latents | decode | fill | product | ratio | ratio, again | "
        "ratio, kept | ratio, kept, clock | error | floor |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    )
    warnings.simplefilter("ignore", UserWarning)
    with silent(True):
        for case in given.cases or ["cylinder", "kolmogorov"]:
            measure(case, given.data, given.rounds, given.steps, given.only)
