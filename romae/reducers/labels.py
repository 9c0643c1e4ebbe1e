"""Labels of latents: times, cases and names that go in with the fields and come back out."""

from typing import Any

import numpy as np
import xarray as xr

from romae.conventions import CASE, LATENT, TIME
from romae.errors import DataError
from romae.fields import Layout, Snapshots


def latents(codes: list[np.ndarray], snapshots: Snapshots) -> xr.DataArray:
    """Codes (T_i, k), one per case -> (time, latent), or (case, time, latent).

    The dimensions have these names whatever the source calls its own. Cases that end early
    are filled with NaN; their time axes must begin alike.
    """
    arrays = [_labelled(code, snapshots.times(case)) for case, code in enumerate(codes)]
    if snapshots.layout.case is None and len(arrays) == 1:
        return arrays[0]
    longest = max(arrays, key=len)
    case = other_axis(snapshots)
    if case is not None:
        raise DataError(
            f"case {case} has another time axis (begins at {arrays[case][TIME].values[0]}) than "
            f"the longest case ({longest[TIME].values[0]}). Latents of several cases share one "
            f"axis; encode them one by one: reducer.encode(snapshots.isel(case=[{case}]))."
        )
    values = np.full((len(arrays), *longest.shape), np.nan, dtype=longest.dtype)
    for case, z in enumerate(arrays):
        values[case, : len(z)] = z.values
    coords: dict[Any, Any] = dict(longest.coords.items())
    if snapshots.params is not None:
        coords |= {n: (CASE, c.to_numpy()) for n, c in snapshots.params.items()}
    return xr.DataArray(values, dims=(CASE, TIME, LATENT), coords=coords, name="latents")


def other_axis(snapshots: Snapshots) -> int | None:
    """The first case whose times are not those that the longest case begins with, or None."""
    longest = snapshots.times(int(np.argmax(snapshots.lengths))).values
    for case, length in enumerate(snapshots.lengths):
        if not np.array_equal(snapshots.times(case).values, longest[:length]):
            return case
    return None


def _labelled(code: np.ndarray, time: xr.DataArray) -> xr.DataArray:
    axis = xr.Variable((TIME,), time.values, dict(time.attrs), dict(time.encoding))
    coords = {TIME: axis, LATENT: np.arange(code.shape[1])}
    return xr.DataArray(code, dims=(TIME, LATENT), coords=coords, name="latents")


def fields(z: xr.DataArray, layout: Layout, values: list[Any]) -> xr.Dataset:
    """``values`` decoded from latents ``z`` as labelled fields: one array (time, *space) or
    (case, time, *space) for each, physical, NaN where masked; arrays of dask stay lazy.
    """
    time = z[TIME] if TIME in z.coords else None
    if z.ndim == 2:
        return layout.to_dataset(values, time)
    case = z[CASE]
    case = case.drop_vars([n for n, c in case.coords.items() if c.dims != (CASE,)])
    if layout.case is not None and layout.case != CASE:
        case = case.rename({CASE: layout.case})
    return layout.to_dataset(values, time, case=case)


def check_latents(z: xr.DataArray, latent: int, name: str) -> None:
    """Refuse what is not (time, latent) or (case, time, latent) of the right size."""
    if not isinstance(z, xr.DataArray):
        raise DataError(
            f"{name}.decode got {type(z).__name__}. Expected the xr.DataArray that encode "
            f"returned; for tensors type decode_tensor(z)."
        )
    if z.dims not in ((TIME, LATENT), (CASE, TIME, LATENT)) or z.shape[-1] != latent:
        raise DataError(
            f"{name}.decode got latents of {dict(z.sizes)}. Expected dims (time, latent: {latent}) "
            f"or (case, time, latent: {latent})."
        )


def describe(snapshots: Snapshots) -> dict[str, Any]:
    """Where training data came from, as JSON: for provenance, and to notice leaks."""
    first, last = snapshots.times(0).values[0], snapshots.times(snapshots.cases - 1).values[-1]
    return {
        "source": snapshots.source,
        "fingerprint": snapshots.fingerprint,
        "snapshots": len(snapshots),
        "cases": snapshots.cases,
        "first_time": str(first),
        "last_time": str(last),
    }
