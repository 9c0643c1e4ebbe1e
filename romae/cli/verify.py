"""``romae verify``: is an archive whole, and within its bound of the source?"""

import click

from romae.cli.command import Result, command
from romae.cli.options import DataOptions, data_options, one_or_list


@command("verify")
@click.argument("archive")
@click.option(
    "--against",
    multiple=True,
    metavar="FILES",
    help="The source: compare every value; a path or a glob in quotes, may be repeated.",
)
@data_options
def verify(archive: str, against: tuple[str, ...], data: DataOptions) -> Result:
    """Check that ARCHIVE is whole, and within its bound.

    Every checksum is checked; with --against, every value too.

    romae verify wake.romae --against wake.nc

    The options that say how FILES are read are those of compress: where it needed one, such as
    --group or --layout, give it here too.

    Exit status 1 when anything is wrong: damaged chunks are named with their snapshots and times.
    """
    import romae

    given = data != DataOptions()
    source = (
        None if not against else data.open_as_stored(against) if given else one_or_list(against)
    )
    found = romae.verify(archive, against=source)
    return Result(str(found), found.to_dict(), status=0 if found.ok else 1)
