"""Tables of the compression benchmark: what `python benchmarks/compression.py --table` prints.

A row of results (see compression.py) has `data`, `rel`, `row`, and `ratio`, `worst`, `held`, or a
`note`. Of several rows of a kind the one with the largest ratio counts.
"""

import numpy as np
from compression_data import MAKERS

FOUR = ("cylinder", "ks", "decaying", "forced")
LEARNED = ("coded-pod", "equation", "stencil")
BOUNDS, ENDS = (1e-2, 1e-3, 1e-4), ("64", "whole")
PEERS = {
    "SZ3": "SZ3 ",
    "SPERR": "SPERR",
    "ZFP": "ZFP",
    "zlib": "zlib",
    "zstd": "zstd",
    "quantise + zlib": "quantise",
    "romae auto, 64": "romae auto 64",
}
NETWORKS = {
    "network in the archive, 64": "romae network 64",
    "network shared, 64": "romae network shared 64",
    "coded-pod, 64": "romae coded-pod 64",
    "romae auto, 64": "romae auto 64",
}


def show(found: list[dict]) -> None:
    """Markdown: a summary over SZ3, peers, Baler, then what each of our ways does."""
    summary(found)
    across(found, "Peers: ratio (largest error over bound, where below 0.9)", PEERS)
    baler(found)
    ways(found)
    across(found, "A network: ratio, its weights in the archive, or counted apart", NETWORKS)
    speeds(found)


def ways(found: list[dict]) -> None:
    """A line for each of our single ways, a column for each data set, at 1e-3."""
    names = [f"{m}{q} {n}" for m in ("spline", *LEARNED) for q in ("", " quarter") for n in ENDS]
    print("\n### Ways of romae at 0.001: ratio\n")
    print(f"| way | {' | '.join(MAKERS)} |\n|{'---|' * (len(MAKERS) + 1)}")
    for way in names:
        these = [f for f in found if f["row"] == f"romae {way}" and f["rel"] == 1e-3]
        texts = [about([f for f in these if f["data"] == name]) for name in MAKERS]
        if any(t != "-" for t in texts):
            print(f"| {way} | {' | '.join(texts)} |")


def across(found: list[dict], title: str, columns: dict[str, str]) -> None:
    """A line for each data set and bound (standard ones); a column for each kind of row."""
    print(f"\n### {title}\n")
    lines = []
    for name, rel in cells(found):
        these = [f for f in found if (f["data"], f["rel"]) == (name, rel)]
        texts = [about([f for f in these if f["row"].startswith(c)]) for c in columns.values()]
        if rel in BOUNDS and texts[0] != "-":
            lines.append([name, f"{rel:g}", *texts])
    print(f"| data | bound | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}")
    for line in lines:
        print(f"| {' | '.join(line)} |")


def about(rows: list[dict]) -> str:
    """Ratio of the best of ``rows``, and whether and how its bound was kept."""
    rows = [f for f in rows if "ratio" in f]
    if not rows:
        return "-"
    f = max(rows, key=lambda f: f["ratio"])
    digits = 1 if f["ratio"] >= 10 else 2
    kept = "" if f["held"] else " **missed**"
    conservative = f" ({f['worst']:.2f})" if 0 < f["worst"] < 0.9 else ""
    return f"{f['ratio']:.{digits}f}{conservative}{kept}"


def baler(found: list[dict]) -> None:
    """Baler at the largest error that it made; others at this as their bound."""
    print("\n### Baler, which has no bound, and others at the largest error that it made\n")
    print(
        "| data | Baler on | its largest error / range | ratio | latents alone | SZ3 | auto, 64 |"
    )
    print("|---|---|---|---|---|---|---|")
    for f in (f for f in found if f["row"].startswith("Baler")):
        these = [g for g in found if (g["data"], g["rel"]) == (f["data"], f["rel"])]
        others = [about([g for g in these if g["row"].startswith(s)]) for s in ("SZ3", "romae")]
        print(
            f"| {f['data']} | {f['row'][6:]} | {f['rel']:g} | {f['ratio']:.1f} | {f['shared']:.1f} "
            f"| {' | '.join(others)} |"
        )


def speeds(found: list[dict]) -> None:
    """In and out of the rows at 1e-3."""
    print("\n### MB/s of core time at 0.001, in / out\n")
    these = [f for f in found if f["rel"] == 1e-3 and "in" in f]
    names = [n for n in MAKERS if any(f["data"] == n for f in these)]
    rows = sorted({f["row"] for f in these if "quarter" not in f["row"]})
    print(f"| row | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for row in rows:
        by = {f["data"]: f"{f['in']:.0f} / {f['out']:.0f}" for f in these if f["row"] == row}
        print(f"| {row} | {' | '.join(by.get(n, '-') for n in names)} |")


def cells(found: list[dict]) -> list[tuple[str, float]]:
    """Data sets and bounds, in the order of the data and from coarse to fine."""
    every = {(f["data"], f["rel"]) for f in found}
    return sorted(every, key=lambda c: (list(MAKERS).index(c[0]), -c[1]))


def best(found: list[dict], start: str, end: str = "") -> float:
    """The largest ratio of the rows whose names begin and end so; 0 if there are none."""
    fit = (f for f in found if f["row"].startswith(start) and f["row"].endswith(end))
    return max((f.get("ratio", 0.0) for f in fit), default=0.0)


def summary(found: list[dict]) -> None:
    """Ratios and how many times the best SZ3's they are; geometric mean of :data:`FOUR`."""
    columns = (
        ("auto, 64", lambda these: best(these, "romae auto", "64")),
        ("auto, whole", lambda these: best(these, "romae auto", "whole")),
        (
            "first quarter, 64",
            lambda these: max(best(these, f"romae {m} quarter", "64") for m in LEARNED),
        ),
    )
    print("| data | bound | SZ3 |" + "".join(f" {name} | over SZ3 |" for name, _ in columns))
    print("|---|---|---|" + "---|---|" * len(columns))
    gains: dict[tuple[float, str], list[float]] = {}
    for name, rel in cells(found):
        if rel not in BOUNDS:  # Baler's
            continue
        these = [f for f in found if (f["data"], f["rel"]) == (name, rel)]
        reference = best(these, "SZ3")
        line = f"| {name} | {rel:g} | {reference:.1f} |"
        for column, ratio in ((c, r(these)) for c, r in columns):
            if not (ratio and reference):
                line += " - | - |"
                continue
            line += f" {ratio:.1f} | **{ratio / reference:.2f}** |"
            if name in FOUR:
                gains.setdefault((rel, column), []).append(ratio / reference)
        print(line)
    print()
    for (rel, column), ratios in sorted(gains.items(), reverse=True):
        if len(ratios) == len(FOUR):
            mean = float(np.exp(np.mean(np.log(ratios))))
            print(
                f"- geometric mean over SZ3 of {', '.join(FOUR)} at {rel:g}, {column}: {mean:.1f}"
            )
