"""VTK files by way of the vtk library: .vtu, .vti, .vtr, .vts, .vtp, their parallel forms, .vtk,
several blocks in .vtm and the collections .pvd of ParaView. What a file is follows from its head,
not from its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from romae.errors import (
    DataError,
    MissingDependencyError,
    MissingFileError,
    UnreadableFileError,
)

LEGACY = b"# vtk DataFile"
XML = re.compile(rb"<VTKFile[^>]*\stype\s*=\s*[\"'](\w+)")
ENTRY = re.compile(r"<DataSet\b([^>]*)>")
ATTRIBUTE = re.compile(r"(\w+)\s*=\s*[\"']([^\"']*)[\"']")
GRIDS = ("UnstructuredGrid", "PolyData", "ImageData", "RectilinearGrid", "StructuredGrid")
READABLE = {n: n for g in GRIDS for n in (g, f"P{g}")}  # P: the parts that parallel runs write
BLOCKS = {
    "vtkMultiBlockDataSet": "MultiBlockData",
    "vtkPartitionedDataSet": "PartitionedDataSet",
    "vtkPartitionedDataSetCollection": "PartitionedDataSetCollection",
}


def kind_of(path: str) -> str:
    """Type in the head of a VTK file ("legacy" for .vtk), or nothing."""
    if not os.path.isfile(path):
        return ""
    with open(path, "rb") as file:
        head = file.read(1024)
    if head.startswith(LEGACY):
        return "legacy"
    match = XML.search(head)
    return match.group(1).decode() if match else ""


def need_vtk(path: str) -> None:
    """Raise :class:`MissingDependencyError` unless the vtk library is there."""
    try:
        import vtkmodules.vtkCommonCore  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: reading VTK files and OpenFOAM cases needs the library vtk, which is not "
            "installed. Type: pip install vtk"
        ) from error


def load(path: str) -> Any:
    """The vtkDataSet in ``path``; :class:`UnreadableFileError` when VTK complains."""
    from vtkmodules.vtkIOLegacy import vtkGenericDataObjectReader

    reader: Any
    kind = kind_of(path)
    if kind == "legacy":
        reader = vtkGenericDataObjectReader()
        for what in ("Scalars", "Vectors", "Fields", "Tensors", "Normals"):
            getattr(reader, f"ReadAll{what}On")()
    else:
        reader = _xml_reader(kind, path)
    complaints = listen(reader)
    reader.SetFileName(path)
    reader.Update()
    return checked(reader.GetOutputDataObject(0), complaints, path)


def checked(data: Any, complaints: Sequence[str], path: str) -> Any:
    """``data`` as one vtkDataSet; :class:`UnreadableFileError` without points."""
    data = None if data is None or complaints else merged(data, path)
    if data is None or not data.GetNumberOfPoints():
        raise UnreadableFileError(
            f"{path}: VTK cannot read it ({complaints[0] if complaints else 'it has no points'}). "
            "Expected a complete file; copy it again, or leave it out"
        )
    return data


def merged(data: Any, path: str) -> Any:
    """The blocks of ``data`` end to end as one unstructured mesh, with the arrays of all of them.

    Points that blocks share are kept once for each. One block alone stays what it is.
    """
    from vtkmodules.vtkFiltersCore import vtkAppendFilter

    if not data.IsA("vtkCompositeDataSet"):
        return data
    if data.IsA("vtkUniformGridAMR"):
        raise UnreadableFileError(
            f"{path} holds grids on several levels (AMR). Expected one mesh; resample it to an "
            "image first, for example in ParaView"
        )
    blocks, at = [], data.NewIterator()  # which skips empty blocks
    while not at.IsDoneWithTraversal():
        blocks.append(at.GetCurrentDataObject())
        at.GoToNextItem()
    whole = blocks[0] if len(blocks) == 1 else None
    if len(blocks) > 1:
        append = vtkAppendFilter()
        for block in blocks:
            append.AddInputData(block)
        append.Update()
        whole = append.GetOutput()
    stamp = data.GetFieldData().GetArray("TimeValue")
    if whole is not None and stamp is not None:
        whole.GetFieldData().AddArray(stamp)
    return whole


def _xml_reader(kind: str, path: str) -> Any:
    """The reader of one kind of XML file: of UnstructuredGrid, PImageData, ..."""
    import vtkmodules.vtkIOXML

    name = (READABLE | BLOCKS).get(kind)
    if name is None:
        raise UnreadableFileError(
            f"{path} holds {kind or 'no VTK data'}. Expected {', '.join(GRIDS)} or blocks of them; "
            "convert it, for example in ParaView"
        )
    return getattr(vtkmodules.vtkIOXML, f"vtkXML{name}Reader")()


def listen(reader: Any) -> list[str]:
    """Errors of ``reader``, instead of text on the terminal."""
    from vtkmodules.vtkCommonCore import VTK_STRING

    complaints: list[str] = []

    def keep(_: Any, __: str, text: str) -> None:
        complaints.append(str(text).strip().splitlines()[-1])

    keep.CallDataType = VTK_STRING  # type: ignore[attr-defined]
    reader.AddObserver("ErrorEvent", keep)
    return complaints


def stamps(paths: Sequence[str], first: Any) -> np.ndarray | None:
    """Times (T,) that simulation codes put into the files as ``TimeValue``; only heads are read."""
    from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline

    stamp = first.GetFieldData().GetArray("TimeValue")
    if stamp is None or not stamp.GetNumberOfTuples():
        return None
    times = [float(stamp.GetTuple1(0))]
    for path in paths[1:]:
        if kind_of(path) in ("legacy", *BLOCKS):
            array = load(path).GetFieldData().GetArray("TimeValue")
            found = (array.GetTuple1(0),) if array else ()
        else:
            reader = _xml_reader(kind_of(path), path)
            reader.SetFileName(path)
            reader.UpdateInformation()
            key = vtkStreamingDemandDrivenPipeline.TIME_STEPS()
            found = reader.GetOutputInformation(0).Get(key) or ()
        if len(found) != 1:
            raise DataError(
                f"{os.path.basename(path)} has no TimeValue, {os.path.basename(paths[0])} has "
                "one. Expected a time in all files of a series, or in none"
            )
        times.append(float(found[0]))
    return np.array(times)


def read_collection(path: str) -> tuple[list[str], np.ndarray]:
    """Files and times that a .pvd collection lists."""
    with open(path, encoding="utf-8") as file:
        entries = [dict(ATTRIBUTE.findall(e)) for e in ENTRY.findall(file.read())]
    folder = os.path.dirname(os.path.abspath(path))
    files = [os.path.join(folder, e["file"]) for e in entries if "file" in e]
    if not files:
        raise DataError(f"{path} lists no files. Expected <DataSet timestep=... file=.../>")
    for file_path in files:
        if not os.path.exists(file_path):
            raise MissingFileError(
                f"{path} lists {os.path.basename(file_path)!r}, which is not there. Expected all "
                "its files beside it; copy them too"
            )
    return files, np.array([float(e.get("timestep", i)) for i, e in enumerate(entries)])
