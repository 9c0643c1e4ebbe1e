"""Options that several commands take, each documented once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal

import click

from romae.errors import OptionError

if TYPE_CHECKING:
    from romae.fields import Snapshots

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

files_argument = click.argument("files", nargs=-1, required=True, metavar="FILES...")

device_option = click.option(
    "--device",
    default="auto",
    metavar="auto|cpu|cuda",
    help="Where to compute; auto takes a GPU when there is one.",
)

overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace what an earlier run wrote at the output."
)

set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set one option, KEY a dotted name, VALUE as in TOML; may be repeated.",
)


def output_option(what: str, *, required: bool = True) -> Decorator:
    """``-o/--output PATH``, ``what`` is written there."""
    return click.option("-o", "--output", required=required, metavar="PATH", help=what)


@dataclass(frozen=True)
class DataOptions:
    """How to read the files, and which part of them."""

    variables: list[str] | None = None
    time: str | None = None
    space: list[str] | None = None
    periodic: list[str] | None = None
    case: str | None = None
    mask: str | None = None
    weights: str | None = None
    group: str | None = None
    engine: str | None = None
    layout: str | None = None
    cases: Literal["auto", "file"] = "auto"

    def keywords(self) -> dict[str, Any]:
        """Arguments of ``open_snapshots``; those not given are left to it."""
        return {k: v for k, v in vars(self).items() if v is not None}

    def open(self, files: Sequence[str]) -> "Snapshots":
        """The files as snapshots: one path or glob, or a list of paths."""
        import romae

        return romae.open_snapshots(one_or_list(files), **self.keywords())

    def open_as_stored(self, files: Sequence[str]) -> "Snapshots":
        """The same for archives: a field may have no numbers."""
        from romae.fields.opening import open_as_stored

        return open_as_stored(one_or_list(files), **self.keywords())


def one_or_list(files: Sequence[str]) -> str | list[str]:
    """A single path as it is, so that it may be a glob or a store."""
    return files[0] if len(files) == 1 else list(files)


_DATA = [
    click.option("--variables", metavar="U,V", help="Variables to take; all that fit otherwise."),
    click.option("--time", metavar="DIM", help="Time dimension, where CF metadata do not tell."),
    click.option("--space", metavar="Y,X", help="Space dimensions, in order."),
    click.option("--periodic", metavar="X,Y", help="Space dimensions that close on themselves."),
    click.option("--mask", metavar="VAR", help="Variable that is true (1) at valid points."),
    click.option("--weights", metavar="VAR", help="Cell areas: a variable, or 'cells'."),
    click.option("--case", metavar="DIM", help="Dimension over trajectories, if not called case."),
    click.option("--group", metavar="PATH", help="Group inside the files."),
    click.option("--engine", metavar="NAME", help="xarray backend that reads the files."),
    click.option(
        "--layout", metavar="TOML", help="What plain HDF5, MATLAB or NumPy files do not say."
    ),
    click.option(
        "--cases",
        type=click.Choice(["auto", "file"]),
        default="auto",
        help="file: each file is a trajectory of its own; auto: all are one, in time order.",
    ),
]


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of :class:`DataOptions`; the function gets them as ``data``."""

    @wraps(function)
    def wrapped(**values: Any) -> Any:
        single = ("time", "case", "mask", "weights", "group", "engine", "layout", "cases")
        chosen: dict[str, Any] = {name: values.pop(name) for name in single}
        chosen |= {name: names(values.pop(name)) for name in ("variables", "space", "periodic")}
        return function(data=DataOptions(**chosen), **values)

    for option in reversed(_DATA):
        wrapped = option(wrapped)
    return wrapped


def names(text: str | None) -> list[str] | None:
    """``"u, v"`` as ``["u", "v"]``."""
    if text is None:
        return None
    return [part.strip() for part in text.split(",") if part.strip()]


split_option = click.option(
    "--split",
    metavar="0.7,0.15,0.15",
    help="Cut the data in time into train, validation and test: fit takes the first two, "
    "compare the last, forecast starts where the last begins.",
)

split_by_option = click.option(
    "--split-by",
    type=click.Choice(["time", "case"]),
    default="time",
    help="Cut every trajectory in time, or take whole trajectories.",
)


def split_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--split`` and ``--split-by``; the function gets ``split``, for :func:`parts`."""

    @wraps(function)
    def wrapped(split: str | None, split_by: str, **values: Any) -> Any:
        return function(split=None if split is None else (fractions(split), split_by), **values)

    return split_option(split_by_option(wrapped))


def fractions(text: str) -> tuple[float, ...]:
    """``"0.7,0.15,0.15"`` as numbers."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) not in (2, 3):
        raise OptionError(
            f"--split {text!r}: expected two or three fractions (train, validation, test), "
            "for example --split 0.7,0.15,0.15"
        )
    return found


def parts(snapshots: "Snapshots", split: tuple[Any, str] | None) -> "list[Snapshots | None]":
    """[train, validation or None, test]; without a split all are the whole data."""
    if split is None:
        return [snapshots, None, snapshots]
    shares, by = split
    cut = snapshots.split(*shares, by=by)  # type: ignore[arg-type]
    return [cut[0], cut[1] if len(cut) == 3 else None, cut[-1]]
