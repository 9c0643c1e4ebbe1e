"""``romae forecast``: how the snapshots go on."""

from typing import Any

import click

from romae.cli.command import Result, command
from romae.cli.encode import model_argument
from romae.cli.inputs import number_or_text, series
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
@click.option("--ensemble", type=click.IntRange(min=1), metavar="N", help="Forecasts of N members.")
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of the members' starts.")
@click.option(
    "--params",
    metavar="RE=120,...",
    help="Parameters, for a model that takes them.",
)
@click.option(
    "--inputs",
    metavar="FILE",
    help="Series over time that force a model that takes them.",
)
@click.option("--resample", metavar="STEP", help="For uneven times: '6 h', or median.")
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
    ensemble: int | None,
    seed: int,
    params: str | None,
    inputs: str | None,
    resample: str | None,
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
    romae forecast sea.rom sea.nc --duration "45 D" --ensemble 20 -o later.nc
    romae forecast family.rom run.nc --steps 200 --params Re=120 -o later.nc
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
            budget=budget, inputs=inputs, resample=resample, output=output, device=device,
            overwrite=overwrite,
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
        begin, steps, duration=number_or_text(duration), ensemble=ensemble, seed=seed,
        params=numbers(params), inputs=series(inputs, loaded.reducer.layout.time),
        resample=number_or_text(resample),
        on_blowup=on_blowup, to=output, overwrite=overwrite,
    )  # fmt: skip
    times = fields[loaded.reducer.layout.time]
    span = " to ".join(time_label(times.values[i]) for i in (0, -1))
    n = times.size
    facts = {"forecast": output, "steps": n, "first": times.values[0], "last": times.values[-1]}
    if ensemble is not None:
        facts["members"] = ensemble
    facts |= {name: fields.attrs[name] for name in TRUST if name in fields.attrs}
    text = f"wrote {output}  ({n} snapshots, {span})"
    if loaded.horizon is not None:
        until = fields.attrs["valid_until"]
        until = f"{until:.10g}" if isinstance(until, float) else until.removesuffix(".000000000")
        text += f"\n{loaded.horizon}: until {until}"
    return Result(text, facts)


def history(snapshots: Any, split: Any) -> Any:
    """What comes before the last part; all of it without a split."""
    if split is None:
        return snapshots
    shares, by = split
    if by == "case":
        return snapshots.split(*shares, by="case")[-1]
    return snapshots.split(sum(shares[:-1]), shares[-1])[0]


def numbers(text: str | None) -> dict[str, float] | None:
    """ "Re=120,amplitude=0.3" as names and numbers. Raises OptionError."""
    from romae.errors import OptionError

    if text is None:
        return None
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise OptionError(
                f"--params has {part!r}. Expected names and numbers; type --params Re=120,a=0.3"
            ) from None
    return found
