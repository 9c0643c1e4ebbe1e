"""What a file does not say itself: which arrays are fields, and what their axes mean.

Plain HDF5, MATLAB and NumPy files hold bare arrays. A layout table, in TOML or as a mapping, adds

    fields     = { u = "/flow/u", w = "/flow/vel" }   # name = path of the array in the file
    dims       = ["time", "y", "x"]                   # of every field, or a table: name = [...]
    components = { w = ["wx", "wy"] }                 # fields along the axis called "component"
    coords     = { time = "/flow/t", x = { start = 0, step = 0.1 } }
    attrs      = { u = { units = "m/s" } }            # added to those in the file

Each part may be left out. A coordinate is a path, a list of numbers, or a start and a step. In
MATLAB files ``dims`` are in MATLAB's order, as ``size(u)`` shows them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from romae.config import read_dataclass, read_toml
from romae.errors import OptionError

COMPONENT = "component"
Layouts = str | os.PathLike[str] | Mapping[str, Any] | Sequence[str]


@dataclass(frozen=True)
class Table:
    """The parts of the module's head; see there."""

    fields: dict[str, str] | list[str] | None = None
    dims: dict[str, list[str]] | list[str] | None = None
    components: dict[str, list[str]] | list[str] | None = None
    coords: dict[str, Any] = field(default_factory=dict)
    attrs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def paths(self) -> dict[str, str] | None:
        """Fields as name -> path; a list of paths names each by its last part."""
        if self.fields is None or isinstance(self.fields, dict):
            return self.fields
        return {p.rstrip("/").rsplit("/", 1)[-1]: p for p in self.fields}

    def dims_of(self, name: str) -> list[str] | None:
        """Names of the axes of ``name``, when the table has them."""
        return self.dims.get(name) if isinstance(self.dims, dict) else self.dims

    def components_of(self, name: str, count: int, label: str) -> list[str]:
        """Names of the fields along the component axis of ``name``; numbered by default."""
        given = self.components
        names = given.get(name) if isinstance(given, dict) else given
        if names is None:
            return [f"{name}_{i}" for i in range(count)]
        if len(names) != count:
            raise OptionError(
                f"{label}: components={names!r} names {len(names)} fields, {name!r} has {count} "
                f"along {COMPONENT!r}. Expected {count} names"
            )
        return names

    def with_fields(self, fields: dict[str, str]) -> Table:
        """The same with other fields."""
        return replace(self, fields=fields)


def read_table(layout: Layouts | None) -> Table | None:
    """The table in a TOML file, of a mapping, or with no more than the names of the axes.

    Raises :class:`OptionError` for an unknown part, with the nearest spelling, and
    :class:`~romae.errors.MissingFileError` or
    :class:`~romae.errors.UnreadableFileError` for the file.
    """
    if layout is None:
        return None
    if isinstance(layout, str | os.PathLike):
        return read_dataclass(Table, read_toml(os.fspath(layout)), where=str(layout))
    if isinstance(layout, Mapping):
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in layout.items()}
        return read_dataclass(Table, plain, where="layout")
    if not isinstance(layout, Sequence):
        raise OptionError(
            f"layout is {layout!r}. Expected a TOML file, a mapping, or the names of the axes; "
            'type for example layout=["time", "y", "x"]'
        )
    return Table(dims=[str(d) for d in layout])


def axis_values(given: Any, size: int, name: str, label: str) -> np.ndarray:
    """Values of a coordinate (size,) from a list of numbers or {start, step}."""
    if isinstance(given, Mapping):
        if set(given) != {"start", "step"}:
            raise OptionError(
                f"{label}: coordinate {name!r} is {dict(given)!r}. Expected a path in the file, a "
                "list of numbers, or { start = 0.0, step = 0.1 }"
            )
        return float(given["start"]) + float(given["step"]) * np.arange(size)
    values = np.asarray(given)
    if values.shape != (size,):
        raise OptionError(
            f"{label}: coordinate {name!r} of the layout has shape {values.shape}, its axis has "
            f"{size} points. Expected ({size},)"
        )
    return values
