"""Known series over time (forcing, control inputs) from a file, beside the snapshots.

    u(t)        for all cases, variables (time,)
    u_i(t)      one for each case, variables (case, time), in the order of the cases of the data

Series are small and read whole. Their time dimension may have the name that the data use.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from romae.conventions import CASE, TIME
from romae.errors import DataError, MissingFileError, UnreadableFileError
from romae.fields.split import cut_points


def open_series(path: str | Path, time: str = TIME, *, where: str = "inputs") -> xr.Dataset:
    """The series in the file ``path``, over :data:`TIME`; ``time`` is what the data call it.

    ``where`` opens the errors. Raises :class:`MissingFileError`, :class:`UnreadableFileError` and
    :class:`DataError`.
    """
    name = str(path)
    try:
        found = xr.load_dataset(path)
    except FileNotFoundError:
        raise MissingFileError(
            f"{where}: no data file {name!r}. Expected a file of series over time, such as .nc."
        ) from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UnreadableFileError(
            f"{where}: {name!r} cannot be read ({reason}). Expected a file that xarray opens, such "
            "as netCDF, with series over time."
        ) from error
    if time != TIME and time in found.dims:
        found = found.rename({time: TIME})
    extra = {str(d) for d in found.dims} - {TIME, CASE}
    if not found.data_vars or TIME not in found.coords or extra:
        raise DataError(
            f"{where}: {name!r} holds {', '.join(map(str, found.data_vars)) or 'no variable'} over "
            f"{dict(found.sizes)}. Expected variables over {time!r}, with its coordinate, and at "
            "most a dimension 'case' beside; select the rest away, such as .isel(station=0)."
        )
    return found


def split_series(
    inputs: Any, cases: int, fractions: Sequence[float], by: str, gap: int = 0
) -> list[Any]:
    """``inputs`` of each part of data that ``Snapshots.split(*fractions, by=by)`` cuts.

    Cut in time, or the same series for all cases: all parts have the whole of it. Raises
    :class:`DataError` when there is not one series for each of the ``cases``.
    """
    if not isinstance(inputs, xr.Dataset | xr.DataArray) or CASE not in inputs.dims:
        return [inputs] * len(fractions)
    if inputs.sizes[CASE] != cases:
        raise DataError(
            f"inputs have {inputs.sizes[CASE]} cases, the data {cases}. Expected one series for "
            "each case, in their order, or one for all without the dimension 'case'."
        )
    if by == "time":
        return [inputs] * len(fractions)
    cuts = cut_points(cases, fractions, gap, "cases")
    return [inputs.isel({CASE: slice(a, b)}) for a, b in cuts]
