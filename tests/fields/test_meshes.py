"""VTK series and OpenFOAM cases, written by vtk and foamlib."""

import pickle
import sys

import numpy as np
import pytest

from romae.errors import (
    DataError,
    GridMismatchError,
    MissingDependencyError,
    MissingFileError,
    UnreadableFileError,
)
from romae.fields import inspect_source, open_snapshots, survey

pytest.importorskip("vtkmodules", reason="needs the library vtk")

from vtkmodules.util.numpy_support import numpy_to_vtk
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import (
    VTK_TRIANGLE,
    vtkImageData,
    vtkRectilinearGrid,
    vtkStructuredGrid,
    vtkUnstructuredGrid,
)
from vtkmodules.vtkIOLegacy import vtkUnstructuredGridWriter
from vtkmodules.vtkIOXML import vtkXMLDataSetWriter

T = 8
PLANE = np.array([[0, 0, 0], [1, 0, 0], [3, 0, 0], [0, 1, 0], [1, 1, 0], [3, 1, 0]], float)
TRIANGLES = [(0, 1, 4), (0, 4, 3), (1, 2, 5), (1, 5, 4)]  # areas 1/2, 1/2, 1, 1
RNG = np.random.default_rng(0)
U = RNG.normal(size=(T, 6, 3)).astype("f4")
P = RNG.normal(size=(T, 6))


def attach(holder, name, values):
    array = numpy_to_vtk(np.ascontiguousarray(values), deep=1)
    array.SetName(name)
    holder.AddArray(array)


def mesh(t, points=PLANE, time=None):
    grid = vtkUnstructuredGrid()
    placed = vtkPoints()
    placed.SetData(numpy_to_vtk(np.ascontiguousarray(points), deep=1))
    grid.SetPoints(placed)
    for triangle in TRIANGLES:
        grid.InsertNextCell(VTK_TRIANGLE, 3, triangle)
    attach(grid.GetPointData(), "U", U[t])
    attach(grid.GetPointData(), "p", P[t])
    if time is not None:
        attach(grid.GetFieldData(), "TimeValue", np.array([time]))
    return grid


def write(path, data, writer=vtkXMLDataSetWriter):
    made = writer()
    made.SetFileName(str(path))
    made.SetInputData(data)
    if hasattr(made, "SetFileTypeToBinary"):  # ASCII is rounded to six digits
        made.SetFileTypeToBinary()
    made.Write()
    return path


def series(folder, **options):
    folder.mkdir(exist_ok=True)
    times = options.pop("times", [None] * T)
    return [write(folder / f"run_{t}.vtu", mesh(t, time=times[t], **options)) for t in range(T)]


def check(opened):
    assert opened.layout.names == ("U_x", "U_y", "U_z", "p")
    assert opened.layout.space == ("point",)
    assert opened.layout.unstructured
    want = np.concatenate([np.moveaxis(U, -1, 1), P[:, None]], axis=1)
    np.testing.assert_array_equal(opened.read(0, T), want)
    np.testing.assert_array_equal(opened.read(3, 5), want[3:5])
    again = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(again.read(T - 1, T), want[-1:])
    np.testing.assert_array_equal(opened.layout.coords.x, PLANE[:, 0])
    assert set(opened.layout.coords.coords) == {"x", "y", "point_area"}
    # a third of every triangle that meets in the point, over the mean
    share = np.array([1, 1.5 + 1, 1, 0.5, 0.5 + 0.5 + 1, 2]) / 3
    np.testing.assert_allclose(opened.layout.weights, share / share.mean())


def test_vtu_series(tmp_path):
    series(tmp_path / "run", times=list(0.5 * np.arange(T)))
    for source in (tmp_path / "run", tmp_path / "run" / "*.vtu"):
        opened = open_snapshots(source)
        check(opened)
        np.testing.assert_array_equal(opened.times().values, 0.5 * np.arange(T))
    assert "8 files" in opened.source
    found = {f.topic: f.text for f in inspect_source(tmp_path / "run")}
    assert found["grid"] == "point=6; points without order, weighted by their cells"


def test_vtu_without_times_and_legacy_vtk(tmp_path):
    series(tmp_path / "run")
    opened = open_snapshots(tmp_path / "run")
    check(opened)
    np.testing.assert_array_equal(opened.times().values, np.arange(T))
    for t in range(T):
        write(tmp_path / f"old_{t}.vtk", mesh(t), vtkUnstructuredGridWriter)
    check(open_snapshots(tmp_path / "old_*.vtk"))


def test_pvd_collection(tmp_path):
    paths = series(tmp_path / "run")
    entries = "".join(
        f'<DataSet timestep="{0.25 * t}" part="0" file="run/{p.name}"/>'
        for t, p in enumerate(paths)
    )
    text = f'<VTKFile type="Collection" version="0.1"><Collection>{entries}</Collection></VTKFile>'
    (tmp_path / "run.pvd").write_text(text)
    opened = open_snapshots(tmp_path / "run.pvd")
    check(opened)
    assert opened.dt == 0.25
    paths[3].unlink()
    with pytest.raises(MissingFileError, match=r"run.pvd lists 'run_3.vtu', which is not there"):
        open_snapshots(tmp_path / "run.pvd")


def test_each_file_is_read_once_per_pass(tmp_path, monkeypatch):
    from romae.fields import vtkseries

    series(tmp_path / "run")
    opened = open_snapshots(tmp_path / "run")
    opened = pickle.loads(pickle.dumps(opened))  # nothing held yet
    seen, load = [], vtkseries.load
    monkeypatch.setattr(vtkseries, "load", lambda path: seen.append(path) or load(path))
    survey(opened)
    assert len(seen) == len(set(seen)) == T


def test_steps_that_differ(tmp_path):
    series(tmp_path / "run")
    moved = PLANE + np.array([0.0, 0.1, 0.0])
    write(tmp_path / "run" / "run_5.vtu", mesh(5, moved))
    opened = open_snapshots(tmp_path / "run")
    with pytest.raises(GridMismatchError, match=r"run_5.vtu: mesh point 0 is at .*run_0.vtu"):
        survey(opened)
    larger = mesh(5, np.vstack([PLANE, PLANE[:1]]))
    larger.GetPointData().Initialize()
    write(tmp_path / "run" / "run_5.vtu", larger)
    with pytest.raises(GridMismatchError, match=r"run_5.vtu: the mesh has 7 points; expected 6"):
        survey(open_snapshots(tmp_path / "run"))
    bare = mesh(5)
    bare.GetPointData().RemoveArray("p")
    write(tmp_path / "run" / "run_5.vtu", bare)
    with pytest.raises(DataError, match=r"run_5.vtu: has no point array for 'p'"):
        survey(open_snapshots(tmp_path / "run"))


def test_some_files_with_times(tmp_path):
    series(tmp_path / "run", times=[0.0, 1.0, None, *range(3, T)])
    with pytest.raises(DataError, match=r"run_2.vtu has no TimeValue, run_0.vtu has one"):
        open_snapshots(tmp_path / "run")


@pytest.mark.parametrize("kept", [700, 0.6])
def test_truncated_vtu(tmp_path, kept):
    path = series(tmp_path / "run")[2]
    data = path.read_bytes()
    path.write_bytes(data[: kept if kept > 1 else int(kept * len(data))])
    with pytest.raises(UnreadableFileError, match=r"run_2.vtu: VTK cannot read it"):
        open_snapshots(tmp_path / "run").read(0, T)


def test_without_vtk(tmp_path, monkeypatch):
    series(tmp_path / "run")
    monkeypatch.setitem(sys.modules, "vtkmodules.vtkCommonCore", None)
    with pytest.raises(MissingDependencyError, match=r"Type: pip install vtk"):
        open_snapshots(tmp_path / "run")


def grid_values(data, t):
    n = data.GetNumberOfPoints()
    attach(data.GetPointData(), "p", np.arange(n) + 100.0 * t)
    return data


def test_grids_of_vtk_are_grids(tmp_path):
    for t in range(3):
        image = vtkImageData()
        image.SetDimensions(4, 3, 1)
        image.SetSpacing(0.5, 1, 1)
        write(tmp_path / f"i{t}.vti", grid_values(image, t))
        stretched = vtkRectilinearGrid()
        stretched.SetDimensions(4, 3, 2)
        for axis, values in zip("XYZ", ([0, 1, 3, 7], [0, 1, 2], [0, 5]), strict=True):
            getattr(stretched, f"Set{axis}Coordinates")(numpy_to_vtk(np.array(values, float), 1))
        write(tmp_path / f"r{t}.vtr", grid_values(stretched, t))
        bent = vtkStructuredGrid()
        bent.SetDimensions(4, 3, 1)
        x, y = np.meshgrid([0.0, 1, 3, 7], [0.0, 1, 2])
        placed = vtkPoints()
        at = np.stack([x + 0.1 * y, y, 0 * x], -1).reshape(-1, 3)
        placed.SetData(numpy_to_vtk(at, deep=1))
        bent.SetPoints(placed)
        write(tmp_path / f"s{t}.vts", grid_values(bent, t))
    image = open_snapshots(tmp_path / "i*.vti")
    assert (image.layout.space, image.layout.shape) == (("y", "x"), (3, 4))
    np.testing.assert_array_equal(image.layout.coords.x, [0, 0.5, 1, 1.5])
    np.testing.assert_array_equal(image.read(2, 3)[0, 0], 200 + np.arange(12).reshape(3, 4))
    assert not image.layout.unstructured
    stretched = open_snapshots(tmp_path / "r*.vtr")
    assert (stretched.layout.space, stretched.layout.shape) == (("z", "y", "x"), (2, 3, 4))
    np.testing.assert_array_equal(stretched.layout.coords.x, [0, 1, 3, 7])
    bent = open_snapshots(tmp_path / "s*.vts")
    assert (bent.layout.space, bent.layout.shape) == (("j", "i"), (3, 4))
    assert bent.layout.coords.x.dims == ("j", "i")


XS = (0, 1, 4)  # two boxes of width 1 and 3


def foam(path, kind, **content):
    from foamlib import FoamFile

    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    with FoamFile(path) as file:
        file["FoamFile"] = {"version": 2.0, "format": "ascii", "class": kind, "object": path.name}
        for key, value in content.items():
            file[key] = value


def listed(path, kind, rows):
    """A list with its length in front, as OpenFOAM itself writes it."""
    foam(path, kind)
    text = "\n".join(str(r).replace(",", " ").replace("[", "(").replace("]", ")") for r in rows)
    path.write_text(path.read_text() + f"\n{len(rows)}\n(\n{text}\n)\n")


def write_case(case, times=("0", "0.5", "1")):
    def at(i, j, k):
        return i + 3 * j + 6 * k

    points = [[float(x), float(y), float(z)] for z in (0, 1) for y in (0, 1) for x in XS]
    faces = [[at(1, 0, 0), at(1, 1, 0), at(1, 1, 1), at(1, 0, 1)]]
    for i in (0, 1):
        low, high = (i, i + 1)
        faces.append([at(low, 0, 0), at(low, 1, 0), at(high, 1, 0), at(high, 0, 0)])
        faces.append([at(low, 0, 1), at(high, 0, 1), at(high, 1, 1), at(low, 1, 1)])
        faces.append([at(low, 0, 0), at(high, 0, 0), at(high, 0, 1), at(low, 0, 1)])
        faces.append([at(low, 1, 0), at(low, 1, 1), at(high, 1, 1), at(high, 1, 0)])
    faces.append([at(0, 0, 0), at(0, 0, 1), at(0, 1, 1), at(0, 1, 0)])
    faces.append([at(2, 0, 0), at(2, 1, 0), at(2, 1, 1), at(2, 0, 1)])
    mesh = case / "constant" / "polyMesh"
    control = {"application": "icoFoam", "startTime": 0, "endTime": 1, "deltaT": 0.5}
    foam(case / "system" / "controlDict", "dictionary", **control, writeInterval=1)
    listed(mesh / "points", "vectorField", points)
    foam(mesh / "faces", "faceList")
    rows = "\n".join(f"4({' '.join(map(str, f))})" for f in faces)
    (mesh / "faces").write_text((mesh / "faces").read_text() + f"\n{len(faces)}\n(\n{rows}\n)\n")
    listed(mesh / "owner", "labelList", [0, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1])
    listed(mesh / "neighbour", "labelList", [1])
    foam(mesh / "boundary", "polyBoundaryMesh")
    walls = "1\n(\nwalls { type wall; nFaces 10; startFace 1; }\n)\n"
    (mesh / "boundary").write_text((mesh / "boundary").read_text() + walls)
    for text in times:
        t = float(text)
        u = np.array([[t, 1, 0], [1 + t, 2, 0]])
        walls = {"walls": {"type": "zeroGradient"}}
        foam(
            case / text / "U",
            "volVectorField",
            dimensions=[0, 1, -1, 0, 0, 0, 0],
            internalField=u,
            boundaryField=walls,
        )
        foam(
            case / text / "p",
            "volScalarField",
            dimensions=[0, 2, -2, 0, 0, 0, 0],
            internalField=3.0 if t == 0 else np.array([t, 2 + t]),
            boundaryField=walls,
        )
    return case


def test_openfoam(tmp_path):
    pytest.importorskip("foamlib")
    case = write_case(tmp_path / "cavity")
    (case / "cavity.foam").touch()
    for source in (case, case / "cavity.foam"):
        opened = open_snapshots(source, variables=["U_x", "U_y", "p"])
        assert opened.layout.space == ("cell",)
        np.testing.assert_array_equal(opened.times().values, [0, 0.5, 1])
        want = [[[t, 1 + t], [1, 2], [3, 3] if t == 0 else [t, 2 + t]] for t in (0, 0.5, 1)]
        np.testing.assert_allclose(opened.read(0, 3), want)
    np.testing.assert_allclose(opened.layout.coords.x, [0.5, 2.5])
    np.testing.assert_allclose(opened.layout.weights, [0.5, 1.5])
    assert [f.units for f in opened.layout.fields] == ["m s-1", "m s-1", "m2 s-2"]
    again = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(again.read(1, 2), opened.read(1, 2))


def test_openfoam_faults(tmp_path):
    pytest.importorskip("foamlib")
    case = write_case(tmp_path / "cavity")
    (case / "0" / "p").unlink()
    np.testing.assert_array_equal(open_snapshots(case).times().values, [0.5, 1])
    (case / "0.5" / "p").unlink()
    with pytest.raises(DataError, match=r"cavity at time 0.5: has no cell array for 'p'"):
        open_snapshots(case).read(0, 2)
    (case / "constant" / "polyMesh").rename(case / "processor0")
    with pytest.raises(UnreadableFileError, match=r"no mesh in constant/polyMesh.*reconstructPar"):
        open_snapshots(case)


def test_vtk_that_is_no_grid(tmp_path):
    (tmp_path / "a.vtm").write_text('<VTKFile type="vtkMultiBlockDataSet"></VTKFile>')
    with pytest.raises(UnreadableFileError, match=r"holds vtkMultiBlockDataSet. Expected one grid"):
        open_snapshots(tmp_path / "a.vtm")


def test_reducers_on_a_mesh(tmp_path):
    import romae

    series(tmp_path / "run", times=list(0.5 * np.arange(T)))
    snapshots = open_snapshots(tmp_path / "run", variables=["U_x", "U_y", "p"])
    pod = romae.POD(rank=T - 1).fit(snapshots)
    back = pod.reconstruct(snapshots)
    assert back.p.dims == ("time", "point")
    np.testing.assert_allclose(back.p.values, P, rtol=1e-4, atol=1e-4)
    train = romae.TrainConfig(epochs=1)
    assert romae.PODAutoencoder(latent=2, train=train).fit(snapshots).latent == 2
    with pytest.raises(DataError, match=r"needs a grid.*6 points along 'point'.*PODAutoencoder"):
        romae.ConvAutoencoder(latent=2, train=train).fit(snapshots)
