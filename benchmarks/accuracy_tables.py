"""Tables and figure of the accuracy benchmark: what `python benchmarks/accuracy.py table` prints.

A line of results (see accuracy.py) has `case`, `reducer`, `latent`, `seed`, `error`, `bytes`,
`fit_seconds` by the wall clock and, in newer ones, `cpu_seconds` of all threads.
"""

import statistics
from collections.abc import Iterator

Line = dict
POD = "POD"
MOST = 64  # latent size in the figure


def show(found: list[Line], cases: dict[str, str], kinds: tuple[str, ...]) -> None:
    """Markdown: for each case errors over latent size, then what each reducer costs."""
    for letter, name in cases.items():
        here = Runs([line for line in found if line["case"] == letter])
        if here.lines:
            present = [kind for kind in kinds if here.sizes(kind)]
            print(f"\n### {letter}: {name}\n")
            print("\n".join(errors(here, present)))
            print("\n".join(["", *costs(here, present)]))


class Runs:
    """The lines of one case."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines

    def sizes(self, kind: str) -> list[int]:
        return sorted({r["latent"] for r in self.lines if r["reducer"] == kind})

    def of(self, kind: str, k: int | None = None) -> list[Line]:
        same = [r for r in self.lines if r["reducer"] == kind]
        return [r for r in same if k in (None, r["latent"])]

    def middle(self, kind: str, k: int) -> float:
        """Median error over the seeds; infinite where nothing was run."""
        return statistics.median([r["error"] for r in self.of(kind, k)] or [float("inf")])

    def as_good(self, error: float) -> str:
        """How many POD modes leave no more than ``error``."""
        enough = [k for k in self.sizes(POD) if self.middle(POD, k) <= error]
        return str(enough[0]) if enough else f"> {self.sizes(POD)[-1]}"


def errors(runs: Runs, kinds: list[str]) -> Iterator[str]:
    """A row for each latent size of the nonlinear reducers; the best is bold."""
    yield "| k | " + " | ".join(kinds) + " | POD modes for the best |"
    yield "|---" * (2 + len(kinds)) + "|"
    for k in sorted({k for kind in kinds if kind != POD for k in runs.sizes(kind)}):
        best = min(runs.middle(kind, k) for kind in kinds)
        cells = [cell(runs.of(kind, k), best) for kind in kinds]
        yield f"| {k} | " + " | ".join(cells) + f" | {runs.as_good(best)} |"


def cell(lines: list[Line], best: float) -> str:
    """Median error, and below it the range of several seeds, in the same power of ten."""
    if not lines:
        return ""
    found = sorted(line["error"] for line in lines)
    middle = statistics.median(found)
    digits, power = f"{middle:.2e}".split("e")
    text = f"{digits}e{int(power)}"
    if middle == best:
        text = f"**{text}**"
    low, high = (f"{x / 10 ** int(power):.2g}" for x in (found[0], found[-1]))
    return f"{text}<br>({low} to {high})" if len(found) > 1 else text


def costs(runs: Runs, kinds: list[str]) -> Iterator[str]:
    """Seconds of a fit and size of the saved model, over all latent sizes and seeds."""
    yield "| | seconds of a fit | kB |"
    yield "|---|---|---|"
    for kind in kinds:
        lines = runs.of(kind)
        measured = [r for r in lines if "cpu_seconds" in r]
        key = "cpu_seconds" if measured else "fit_seconds"
        spent = sorted(r[key] for r in measured or lines)
        texts = [f"{s:.0f}" if s >= 10 else f"{s:.1g}" for s in spent]
        middle = texts[len(texts) // 2] + ("" if measured else " wall")
        size = [r["bytes"] / 1000 for r in lines]
        stored = f"{min(size):.0f} to {max(size):.0f}"
        yield f"| {kind} | {middle} ({texts[0]} to {texts[-1]}) | {stored} |"


def draw(found: list[Line], cases: dict[str, str], kinds: tuple[str, ...], path: str) -> None:
    """Error over latent size, a panel for each case: median, and the range over seeds."""
    import matplotlib as mpl

    from romae.report.figures import style

    looks = style.colours(kinds)
    with mpl.rc_context(style.RC):
        figure = style.new_figure(5.2)
        panels = iter(figure.subplots(2, 4).flat)
        for (letter, name), ax in zip(cases.items(), panels, strict=False):
            runs = Runs([line for line in found if line["case"] == letter])
            for kind in kinds:
                _curve(ax, runs, kind, *looks[kind])
            ax.set_title(f"{letter}: {name}")
            style.count_axis(ax, MOST)
            ax.set_xlim(0.9, 1.1 * MOST)
            style.error_axis(ax)
            ax.set_xlabel("latent size k")
        empty = next(panels)
        empty.set_axis_off()
        drawn = {
            name: handle
            for ax in figure.axes
            for handle, name in zip(*ax.get_legend_handles_labels(), strict=True)
        }
        empty.legend(drawn.values(), drawn, loc="center")
        figure.supylabel("relative L2 error on unseen snapshots", fontsize=9)
    style.save(figure, path)


def _curve(ax, runs: Runs, kind: str, colour: str, marker: str) -> None:
    sizes = [k for k in runs.sizes(kind) if k <= MOST]
    if not sizes:
        return
    middle = [runs.middle(kind, k) for k in sizes]
    ax.plot(
        sizes, middle, "-" if kind == POD else f"{marker}-", color=colour, lw=1, ms=4, label=kind
    )
    for k in sizes:
        spread = [r["error"] for r in runs.of(kind, k)]
        ax.plot([k, k], [min(spread), max(spread)], color=colour, lw=1)
