"""decompress: an archive back to netCDF or Zarr, chunk by chunk.

Each chunk is decoded once and gives its snapshots of all fields, which are written before the next
is decoded: memory holds a few chunks, whatever the length.
"""

from __future__ import annotations

import operator
import os
from pathlib import Path
from typing import Any

import xarray as xr

from romae.archive.cache import Arrays
from romae.archive.dataset import open_fields
from romae.archive.plan import Item, chunk_range
from romae.archive.reading import Archive
from romae.archive.store import PathLike
from romae.fields.writing import check_fields_path, write_fields
from romae.progress import Task, track


def decompress(
    path: PathLike, to: PathLike, *, case: int | None = None, overwrite: bool = False
) -> Path:
    """Write the archive ``path`` to ``to``, a netCDF file (.nc) or Zarr store (.zarr).

    ``case``: only this one; needed where the cases have times of their own. Raises
    :class:`~romae.errors.OptionError` for another suffix,
    :class:`~romae.errors.PathExistsError`, :class:`~romae.errors.ArchiveError` for a damaged chunk
    and :class:`~romae.errors.UnwritableFileError` when the disk is full; nothing is left then.
    """
    check_fields_path(to, overwrite=overwrite)
    archive = Archive(path, cache_bytes=0)
    dataset = open_fields(archive, case=case, options={"decode_timedelta": False})
    items = [i for i in archive.items if case is None or i[0] == case]
    with track(len(items), "decompressing, chunks") as task:
        write_fields(_by_chunk(archive, dataset, case, task), to, overwrite=overwrite)
    return Path(os.fspath(to))


def _by_chunk(archive: Archive, dataset: xr.Dataset, case: int | None, task: Task) -> xr.Dataset:
    """``dataset`` with its fields as dask arrays; those of one chunk are decoded at once."""
    import dask
    import dask.array as da

    facts = archive.facts
    cases = range(len(archive.lengths)) if case is None else [case]

    def decode(item: Item) -> Arrays:
        arrays = archive.decode(item)
        task.advance()
        return arrays

    parts = {
        item: dask.delayed(decode, pure=False)(item) for item in archive.items if item[0] in cases
    }
    result = dataset.copy()
    for c, name in enumerate(archive.names):
        rows = []
        for row in cases:
            blocks = []
            for item in (i for i in archive.items if i[0] == row):
                start, stop = chunk_range(item, archive.lengths, archive.chunk)
                one = dask.delayed(operator.getitem, pure=False)(parts[item], c)
                shape = (stop - start, *archive.shape)
                blocks.append(da.from_delayed(one, shape, archive.dtypes[c].newbyteorder("=")))
            rows.append(da.concatenate(blocks))
        result[name] = _as_source(da, rows, dataset[name].variable, facts)
    return result


def _as_source(da: Any, rows: list[Any], like: xr.Variable, facts: dict[str, Any]) -> xr.Variable:
    """Arrays (time, *space), one per case, with the dimensions of the field ``like``."""
    axes = [facts["time"], *facts["space"]]
    values = rows[0]
    if facts["case_dim"] in like.dims:
        values, axes = da.stack(rows), [facts["case_dim"], *axes]
    values = values.transpose([axes.index(d) for d in like.dims if d in axes])
    values = values[tuple(slice(None) if d in axes else None for d in like.dims)]
    variable = xr.Variable(like.dims, values, like.attrs)
    variable.encoding = {k: v for k, v in like.encoding.items() if k != "preferred_chunks"}
    return variable
