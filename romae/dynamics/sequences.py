"""From labelled latents to plain trajectories, with everything checked.

Accepted: ``(time, latent)``; ``(case, time, latent)``, where a case shorter than the
longest ends in rows of NaN; a list of ``(time, latent)`` of different lengths. Histories may
have a dimension ``member`` before the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from romae.conventions import CASE, LATENT, MEMBER, TIME
from romae.dynamics.times import TimeStep, check_step, measure_step, uneven_steps
from romae.errors import DataError

Latents = xr.DataArray | Sequence[xr.DataArray]


@dataclass(frozen=True)
class Trajectory:
    """One case: ``values`` of shape (T, k), float64, finite, and its times (T,)."""

    label: str
    values: np.ndarray
    time: xr.DataArray


def trajectories(latents: Latents, what: str) -> list[Trajectory]:
    """Every case of ``latents``; ``what`` names them in errors.

    Raises DataError for wrong dimensions, missing times, NaN, an empty or ragged list.
    """
    if isinstance(latents, xr.DataArray):
        items = _apart(latents, what)
    elif isinstance(latents, Sequence) and not isinstance(latents, str | bytes):
        items = [(f"{what}, item {i}", item) for i, item in enumerate(latents)]
    else:
        raise DataError(_expected(what, f"is a {type(latents).__name__}"))
    if not items:
        raise DataError(f"{what} holds no case. Expected at least one trajectory of latents.")
    found = [_trajectory(array, label) for label, array in items]
    sizes = sorted({t.values.shape[1] for t in found})
    if len(sizes) > 1:
        raise DataError(
            f"{what}: cases have {', '.join(map(str, sizes))} latents. Expected one size; "
            "encode every case with the same reducer."
        )
    return found


def first_of(latents: Latents) -> xr.DataArray:
    """The array, or the first of a list."""
    return latents if isinstance(latents, xr.DataArray) else latents[0]


def common_step(cases: list[Trajectory], uneven: bool) -> tuple[TimeStep, list[np.ndarray] | None]:
    """The step dt of all cases; their times (T_i,) in steps where they are not even.

    Raises DataError for times that are not, unless ``uneven`` ones will do.
    """
    try:
        dt = measure_step(cases[0].time, cases[0].label)
        for case in cases[1:]:
            check_step(case.time, dt, case.label)
    except DataError:
        if not uneven:
            raise
        return uneven_steps([case.time for case in cases], [case.label for case in cases])
    return dt, None


def _apart(latents: xr.DataArray, what: str) -> list[tuple[str, xr.DataArray]]:
    """Each trajectory of an array with its name: members outside, cases inside."""
    found = [(what, latents)]
    for d in (MEMBER, CASE):
        if d in latents.dims:
            _check_array(
                latents.isel({d: 0 for d in (MEMBER, CASE) if d in latents.dims}), what, latents
            )
            found = [(f"{w}, {d} {i}", z.isel({d: i})) for w, z in found for i in range(z.sizes[d])]
    return found


def _trajectory(array: xr.DataArray, label: str) -> Trajectory:
    _check_array(array, label, array)
    if array.dims != (TIME, LATENT):
        array = array.transpose(TIME, LATENT)
    values = np.asarray(array.values, dtype=np.float64)
    filled = np.flatnonzero(~np.isnan(values).all(axis=1))
    if not filled.size:
        raise DataError(f"{label}: all {len(values)} times are NaN. Expected at least one state.")
    length = int(filled[-1]) + 1
    values, time = values[:length], array[TIME]
    if length < len(time):
        time = time[:length]
    if not np.isfinite(values).all():
        at = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise DataError(
            f"{label}: NaN or Inf in the latents at index {at} of {length} (latents "
            f"{np.array2string(values[at], precision=3, threshold=6)}). Expected finite numbers; "
            "look at the snapshots there, or drop them and cut the data into cases."
        )
    return Trajectory(label, values, time)


def _check_array(array: object, label: str, shown: object) -> None:
    if not isinstance(array, xr.DataArray):
        raise DataError(_expected(label, f"is a {type(array).__name__}"))
    if set(array.dims) != {TIME, LATENT}:
        raise DataError(_expected(label, f"has dims {getattr(shown, 'dims', array.dims)}"))
    if array.dtype.kind not in "iuf":
        raise DataError(_expected(label, f"has dtype {array.dtype}"))
    if TIME not in array.coords or array[TIME].dims != (TIME,):
        raise DataError(
            f"{label} has no coordinate {TIME!r}. Expected the times of the snapshots; add them "
            f"with .assign_coords({TIME}=t)."
        )


def _expected(label: str, seen: str) -> str:
    return (
        f"{label} {seen}. Expected numbers in an xarray.DataArray with dims ({TIME}, {LATENT}) or "
        f"({CASE}, {TIME}, {LATENT}), as `reducer.encode(data)` returns them; wrap an array z of "
        f"shape (T, k) with xarray.DataArray(z, dims=({TIME!r}, {LATENT!r}), "
        f"coords={{{TIME!r}: t}})."
    )
