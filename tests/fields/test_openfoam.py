"""OpenFOAM cases, whole and decomposed, written by foamlib."""

import pickle
import shutil

import numpy as np
import pytest

from romae.errors import DataError, UnreadableFileError
from romae.fields import open_snapshots

pytest.importorskip("vtkmodules", reason="needs the library vtk")
pytest.importorskip("foamlib")

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


def write_case(case, times=("0", "0.5", "1"), boxes=(0, 1)):
    """A case of boxes in a row, those of ``XS`` whose numbers are in ``boxes``."""
    n = len(boxes)

    def at(i, j, k):
        return i + (n + 1) * (j + 2 * k)

    xs = [XS[b] for b in (*boxes, boxes[-1] + 1)]
    points = [[float(x), float(y), float(z)] for z in (0, 1) for y in (0, 1) for x in xs]
    faces = [[at(i, 0, 0), at(i, 1, 0), at(i, 1, 1), at(i, 0, 1)] for i in range(1, n)]
    owner = list(range(n - 1))
    for i in range(n):
        low, high = (i, i + 1)
        faces.append([at(low, 0, 0), at(low, 1, 0), at(high, 1, 0), at(high, 0, 0)])
        faces.append([at(low, 0, 1), at(high, 0, 1), at(high, 1, 1), at(low, 1, 1)])
        faces.append([at(low, 0, 0), at(high, 0, 0), at(high, 0, 1), at(low, 0, 1)])
        faces.append([at(low, 1, 0), at(low, 1, 1), at(high, 1, 1), at(high, 1, 0)])
        owner += [i] * 4
    faces.append([at(0, 0, 0), at(0, 0, 1), at(0, 1, 1), at(0, 1, 0)])
    faces.append([at(n, 0, 0), at(n, 1, 0), at(n, 1, 1), at(n, 0, 1)])
    mesh = case / "constant" / "polyMesh"
    control = {"application": "icoFoam", "startTime": 0, "endTime": 1, "deltaT": 0.5}
    foam(case / "system" / "controlDict", "dictionary", **control, writeInterval=1)
    listed(mesh / "points", "vectorField", points)
    foam(mesh / "faces", "faceList")
    rows = "\n".join(f"4({' '.join(map(str, f))})" for f in faces)
    (mesh / "faces").write_text((mesh / "faces").read_text() + f"\n{len(faces)}\n(\n{rows}\n)\n")
    listed(mesh / "owner", "labelList", [*owner, 0, n - 1])
    listed(mesh / "neighbour", "labelList", list(range(1, n)))
    foam(mesh / "boundary", "polyBoundaryMesh")
    walls = f"walls {{ type wall; nFaces {len(faces) - n + 1}; startFace {n - 1}; }}"
    (mesh / "boundary").write_text((mesh / "boundary").read_text() + f"1\n(\n{walls}\n)\n")
    for text in times:
        t = float(text)
        u = np.array([[t, 1, 0], [1 + t, 2, 0]])[list(boxes)]
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
            internalField=3.0 if t == 0 else np.array([t, 2 + t])[list(boxes)],
            boundaryField=walls,
        )
    return case


def test_openfoam(tmp_path):
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
    case = write_case(tmp_path / "cavity")
    (case / "0" / "p").unlink()
    np.testing.assert_array_equal(open_snapshots(case).times().values, [0.5, 1])
    (case / "0.5" / "p").unlink()
    with pytest.raises(DataError, match=r"cavity at time 0.5: has no cell array for 'p'"):
        open_snapshots(case).read(0, 2)
    (case / "constant" / "polyMesh").rename(case / "processors2")
    with pytest.raises(UnreadableFileError, match=r"no mesh in constant/polyMesh.*reconstructPar"):
        open_snapshots(case)


def write_decomposed(case, **options):
    for i in (0, 1):
        write_case(case / f"processor{i}", boxes=(i,), **options)
    (case / "processor0" / "system").rename(case / "system")
    return case


def test_openfoam_decomposed(tmp_path):
    whole = open_snapshots(write_case(tmp_path / "whole"))
    case = write_decomposed(tmp_path / "parallel")
    for _ in range(2):
        opened = open_snapshots(case)
        assert opened.layout.names == whole.layout.names
        np.testing.assert_array_equal(opened.read(0, 3), whole.read(0, 3))
        np.testing.assert_array_equal(opened.times().values, [0, 0.5, 1])
        np.testing.assert_allclose(opened.layout.weights, whole.layout.weights)
        assert [f.units for f in opened.layout.fields] == [f.units for f in whole.layout.fields]
        write_case(case, times=("0",))  # as it was before decomposePar: only the beginning
    for text in ("0.5", "1"):  # put together again: the folders of the processors are old
        shutil.copytree(tmp_path / "whole" / text, case / text)
    shutil.rmtree(case / "processor1")
    np.testing.assert_array_equal(open_snapshots(case).read(0, 3), whole.read(0, 3))
