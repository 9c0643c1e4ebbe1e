"""``romae forecast --compare``: which dynamics to take for these data."""

import os
from typing import Any

from romae.cli.command import Result, table
from romae.cli.inputs import input_parts, number_or_text
from romae.cli.options import parts
from romae.errors import OptionError


def rank(
    model: str,
    snapshots: Any,
    split: Any,
    *,
    steps: int,
    starts: int,
    kinds: list[str] | None,
    budget: float | None,
    inputs: str | None,
    resample: str | None,
    output: str | None,
    device: str,
    overwrite: bool,
) -> Result:
    """Fit every kind on the first part, rank forecasts of the second, write a report."""
    import romae
    from romae.compare.dynamics import rank_dynamics, ranking_records
    from romae.files import check_output

    if split is None:
        raise OptionError(
            "--compare fits on one part of the data and ranks on another, and got no --split. "
            "Expected the parts of the fit: --split 0.7,0.15,0.15"
        )
    if output is not None:
        check_output(output, "directory", overwrite=overwrite, marker="index.html")
    loaded = romae.load(model)
    reducer = getattr(loaded, "reducer", loaded)
    reducer.to(device)
    train, validation, last = parts(snapshots, split)
    held = last if validation is None else validation
    known = input_parts(inputs, snapshots, split) or [None, None, None]
    found = rank_dynamics(
        reducer, train, held, kinds, steps=steps, starts=starts, budget=budget,
        inputs=known[0], validation_inputs=known[-1 if validation is None else 1],
        resample=number_or_text(resample),
    )[0]  # fmt: skip
    page = None
    if output is not None:
        from romae.report.dynamics import write_dynamics_report

        given = {"model": model, "split": split[0], "steps": steps, "starts": starts}
        page = write_dynamics_report(output, found, provenance=given, overwrite=overwrite)
    text = f"{text_table(found)}\n\n{found.attrs['verdict']}"
    facts = {"models": ranking_records(found), "verdict": found.attrs["verdict"].split("\n")}
    return Result(text + (f"\nwrote {os.fspath(page)}" if page else ""), facts | {"output": output})


def text_table(ranking: Any) -> str:
    """What a first look asks for; failures keep their row."""
    from romae.compare.told import in_days

    ranking = in_days(ranking)
    unit = str(ranking.attrs["time_units"])
    unit = f" [{unit}]" if unit not in ("", "1") else ""
    header = ["model", f"valid{unit}", "95 % interval", "quartiles", "error", "left", "fit", "step"]
    rows = []
    for i, name in enumerate(ranking["model"].values):
        one = ranking.isel(model=i)
        if str(one["kind"].item()) == "reconstruction":
            continue
        if one["failure"].item():
            rows.append([str(name), *["-"] * (len(header) - 1)])
            continue
        v = {n: float(one[n]) for n in one.data_vars if one[n].ndim == 0 and n != "failure"}
        rows.append([
            str(name), f"{v['valid_time_mean']:.3g}",
            f"{v['valid_time_mean_low']:.3g} to {v['valid_time_mean_high']:.3g}",
            f"{v['valid_time_lower']:.3g} to {v['valid_time_upper']:.3g}",
            f"{100 * v['error_mean']:.3g} %", f"{100 * v['left_range']:.0f} %",
            f"{v['fit_seconds']:.2g} s", f"{1e6 * v['step_seconds']:.3g} us",
        ])  # fmt: skip
    return table(header, rows)
