"""Latents back to labelled fields, in memory or block by block into a file.

    x^_c = scale_c D(z)_c + mean_c,     z (b, k) of one trajectory -> x^_c (b, *space) per field c

in the type of each field, NaN where masked. Where the last map of D is linear, D(z) = a U with
coordinates a (b, m) of modes U (m, n), all of it is one product

    x^_c = [a 1] [scale_c U_c; mean_c]

that writes every number once, where it stays: the cost of m multiplications a number and of the
memory. (NaN in the last row reaches the column of its point alone.)

Both ways cut each trajectory into the same batches, so that a file holds the bits that the
fields in memory would write, however large it is.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from romae.conventions import CASE, MEMBER
from romae.fields.writing import check_fields_path, open_written, write_fields
from romae.progress import Task, track
from romae.reducers import labels
from romae.reducers.data import BATCH_BYTES
from romae.reducers.reuse import memory_of

if TYPE_CHECKING:
    from romae.reducers.base import Reducer

MODES_BYTES = 256 << 20  # scaled modes that are copied
BIASED = 8.0  # |mean| over scale: beyond, the rounding of a sum that holds the mean is told apart
PRODUCT_BYTES = 64 << 20  # of one product: many rows read the modes less often, and go faster
LONG = 2  # snapshots a mode, from which the copy is soon paid back

Fields = list[np.ndarray]  # (..., *space), one per field


def decode_in_memory(
    reducer: "Reducer", latents: xr.DataArray, out: xr.Dataset | None = None
) -> xr.Dataset:
    """Labelled fields of ``latents``, which have been checked; in the memory of ``out``."""
    lead, types = latents.shape[:-1], _types(reducer)
    if out is None:
        values = [np.empty((*lead, *reducer.layout.shape), dtype) for dtype in types]
    else:
        values = memory_of(out, reducer.layout, lead, types)
    for case, z in enumerate(_trajectories(latents)):
        decoder = _Decoder(reducer.along(latents, case), len(z))
        own = [v[case] if CASE in latents.dims else v for v in values]
        for start, part in decoder.batches(z):
            decoder.write(part, [v[start : start + len(part)] for v in own])
    return labels.fields(latents, reducer.layout, values)


def decode_to_file(
    reducer: "Reducer",
    latents: xr.DataArray,
    path: str | os.PathLike[str],
    *,
    overwrite: bool,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """As :func:`decode_in_memory`, with ``attrs`` added, written to ``path`` and opened from there.

    Latents of an ensemble give fields with a first dimension ``member``.
    """
    check_fields_path(path, overwrite=overwrite)
    with track(latents.size // latents.shape[-1], "decoding") as task:
        fields = by_member(latents, lambda z: _later(reducer, z, task))
        write_fields(fields.assign_attrs(attrs or {}), path, overwrite=overwrite)
    return open_written(path)


def by_member(latents: xr.DataArray, decode: Callable[[xr.DataArray], xr.Dataset]) -> xr.Dataset:
    """Fields of ``latents``, those of an ensemble member by member, by ``decode`` of one."""
    if MEMBER not in latents.dims:
        return decode(latents)
    each = [decode(latents.isel({MEMBER: i}, drop=True)) for i in range(latents.sizes[MEMBER])]
    return xr.concat(each, latents[MEMBER], data_vars="all", coords="minimal", compat="override")


def _later(reducer: "Reducer", latents: xr.DataArray, task: Task) -> xr.Dataset:
    """Labelled fields that are decoded when they are written."""
    import dask.array as da

    lazy = [
        _lazily(_Decoder(reducer.along(latents, case), len(z)), z, task)
        for case, z in enumerate(_trajectories(latents))
    ]
    whole = da.stack(lazy) if CASE in latents.dims else lazy[0]
    lead = (slice(None),) * (latents.ndim - 1)
    values = [whole[(*lead, c)] for c in range(reducer.layout.channels)]
    return labels.fields(latents, reducer.layout, values)


def _lazily(decoder: "_Decoder", z: np.ndarray, task: Task) -> Any:
    """(T, k) -> an array of dask (T, C, *space), one chunk per batch."""
    import dask
    import dask.array as da

    types = _types(decoder.reducer)
    common, space = np.result_type(*types), decoder.reducer.layout.shape

    def decode(part: np.ndarray) -> np.ndarray:
        task.advance(len(part))
        values = [np.empty((len(part), *space), dtype) for dtype in types]
        decoder.write(part, values)
        return np.stack(values, axis=1)

    later = dask.delayed(decode, pure=False)
    chunks = [
        da.from_delayed(later(part), (len(part), len(types), *space), common)
        for _, part in decoder.batches(z)
    ]
    return da.concatenate(chunks)


def _trajectories(latents: xr.DataArray) -> Iterator[np.ndarray]:
    return iter(latents.values if CASE in latents.dims else latents.values[None])


def _types(reducer: "Reducer") -> list[np.dtype]:
    """Of the fields; a reconstruction of integers is no integer."""
    types = [np.dtype(f.dtype) for f in reducer.layout.fields]
    return [t if t.kind == "f" else np.dtype(np.float64) for t in types]


class _Decoder:
    """Batches of latents of one trajectory of ``snapshots`` in all into arrays of their fields."""

    def __init__(self, reducer: "Reducer", snapshots: int) -> None:
        self.reducer, scaling = reducer, reducer.scaling
        self.scale = np.asarray(scaling.scale, dtype=np.float64)
        mean = (
            scaling.mean if scaling.valid is None else np.where(scaling.valid, scaling.mean, np.nan)
        )
        self.mean = mean
        self.high = mean.astype(np.float32)
        low = (mean - self.high).astype(np.float32)
        self.low = low if np.nanmax(np.abs(low), initial=0.0) > 0 else None
        self.snapshots = snapshots
        self.single = self._single()
        self._products: list[Tensor] = []

    def _single(self) -> bool:
        """Whether sums in float32 that hold the mean are as good as they need to be."""
        if self.low is not None or any(t != np.float32 for t in _types(self.reducer)):
            return False
        largest = np.nanmax(np.abs(self.high).reshape(len(self.high), -1), axis=1, initial=0.0)
        return bool(np.all(largest <= BIASED * self.scale))

    def batches(self, z: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Where batches of ``z`` (T, k) start, and they; (0, ``z``) where there is nothing."""
        found = self.reducer.expansion(self._tensor(z[:1])) if self.single and len(z) else None
        most = BATCH_BYTES if found is None or not self._worth(found[1]) else PRODUCT_BYTES
        rows = max(1, most // (4 * self.reducer.layout.size))
        for a in range(0, max(len(z), 1), rows):
            yield a, z[a : a + rows]

    def write(self, z: np.ndarray, out: Fields) -> None:
        """Fields of ``z`` (b, k) into ``out``; NaN where all latents are: a case that has ended."""
        missing = np.isnan(z).all(-1)
        tensor = self._tensor(np.where(missing[:, None], 0, z))
        found = self.reducer.expansion(tensor) if self.single else None
        if found is not None and self._worth(found[1]):
            self._write_product(*found, out)
        else:
            x = self.reducer.decode_tensor(tensor).cpu().numpy()
            for c, values in enumerate(out):
                self._write_scaled(x[:, c], c, values)
        if missing.any():
            for values in out:
                values[missing] = np.nan

    def _tensor(self, z: np.ndarray) -> Tensor:
        """``z`` in float32 where the reducer is; a copy, aligned alike each time."""
        return torch.from_numpy(np.array(z, dtype=np.float32)).to(self.reducer.device)

    def _worth(self, modes: Tensor) -> bool:
        """Whether a scaled copy of ``modes`` (m, n) is paid back."""
        m, n = modes.shape
        return (
            modes.device.type == "cpu" and self.snapshots >= LONG * m and 4 * m * n <= MODES_BYTES
        )

    def _write_product(self, a: Tensor, modes: Tensor, out: Fields) -> None:
        if not self._products:
            self._products = [
                torch.cat([u * float(s), torch.from_numpy(h.reshape(1, -1))])
                for u, s, h in zip(modes.chunk(len(out), dim=1), self.scale, self.high, strict=True)
            ]
        a = torch.cat([a, a.new_ones(len(a), 1)], dim=1)
        for product, values in zip(self._products, out, strict=True):
            torch.mm(a, product, out=torch.from_numpy(values.reshape(len(a), -1)))

    def _write_scaled(self, x: np.ndarray, c: int, values: np.ndarray) -> None:
        """``x`` (b, *space) in float32, in the type of ``values``; smaller ones go through it."""
        if values.dtype.itemsize > 4:
            values[...] = x
            values *= self.scale[c]
            values += self.mean[c]
            return
        y = values if values.dtype == np.float32 else np.empty(values.shape, np.float32)
        np.multiply(x, np.float32(self.scale[c]), out=y)
        if self.low is not None:
            y += self.low[c]
        y += self.high[c]
        if y is not values:
            values[...] = y
