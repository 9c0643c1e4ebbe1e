"""Error over latent size on the reference cases: the tables of docs/accuracy.md.

    python benchmarks/accuracy.py run A B C F30 F34 H W     # hours: appends, resumes
    python benchmarks/accuracy.py table                     # markdown from what has run
    python benchmarks/accuracy.py figure accuracy.png

Every run is one line of ``benchmarks/results/accuracy.jsonl``: case, reducer, latent size,
seed, relative L2 error on the held-out snapshots, bytes, seconds. A run that is there already
is not repeated. Data are made as the dataset cards say; splits are those of the cards,
contiguous in time, except the pulse (even snapshots train, odd test, as published).
"""

import argparse
import itertools
import json
import platform
import time
from pathlib import Path

import accuracy_tables

import romae
from romae.cases import make_case
from romae.kinds import make_reducer, seeded, trained

DEMO = ("W", "F30", "F34")  # at demo size, the others in full
RESULTS = Path(__file__).parent / "results" / "accuracy.jsonl"
DATA = Path(__file__).parent / "data"

NAMES = {
    "A": "kuramoto-sivashinsky",
    "B": "burgers",
    "C": "shallow-water",
    "F30": "kolmogorov",
    "F34": "kolmogorov",
    "H": "pulse",
    "W": "cylinder",
}
KINDS = ("POD", "QuadraticManifold", "PODAutoencoder", "ConvAutoencoder", "VAE", "Aligned")
SIZES = {
    "A": (4, 6, 8, 12, 16),
    "B": (1, 2, 4, 8),
    "C": (3, 6, 12),
    "F30": (4, 8, 18, 32),
    "F34": (18, 48),
    "H": (1, 2, 4, 8),
    "W": (1, 2, 4, 8),
}
# Axes along which the law is the same everywhere; the others have none, and no Aligned.
AXES = {"A": ["x"], "C": ["y", "x"], "F30": ["x"], "F34": ["x"]}
# Chosen by validation errors of the PODAutoencoder.
PULSE = {
    "act": "sine",
    "hidden": [128, 128],
    "train": {"steps": 20_000, "optimiser": "adamw", "lr": 2e-3},
}
# Likewise, of F30 with 18 latents.
FLOW = {"train": {"steps": 1200, "batch": 64, "weight_decay": 1.0}}
# Arguments other than the defaults of the class, the same for every latent size and seed.
OPTIONS: dict[tuple[str, str], dict] = {
    ("A", "ConvAutoencoder"): {"train": {"steps": 4000, "batch": 128}},
    ("C", "ConvAutoencoder"): {
        "train": {
            "steps": 1500,
            "batch": 32,
            "optimiser": "adamw",
            "lr": 2e-3,
            "weight_decay": 1e-6,
        }
    },
    ("F30", "ConvAutoencoder"): FLOW,
    ("F34", "ConvAutoencoder"): FLOW,
    ("H", "PODAutoencoder"): PULSE,
    ("H", "VAE"): PULSE,
    ("H", "ConvAutoencoder"): {"train": {"steps": 800}},
    ("W", "ConvAutoencoder"): {"train": {"steps": 1200, "batch": 16}},
}


def split(letter: str, data):
    """(train, validation, test) as the dataset's card says."""
    if letter == "A":
        return [data.isel(time=slice(*s)) for s in ((0, 18_000), (18_000, 20_000), (20_000, None))]
    if letter == "B":
        return [data.isel(case=slice(*s)) for s in ((0, 19), (19, 22), (22, None))]
    if letter == "C":
        return [data.isel(case=slice(*s)) for s in ((0, 80), (80, 90), (90, None))]
    if letter in ("F30", "F34"):
        return data.isel(case=[("F30", "F34").index(letter)]).split(0.7, 0.1, 0.2)
    if letter == "H":
        even = data.isel(time=slice(0, None, 2))
        return even, even, data.isel(time=slice(1, None, 2))
    return [data.isel(time=slice(*s)) for s in ((0, 400), (400, 450), (450, 600))]


def run(letter: str, kinds: list[str], seeds: int, sizes: list[int] | None) -> None:
    """All reducers of one case; appends to the results."""
    path = DATA / f"{NAMES[letter]}.nc"
    if not path.exists():
        make_case(NAMES[letter], size="demo" if letter in DEMO else "full", path=path)
    train, valid, test = split(letter, romae.open_snapshots(path))
    leak = "flag" if letter == "H" else "raise"  # the pulse's test times lie between the others
    if "POD" in kinds and not all(done(letter, "POD", k, 0) for k in SIZES[letter]):
        pod = romae.POD(min(100, len(train) - 1, train.layout.size)).fit(train)
        nested = [pod, *(pod.truncate(k) for k in SIZES[letter])]
        curve = romae.compare(nested, test, rates="skip", on_leak=leak)
        for model in curve.model.values:
            if not done(letter, "POD", int(curve.latent.sel(model=model)), 0):
                record(letter, "POD", 0, curve.sel(model=model))
    for kind in (kind for kind in kinds if kind != "POD"):
        if kind == "Aligned" and letter not in AXES:
            continue
        options = OPTIONS.get((letter, kind), {})
        phases = 0
        if kind == "Aligned":  # sizes count the phases: cos and sin for each axis
            options, phases = {"axes": AXES[letter], **options}, 2 * len(AXES[letter])
        for seed, k in itertools.product(range(seeds), sizes or SIZES[letter]):
            if k <= phases or done(letter, kind, k, seed) or (seed and not trained(kind, options)):
                continue
            reducer = make_reducer(kind, k, seeded(kind, options, seed))
            start = time.process_time()
            reducer.fit(train, valid)
            spent = time.process_time() - start
            found = romae.compare([reducer], test, rates="skip", on_leak=leak)
            record(letter, kind, seed, found.isel(model=-1), cpu_seconds=spent)


def record(letter: str, kind: str, seed: int, result, **more: float) -> None:
    """Append one line."""
    line = {
        "case": letter,
        "reducer": kind,
        "latent": int(result.latent),
        "seed": seed,
        "error": float(result.error.sel(field="all")),
        "bytes": int(result["nbytes"]),
        "fit_seconds": float(result.fit_seconds),
        "romae": romae.__version__,
        "machine": platform.machine(),
        "when": time.strftime("%Y-%m-%d"),
        **more,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def lines() -> list[dict]:
    """All results so far."""
    if not RESULTS.exists():
        return []
    return [json.loads(text) for text in RESULTS.read_text().splitlines()]


def done(letter: str, kind: str, k: int, seed: int) -> bool:
    """Whether this run stands in the results."""
    key = (letter, kind, k, seed)
    return any((r["case"], r["reducer"], r["latent"], r["seed"]) == key for r in lines())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    runner = verbs.add_parser("run")
    runner.add_argument("cases", nargs="+", choices=sorted(NAMES))
    runner.add_argument("--reducers", nargs="+", choices=KINDS, default=KINDS)
    runner.add_argument("--seeds", type=int, default=3)
    runner.add_argument("--sizes", type=int, nargs="+", help="latent sizes, instead of all")
    verbs.add_parser("table")
    verbs.add_parser("figure").add_argument("path")
    options = parser.parse_args()
    titles = {letter: NAMES[letter] for letter in sorted(NAMES)}
    if options.verb == "table":
        accuracy_tables.show(lines(), titles, KINDS)
    elif options.verb == "figure":
        accuracy_tables.draw(lines(), titles, KINDS, options.path)
    else:
        for letter in options.cases:
            run(letter, options.reducers, options.seeds, options.sizes)


if __name__ == "__main__":
    main()
