"""From a path to a lazy Dataset, by the kind of file found there.

Kinds are told apart by their first bytes, never by the name:

    netCDF classic    b"CDF"            read by xarray (netCDF4 or scipy)
    HDF5              b"\\x89HDF"        netCDF4 when it has dimension scales, else The Well,
                                      PDEBench, VTKHDF or plain HDF5
    MATLAB            b"MATLAB "      v7.3 is HDF5 inside
    NumPy             b"\\x93NUMPY", or a zip archive of such (.npz)
    romae             an archive, folder or packed, by the first bytes of its manifest
    Zarr              a directory with zarr.json, .zgroup or .zarray
    VTK               <VTKFile type=...> in XML, or "# vtk DataFile"
    OpenFOAM          a directory with system/controlDict, or a .foam file in one

Any other directory stands for the data files in it. A new kind is one more entry of ``KINDS``: a
name, a test of the path, and a function that opens it. Files are opened without dask: each
variable is read where it is indexed, and not before.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import xarray as xr

from romae.errors import OptionError, UnreadableFileError
from romae.fields.classic import check_length
from romae.fields.hdf5 import is_netcdf4, open_hdf5
from romae.fields.labelled import SCHEMES, is_zarr, open_labelled, open_zarr, unreadable
from romae.fields.matlab import MAGIC as MATLAB_MAGIC
from romae.fields.matlab import open_matlab
from romae.fields.numpyfile import NPY_MAGIC, is_npz, open_npy, open_npz
from romae.fields.openfoam import is_case, open_openfoam
from romae.fields.segments import AS_OPENED
from romae.fields.table import Table
from romae.fields.vtkfiles import kind_of
from romae.fields.vtkhdf import is_vtkhdf, open_vtkhdf
from romae.fields.vtkseries import open_vtk
from romae.files import is_archive

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Opening:
    """How to open files: HDF5 or Zarr ``group``, xarray ``engine``, layout ``table``.

    ``snapshot``: each file is one snapshot, so none of its axes is time.
    """

    group: str | None = None
    engine: str | None = None
    table: Table | None = None
    snapshot: bool = False


def find_kind(path: str) -> Kind | None:
    """The kind of file at ``path``, or None."""
    return next((kind for kind in KINDS if kind.recognise(path)), None)


def open_path(path: str, opening: Opening) -> xr.Dataset:
    """The Dataset at ``path``, nothing read but metadata and coordinates."""
    name = os.path.basename(path.rstrip("/")) or path
    if SCHEMES.match(path):
        return open_labelled(path, opening.group, opening.engine or "zarr")
    if kind := find_kind(path):
        if opening.table is not None and not kind.bare:
            raise OptionError(
                f"{name}: layout=... describes bare arrays in HDF5, MATLAB or NumPy files; a "
                f"{kind.name} file names its dimensions itself. Leave it out"
            )
        opened = kind.open(path, name, opening)
        place = os.path.abspath(path)
        opened.encoding[AS_OPENED] = place, os.path.getsize(place) if os.path.isfile(place) else 0
        return opened
    size = os.path.getsize(path) if os.path.isfile(path) else 0
    raise UnreadableFileError(
        f"{path} is no data file ({size} bytes, starts with {_magic(path)!r}). Expected netCDF, "
        "HDF5, Zarr, MATLAB, NumPy, VTK or an OpenFOAM case; check the path, or convert the file"
    )


def _magic(path: str) -> bytes:
    if not os.path.isfile(path):
        return b""
    with open(path, "rb") as file:
        return file.read(8)


def _is_hdf5(path: str) -> bool:
    """Whether the signature is at 0 or behind a user block, whose sizes are powers of two."""
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        for offset in (0, 512, 1024, 2048, 4096):
            file.seek(offset)
            if file.read(8) == HDF5_MAGIC:
                return True
    return False


def _open_netcdf3(path: str, name: str, opening: Opening) -> xr.Dataset:
    check_length(path)
    return open_labelled(path, opening.group, opening.engine)


def _open_hdf5_family(path: str, name: str, opening: Opening) -> xr.Dataset:
    try:
        if opening.table is None and is_vtkhdf(path):
            return open_vtkhdf(path)
        netcdf = opening.table is None and (opening.engine or is_netcdf4(path, opening.group))
    except OSError as error:
        raise unreadable(path, error) from error
    if netcdf:
        return open_labelled(path, opening.group, opening.engine)
    return open_hdf5(path, opening.table, opening.group, snapshot=opening.snapshot)


def _open_matlab(path: str, name: str, opening: Opening) -> xr.Dataset:
    return open_matlab(path, opening.table, opening.group, snapshot=opening.snapshot)


def _open_npy(path: str, name: str, opening: Opening) -> xr.Dataset:
    return open_npy(path, opening.table, snapshot=opening.snapshot)


def _open_npz(path: str, name: str, opening: Opening) -> xr.Dataset:
    return open_npz(path, opening.table, snapshot=opening.snapshot)


@dataclass(frozen=True)
class Kind:
    """One kind of file: how it is recognised and opened.

    ``bare``: a layout table may help; ``open_series``: several files at once, one step each.
    """

    name: str
    recognise: Callable[[str], bool]
    open: Callable[[str, str, Opening], xr.Dataset]
    bare: bool = False
    open_series: Callable[[Sequence[str]], xr.Dataset] | None = None


KINDS = (
    Kind("netCDF classic", lambda path: _magic(path)[:3] == b"CDF", _open_netcdf3),
    Kind("MATLAB", lambda path: _magic(path)[:7] == MATLAB_MAGIC, _open_matlab, bare=True),
    Kind("HDF5", _is_hdf5, _open_hdf5_family, bare=True),
    Kind("NumPy", lambda path: _magic(path)[:6] == NPY_MAGIC, _open_npy, bare=True),
    Kind("NumPy", is_npz, _open_npz, bare=True),
    Kind("romae archive", is_archive, lambda p, _, __: open_labelled(p, None, "romae")),
    Kind("Zarr", is_zarr, lambda p, _, opening: open_zarr(p, opening.group)),
    Kind("VTK", lambda p: bool(kind_of(p)), lambda p, _, __: open_vtk([p]), open_series=open_vtk),
    Kind("OpenFOAM", is_case, lambda p, _, __: open_openfoam(p)),
)
