"""Files that name their own dimensions, netCDF and Zarr, opened by xarray.

Nothing is read but metadata and coordinates: without dask, and without a cache, each variable is
read where it is indexed.
"""

from __future__ import annotations

import os
import re
from typing import Any

import xarray as xr

from romae.errors import DataError, MissingDependencyError, RomaeError, UnreadableFileError

SCHEMES = re.compile(r"^[a-z][a-z0-9+]*://")


def is_zarr(path: str) -> bool:
    """Whether ``path`` is the folder of a Zarr store."""
    marks = ("zarr.json", ".zgroup", ".zmetadata", ".zarray")
    return os.path.isdir(path) and any(os.path.exists(os.path.join(path, m)) for m in marks)


def open_zarr(path: str, group: str | None) -> xr.Dataset:
    """A Zarr store, its variables in the order of their names."""
    opened = open_labelled(path, group, "zarr")
    # A store lists its arrays in the order of the folder; without this, channels would change
    # places from one file system to the next.
    return opened[sorted(map(str, opened.data_vars))]


def open_labelled(path: str, group: str | None, engine: str | None) -> xr.Dataset:
    """The Dataset at ``path`` by xarray's ``engine``, or by the one that xarray finds.

    Raises :class:`UnreadableFileError` and, without the library, :class:`MissingDependencyError`.
    """
    name = os.path.basename(path.rstrip("/")) or path
    options: dict[str, Any] = {"group": group} if group else {}
    if engine == "zarr":
        # Without the argument a store whose metadata are not consolidated gives a warning.
        options["consolidated"] = _is_consolidated(path)
    options |= {"engine": engine, "chunks": None, "cache": False, "decode_timedelta": False}
    try:
        try:
            return _with_variables(xr.open_dataset(path, **options), path, group)
        except ValueError as error:
            if "decode" not in str(error):
                raise
            # A time axis that is no calendar ("months since", "s since start") stays a number.
            opened = xr.open_dataset(path, **options, decode_times=False)
            return _with_variables(opened, path, group)
    except RomaeError:
        raise
    except ImportError as error:
        raise _missing(name, error) from error
    except ValueError as error:
        if "engine" in str(error) or "backend" in str(error):
            raise _missing(name, error) from error
        raise unreadable(path, error) from error
    except (OSError, RuntimeError, KeyError) as error:
        raise unreadable(path, error) from error


def open_archived_cases(path: str) -> list[xr.Dataset]:
    """Cases of the archive ``path`` that have times of their own; none where they share them."""
    options: dict[str, Any] = {"chunks": None, "cache": False, "decode_timedelta": False}
    tree = xr.open_datatree(path, engine="romae", **options)
    return [node.to_dataset() for node in tree.children.values()]


def _with_variables(opened: xr.Dataset, path: str, group: str | None) -> xr.Dataset:
    """``opened``; :class:`DataError` where all variables lie in groups and none was named."""
    if opened.data_vars or group is not None or SCHEMES.match(path):
        return opened
    opened.close()
    options: dict[str, Any] = {"decode_times": False}
    if os.path.isdir(path):
        options |= {"engine": "zarr", "consolidated": _is_consolidated(path)}
    with xr.open_datatree(path, **options) as tree:
        groups = [node.path.strip("/") for node in tree.subtree if node.data_vars]
    if not groups:
        return opened
    raise DataError(
        f"{path} holds no variables at its top, but in groups: {', '.join(groups)}. Expected the "
        f"name of one; type group={groups[0]!r}"
    )


def _is_consolidated(path: str) -> bool | None:
    """Whether a Zarr store keeps all metadata in one file; None for remote ones: xarray tries."""
    if SCHEMES.match(path):
        return None
    if os.path.exists(os.path.join(path, ".zmetadata")):
        return True
    root = os.path.join(path, "zarr.json")
    if not os.path.exists(root):
        return False
    with open(root, encoding="utf-8") as file:
        return '"consolidated_metadata"' in file.read()


def _missing(name: str, error: Exception) -> MissingDependencyError:
    return MissingDependencyError(
        f"{name}: no installed library reads it ({str(error).splitlines()[0]}). Expected netCDF4 "
        "for netCDF files and zarr for Zarr stores; type: pip install netCDF4 zarr. With h5py "
        "alone, netCDF4 files open as plain HDF5: layout={}"
    )


def unreadable(path: str, error: Exception) -> UnreadableFileError:
    """What a library said about the file at ``path``, with its size and what to do."""
    size = f", {os.path.getsize(path)} bytes" if os.path.isfile(path) else ""
    return UnreadableFileError(
        f"{path}: cannot be opened ({str(error).splitlines()[0] if str(error) else error!r}{size})."
        " Expected a whole netCDF, HDF5 or Zarr; the file may be truncated or still being "
        "written, or the group may not exist. Check it with `h5dump -H` or copy it again"
    )
