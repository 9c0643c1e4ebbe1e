"""VTKHDF files (.vtkhdf): one mesh, or the steps of a series on one mesh, in HDF5.

    /VTKHDF            the mesh and its arrays
    /VTKHDF/Steps      where each step begins, and its time, in files of several

Read by way of the vtk library, a step at a time.
Source: "VTKHDF file format", VTK documentation, version 2.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from romae.fields.meshes import geometry
from romae.fields.steps import Steps
from romae.fields.vtkfiles import checked, listen, need_vtk
from romae.fields.vtkseries import as_dataset, check_mesh, pick, placed_fields


class HdfSteps:
    """Reads step t of a file: the arrays "place:name" on the mesh of the first."""

    def __init__(self, path: str, names: Sequence[str], mesh: np.ndarray) -> None:
        self.path, self.names, self.mesh = os.path.abspath(path), list(names), mesh

    def __call__(self, t: int) -> dict[str, np.ndarray]:
        data, label = load_step(self.path, t), f"{os.path.basename(self.path)} at step {t}"
        check_mesh(self.mesh, geometry(data), label, "step 0")
        return pick(data, self.names, label, "step 0")


def is_vtkhdf(path: str) -> bool:
    """Whether an HDF5 file holds VTK data; :class:`OSError` where HDF5 cannot open it."""
    try:
        import h5py
    except ImportError:
        return False
    with h5py.File(path, "r") as file:
        return "VTKHDF" in file


def load_step(path: str, t: int) -> Any:
    """The vtkDataSet at step ``t``."""
    reader, complaints = _reader(path)
    reader.SetStep(t)
    reader.Update()
    return checked(reader.GetOutputDataObject(0), complaints, path)


def _reader(path: str) -> tuple[Any, list[str]]:
    from vtkmodules.vtkIOHDF import vtkHDFReader

    reader = vtkHDFReader()
    complaints = listen(reader)
    reader.SetFileName(path)
    reader.UpdateInformation()
    return reader, complaints


def open_vtkhdf(path: str) -> xr.Dataset:
    """One lazy Dataset (time, *grid); times are those of the file, if it has any."""
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

    need_vtk(path)
    reader, _ = _reader(path)
    key = vtkStreamingDemandDrivenPipeline.TIME_STEPS()
    times = reader.GetOutputInformation(0).Get(key)
    first = load_step(path, 0)
    fields = placed_fields(first)
    steps = Steps(HdfSteps(path, list(fields), geometry(first)), len(times or (0,)))
    return as_dataset(first, fields, steps, None if times is None else np.array(times))
