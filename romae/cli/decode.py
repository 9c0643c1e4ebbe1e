"""``romae decode``: latents back to labelled fields."""

from typing import Any

import click

from romae.cli.command import Result, command
from romae.cli.encode import model_argument, reducer_of
from romae.cli.options import device_option, output_option, overwrite_option


@command("decode")
@model_argument
@click.argument("latents", metavar="LATENTS")
@output_option("File for the fields: .nc (netCDF) or .zarr.")
@device_option
@overwrite_option
def decode(model: str, latents: str, output: str, device: str, overwrite: bool) -> Result:
    """Write the fields that belong to LATENTS.

    LATENTS is what `romae encode` wrote. Names, coordinates and units are those of the
    data the model was fitted on. Fields are written batch by batch: they may exceed memory.
    """
    import romae
    from romae.fields.writing import check_fields_path

    check_fields_path(output, overwrite=overwrite)
    reducer = reducer_of(romae.load(model)).to(device)
    fields = reducer.decode(read_latents(latents), to=output, overwrite=overwrite)
    sizes = dict(fields.sizes)
    shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
    facts = {"fields": output, "variables": list(fields.data_vars), "sizes": sizes}
    return Result(f"wrote {output}  ({', '.join(map(str, fields.data_vars))}; {shown})", facts)


def read_latents(path: str) -> Any:
    """The latents in a file: the variable ``latents``."""
    from romae.errors import DataError
    from romae.fields.kinds import Opening, open_path
    from romae.fields.paths import expand

    dataset = open_path(expand(path)[0], Opening()).load()
    if "latents" not in dataset:
        found = ", ".join(map(str, dataset.data_vars)) or "none"
        raise DataError(
            f"{path}: no variable 'latents' (variables: {found}). Expected a file that "
            "`romae encode` wrote."
        )
    return dataset["latents"]
