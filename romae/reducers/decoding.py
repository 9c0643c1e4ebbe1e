"""Latents back to labelled fields, in memory or block by block into a file.

    x^ = scaling⁻¹(D(z)),     z (b, k) of one trajectory -> x^ (b, C, *space), float64

Both ways cut each trajectory into the same batches, so that a file holds the bits that the
fields in memory would write, however large it is.
"""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr

from romae.fields.writing import check_fields_path, open_written, write_fields
from romae.progress import Task, track
from romae.reducers import labels
from romae.reducers.data import BATCH_BYTES

if TYPE_CHECKING:
    from romae.reducers.base import Reducer


def decode_in_memory(reducer: "Reducer", latents: xr.DataArray) -> xr.Dataset:
    """Labelled fields of ``latents``, which have been checked."""

    def decode(z: np.ndarray, case: int) -> np.ndarray:
        values = np.empty((len(z), reducer.layout.channels, *reducer.layout.shape))
        own = reducer.along(latents, case)
        for start, part in _batches(reducer, z):
            values[start : start + len(part)] = decode_batch(own, part)
        return values

    return labels.fields(latents, reducer.layout, decode)


def decode_to_file(
    reducer: "Reducer", latents: xr.DataArray, path: str | os.PathLike[str], *, overwrite: bool
) -> xr.Dataset:
    """As :func:`decode_in_memory`, written to ``path`` and opened from there."""
    check_fields_path(path, overwrite=overwrite)
    with track(latents.size // latents.shape[-1], "decoding") as task:
        fields = labels.fields(
            latents, reducer.layout, lambda z, case: _lazily(reducer.along(latents, case), z, task)
        )
        write_fields(fields, path, overwrite=overwrite)
    return open_written(path)


def _lazily(reducer: "Reducer", z: np.ndarray, task: Task) -> Any:
    """(T, k) -> an array of dask (T, C, *space), one chunk per batch."""
    import dask
    import dask.array as da

    def decode(part: np.ndarray) -> np.ndarray:
        task.advance(len(part))
        return decode_batch(reducer, part)

    state = (reducer.layout.channels, *reducer.layout.shape)
    later = dask.delayed(decode, pure=False)
    chunks = [
        da.from_delayed(later(part), (len(part), *state), np.float64)
        for _, part in _batches(reducer, z)
    ]
    return da.concatenate(chunks)


def _batches(reducer: "Reducer", z: np.ndarray) -> list[tuple[int, np.ndarray]]:
    rows = max(1, BATCH_BYTES // (4 * reducer.layout.size))
    return [(a, z[a : a + rows]) for a in range(0, max(len(z), 1), rows)]


def decode_batch(reducer: "Reducer", z: np.ndarray) -> np.ndarray:
    """One batch (b, k); NaN where all latents are, which is a case that has ended."""
    missing = np.isnan(z).all(-1)
    filled = np.where(missing[:, None], 0, z).astype(np.float32)  # a copy, aligned alike each time
    x = reducer.decode_tensor(torch.from_numpy(filled).to(reducer.device))
    values = reducer.scaling.inverse(x.cpu().numpy())
    values[missing] = np.nan
    return values
