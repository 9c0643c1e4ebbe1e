"""``romae pack``: an archive folder as one file."""

import click

from romae.cli.command import Result, command
from romae.cli.options import output_option, overwrite_option


@command("pack")
@click.argument("archive")
@output_option("The file to write, usually NAME.romae.zip.")
@overwrite_option
def pack(archive: str, output: str, overwrite: bool) -> Result:
    """Write the folder ARCHIVE as one file.

    The file opens like the folder.

    It is a ZIP file of which nothing is deflated: unzip gives the folder back.
    """
    import romae
    from romae.fields.summary import human_bytes

    path = romae.pack(archive, output, overwrite=overwrite)
    nbytes = path.stat().st_size
    return Result(f"wrote {output}  {human_bytes(nbytes)}", {"path": output, "bytes": nbytes})
