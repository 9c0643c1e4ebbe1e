"""open_snapshots: paths or Datasets in, Snapshots out, nothing read but what describes them.

Each source becomes a list of lazy Datasets. The first decides what is a field, time and space;
the others must agree. Their times, in order, make a trajectory; with ``cases="file"`` or a case
dimension there are several.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.errors import OptionError, check_option
from romae.fields.alike import check_alike, check_fields, common_types
from romae.fields.axes import find_roles
from romae.fields.describe import Extras, describe
from romae.fields.join import Piece, case_parameters, join_pieces
from romae.fields.kinds import Opening
from romae.fields.mask import first_mask
from romae.fields.snapshots import Snapshots
from romae.fields.sources import load_sources
from romae.fields.table import Layouts, Table, read_table
from romae.fields.timeaxis import EACH_FILE

Source = (
    str
    | os.PathLike[str]
    | xr.Dataset
    | xr.DataArray
    | Snapshots
    | Sequence[str | os.PathLike[str] | xr.Dataset | xr.DataArray]
)


def open_snapshots(
    source: Source,
    *,
    variables: Sequence[str] | str | None = None,
    time: str | None = None,
    space: Sequence[str] | str | None = None,
    case: str | None = None,
    cases: Literal["auto", "file"] = "auto",
    periodic: str | Sequence[str] | Mapping[str, bool | float] | None = None,
    mask: str | xr.DataArray | np.ndarray | None = None,
    weights: str | xr.DataArray | np.ndarray | None = None,
    group: str | None = None,
    engine: str | None = None,
    layout: Layouts | None = None,
) -> Snapshots:
    """Open simulation snapshots lazily.

    Parameters
    ----------
    source : path, glob, folder, list of paths, Zarr store, Dataset, DataArray or Snapshots
        Several files are one trajectory in time order. Snapshots are returned as they are.
    variables : names of the fields, in channel order. Default: all numeric variables over time
        that share the most space dimensions. In plain HDF5 also paths, such as "/flow/u".
    time, space, case : names of dimensions (``time`` also of a coordinate) where they are not
        found by the CF conventions or by name. A dimension ``case`` holds trajectories.
        ``time="file"``: each file is one snapshot without a time, numbered in the order of names.
    cases : "file" makes every file a trajectory; scalar coordinates are its parameters.
    periodic : periodic space dimensions; a mapping gives their length, {"x": 6.283}, or a flag.
        Default: those whose coordinate has the attribute ``periodic`` (or ``axis_periodic``) = 1.
    mask : True or 1 where valid: name of a variable, or an array over space. Default: the points
        that are not NaN in the first snapshot.
    weights : quadrature weights such as cell areas: name of a variable, or an array over space.
        Default: "trapezoid", from the coordinates, as for points that reach both ends of the
        domain; "cells" where they are centres of cells; see :mod:`romae.fields.weights`.
    group, engine : group in the file; xarray backend.
    layout : what plain HDF5, MATLAB and NumPy files do not say: a TOML file, a mapping, or only
        the names of the axes, ("time", "y", "x"); see :mod:`romae.fields.table`.

    Raises
    ------
    MissingFileError, UnreadableFileError
        Nothing there, or not readable as data.
    DataError, GridMismatchError
        No time axis, times that do not increase, a field without values, grids that differ.
    OptionError
        A name that the data do not have.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> wave = xr.DataArray(np.zeros((5, 8)), dims=("time", "x"), name="u")
    >>> open_snapshots(wave).shape
    (5, 1, 8)
    """
    return _opened(
        source,
        _Options(
            variables=variables,
            time=time,
            space=space,
            case=case,
            cases=cases,
            periodic=periodic,
            mask=mask,
            weights=weights,
            group=group,
            engine=engine,
            layout=layout,
        ),
    )


def open_as_stored(source: Source, **options: Any) -> Snapshots:
    """:func:`open_snapshots` for archives, which keep every value, whatever it is.

    A field without any number, at first or at all, is a field; nobody could learn from it.
    """
    return _opened(source, _Options(**options), keep_empty=True)


@dataclass(frozen=True)
class _Options:
    """Those of :func:`open_snapshots`."""

    variables: Sequence[str] | str | None = None
    time: str | None = None
    space: Sequence[str] | str | None = None
    case: str | None = None
    cases: Literal["auto", "file"] = "auto"
    periodic: str | Sequence[str] | Mapping[str, bool | float] | None = None
    mask: str | xr.DataArray | np.ndarray | None = None
    weights: str | xr.DataArray | np.ndarray | None = None
    group: str | None = None
    engine: str | None = None
    layout: Layouts | None = None


def _opened(source: Source, given: _Options, keep_empty: bool = False) -> Snapshots:
    check_option("cases", given.cases, ["auto", "file"])
    if isinstance(source, Snapshots):
        named = (v for k, v in vars(given).items() if k != "cases")
        if given.cases != "auto" or any(option is not None for option in named):
            raise OptionError(
                "options were given with Snapshots that are open already. Expected a path or a "
                "Dataset; pass the options where the data are opened first"
            )
        return source
    variables, table = _paths_to_table(given.variables, read_table(given.layout))
    opening = Opening(
        group=given.group, engine=given.engine, table=table, snapshot=given.time == EACH_FILE
    )
    with contextlib.ExitStack() as on_error:
        found, text, apart = load_sources(source, opening, given.cases == "file", on_error)
        opened = _assemble(
            found,
            text,
            cases="file" if apart else "auto",
            extras=Extras(periodic=given.periodic, mask=given.mask, weights=given.weights),
            choice={
                "variables": variables,
                "time": given.time,
                "space": given.space,
                "case": given.case,
            },
            keep_empty=keep_empty,
        )
        on_error.pop_all()  # opened: the files stay open
    return opened


def _assemble(
    found: list[tuple[str, xr.Dataset]],
    text: str,
    *,
    cases: Literal["auto", "file"],
    extras: Extras,
    choice: Mapping[str, Any],
    keep_empty: bool,
) -> Snapshots:
    """Snapshots of labelled Datasets, the first of which decides what is what."""
    label, first = found[0]
    roles = find_roles(first, label, **choice)
    pieces = [Piece(label, first, roles)]
    for other, dataset in found[1:]:
        check_fields(pieces[0], other, dataset)
        same = find_roles(
            dataset, other, **{**choice, "variables": roles.names, "space": roles.space}
        )
        pieces.append(Piece(other, dataset, same))
        check_alike(pieces[0], pieces[-1])
    trajectories = join_pieces(pieces, cases)
    about: dict[str, Any] = {"scalars": cases == "auto", "types": common_types(pieces)}
    layout = describe(pieces[0], extras, **about)
    params = case_parameters(pieces, cases)
    origin: dict[str, Any] = {"source": text, "params": params, "skipped": roles.skipped}
    opened = Snapshots(layout, trajectories, **origin, masked_by_user=extras.mask is not None)
    if extras.mask is not None:
        return opened
    valid = first_mask(
        opened.read_raw(0, 1)[0],
        layout.names,
        trajectories[0],
        lambda t: opened.read_raw(t, t + 1)[0],
        keep_empty=keep_empty,
    )
    if valid is None:
        return opened
    layout = describe(pieces[0], extras, **about, valid=valid)
    return Snapshots(layout, trajectories, **origin)


def _paths_to_table(
    variables: Sequence[str] | str | None, table: Table | None
) -> tuple[Sequence[str] | str | None, Table | None]:
    """HDF5 paths among ``variables`` become the fields of the layout table."""
    if variables is None:
        return None, table
    names = [variables] if isinstance(variables, str) else list(variables)
    if not any("/" in n for n in names):
        return names, table
    fields = {n.rstrip("/").rsplit("/", 1)[-1]: n for n in names}
    return list(fields), (table or Table()).with_fields(fields)
