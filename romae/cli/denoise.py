"""``romae denoise``: snapshots through a model and back, file to file."""

import click

from romae.cli.command import Result, command
from romae.cli.encode import model_argument, reducer_of
from romae.cli.options import (
    DataOptions,
    data_options,
    device_option,
    files_argument,
    output_option,
    overwrite_option,
)


@command("denoise")
@model_argument
@files_argument
@output_option("File for the restored fields: .nc (netCDF) or .zarr.")
@click.option(
    "--gaps",
    type=click.Choice(["refuse", "mean"]),
    default="refuse",
    show_default=True,
    help="Missing values: stop at them, or put the training mean there before encoding.",
)
@data_options
@device_option
@overwrite_option
def denoise(
    model: str,
    files: tuple[str, ...],
    output: str,
    gaps: str,
    data: DataOptions,
    device: str,
    overwrite: bool,
) -> Result:
    """Restore the snapshots in FILES from noise and gaps.

    Every snapshot is encoded and decoded. A model that was trained on spoilt snapshots of the same
    flow restores most: `romae fit denoising`, `romae fit masked`. Files may exceed memory.
    """
    import romae
    from romae.fields.writing import check_fields_path

    check_fields_path(output, overwrite=overwrite)
    fitted = reducer_of(romae.load(model)).to(device)
    snapshots = data.open(files)
    if gaps == "mean":
        snapshots = romae.open_snapshots(snapshots.to_dataset().fillna(fitted.mean))
    fields = fitted.reconstruct(snapshots, to=output, overwrite=overwrite)
    sizes = dict(fields.sizes)
    shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
    facts = {"fields": output, "variables": list(fields.data_vars), "sizes": sizes}
    return Result(f"wrote {output}  ({', '.join(map(str, fields.data_vars))}; {shown})", facts)
