"""``romae compress``: snapshots to an archive with a guaranteed error bound."""

from __future__ import annotations

from typing import Any

import click

from romae.cli.command import Result, command
from romae.cli.options import (
    DataOptions,
    data_options,
    files_argument,
    output_option,
    overwrite_option,
)
from romae.errors import OptionError

_BOUND = "E or U=E,V=E"


@command("compress")
@files_argument
@output_option("Folder for the archive, usually NAME.romae.")
@click.option("--rel", metavar=_BOUND, help="Largest error over the range of each field.")
@click.option("--abs", "abs_", metavar=_BOUND, help="Largest error in the unit of the field.")
@click.option("--nrmse", metavar=_BOUND, help="Root mean square error over the range.")
@click.option(
    "--model",
    default="auto",
    metavar="auto|none|MODEL.rom",
    show_default=True,
    help="auto: learn what pays for itself; none: learn nothing, which is faster; a saved model: "
    "try its decoder, too.",
)
@click.option(
    "--embed/--no-embed",
    default=True,
    show_default=True,
    help="Put the decoder of the model into the archive, or refer to its file.",
)
@click.option(
    "--chunk",
    type=click.IntRange(min=1),
    metavar="N",
    help="Snapshots per chunk, which are decoded together; without it 64, or 1 to 64 MiB of them.",
)
@click.option(
    "--part",
    metavar="I/N|plan",
    help="Write the I-th of N shares, I from 0; whoever comes last finishes. plan: only prepare.",
)
@click.option(
    "--append",
    is_flag=True,
    help="FILES are the source of the archive, grown: code what is new, with the same bound.",
)
@data_options
@overwrite_option
def compress(
    files: tuple[str, ...],
    output: str,
    rel: str | None,
    abs_: str | None,
    nrmse: str | None,
    model: str,
    embed: bool,
    chunk: int | None,
    part: str | None,
    append: bool,
    data: DataOptions,
    overwrite: bool,
) -> Result:
    """Write FILES to an archive with a guaranteed error bound.

    Every value is within a bound of its source.

    \b
    romae compress wake.nc -o wake.romae --rel 1e-3
    romae compress "run-*.nc" -o run.romae --abs u=0.01,p=5
    romae compress wake.nc -o wake.romae --rel 1e-3 --model wake-ae.rom

    The archive opens with xr.open_dataset. A run that was killed goes on when the same command is
    given again.
    """
    import romae

    report = romae.compress(
        data.open_as_stored(files),
        output,
        rel=bound("--rel", rel),
        abs=bound("--abs", abs_),
        nrmse=bound("--nrmse", nrmse),
        model=None if model == "none" else model,
        embed=embed,
        chunk=chunk,
        overwrite=overwrite,
        append=append,
        part=share(part),
    )
    return Result(str(report), report.to_dict())


def bound(option: str, text: str | None) -> Any:
    """``"1e-3"`` as a number, ``"u=1e-3,p=5"`` as one per field."""
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        pairs = [pair.partition("=") for pair in text.split(",")]
        return {name.strip(): float(value) for name, _, value in pairs}
    except ValueError as error:
        raise OptionError(
            f"{option} {text!r}: expected a number for all fields or one for each, for example "
            f"{option} 1e-3 or {option} u=1e-3,p=5"
        ) from error


def share(text: str | None) -> Any:
    """``"0/4"`` as (0, 4)."""
    if text is None or text == "plan":
        return text
    numbers = text.split("/")
    if len(numbers) != 2 or not all(n.strip().isdecimal() for n in numbers):
        raise OptionError(
            f"--part {text!r}: expected I/N, the I-th of N shares with I from 0, for example "
            "--part 0/4, or plan"
        )
    return int(numbers[0]), int(numbers[1])
