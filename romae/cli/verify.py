"""``romae verify``: is an archive whole, and within its bound of the source?"""

import click

from romae.cli.command import Result, command
from romae.cli.options import one_or_list


@command("verify")
@click.argument("archive")
@click.option(
    "--against",
    multiple=True,
    metavar="FILES",
    help="The source: compare every value; a path or a glob in quotes, may be repeated.",
)
def verify(archive: str, against: tuple[str, ...]) -> Result:
    """Check every checksum of ARCHIVE; with --against, every value too.

    Exit status 1 when anything is wrong: damaged chunks are named with their snapshots and times.
    """
    import romae

    found = romae.verify(archive, against=one_or_list(against) if against else None)
    return Result(str(found), found.to_dict(), status=0 if found.ok else 1)
