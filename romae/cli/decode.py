"""``romae decode``: latents back to labelled fields."""

from typing import Any

import click

from romae.cli.command import Result, command
from romae.cli.encode import model_argument, reducer_of
from romae.cli.options import device_option, output_option, overwrite_option

PIECE_BYTES = 64 << 20  # of fields decoded at once, so that files may exceed memory


@command("decode")
@model_argument
@click.argument("latents", metavar="LATENTS.nc")
@output_option("netCDF file for the fields.")
@device_option
@overwrite_option
def decode(model: str, latents: str, output: str, device: str, overwrite: bool) -> Result:
    """Write the fields that belong to LATENTS.nc.

    LATENTS.nc is what `romae encode` wrote. Names, coordinates and units are those of the
    data the model was fitted on.
    """
    import romae
    from romae.cli.netcdf import check_netcdf, write_netcdf

    check_netcdf(output, overwrite)
    reducer = reducer_of(romae.load(model)).to(device)
    fields = decode_lazily(reducer, read_latents(latents))
    write_netcdf(fields, output, overwrite=overwrite)
    sizes = dict(fields.sizes)
    shown = ", ".join(f"{name} {size}" for name, size in sizes.items())
    facts = {"fields": output, "variables": list(fields.data_vars), "sizes": sizes}
    return Result(f"wrote {output}  ({', '.join(map(str, fields.data_vars))}; {shown})", facts)


def read_latents(path: str) -> Any:
    """The latents in a file: the variable ``latents``."""
    import xarray as xr

    from romae.errors import DataError, MissingFileError, UnreadableFileError

    try:
        with xr.open_dataset(path, engine="netcdf4") as file:
            dataset = file.load()
    except FileNotFoundError:
        raise MissingFileError(f"no file {path!r}. Check the path.") from None
    except (OSError, ValueError) as error:
        raise UnreadableFileError(f"{path}: not a readable netCDF file: {error}") from None
    if "latents" not in dataset:
        found = ", ".join(map(str, dataset.data_vars)) or "none"
        raise DataError(
            f"{path}: no variable 'latents' (variables: {found}). Expected a file that "
            "`romae encode` wrote."
        )
    return dataset["latents"]


def decode_lazily(reducer: Any, latents: Any) -> Any:
    """As ``reducer.decode(latents)``, with dask arrays that are decoded piece by piece."""
    import dask
    import dask.array as da
    import xarray as xr

    from romae.conventions import CASE, TIME

    cases = latents.sizes.get(CASE, 1)
    rows = max(1, PIECE_BYTES // (8 * reducer.layout.size * cases))
    cuts = [slice(a, a + rows) for a in range(0, latents.sizes[TIME], rows)]
    first = reducer.decode(latents.isel({TIME: slice(0, 1)}))  # names, attributes, dtypes
    if len(cuts) == 1:
        return reducer.decode(latents)
    time, decode_piece = reducer.layout.time, dask.delayed(reducer.decode, pure=False)
    pieces = [decode_piece(latents.isel({TIME: cut})) for cut in cuts]
    axis = xr.Variable(time, latents[TIME].values, latents[TIME].attrs, latents[TIME].encoding)
    variables = {}
    for name, field in first.data_vars.items():
        place = field.dims.index(time)
        arrays = []
        for cut, piece in zip(cuts, pieces, strict=True):
            shape = list(field.shape)
            shape[place] = len(range(*cut.indices(latents.sizes[TIME])))
            values = dask.delayed(lambda d, n: d[n].values, pure=False)(piece, name)
            arrays.append(da.from_delayed(values, tuple(shape), field.dtype))
        whole = da.concatenate(arrays, axis=place)
        variables[name] = xr.Variable(field.dims, whole, field.attrs, field.encoding)
    coords = {k: v for k, v in first.coords.items() if time not in v.dims}
    return xr.Dataset(variables, {**coords, time: axis}, first.attrs)
