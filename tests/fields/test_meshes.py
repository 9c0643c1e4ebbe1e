"""VTK files of every kind, one mesh over time, written by vtk."""

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
from vtkmodules.util.vtkAlgorithm import VTKPythonAlgorithmBase
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import (
    VTK_TRIANGLE,
    vtkImageData,
    vtkMultiBlockDataSet,
    vtkRectilinearGrid,
    vtkStructuredGrid,
    vtkUnstructuredGrid,
)
from vtkmodules.vtkCommonExecutionModel import vtkStreamingDemandDrivenPipeline
from vtkmodules.vtkIOHDF import vtkHDFWriter
from vtkmodules.vtkIOLegacy import vtkUnstructuredGridWriter
from vtkmodules.vtkIOXML import vtkXMLDataSetWriter, vtkXMLMultiBlockDataWriter

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


def blocks(t, time=None):
    """Two blocks, the second three to the right of the first."""
    whole = vtkMultiBlockDataSet()
    for i, part in enumerate((mesh(t), mesh(t, PLANE + np.array([3, 0, 0])))):
        whole.SetBlock(i, part)
    if time is not None:
        attach(whole.GetFieldData(), "TimeValue", np.array([time]))
    return whole


@pytest.mark.parametrize("times", [None, 0.5 * np.arange(T)])
def test_vtm_series(tmp_path, times):
    for t in range(T):
        data = blocks(t, None if times is None else times[t])
        write(tmp_path / f"b_{t}.vtm", data, vtkXMLMultiBlockDataWriter)
    opened = open_snapshots(str(tmp_path / "b_*.vtm"))
    assert opened.layout.names == ("U_x", "U_y", "U_z", "p")
    assert opened.layout.shape == (12,)
    np.testing.assert_array_equal(opened.read(2, 5)[:, 3], np.tile(P[2:5], 2))
    np.testing.assert_array_equal(opened.layout.coords.x[6:], PLANE[:, 0] + 3)
    want = np.arange(T) if times is None else times
    np.testing.assert_array_equal(opened.times().values, want)
    (tmp_path / "b_6" / "b_6_1.vtu").unlink()
    with pytest.raises((UnreadableFileError, GridMismatchError), match=r"b_6.vtm"):
        opened.read(6, 7)  # not read before


def test_vtm_of_one_block_stays_a_grid(tmp_path):
    for t in range(2):
        image = vtkImageData()
        image.SetDimensions(4, 3, 1)
        whole = vtkMultiBlockDataSet()
        whole.SetBlock(0, grid_values(image, t))
        write(tmp_path / f"i{t}.vtm", whole, vtkXMLMultiBlockDataWriter)
    assert open_snapshots(str(tmp_path / "i?.vtm")).layout.space == ("y", "x")


class Source(VTKPythonAlgorithmBase):
    """A series of meshes as a source with times, from which VTK writes all steps."""

    def __init__(self, times, make):
        super().__init__(nInputPorts=0, nOutputPorts=1, outputType="vtkUnstructuredGrid")
        self.times, self.make = times, make

    def RequestInformation(self, request, inputs, outputs):
        info = outputs.GetInformationObject(0)
        info.Set(vtkStreamingDemandDrivenPipeline.TIME_STEPS(), self.times, len(self.times))
        ends = [self.times[0], self.times[-1]]
        info.Set(vtkStreamingDemandDrivenPipeline.TIME_RANGE(), ends, 2)
        return 1

    def RequestData(self, request, inputs, outputs):
        key = vtkStreamingDemandDrivenPipeline.UPDATE_TIME_STEP()
        info = outputs.GetInformationObject(0)
        time = info.Get(key) if info.Has(key) else self.times[0]
        out = self.GetOutputData(outputs, 0)
        out.ShallowCopy(self.make(self.times.index(time)))
        out.GetInformation().Set(out.DATA_TIME_STEP(), time)
        return 1


def write_vtkhdf(path, times, make=mesh):
    source, writer = Source(list(times), make), vtkHDFWriter()
    writer.SetInputConnection(source.GetOutputPort())
    writer.SetFileName(str(path))
    writer.SetWriteAllTimeSteps(True)
    writer.Write()
    return path


def test_vtkhdf_with_steps(tmp_path):
    path = write_vtkhdf(tmp_path / "run.vtkhdf", 0.5 * np.arange(T))
    opened = open_snapshots(path)
    check(opened)
    np.testing.assert_array_equal(opened.times().values, 0.5 * np.arange(T))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableFileError, match=r"run.vtkhdf"):
        open_snapshots(path)


def test_vtkhdf_with_a_mesh_that_moves(tmp_path):
    def moving(t):
        return mesh(t, PLANE + np.array([0, 0.1 * (t > 1), 0]))

    opened = open_snapshots(write_vtkhdf(tmp_path / "run.vtkhdf", [0.0, 1, 2], moving))
    with pytest.raises(GridMismatchError, match=r"run.vtkhdf at step 2: mesh point 0 is at"):
        opened.read(0, 3)


def test_vtkhdf_one_file_per_step(tmp_path):
    for t in range(T):
        write(tmp_path / f"s_{t}.vtkhdf", mesh(t), vtkHDFWriter)
    check(open_snapshots(tmp_path))


def test_vtk_that_is_no_grid(tmp_path):
    (tmp_path / "a.vth").write_text('<VTKFile type="vtkHierarchicalBoxDataSet"></VTKFile>')
    with pytest.raises(UnreadableFileError, match=r"holds vtkHierarchicalBoxDataSet. Expected"):
        open_snapshots(tmp_path / "a.vth")
    (tmp_path / "a.vtm").write_text('<VTKFile type="vtkMultiBlockDataSet"></VTKFile>')
    with pytest.raises(UnreadableFileError, match=r"a.vtm: VTK cannot read it"):
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
