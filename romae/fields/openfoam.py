"""OpenFOAM cases by way of the vtk library: the cells of the internal mesh, one folder per time.

    case/system/controlDict  case/constant/polyMesh  case/0/U  case/0.5/U  case/0.5/p  ...

A case is its folder, or an (empty) file case.foam in it. A case that ran in parallel and was not
put together again is read from its folders processor0, processor1, ..., their cells in this order.
Fields are those of the last time; one
value for all cells counts as well. Cell centres are the coordinates, cell volumes the weights.
Time 0 is left out where it lacks one of the fields, as before a solver has written its own.
Units follow from ``dimensions`` where they are SI powers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from romae.errors import DataError, UnreadableFileError
from romae.fields.meshes import arrays_of, geometry
from romae.fields.steps import Steps
from romae.fields.vtkfiles import listen, need_vtk
from romae.fields.vtkseries import as_dataset, check_mesh, components, pick

DIMENSIONS = re.compile(rb"^\s*dimensions\s*\[([^\]]*)\]", re.MULTILINE)
SI = ("kg", "m", "s", "K", "mol", "A", "cd")


def is_case(path: str) -> bool:
    """Whether ``path`` is the folder of a case, or a .foam file in one."""
    folder = os.path.dirname(path) or "." if path.endswith(".foam") else path
    control = os.path.join(folder, "system", "controlDict")
    return os.path.isdir(folder) and os.path.isfile(control)


def open_openfoam(path: str) -> xr.Dataset:
    """One lazy Dataset (time, cell) of a case.

    Raises :class:`UnreadableFileError` when VTK cannot read it and :class:`DataError` when it has
    no times.
    """
    need_vtk(path)
    folder = os.path.abspath(os.path.dirname(path) or "." if path.endswith(".foam") else path)
    if not (_has_mesh(folder) or is_decomposed(folder)):
        raise UnreadableFileError(
            f"{path}: no mesh in constant/polyMesh, nor in processor0/constant/polyMesh. Expected "
            "a case with its mesh; if it was run in parallel with collated files, type "
            "reconstructParMesh and reconstructPar in it first"
        )
    times = case_times(folder)
    if not times:
        raise DataError(f"{path} has no times. Expected folders such as 0.5 with fields in them")
    last = internal_mesh(folder, times[-1])
    fields = _fields(last)
    if not fields:
        raise DataError(
            f"{path}: time {times[-1]:g} has no field over cells. Expected volScalarField or "
            "volVectorField files in it"
        )
    if times[0] == 0 and len(times) > 1 and fields.keys() - _fields(internal_mesh(folder, 0.0)):
        times = times[1:]
    steps = Steps(FoamCase(folder, times, list(fields), geometry(last)), len(times))
    opened = as_dataset(last, fields, steps, np.array(times))
    for name, variable in opened.data_vars.items():
        units = _units(folder, times[-1], str(name))
        if units:
            variable.attrs["units"] = units
    opened["time"].attrs["units"] = "s"
    return opened


def _has_mesh(folder: str) -> bool:
    return os.path.isdir(os.path.join(folder, "constant", "polyMesh"))


def is_decomposed(folder: str) -> bool:
    """Whether the results lie in processor0, ...: only there is a mesh, or are the last times."""
    first = os.path.join(folder, "processor0")
    if not _has_mesh(first):
        return False
    return not _has_mesh(folder) or _last_time(first) > _last_time(folder)


def _last_time(folder: str) -> float:
    times = (_number(name) for name in os.listdir(folder))
    return max((t for t in times if t is not None), default=-1.0)


def _fields(data: Any) -> dict[str, np.ndarray]:
    return {
        f"cell:{n}": v
        for name, whole in arrays_of(data, "cell").items()
        for n, v in components(name, whole).items()
    }


class FoamCase:
    """Reads time t of a case: the fields "cell:name" on the mesh of the last time."""

    def __init__(
        self, folder: str, times: Sequence[float], names: Sequence[str], mesh: np.ndarray
    ) -> None:
        self.folder, self.times = folder, list(times)
        self.names, self.mesh = list(names), mesh

    def __call__(self, t: int) -> dict[str, np.ndarray]:
        label = f"{os.path.basename(self.folder)} at time {self.times[t]:g}"
        data = internal_mesh(self.folder, self.times[t])
        last = f"time {self.times[-1]:g}"
        check_mesh(self.mesh, geometry(data), label, last)
        return pick(data, self.names, label, last)


def _reader(folder: str) -> Any:
    from vtkmodules.vtkIOGeometry import vtkOpenFOAMReader
    from vtkmodules.vtkIOParallel import vtkPOpenFOAMReader

    reader: Any
    if is_decomposed(folder):
        reader = vtkPOpenFOAMReader()
        reader.SetCaseType(vtkPOpenFOAMReader.DECOMPOSED_CASE)
    else:
        reader = vtkOpenFOAMReader()
    reader.SetFileName(os.path.join(folder, "case.foam"))  # only its folder counts
    reader.SkipZeroTimeOff()
    reader.CreateCellToPointOff()
    return reader


def case_times(folder: str) -> list[float]:
    """Times that have a folder."""
    reader = _reader(folder)
    complaints = listen(reader)
    reader.UpdateInformation()
    values = reader.GetTimeValues()
    if complaints or values is None:
        why = complaints[0] if complaints else "no times"
        raise UnreadableFileError(
            f"{folder}: VTK cannot read this OpenFOAM case ({why}). Expected system/controlDict "
            "and time folders"
        )
    return [values.GetValue(i) for i in range(values.GetNumberOfValues())]


def internal_mesh(folder: str, time: float) -> Any:
    """The internal mesh at ``time``, with its cell fields."""
    reader = _reader(folder)
    complaints = listen(reader)
    reader.UpdateTimeStep(time)
    block = reader.GetOutput().GetBlock(0) if reader.GetOutput().GetNumberOfBlocks() else None
    if complaints or block is None:
        why = complaints[0] if complaints else "no internal mesh"
        raise UnreadableFileError(
            f"{folder} at time {time:g}: VTK cannot read it ({why}). The case may still be "
            "running or be incomplete; copy it again, or remove that time"
        )
    return block


def _units(folder: str, time: float, name: str) -> str:
    """SI units from the head of a field's file, as "m s-1"; nothing where there is none."""
    base = re.sub(r"_(x|y|z|xx|yy|zz|xy|yz|xz|\d)$", "", name)
    if is_decomposed(folder):
        folder = os.path.join(folder, "processor0")
    for step in os.listdir(folder):
        path = os.path.join(folder, step, base)
        if _number(step) == time and os.path.isfile(path):
            with open(path, "rb") as file:
                found = DIMENSIONS.search(file.read(4096))
            powers = [float(p) for p in found.group(1).split()] if found else []
            parts = [
                f"{unit}{'' if p == 1 else f'{p:g}'}"
                for unit, p in zip(SI, powers, strict=False)
                if p
            ]
            return " ".join(parts) or ("1" if powers else "")
    return ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
