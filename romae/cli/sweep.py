"""``romae sweep``: error over latent size, to choose one."""

from typing import Any

import click

from romae.cli.command import Result, command, table
from romae.cli.options import (
    DataOptions,
    data_options,
    device_option,
    files_argument,
    fractions,
    names,
    output_option,
    set_option,
    split_by_option,
)


@command("sweep")
@files_argument
@click.option("--kinds", default="pod,pod-ae", show_default=True, metavar="pod,pod-ae,conv",
              help="Reducers, as `romae fit` names them.")  # fmt: skip
@click.option("--latent", default="1,2,4,8,16", show_default=True, metavar="1,2,4",
              help="Latent sizes.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True,
              help="Trainings from different random weights, for each size.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True,
              help="Runs side by side, each with its share of cores and its GPU.")  # fmt: skip
@output_option("Folder of the sweep; a sweep found there goes on.")
@click.option("--index", type=click.IntRange(min=0), metavar="I",
              help="Do run I of --list only, for the tasks of a batch array.")  # fmt: skip
@click.option("--list", "listing", is_flag=True, help="List the runs and which are finished.")
@set_option
@click.option("--split", default="0.7,0.15,0.15", show_default=True, metavar="0.7,0.15,0.15",
              help="Train, validation and test.")  # fmt: skip
@split_by_option
@data_options
@device_option
def sweep(
    files: tuple[str, ...],
    kinds: str,
    latent: str,
    seeds: int,
    jobs: int,
    output: str,
    index: int | None,
    listing: bool,
    settings: tuple[str, ...],
    split: str,
    split_by: str,
    data: DataOptions,
    device: str,
) -> Result:
    """Fit reducers at several sizes, and find the elbow.

    \b
    romae sweep wake.nc --kinds pod,pod-ae --latent 1,2,4,8 --seeds 3 --jobs 2 -o sweep
    romae sweep wake.nc ... -o sweep --set pod-ae.train.steps=2000
    romae sweep wake.nc ... -o sweep --index $SLURM_ARRAY_TASK_ID

    Finished runs are kept: after a kill, or with more sizes, only what is missing is done. With
    --index each task of an array does one run; the same line without it then collects them all.
    """
    from romae.config import apply_settings
    from romae.study.parallel import perform_all
    from romae.study.sweeping import collect, make_plan

    plan = make_plan(
        data.open(files),
        names(kinds) or [],
        latent=whole_numbers(latent),
        seeds=seeds,
        folder=output,
        options=apply_settings({}, settings),
        split=three(split),
        split_by=split_by,  # type: ignore[arg-type]
        device=device,
    )
    if listing:
        return _listing(plan)
    if index is not None:
        return _one(plan, index)
    perform_all(plan, jobs)
    return _report(collect(plan), output)


def whole_numbers(text: str) -> list[int]:
    """``"1,2,4"`` as numbers."""
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise click.BadParameter(
            f"{text!r}: expected whole numbers such as 1,2,4,8.", param_hint="--latent"
        ) from None


def three(text: str) -> tuple[float, float, float]:
    """Shares of train, validation and test."""
    from romae.errors import OptionError

    found = fractions(text)
    if len(found) != 3:
        raise OptionError(f"--split {text!r}: expected three fractions; type 0.7,0.15,0.15")
    return found[0], found[1], found[2]


def _listing(plan: Any) -> Result:
    runs = [
        {"index": i, "run": label, "done": plan.finished(label)}
        for i, label in enumerate(plan.runs)
    ]
    rows = [[str(r["index"]), r["run"], "done" if r["done"] else "to do"] for r in runs]
    return Result(table(["index", "run", "state"], rows, left=3), {"runs": runs})


def _one(plan: Any, index: int) -> Result:
    from romae.errors import OptionError

    if index >= len(plan.runs):
        raise OptionError(
            f"--index {index}: there are {len(plan.runs)} runs. Expected 0 to "
            f"{len(plan.runs) - 1}, as --list shows them."
        )
    label = plan.runs[index]
    plan.perform(label)
    return Result(f"{label}: done", {"run": label, "index": index})


def _report(found: Any, output: str) -> Result:
    from romae.fields.summary import human_bytes
    from romae.progress import format_seconds as said_as

    rows, records = [], []
    for kind in found["kind"].values:
        for k in found["latent"].values:
            one = found.sel(kind=kind, latent=k)
            low, middle, high = (float(one[f"error_{n}"]) for n in ("lower", "median", "upper"))
            seconds = float(one["fit_seconds"].median())
            mark = "elbow" if int(one["elbow"]) == k else ""
            rows.append([str(kind), str(k), f"{middle:.3g}", f"{low:.3g} to {high:.3g}",
                         human_bytes(int(one["nbytes"])), said_as(seconds), mark])  # fmt: skip
            records.append({"kind": str(kind), "latent": int(k), "error": middle,
                            "error_lower": low, "error_upper": high, "nbytes": int(one["nbytes"]),
                            "fit_seconds": seconds, "elbow": bool(mark)})  # fmt: skip
    header = ["kind", "k", "error", "nine in ten", "size", "fit", ""]
    said = found.attrs["verdict"]
    text = f"{table(header, rows)}\n\n{said}\nwrote {output}/sweep.nc, sweep.csv, sweep.png"
    return Result(text, {"rows": records, "verdict": said.splitlines(), "folder": output})
