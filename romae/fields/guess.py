"""What arrays without a layout table mean, by their shapes and names.

Fields are all numeric arrays of two to four axes. Axes take the names that the file gives them;
else the first is time and the last ones z, y, x (MATLAB: y, x, z, time). Arrays with one axis that
are named like it (or t) and as long are its coordinate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from romae.errors import OptionError
from romae.fields.table import COMPONENT, Table

if TYPE_CHECKING:
    from romae.fields.stored import Stored

TIME_LIKE = ("time", "t", "times")


def guess_fields(found: Mapping[str, Stored], table: Table, snapshot: bool) -> dict[str, str]:
    """Name -> path of the arrays that look like fields; ``snapshot``: no axis is time."""
    common = table.dims if isinstance(table.dims, list) else None
    least, most = (1, 3) if snapshot else (2, 4)
    numeric = {p: s for p, s in found.items() if s.data.dtype.kind in "fiu"}
    if common is not None:
        paths = [p for p, s in numeric.items() if len(s.shape) == len(common)]
    elif isinstance(table.dims, dict):
        paths = [p for p, s in numeric.items() if p.rsplit("/", 1)[-1] in table.dims]
    else:
        paths = [p for p, s in numeric.items() if least <= len(s.shape) <= most]
        if any(len(numeric[p].shape) > 1 for p in paths):  # of one snapshot: not its axes
            paths = [p for p in paths if len(numeric[p].shape) > 1]
    short = [p.rsplit("/", 1)[-1] for p in paths]
    return {
        name if short.count(name) == 1 else path.strip("/").replace("/", "_"): path
        for name, path in zip(short, paths, strict=True)
    }


def name_dims(
    array: Stored, name: str, table: Table, label: str, snapshot: bool = False
) -> tuple[str, ...]:
    """Names of the axes of ``array`` in storage order: of the table, the file, or by guess."""
    dims, n = table.dims_of(name), len(array.shape)
    if dims is not None:
        if len(dims) != n:
            raise OptionError(
                f"{label}: {name!r} has {n} axes {array.seen}, dims={list(dims)!r} "
                f"names {len(dims)}. Expected one name per axis"
            )
        return tuple(map(str, reversed(dims) if array.flip else dims))
    if n - (not snapshot) > 3:
        raise OptionError(
            f"{label}: {name!r} has {n} axes {array.seen}, too many to guess their names. Name "
            'them, for example layout={"dims": ["case", "time", "component", "y", "x"]}'
        )
    lead = () if snapshot else ("time",)
    if array.flip:  # MATLAB: rows are y, columns x, time is the last axis
        space = {0: (), 1: ("x",), 2: ("y", "x"), 3: ("y", "x", "z")}[n - len(lead)]
        guessed = (*space, *lead)[::-1]
    else:
        guessed = (*lead, *("z", "y", "x")[3 - (n - len(lead)) :])
    axes = array.axes or (None,) * n
    return tuple(axes[i] or guessed[i] for i in range(n))


def without_conflicts(
    dims: Mapping[str, tuple[str, ...]], arrays: Mapping[str, Stored]
) -> dict[str, tuple[str, ...]]:
    """Guessed names made different where arrays of other lengths use the same one."""
    sizes: dict[str, int] = {}
    result = {}
    for name, own in dims.items():
        named = []
        for d, size in zip(own, arrays[name].shape, strict=True):
            unique = d if d == COMPONENT or sizes.setdefault(d, size) == size else f"{d}_{size}"
            sizes.setdefault(unique, size)
            named.append(unique)
        result[name] = tuple(named)
    return result


def guess_coordinate(found: Mapping[str, Stored], dim: str, size: int) -> str | None:
    """Path of the array that is the coordinate of ``dim``, or None."""
    names = TIME_LIKE if dim in TIME_LIKE else (dim,)
    for path, array in found.items():
        numeric = array.data.dtype.kind in "fiu"
        if numeric and array.shape == (size,) and path.rsplit("/", 1)[-1].lower() in names:
            return path
    return None
