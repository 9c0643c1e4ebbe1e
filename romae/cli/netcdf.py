"""netCDF files that commands write: whole or not at all, readable by any tool."""

import os
from typing import TYPE_CHECKING

from romae.errors import OptionError
from romae.files import atomic_file, check_output

if TYPE_CHECKING:
    import xarray as xr


def check_netcdf(path: str, overwrite: bool) -> None:
    """Refuse now what could not be written at the end of the work."""
    if os.path.splitext(path)[1] not in (".nc", ".nc4"):
        raise OptionError(f"output {path!r} is a netCDF file; expected a name ending in .nc.")
    check_output(path, "file", overwrite=overwrite)


def write_netcdf(dataset: "xr.Dataset", path: str, *, overwrite: bool) -> None:
    """Write ``dataset``; dask arrays in it are computed piece by piece."""
    import dask

    # One thread: the model uses the cores itself, and netCDF-C writes one piece at a time.
    with atomic_file(path, overwrite=overwrite) as temporary, dask.config.set(scheduler="sync"):
        dataset.to_netcdf(temporary, engine="netcdf4", format="NETCDF4")
