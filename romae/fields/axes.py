"""Which dimensions are space and cases, which variables are the fields.

Space is every dimension of the chosen variables but time (:mod:`romae.fields.timeaxis`) and the
case dimension, in their order; dimensions of length 1 (one level of many) are set aside and
restored on writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from romae.conventions import CASE
from romae.errors import DataError, GridMismatchError, OptionError, nearest
from romae.fields.timeaxis import find_time

NUMERIC = "fiu"
MOST_DIMS = 3


@dataclass(frozen=True)
class Roles:
    """What the dimensions of a dataset mean.

    ``time``: dimension, or None when the dataset is one snapshot with a scalar time;
    ``time_coord``: name of the coordinate, over time or over (case, time), or None when times are
    only numbered.
    """

    names: tuple[str, ...]
    time: str | None
    time_coord: str | None
    space: tuple[str, ...]
    case: str | None
    skipped: dict[str, str]


def find_roles(
    dataset: xr.Dataset,
    label: str,
    *,
    variables: Sequence[str] | str | None,
    time: str | None,
    space: Sequence[str] | str | None,
    case: str | None,
) -> Roles:
    """Decide the roles in ``dataset``, or say what keeps them from being decided."""
    case_dim = _find_case(dataset, label, case)
    time_dim, time_coord = find_time(dataset, label, time, case_dim)
    wanted = None if space is None else _as_names(space)
    for d in wanted or ():
        if d not in dataset.dims:
            raise OptionError(
                f"{label}: unknown space dimension {d!r}. {nearest(d, map(str, dataset.dims))}"
            )
    aside = {time_dim, case_dim}
    if variables is None:
        names, skipped = _default_fields(dataset, label, time_dim, aside, wanted)
    else:
        names, skipped = _chosen_fields(dataset, label, _as_names(variables), time_dim), {}
    grid = _common_space(dataset, label, names, aside, wanted)
    return Roles(names, time_dim, time_coord, grid, case_dim, skipped)


def _find_case(dataset: xr.Dataset, label: str, case: str | None) -> str | None:
    if case is None:
        return CASE if CASE in dataset.dims else None
    if case not in dataset.dims:
        raise OptionError(
            f"{label}: unknown case dimension {case!r}. {nearest(case, map(str, dataset.dims))}"
        )
    return case


def _default_fields(
    dataset: xr.Dataset,
    label: str,
    time: str | None,
    aside: set[str | None],
    wanted: tuple[str, ...] | None,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """All numeric variables over time that share the most space dimensions."""
    bounds = {v.attrs.get("bounds", v.encoding.get("bounds")) for v in dataset.variables.values()}
    groups: dict[tuple[str, ...], list[str]] = {}
    skipped: dict[str, str] = {}
    for key, array in dataset.data_vars.items():
        name = str(key)
        grid = _space_of(dataset, name, aside, wanted)
        if time is not None and time not in array.dims:
            skipped[name] = f"does not depend on {time}"
        elif array.dtype.kind not in NUMERIC:
            skipped[name] = f"has type {array.dtype}: {_conversion(name, array.dtype)}"
        elif name in bounds:
            skipped[name] = "holds the bounds of a coordinate"
        elif further := _further(dataset, name, aside, grid):  # only where space was given
            skipped[name] = f"also depends on {', '.join(further)}"
        elif not grid or (wanted is not None and set(grid) != set(wanted)):
            skipped[name] = f"has space dimensions ({', '.join(grid)})"
        else:
            groups.setdefault(tuple(sorted(grid)), []).append(name)
    if not groups:
        reasons = "; ".join(f"{n} {why}" for n, why in skipped.items()) or "it has no variables"
        raise DataError(
            f"{label}: no variable to use as a field: {reasons}. Expected numeric variables over "
            f"{time or 'time'} and one to three space dimensions; choose them with "
            "variables=[...], time='...', space=[...]"
        )
    best = max(groups, key=lambda g: (len(g) if len(g) <= MOST_DIMS else 0, len(groups[g])))
    for grid, names in groups.items():
        if grid != best:
            skipped |= {n: f"lies on ({', '.join(grid)}), not ({', '.join(best)})" for n in names}
    return tuple(groups[best]), skipped


def _chosen_fields(
    dataset: xr.Dataset, label: str, names: tuple[str, ...], time: str | None
) -> tuple[str, ...]:
    if not names or len(set(names)) != len(names):
        raise OptionError(f"variables={list(names)!r}: expected different names, at least one")
    for name in names:
        if name not in dataset.data_vars:
            known = nearest(name, map(str, dataset.data_vars))
            raise OptionError(f"{label}: unknown variable {name!r}. {known}")
        array = dataset[name]
        if array.dtype.kind not in NUMERIC:
            raise DataError(
                f"{label}: variable {name!r} has type {array.dtype}. Expected real numbers; "
                f"{_conversion(name, array.dtype)}"
            )
        if time is not None and time not in array.dims:
            raise DataError(
                f"{label}: variable {name!r} has dims ({', '.join(map(str, array.dims))}). "
                f"Expected the time dimension {time!r} among them; name another with time='...', "
                f"or leave {name!r} out of variables=[...]"
            )
    return names


def _common_space(
    dataset: xr.Dataset,
    label: str,
    names: Iterable[str],
    aside: set[str | None],
    wanted: tuple[str, ...] | None,
) -> tuple[str, ...]:
    names = list(names)
    grids = {n: _space_of(dataset, n, aside, wanted) for n in names}
    first = grids[names[0]]
    alike = [n for n in names if set(grids[n]) == set(first)]
    for name, grid in grids.items():
        if set(grid) != set(first):
            raise GridMismatchError(
                f"{label}: variable {name!r} lies on ({', '.join(grid)}), {names[0]!r} on "
                f"({', '.join(first)}). Expected one grid for all. Choose those that share one, "
                f"for example variables={alike!r}"
            )
        for d in _further(dataset, name, aside, grid):
            raise GridMismatchError(
                f"{label}: variable {name!r} has a further dimension {d!r} of "
                f"length {dataset.sizes[d]}, not in space={list(grid)!r}. Add it to space, "
                f"select one position with ds.isel({d}=0), or name it with case={d!r}"
            )
    if not 1 <= len(first) <= MOST_DIMS:
        raise DataError(
            f"{label}: {names[0]!r} has {len(first)} space dimensions ({', '.join(first)}). "
            "Expected one to three; name the time dimension with time='...', a dimension of "
            "trajectories with case='...', or select one position with ds.isel(...)"
        )
    return wanted or first


def _space_of(
    dataset: xr.Dataset, name: str, aside: set[str | None], wanted: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Space dimensions of a variable in its own order, without those of length 1."""
    dims = [str(d) for d in dataset[name].dims if d not in aside]
    if wanted is not None:
        return tuple(d for d in dims if d in wanted)
    return tuple(d for d in dims if dataset.sizes[d] > 1)


def _further(
    dataset: xr.Dataset, name: str, aside: set[str | None], grid: tuple[str, ...]
) -> list[str]:
    """Dimensions of a variable, longer than 1, that are neither set aside nor in ``grid``."""
    known = {*aside, *grid}
    return [str(d) for d in dataset[name].dims if d not in known and dataset.sizes[d] > 1]


def _conversion(name: str, dtype: np.dtype) -> str:
    """What to type to make numbers of another type."""
    if dtype.kind == "c":
        return f"split it into two variables, ds[{name!r}].real and ds[{name!r}].imag"
    if dtype.kind == "m":
        return f"convert it, for example ds[{name!r}].dt.total_seconds()"
    return f"convert it, for example ds[{name!r}].astype('float32'), or leave it out"


def _as_names(names: Sequence[str] | str) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(map(str, names))


def numeric_coordinate(coords: xr.Dataset, dim: str) -> np.ndarray | None:
    """The 1-D coordinate of ``dim`` as float64, or None when it has no numeric one."""
    if dim not in coords.variables:
        return None
    values = coords.variables[dim].values
    return values.astype(np.float64) if values.dtype.kind in NUMERIC else None
