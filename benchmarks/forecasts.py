"""Every model of the latents on reference cases: the tables of docs/forecast-models.md.

    python benchmarks/forecasts.py run W B C [--size demo] [--kinds dmd opinf ...]
    python benchmarks/forecasts.py table

Fitted on the training part; ranked on validation data, where the winner is selected; what the table
shows is measured on test data that took no part in either. Splits are contiguous in time (W) or by
case (B, C: unseen parameters). Every run is one line of ``benchmarks/results/forecasts.jsonl``;
a run that is there already is not repeated.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import romae
from romae.cases import make_case
from romae.compare.dynamics import rank_dynamics, ranking_records
from romae.kinds import DYNAMICS

RESULTS = Path(__file__).parent / "results" / "forecasts.jsonl"
DATA = Path(__file__).parent / "data"
NAMES = {"W": "cylinder", "B": "burgers", "C": "shallow-water"}
BASELINES = ("persistence", "climatology", "dmd")
# (reducer, steps, starts) by case and size
SETTINGS = {
    ("W", "tiny"): (lambda: romae.POD(8), 20, 40),
    ("W", "demo"): (lambda: romae.POD(12), 100, 50),
    ("B", "tiny"): (lambda: romae.POD(8), 10, 40),
    ("B", "demo"): (lambda: romae.POD(8), 40, 50),
    ("C", "tiny"): (lambda: romae.POD(16), 10, 40),
    ("C", "demo"): (lambda: romae.POD(32), 40, 50),
}


def split(letter: str, data):
    """(train, validation, test)."""
    if letter == "W":
        return data.split(0.5, 0.25, 0.25)
    return data.split(0.6, 0.2, 0.2, by="case")


def run(letter: str, size: str, kinds: list[str]) -> None:
    path = DATA / f"forecasts-{NAMES[letter]}-{size}.nc"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        make_case(NAMES[letter], size, path)
    done = {(r["case"], r["size"], r["kind"]) for r in _read()}
    train, validation, test = split(letter, romae.open_snapshots(path))
    make, steps, starts = SETTINGS[letter, size]
    wanted = [k for k in kinds if k in BASELINES or (letter, size, k) not in done]
    if all(k in BASELINES for k in wanted) and (letter, size, "dmd") in done:
        return
    reducer = make().fit(train)
    _, fitted = rank_dynamics(
        reducer, train, validation, wanted, steps=steps, starts=starts, budget=None
    )
    ranking, _ = rank_dynamics(reducer, train, validation, fitted, steps=steps, starts=starts)
    chosen = {row["model"]: row for row in ranking_records(ranking)}
    tested, _ = rank_dynamics(reducer, train, test, fitted, steps=steps, starts=starts)
    short = {name: kind for kind, name in DYNAMICS.items()}
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a") as file:
        for row in ranking_records(tested):
            kind = short[row["model"]]
            if (letter, size, kind) in done:
                continue
            record = {
                "case": letter, "size": size, "kind": kind, "reducer": tested.attrs["reducer"],
                "steps": steps, "starts": tested.sizes["start"], "dt": tested.attrs["dt"],
                "time_units": tested.attrs["time_units"],
                "floor": float(tested["error_median"].sel(field="all").isel(model=-1).mean()),
                "validation_valid": chosen[row["model"]]["valid_time_mean"],
                "validation_error": chosen[row["model"]]["error_mean"],
                "machine": platform.processor() or platform.machine(),
                "when": time.strftime("%Y-%m-%d"), **row,
            }  # fmt: skip
            file.write(json.dumps(record) + "\n")
    print(f"{letter} ({size}), chosen on validation: {ranking['model'].values[0]}")
    print(tested.attrs["verdict"])


def _read() -> list[dict]:
    return [json.loads(line) for line in RESULTS.open()] if RESULTS.exists() else []


def table() -> None:
    """Markdown: one table per case, the best on validation data first."""
    rows = _read()
    for case, size in dict.fromkeys((r["case"], r["size"]) for r in rows):
        own = [r for r in rows if (r["case"], r["size"]) == (case, size) and not r["failure"]]
        own.sort(key=lambda r: (-(r["validation_valid"] or 0), r["validation_error"] or 9e9))
        one = own[0]
        horizon = one["steps"] * one["dt"]
        print(
            f"\n**{case}**, {NAMES[case]} ({size}), {one['reducer']}, {one['starts']} starts, "
            f"{one['steps']} steps = {horizon:.3g} {one['time_units'].replace('1', '')}, "
            f"reconstruction {100 * one.get('floor', float('nan')):.2g} %\n"
        )
        print("| dynamics | valid time, validation | valid time, test (95 %) | error, test "
              "| left range | fit | step |")  # fmt: skip
        print("|---|---|---|---|---|---|---|")
        for r in own:
            print(
                f"| {r['model']} | {r['validation_valid']:.3g} | {r['valid_time_mean']:.3g} "
                f"({r['valid_time_mean_low']:.3g} to {r['valid_time_mean_high']:.3g}) "
                f"| {100 * r['error_mean']:.2g} % | {100 * r['left_range']:.0f} % "
                f"| {r['fit_seconds']:.2g} s | {1e6 * r['step_seconds']:.2g} us |"
            )
        for r in rows:
            if (r["case"], r["size"]) == (case, size) and r["failure"]:
                print(f"\n{r['model']}: {r['failure']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["run", "table"])
    parser.add_argument("cases", nargs="*", metavar="W B C", default=list(NAMES))
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--kinds", nargs="+", default=list(DYNAMICS))
    given = parser.parse_args()
    if given.what == "table":
        table()
    else:
        for letter in given.cases:
            run(letter, given.size, given.kinds)
