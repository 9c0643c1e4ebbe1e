"""Labelled datasets to files, whole or not at all, arrays of dask computed block by block.

    needed = Σ over variables of (numbers) x (bytes of the type on disk)

The name decides the format: ``.nc`` and ``.nc4`` are netCDF4, ``.zarr`` is a Zarr store, version 3.
netCDF is stored as it is, so a file system with less than ``needed`` bytes free is refused before
anything is computed; Zarr stores are compressed, and fail when the disk is full.
"""

from __future__ import annotations

import errno
import os
import shutil
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.errors import OptionError, RomaeError, UnwritableFileError
from romae.fields.summary import human_bytes
from romae.files import atomic_directory, atomic_file, check_output

Kind = Literal["netcdf", "zarr"]
PathLike = str | os.PathLike[str]
SUFFIXES: dict[str, Kind] = {".nc": "netcdf", ".nc4": "netcdf", ".zarr": "zarr"}


def check_fields_path(path: PathLike, *, overwrite: bool = False) -> Kind:
    """The format that the name ``path`` stands for; for the start of long work.

    Raises :class:`OptionError` for another suffix and
    :class:`~romae.errors.PathExistsError` when something is there already.
    """
    suffix = Path(path).suffix
    if suffix not in SUFFIXES:
        raise OptionError(
            f"output {os.fspath(path)!r} ends in {suffix!r}. Expected a netCDF file or a Zarr "
            "store; type a name that ends in .nc or .zarr"
        )
    kind = SUFFIXES[suffix]
    if kind == "netcdf":
        check_output(path, "file", overwrite=overwrite)
    else:
        check_output(path, "directory", overwrite=overwrite, marker="zarr.json")
    return kind


def write_fields(dataset: xr.Dataset, path: PathLike, *, overwrite: bool = False) -> None:
    """Write ``dataset`` to ``path``; what dask holds is computed piece by piece, in order.

    Raises as :func:`check_fields_path`, and :class:`UnwritableFileError` when the disk is full or
    the file cannot be written for another reason; nothing is left behind then.
    """
    import dask

    kind, needed = check_fields_path(path, overwrite=overwrite), bytes_on_disk(dataset)
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(target.parent).free
    if kind == "netcdf" and needed > free:
        raise UnwritableFileError(_why(target, "the disk has no room for it", needed, free))
    try:
        # One thread: the model uses the cores itself, and netCDF-C writes one piece at a time.
        with dask.config.set(scheduler="sync"):
            if kind == "netcdf":
                with atomic_file(path, overwrite=overwrite) as temporary:
                    dataset.to_netcdf(temporary, engine="netcdf4", format="NETCDF4")
            else:
                with (
                    atomic_directory(path, overwrite=overwrite, marker="zarr.json") as folder,
                    warnings.catch_warnings(),
                ):  # zarr warns of text, which it writes and reads
                    warnings.filterwarnings("ignore", message=".*Zarr V3 specification.*")
                    warnings.filterwarnings("ignore", message=".*Consolidated metadata.*")
                    dataset.to_zarr(folder, mode="w", zarr_format=3, consolidated=True)
    except RomaeError:
        raise
    except (OSError, RuntimeError) as error:
        # netCDF-C calls a full disk "NetCDF: HDF error"; others are no errors of writing.
        if isinstance(error, RuntimeError) and not str(error).startswith("NetCDF"):
            raise
        if isinstance(error, PermissionError) or getattr(error, "errno", 0) == errno.EROFS:
            raise UnwritableFileError(
                f"{target} cannot be written: {error}. Expected a folder that you may write to; "
                "choose another, or change its permissions"
            ) from error
        free = shutil.disk_usage(target.parent).free
        most = "at most " if kind == "zarr" else ""  # it is compressed
        raise UnwritableFileError(_why(target, str(error), needed, free, most)) from error


def open_written(path: PathLike) -> xr.Dataset:
    """What :func:`write_fields` wrote, opened lazily; numbers with units of time stay numbers."""
    options: dict[str, Any] = {"engine": "netcdf4"}
    if SUFFIXES[Path(path).suffix] == "zarr":
        options = {"engine": "zarr", "consolidated": False}
    return xr.open_dataset(path, decode_timedelta=False, **options)


def bytes_on_disk(dataset: xr.Dataset) -> int:
    """Bytes of all numbers of ``dataset`` in the types that their encoding asks for."""
    return sum(
        v.size * np.dtype(v.encoding.get("dtype") or v.dtype).itemsize
        for v in dataset.variables.values()
    )


def _why(target: Path, cause: str, needed: int, free: int, most: str = "") -> str:
    return (
        f"{target} cannot be written: {cause}. {most}{needed} bytes ({human_bytes(needed)}) are "
        f"needed, {free} ({human_bytes(free)}) are free in {target.parent}. Free some, raise the "
        "quota or `ulimit -f`, or choose another folder"
    )
