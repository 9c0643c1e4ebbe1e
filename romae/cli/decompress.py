"""``romae decompress``: an archive back to netCDF or Zarr."""

import click

from romae.cli.command import Result, command
from romae.cli.options import output_option, overwrite_option


@command("decompress")
@click.argument("archive")
@output_option("File for the fields: .nc (netCDF) or .zarr.")
@click.option("--case", type=click.IntRange(min=0), help="Only this case, counted from 0.")
@overwrite_option
def decompress(archive: str, output: str, case: int | None, overwrite: bool) -> Result:
    """Write the fields of ARCHIVE as ordinary netCDF or Zarr.

    Not needed for reading: xr.open_dataset opens the archive itself, and decodes what is touched.
    """
    import os

    import romae
    from romae.fields.summary import human_bytes

    path = romae.decompress(archive, output, case=case, overwrite=overwrite)
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    nbytes = sum(os.path.getsize(p) for p in files)
    return Result(f"wrote {output}  {human_bytes(nbytes)}", {"path": output, "bytes": nbytes})
