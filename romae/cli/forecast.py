"""``romae forecast``: how the snapshots go on."""

from typing import Any

import click

from romae.cli.command import Result, command
from romae.cli.encode import model_argument
from romae.cli.options import (
    DataOptions,
    data_options,
    device_option,
    files_argument,
    output_option,
    overwrite_option,
    split_options,
)


@command("forecast")
@model_argument
@files_argument
@click.option("--steps", type=click.IntRange(min=1), required=True, help="Snapshots to forecast.")
@output_option("File for the forecast fields: .nc (netCDF) or .zarr.")
@split_options
@data_options
@device_option
@overwrite_option
def forecast(
    model: str,
    files: tuple[str, ...],
    steps: int,
    output: str,
    split: Any,
    data: DataOptions,
    device: str,
    overwrite: bool,
) -> Result:
    """Continue the snapshots in FILES.

    With --split the forecast starts where the last part begins, to be compared with it.
    """
    import romae
    from romae.errors import OptionError
    from romae.fields.summary import time_label
    from romae.fields.writing import check_fields_path

    check_fields_path(output, overwrite=overwrite)
    loaded = romae.load(model)
    if not isinstance(loaded, romae.ReducedModel):
        raise OptionError(
            f"{model!r} is a {type(loaded).__name__}, which has no dynamics. Fit one that has: "
            "romae fit ... --dynamics gru"
        )
    loaded.reducer.to(device)
    begin = history(data.open(files), split)
    fields = loaded.forecast(begin, steps, to=output, overwrite=overwrite)
    times = fields[loaded.reducer.layout.time]
    span = " to ".join(time_label(times.values[i]) for i in (0, -1))
    facts = {"forecast": output, "steps": steps, "first": times.values[0], "last": times.values[-1]}
    return Result(f"wrote {output}  ({steps} snapshots, {span})", facts)


def history(snapshots: Any, split: Any) -> Any:
    """What comes before the last part; all of it without a split."""
    if split is None:
        return snapshots
    shares, by = split
    if by == "case":
        return snapshots.split(*shares, by="case")[-1]
    return snapshots.split(sum(shares[:-1]), shares[-1])[0]
