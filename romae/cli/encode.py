"""``romae encode``: snapshots to latents."""

import click

from romae.cli.command import Result, command
from romae.cli.options import (
    DataOptions,
    data_options,
    device_option,
    files_argument,
    output_option,
    overwrite_option,
)

model_argument = click.argument("model", metavar="MODEL.rom")


@command("encode")
@model_argument
@files_argument
@output_option("File for the latents: .nc (netCDF) or .zarr.")
@data_options
@device_option
@overwrite_option
def encode(
    model: str,
    files: tuple[str, ...],
    output: str,
    data: DataOptions,
    device: str,
    overwrite: bool,
) -> Result:
    """Write the latents of the snapshots in FILES.

    The variable `latents` has dimensions (time, latent), or (case, time, latent).
    """
    import romae
    from romae.fields.writing import check_fields_path, write_fields

    check_fields_path(output, overwrite=overwrite)
    fitted = reducer_of(romae.load(model))
    latents = fitted.to(device).encode(data.open(files))
    write_fields(latents.to_dataset(name="latents"), output, overwrite=overwrite)
    sizes = dict(latents.sizes)
    shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
    return Result(f"wrote {output}  ({shown})", {"latents": output, "sizes": sizes})


def reducer_of(model: object) -> "Reducer":  # type: ignore[name-defined]  # noqa: F821
    """The reducer in what was loaded."""
    from romae.errors import OptionError
    from romae.reducers import Reducer

    reducer = getattr(model, "reducer", model)
    if not isinstance(reducer, Reducer):
        raise OptionError(
            f"this is a saved {type(model).__name__}, which neither encodes nor decodes. Expected "
            "a reducer or a reduced model, as `romae fit` writes them."
        )
    return reducer
