"""A whole forecast, decode included, against the solver that made the data, in one run.

    python benchmarks/forecast_speed.py [cylinder kolmogorov] [--size tiny] [--steps 200]

The solver makes the case while a clock runs (writing included, spin-up excluded where the case
reports none: its seconds per stored snapshot are the wall time over all it stored). The model
is a POD with its dynamics, fitted on what the solver made; its forecast of ``steps``
snapshots goes from fields to fields: encode the history, step the latents, decode, label. Ratio =
solver seconds per snapshot over model seconds per snapshot; medians of five forecasts.

The same rollouts from 50 starts are then made one by one and as one batch.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import romae
from romae.cases import make_case
from romae.compare.rollouts import codes_of, histories_of, roll
from romae.progress import silent

RANKS = {"cylinder": 8, "kolmogorov": 18}


def seconds(call, repeats: int = 5) -> float:
    call()  # kernels are compiled and buffers found once
    took = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        took.append(time.perf_counter() - begin)
    return statistics.median(took)


def measure(name: str, size: str, steps: int, kinds: list[str]) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder, silent(True):
        path = Path(folder) / "case.nc"
        begin = time.perf_counter()
        make_case(name, size, path)
        made = time.perf_counter() - begin
        data = romae.open_snapshots(path)
        solver = made / len(data)
        train, test = (
            data.isel(case=[0]).split(0.7, 0.3) if data.cases > 1 else data.split(0.7, 0.3)
        )
        pod = romae.POD(RANKS[name]).fit(train)
        found = []
        for kind in kinds:
            from romae.kinds import make_dynamics

            model = romae.ReducedModel(pod, make_dynamics(kind)).fit(train)
            own = seconds(lambda m=model: m.forecast(test, steps)) / steps
            codes, starts = codes_of(pod, test), None
            context, room = max(model.dynamics.context, 2), test.lengths[0]
            starts = [(0, context + i * (room - context) // 50) for i in range(50)]
            histories = histories_of(model.dynamics, codes, starts)
            batch = seconds(lambda m=model, h=histories: roll(m.dynamics, h, steps, test), 3)
            alone = seconds(
                lambda m=model, h=histories: [
                    roll(m.dynamics, h[i : i + 1], steps, test) for i in range(len(h))
                ], 1,
            )  # fmt: skip
            found.append({
                "case": name, "size": size, "dynamics": kind, "steps": steps,
                "solver_seconds_per_snapshot": solver, "model_seconds_per_snapshot": own,
                "ratio": solver / own, "batch_speedup": alone / batch,
                "machine": platform.machine(), "when": time.strftime("%Y-%m-%d"),
            })  # fmt: skip
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("cases", nargs="*", default=["cylinder", "kolmogorov"])
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--kinds", nargs="+", default=["dmd", "echo"])
    given = parser.parse_args()
    for case in given.cases:
        for row in measure(case, given.size, given.steps, given.kinds):
            print(json.dumps(row), flush=True)
