"""``romae data``: the reference cases."""

import click

from romae.cli.command import Result, command, table
from romae.cli.lazy import LazyGroup
from romae.cli.options import output_option, overwrite_option, set_option


@click.group(cls=LazyGroup)
def data() -> None:
    """List, show and make the reference cases."""


@command("list")
def list_() -> Result:
    """The reference cases and their sizes."""
    from romae.cases import case_info, list_cases
    from romae.fields.summary import human_bytes

    infos = [case_info(name) for name in list_cases()]
    rows = [
        [i.name, i.title, *(human_bytes(i.sizes[s].bytes) if s in i.sizes else "" for s in _SIZES)]
        for i in infos
    ]
    found = [
        {"name": i.name, "title": i.title, "sizes": {k: vars(v) for k, v in i.sizes.items()}}
        for i in infos
    ]
    return Result(table(["case", "what", *_SIZES], rows, left=2), {"cases": found})


_SIZES = ("tiny", "demo", "full")


@command("show")
@click.argument("name")
def show(name: str) -> Result:
    """The card of one case: equations, parameters, grid, variables, splits."""
    from romae.cases import case_card

    card = case_card(name)
    return Result(card.rstrip(), {"name": name, "card": card})


@command("make")
@click.argument("name")
@click.option("--size", default="demo", metavar="tiny|demo|full", show_default=True,
              help="tiny: seconds; demo: about a minute; full: as in the literature.")  # fmt: skip
@output_option("netCDF file to write; NAME-SIZE.nc otherwise.", required=False)
@set_option
@overwrite_option
def make(
    name: str, size: str, output: str | None, settings: tuple[str, ...], overwrite: bool
) -> Result:
    """Compute one case and write it as a CF netCDF file.

    --set changes single arguments of the case, for example --set seed=1.
    """
    from romae.cases import make_case
    from romae.config import apply_settings
    from romae.fields.summary import human_bytes

    changes = apply_settings({}, settings)
    path = make_case(name, size, output, overwrite=overwrite, **changes)
    nbytes = path.stat().st_size
    return Result(f"{path}  {human_bytes(nbytes)}", {"path": path, "bytes": nbytes})


for _command in (list_, show, make):
    data.add_command(_command)
