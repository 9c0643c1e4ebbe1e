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
    names,
    output_option,
    overwrite_option,
    split_options,
)


@command("forecast")
@model_argument
@files_argument
@click.option("--steps", type=click.IntRange(min=1), help="Snapshots to forecast.")
@click.option(
    "--duration", metavar="TIME", help="Instead of --steps: '45 D', '2.5 h', or a number."
)
@click.option(
    "--on-blowup",
    type=click.Choice(["clip", "stop", "nan", "ignore", "raise"]),
    default="clip",
    help="When a rollout leaves three times the training range.",
)
@output_option(
    "File for the forecast fields: .nc (netCDF) or .zarr; with --compare a folder, if at all.",
    required=False,
)
@click.option(
    "--compare", "ranked", is_flag=True, help="Rank all dynamics on the reducer of MODEL."
)
@click.option("--kinds", metavar="dmd,gru", help="With --compare: these only, and baselines.")
@click.option("--starts", type=click.IntRange(min=1), default=50, help="With --compare: starts.")
@click.option("--budget", type=float, metavar="SECONDS", help="With --compare: time for fitting.")
@split_options
@data_options
@device_option
@overwrite_option
def forecast(
    model: str,
    files: tuple[str, ...],
    steps: int | None,
    duration: str | None,
    on_blowup: Any,
    output: str | None,
    ranked: bool,
    kinds: str | None,
    starts: int,
    budget: float | None,
    split: Any,
    data: DataOptions,
    device: str,
    overwrite: bool,
) -> Result:
    """Continue the snapshots in FILES.

    With --split the forecast starts where the last part begins, to be compared with it.

    \b
    romae forecast wake.rom wake.nc --steps 200 -o later.nc
    romae forecast sea.rom sea.nc --duration "45 D" -o later.nc
    romae forecast wake.rom wake.nc --compare --steps 100 --split 0.7,0.15,0.15 -o choice

    --compare fits every kind of dynamics on the first part of --split, with the reducer of
    MODEL, and ranks their forecasts of the second part from many starts.
    """
    import romae
    from romae.errors import OptionError
    from romae.fields.summary import time_label
    from romae.fields.writing import check_fields_path
    from romae.model import TRUST

    if ranked:
        if steps is None:
            raise OptionError("--compare needs a length of the forecasts. Type --steps 100.")
        from romae.cli.forecast_compare import rank

        return rank(
            model, data.open(files), split, steps=steps, starts=starts, kinds=names(kinds),
            budget=budget, output=output, device=device, overwrite=overwrite,
        )  # fmt: skip
    if steps is None and duration is None:
        raise OptionError("no length of the forecast. Type --steps 200, or --duration '45 D'.")
    if output is None:
        raise OptionError("no output for the forecast. Type -o forecast.nc, or --compare.")
    check_fields_path(output, overwrite=overwrite)
    loaded = romae.load(model)
    if not isinstance(loaded, romae.ReducedModel):
        raise OptionError(
            f"{model!r} is a {type(loaded).__name__}, which has no dynamics. Fit one that has: "
            "romae fit ... --dynamics gru"
        )
    loaded.reducer.to(device)
    begin = history(data.open(files), split)
    fields = loaded.forecast(
        begin, steps, duration=duration, on_blowup=on_blowup, to=output, overwrite=overwrite
    )
    times = fields[loaded.reducer.layout.time]
    span = " to ".join(time_label(times.values[i]) for i in (0, -1))
    n = times.size
    facts = {"forecast": output, "steps": n, "first": times.values[0], "last": times.values[-1]}
    facts |= {name: fields.attrs[name] for name in TRUST if name in fields.attrs}
    text = f"wrote {output}  ({n} snapshots, {span})"
    if loaded.horizon is not None:
        text += f"\n{loaded.horizon}: until {fields.attrs['valid_until']}"
    return Result(text, facts)


def history(snapshots: Any, split: Any) -> Any:
    """What comes before the last part; all of it without a split."""
    if split is None:
        return snapshots
    shares, by = split
    if by == "case":
        return snapshots.split(*shares, by="case")[-1]
    return snapshots.split(sum(shares[:-1]), shares[-1])[0]
