"""Which dimension of a dataset is time, and which coordinate tells the times.

Time is what the caller says, else what the CF conventions say (standard_name, axis, dates), else
the dimension named ``time`` or ``t``.
"""

from __future__ import annotations

import xarray as xr

from romae.errors import DataError, OptionError, nearest

TIME_NAMES = ("time", "t", "times", "Time", "T", "TIME")
EACH_FILE = "file"  # time="file": every file is one snapshot


def find_time(
    dataset: xr.Dataset, label: str, time: str | None, case: str | None = None
) -> tuple[str | None, str | None]:
    """(dimension, coordinate) of time; the dimension is None for a scalar time coordinate,

    both are None where each file is one snapshot without a time.
    """
    if time == EACH_FILE and EACH_FILE not in dataset.dims:
        if not any(name in dataset.variables or name in dataset.dims for name in TIME_NAMES):
            return None, None
        time = None  # the files do have times
    if time is not None:
        if time in dataset.dims:
            return time, _coordinate_over(dataset, time, case)
        if time in dataset.coords and dataset[time].ndim == 2 and case in dataset[time].dims:
            return next(str(d) for d in dataset[time].dims if d != case), time
        if time in dataset.coords and dataset[time].ndim <= 1:
            dims = dataset[time].dims
            return (str(dims[0]) if dims else None), time
        known = dict.fromkeys(map(str, (*dataset.dims, *dataset.coords)))
        raise OptionError(f"{label}: unknown time dimension {time!r}. {nearest(time, known)}")
    marked, dates = _marked_times(dataset), _dates(dataset)
    for name in marked:
        if dataset[name].ndim == 1:
            return str(dataset[name].dims[0]), name
    for name in TIME_NAMES:
        if name in dataset.dims:
            return name, _coordinate_over(dataset, name, case)
    for name in dates:
        if dataset[name].ndim == 1:
            return str(dataset[name].dims[0]), name
    for name in (*marked, *TIME_NAMES, *dates):
        if name in dataset.coords and dataset[name].ndim == 0:
            return None, name
    sizes = ", ".join(f"{d}={n}" for d, n in dataset.sizes.items())
    raise DataError(
        f"{label}: no time dimension found among ({sizes}). Expected one named 'time' or marked by "
        "the CF conventions (standard_name 'time', or dates). Name it with time='...', or type "
        "time='file' when each file is one snapshot"
    )


def _dates(dataset: xr.Dataset) -> list[str]:
    """Coordinates that hold dates, dimension coordinates first."""
    coords = dataset.coords.items()
    names = [str(n) for n, c in coords if c.ndim <= 1 and (c.dtype.kind == "M" or _is_cftime(c))]
    return sorted(names, key=lambda n: n not in dataset.dims)


def _marked_times(dataset: xr.Dataset) -> list[str]:
    """Coordinates that CF attributes mark as time, dimension coordinates first."""
    try:
        import cf_xarray  # noqa: F401  (registers the accessor)

        marked = [*dataset.cf.axes.get("T", []), *dataset.cf.coordinates.get("time", [])]
    except ImportError:
        marked = [
            n
            for n, c in dataset.coords.items()
            if c.attrs.get("axis") == "T" or c.attrs.get("standard_name") == "time"
        ]
    names = [str(n) for n in marked if n in dataset.coords and dataset[n].ndim <= 1]
    return sorted(dict.fromkeys(names), key=lambda n: n not in dataset.dims)


def _is_cftime(coordinate: xr.DataArray) -> bool:
    if coordinate.dtype.kind != "O" or not coordinate.size:
        return False
    return hasattr(coordinate.values.ravel()[0], "calendar")


def _coordinate_over(dataset: xr.Dataset, dim: str, case: str | None) -> str | None:
    """Times over ``dim``, or over ``dim`` and ``case`` where each case has its own."""
    if dim in dataset.coords:
        return dim
    if dim in dataset.data_vars:
        return None
    known = [*_marked_times(dataset), *_dates(dataset)]
    others = [n for n in known if dataset[n].dims == (dim,)]
    own = [n for n in TIME_NAMES if n in dataset.coords and set(dataset[n].dims) == {dim, case}]
    return next(iter([*others, *own]), None)
