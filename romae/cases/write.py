"""Write a reference case to one CF netCDF-4 file, block by block.

Layout, after the CF conventions 1.11: dimensions ``(case, time, *space)``, where
``case`` is there when the case has parameters; one float32 variable per field, with
NaN at points that hold no data; coordinate variables with ``units``, ``long_name``,
``axis``, and ``periodic = 1`` where the axis closes on itself. No time stamps are
written, so that the same case gives the same file.
"""

import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np

import romae
from romae.cases.base import Axis, Case
from romae.conventions import CASE, TIME
from romae.errors import DataError, check_option
from romae.files import atomic_file
from romae.progress import Task, silent, track

Compression = Literal["none", "zlib"]
TIME_CHUNK = 16  # snapshots per storage chunk: good for whole-snapshot and for block reads
CHUNK_BYTES = 2**18  # small snapshots share larger chunks, or the chunk index dominates


def write_case(
    case: Case,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: bool = True,
    compression: Compression = "none",
    attrs: dict[str, Any] | None = None,
) -> Path:
    """Write ``case`` to ``path`` and return the path; the file is there whole or not at all.

    ``attrs`` are added to the global attributes. Memory holds one block at a time.

    Raises :class:`PathExistsError` when ``path`` exists and ``overwrite`` is false, and
    :class:`DataError` when the solver blew up or delivered other shapes than it says.
    """
    check_option("compression", compression, ["none", "zlib"])
    with (
        nullcontext() if progress else silent(),
        atomic_file(path, overwrite=overwrite) as temporary,
        track(case.cases * case.shape[0], f"making {case.name}") as task,
    ):
        _write(case, temporary, compression, attrs or {}, task)
    return Path(path)


def _write(
    case: Case, path: Path, compression: Compression, attrs: dict[str, Any], task: Task
) -> None:
    import netCDF4

    with netCDF4.Dataset(os.fspath(path), "w", format="NETCDF4") as file:
        file.setncatts({**_global_attributes(case), **attrs})
        dims = _define_axes(file, case)
        T, C, *space = case.shape
        chunk = (min(T, max(TIME_CHUNK, CHUNK_BYTES // (4 * int(np.prod(space))))), *space)
        # by this CF attribute the parameters are coordinates of the fields, not fields
        auxiliary = {"coordinates": " ".join(case.parameters())} if case.parameters() else {}
        fields = []
        for name, attributes in case.variables.items():
            field = file.createVariable(
                name,
                "f4",
                dims,
                fill_value=np.float32(np.nan),
                chunksizes=(1,) * (len(dims) - len(chunk)) + chunk,
                compression="zlib" if compression == "zlib" else None,
            )
            field.setncatts({"units": "1", **attributes, **auxiliary})
            fields.append(field)
        for j, trajectory in enumerate(case.trajectories()):
            for start, stop, block in _checked(case, j, trajectory):
                where = (j,) if case.parameters() else ()
                for c in range(C):
                    fields[c][(*where, slice(start, stop))] = block[:, c]
                task.advance(stop - start)


def _define_axes(file: Any, case: Case) -> tuple[str, ...]:
    """Create dimensions and coordinate variables; the dimensions of a field."""
    axes: dict[str, Axis] = {}
    parameters = case.parameters()
    if parameters:
        axes[CASE] = Axis(np.arange(case.cases, dtype=np.int32), {"long_name": "trajectory"})
    times = case.times()
    axes[TIME] = Axis(times.values, {"standard_name": "time", "axis": "T", **times.attrs})
    for dim, coord in case.coords().items():
        letter = {"axis": dim.upper()} if dim in ("x", "y", "z") else {}
        axes[dim] = Axis(coord.values, {**letter, **coord.attrs})
    for dim, coord in axes.items():
        file.createDimension(dim, len(coord.values))
        _coordinate(file, dim, dim, coord)
    for name, parameter in parameters.items():
        _coordinate(file, name, CASE, parameter)
    return tuple(axes)


def _coordinate(file: Any, name: str, dim: str, coord: Axis) -> None:
    variable = file.createVariable(name, coord.values.dtype, (dim,))
    variable.setncatts({k: np.int32(v) if k == "periodic" else v for k, v in coord.attrs.items()})
    variable[:] = coord.values


def _global_attributes(case: Case) -> dict[str, Any]:
    """Title, source, and every argument of the case as ``parameter_<name>``."""
    attributes: dict[str, Any] = {
        "Conventions": "CF-1.11",
        "title": case.title,
        "source": case.source,
        "institution": "romae reference case",
        "case": case.name,
        "romae_version": romae.__version__,
    }
    for name, value in case.arguments().items():
        key = name if name == "seed" else f"parameter_{name}"
        attributes[key] = str(value) if isinstance(value, bool | type(None)) else value
    return attributes


def _checked(
    case: Case, j: int, trajectory: Iterator[np.ndarray]
) -> Iterator[tuple[int, int, np.ndarray]]:
    """(start, stop, block) with NaN at masked points; blocks have been verified."""
    T, *snapshot = case.shape
    mask = case.mask()
    start = 0
    for block in trajectory:
        stop = start + len(block)
        if list(block.shape[1:]) != snapshot or stop > T:
            raise DataError(
                f"{case.name}, trajectory {j}: block of shape {block.shape} at snapshot {start}, "
                f"expected (n, {', '.join(map(str, snapshot))}) and {T} snapshots in all."
            )
        if mask is not None:
            block = np.where(mask, block, np.float32(np.nan))
        finite = np.isfinite(block if mask is None else block[..., mask])
        if not finite.all():
            at = start + int(np.argmin(finite.reshape(len(block), -1).all(axis=1)))
            raise DataError(
                f"{case.name}, trajectory {j}: the solver blew up, the first value that is not "
                f"finite is in snapshot {at} of {T}. Use a smaller time step."
            )
        yield start, stop, block
        start = stop
    if start != T:
        raise DataError(f"{case.name}, trajectory {j}: {start} snapshots, expected {T}.")
