"""The reference cases by name: what ``datasets/<name>/`` says, and how to make them.

``dataset.toml`` names the case class, gives its arguments for the sizes ``tiny``
(seconds), ``demo`` (about a minute at most on two cores) and ``full``, what each
costs, and how the snapshots are split. ``README.md`` beside it is the card.
"""

import importlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from romae.cases.base import Case
from romae.cases.write import write_case
from romae.config import read_dataclass, read_toml
from romae.errors import OptionError, check_option
from romae.share import share_path

Size = Literal["tiny", "demo", "full"]


@dataclass(frozen=True)
class Splits:
    """How a case is meant to be divided.

    ``by="time"`` or ``"case"``: the fractions train, valid, test, contiguous.
    ``by="stride"``: the first snapshot, then every ``stride``-th, is for training and
    the next ones are for testing, as ``isel(time=slice(0, None, 2))`` and
    ``slice(1, None, 2)``; only where a publication does so.
    """

    by: Literal["time", "case", "stride"]
    train: float = 0.0
    valid: float = 0.0
    test: float = 0.0
    stride: int = 0


@dataclass(frozen=True)
class SizeInfo:
    """One size of a data set."""

    bytes: int  # of the file
    seconds: float  # to make it on two cores
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseInfo:
    """``dataset.toml`` of one case."""

    name: str
    title: str
    case: str  # "module:Class"
    license: str
    splits: Splits
    sizes: dict[str, SizeInfo]


def list_cases() -> list[str]:
    """Names of the reference cases, sorted."""
    return sorted(path.parent.name for path in share_path("datasets").glob("*/dataset.toml"))


def case_info(name: str) -> CaseInfo:
    """What ``dataset.toml`` says about case ``name``.

    Raises :class:`OptionError` for an unknown name; it lists the known ones.
    """
    check_option("case", name, list_cases())
    path = share_path("datasets") / name / "dataset.toml"
    return read_dataclass(CaseInfo, read_toml(path), where=str(path))


def case_card(name: str) -> str:
    """The card of case ``name``: Markdown text of its README."""
    check_option("case", name, list_cases())
    return (share_path("datasets") / name / "README.md").read_text(encoding="utf-8")


def get_case(name: str, size: str = "demo", **changes: Any) -> Case:
    """Case ``name`` with the arguments of ``size``; ``changes`` replace single arguments.

    >>> get_case("burgers", "tiny", snapshots=10).shape
    (10, 1, 32)
    """
    info = case_info(name)
    check_option(f"size of {name}", size, info.sizes)
    module, _, cls = info.case.partition(":")
    arguments = {**info.sizes[size].arguments, **changes}
    where = f"case {name!r}, size {size!r}"
    return read_dataclass(getattr(importlib.import_module(module), cls), arguments, where=where)


def make_case(
    name: str,
    size: str = "demo",
    path: str | os.PathLike[str] | None = None,
    *,
    progress: bool = True,
    overwrite: bool = False,
    compression: Literal["none", "zlib"] = "none",
    **changes: Any,
) -> Path:
    """Make the data of a reference case as a CF netCDF file, and return its path.

    ``path`` defaults to ``<name>-<size>.nc`` in the current folder; ``changes`` replace
    single arguments of the case, for example ``seed=1``.

    Raises :class:`OptionError` for unknown names, sizes and arguments, and
    :class:`PathExistsError` when the file exists and ``overwrite`` is false.
    """
    case = get_case(name, size, **changes)
    target = Path(path if path is not None else f"{name}-{size}.nc")
    if target.suffix != ".nc":
        raise OptionError(
            f"output {str(target)!r} is a netCDF file; expected a name ending in .nc."
        )
    size_attrs = {"size": size if not changes else f"{size}, changed"}
    return write_case(
        case,
        target,
        overwrite=overwrite,
        progress=progress,
        compression=compression,
        attrs=size_attrs,
    )
