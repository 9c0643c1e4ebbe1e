"""Fixed masks: the points of the grid where a field does not exist (obstacle, land).

    m_c(x) = 1 where field c is valid, 0 where it is not; the same at every time

Found in the NaN of the first snapshot, or given: True or 1 means valid. A CF flag
``land_binary_mask`` has it the other way round (1 is land), and is turned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from romae.errors import DataError, OptionError
from romae.fields.weights import on_grid

if TYPE_CHECKING:
    from romae.fields.segments import Trajectory

LAND_IS_ONE = ("land_binary_mask",)


def given_mask(
    mask: xr.DataArray | np.ndarray,
    channels: int,
    space: tuple[str, ...],
    shape: tuple[int, ...],
    name: str,
) -> np.ndarray | None:
    """A user's mask as bool (C, *space), True = valid; None when every point is valid.

    ``mask``: True or 1 where valid, over some or all space dimensions. Raises
    :class:`OptionError` for values other than 0 and 1 and
    :class:`~romae.errors.GridMismatchError` for another grid.
    """
    values = on_grid(mask, space, shape, f"mask {name!r}")
    numbers = values.astype(np.float64)
    if not np.isin(numbers, (0.0, 1.0)).all():
        bad = numbers[~np.isin(numbers, (0.0, 1.0))].flat[0]
        raise OptionError(
            f"mask {name!r} holds {bad}. Expected True or 1 where the fields are valid and False "
            f"or 0 elsewhere; make one, for example mask=ds[{name!r}] > 0.5"
        )
    valid = numbers.astype(bool)
    attrs = mask.attrs if isinstance(mask, xr.DataArray) else {}
    if attrs.get("standard_name") in LAND_IS_ONE:
        valid = ~valid
    if not valid.any():
        raise DataError(
            f"mask {name!r} leaves no valid point. Expected 1 where the fields are valid; if 1 "
            f"marks the points to leave out, type mask=ds[{name!r}] == 0"
        )
    return None if valid.all() else np.repeat(valid[None], channels, axis=0)


def first_mask(
    first: np.ndarray,
    names: tuple[str, ...],
    trajectory: Trajectory,
    read: object,
    *,
    keep_empty: bool = False,
) -> np.ndarray | None:
    """Mask from the NaN of the first snapshot (C, *space); None when there is none.

    A field without any valid point is an error: never there, or not at the first time; with
    ``keep_empty`` it is a field whose values, valid everywhere, are NaN for now.
    """
    valid = ~np.isnan(first)
    for c, name in enumerate(names):
        if valid[c].any():
            continue
        if keep_empty:
            valid[c] = True
            continue
        n = len(trajectory)
        label = trajectory.segments[0].label
        later = [t for t in sorted({1, n // 2, n - 1}) if 0 < t < n]
        seen = [t for t in later if np.isfinite(read(t)[c]).any()]  # type: ignore[operator]
        if seen:
            raise DataError(
                f"{label}: {name!r} is NaN everywhere at the first time "
                f"{trajectory.times.values[0]} and not at {trajectory.times.values[seen[0]]}. "
                "Expected the same valid points at every time; drop the empty snapshots first, "
                f"for example ds.isel({trajectory.times.dims[0]}=slice(1, None))"
            )
        others = [n for n in names if n != name]
        raise DataError(
            f"{label}: variable {name!r} is NaN everywhere. Expected numbers; leave it out"
            + (f", for example variables={others!r}" if others else "")
        )
    return None if valid.all() else valid
