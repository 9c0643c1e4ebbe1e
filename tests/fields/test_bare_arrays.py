"""Files that hold bare arrays: HDF5 by a table in TOML, MATLAB, NumPy; all read lazily."""

import pickle

import h5py
import numpy as np
import pytest
import scipy.io

from romae.errors import DataError, MissingFileError, OptionError, UnreadableFileError
from romae.fields import open_snapshots


def values(dataset, names=("u", "v", "p")):
    return np.stack([dataset[n].values for n in names], axis=1)


def check(opened, dataset, names=("u", "v", "p")):
    """All values, in one read, in blocks that jump back, and from a pickled copy."""
    want = values(dataset, names)
    assert opened.layout.names == names
    np.testing.assert_array_equal(opened.read(0, len(opened)), want)
    np.testing.assert_array_equal(opened.read(9, 14), want[9:14])
    np.testing.assert_array_equal(opened.read(2, 5), want[2:5])
    again = pickle.loads(pickle.dumps(opened))
    np.testing.assert_array_equal(again.read(3, 4), want[3:4])


TOML = """
fields     = { velocity = "/flow/velocity", p = "/flow/p" }
components = { velocity = ["u", "v"] }
coords     = { time = "/flow/t", x = { start = 0.0, step = 0.5 }, y = [0, 1, 2, 3, 4] }
attrs      = { velocity = { units = "m/s" }, p = { units = "Pa" }, v = { long_name = "v!" } }

[dims]
velocity = ["time", "component", "y", "x"]
p        = ["time", "y", "x"]
"""


def test_hdf5_by_a_table_in_toml(tmp_path, small):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        velocity = np.stack([small.u.values, small.v.values], axis=1)
        file.create_dataset("flow/velocity", data=velocity, chunks=(8, 2, 5, 6))
        file["flow/p"], file["flow/t"] = small.p.values, small.time.values
    (tmp_path / "layout.toml").write_text(TOML)
    opened = open_snapshots(
        tmp_path / "a.h5", layout=tmp_path / "layout.toml", variables=["u", "v", "p"]
    )
    check(opened, small)
    assert [f.units for f in opened.layout.fields] == ["m/s", "m/s", "Pa"]
    assert opened.layout.fields[1].attrs["long_name"] == "v!"
    np.testing.assert_array_equal(opened.layout.coords.x, 0.5 * np.arange(6))
    np.testing.assert_array_equal(opened.times().values, small.time.values)
    assert opened.block_ranges(9 * opened.layout.size * 4)[0] == (0, 0, 8)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("coord = {}", r"layout.toml: unknown key 'coord'.*'coords'"),
        ("fields = 3", r"layout.toml.fields: .*got 3"),
        ("coords = { x = { start = 0 } }", r"coordinate 'x' is .*start.*step = 0.1"),
        ("coords = { x = [1, 2] }", r"coordinate 'x' of the layout has shape \(2,\).*\(6,\)"),
        ("coords = { q = [1, 2] }", r"coordinate 'q': no such axis"),
        ("dims = ['time', 'y']", r"no dataset looks like a field"),
    ],
)
def test_wrong_table(tmp_path, small, text, expected):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = small.u.values
    (tmp_path / "layout.toml").write_text(text)
    with pytest.raises((OptionError, DataError), match=expected):
        open_snapshots(tmp_path / "a.h5", layout=str(tmp_path / "layout.toml"))


def test_table_that_is_missing_or_of_no_use(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc", format="NETCDF3_CLASSIC")
    with pytest.raises(MissingFileError, match=r"layuot.toml"):
        open_snapshots(tmp_path / "a.nc", layout="layuot.toml")
    with pytest.raises(OptionError, match=r"layout is 3. Expected a TOML file"):
        open_snapshots(tmp_path / "a.nc", layout=3)
    with pytest.raises(OptionError, match=r"a netCDF classic file names its dimensions itself"):
        open_snapshots(tmp_path / "a.nc", layout={})


def test_components_with_wrong_number_of_names(tmp_path, small):
    np.save(tmp_path / "a.npy", values(small))
    dims = ["time", "component", "y", "x"]
    with pytest.raises(OptionError, match=r"names 2 fields, 'a' has 3"):
        open_snapshots(tmp_path / "a.npy", layout={"dims": dims, "components": ["u", "v"]})


def test_hdf5_types_that_are_no_numbers(tmp_path, small):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["u"] = small.u.values
        file["z"] = small.u.values + 1j
        file["s"] = np.full((24, 5, 6), b"text")
        file.create_dataset("empty", dtype="f4")
    assert open_snapshots(tmp_path / "a.h5").layout.names == ("u",)
    with pytest.raises(DataError, match=r"'z' has type complex64.*Expected real numbers"):
        open_snapshots(tmp_path / "a.h5", variables=["/z"])
    with pytest.raises(DataError, match=r"'/s' has type .S4.*Expected real numbers"):
        open_snapshots(tmp_path / "a.h5", variables=["/s"])


def write_matlab(path, arrays):
    """As MATLAB writes v7.3: a header of 512 bytes, columns first, the class as an attribute."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            array = np.atleast_2d(array)
            kind = {"f4": "single", "f8": "double", "u2": "char"}[array.dtype.str[1:]]
            made = file.create_dataset(name, data=array.T, chunks=array.T.shape, compression="gzip")
            made.attrs["MATLAB_class"] = np.bytes_(kind)
        file["#refs#/a"] = np.zeros((3, 4))
    with open(path, "r+b") as file:
        head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Fri Jan  2 10:00:00 2026"
        file.write(head.ljust(124) + b"\x00\x02IM")


def as_matlab(small):
    """u(y, x, time) and the like, t as a row, x as a column, a text and a number."""
    arrays = {n: small[n].transpose("y", "x", "time").values for n in "uvp"}
    return {**arrays, "t": small.time.values, "x": small.x.values[:, None], "Re": np.array(100.0)}


def check_matlab(opened, small):
    check(opened, small.transpose("time", "x", "y"))
    np.testing.assert_array_equal(opened.times().values, small.time.values)
    np.testing.assert_array_equal(opened.layout.coords.x, small.x.values)
    assert opened.layout.space == ("x", "y")


def test_matlab_v73(tmp_path, small):
    text = {"note": np.frombuffer("a note".encode("utf-16-le"), "u2")}
    write_matlab(tmp_path / "a.mat", {**as_matlab(small), **text})
    check_matlab(open_snapshots(tmp_path / "a.mat", variables=["u", "v", "p"]), small)
    assert set(open_snapshots(tmp_path / "a.mat").layout.names) == {"u", "v", "p"}
    named = open_snapshots(
        tmp_path / "a.mat",
        variables=["u", "v", "p"],
        space=["b", "a"],
        layout={"dims": ["a", "b", "time"], "coords": {"time": "t"}},
    )
    check(named, small.transpose("time", "x", "y"))
    np.testing.assert_array_equal(named.times().values, small.time.values)


@pytest.mark.parametrize("compressed", [True, False])
def test_matlab_v5(tmp_path, small, compressed):
    arrays = {**as_matlab(small), "note": "a note"}
    scipy.io.savemat(tmp_path / "a.mat", arrays, do_compression=compressed)
    check_matlab(open_snapshots(tmp_path / "a.mat", variables=["u", "v", "p"]), small)
    data = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadableFileError, match=r"a.mat"):
        open_snapshots(tmp_path / "a.mat").read(0, 24)


def test_snapshot_matrix_of_matlab(tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 12))  # points by snapshots
    write_matlab(tmp_path / "X.mat", {"X": X})
    opened = open_snapshots(tmp_path / "X.mat")
    np.testing.assert_array_equal(opened.read(0, 12)[:, 0], X.T)


def test_npy(tmp_path, small):
    np.save(tmp_path / "u.npy", small.u.values)
    opened = open_snapshots(tmp_path / "u.npy")
    check(opened, small, ("u",))
    assert opened.layout.space == ("y", "x")
    np.testing.assert_array_equal(opened.times().values, np.arange(24))
    np.save(tmp_path / "f.npy", np.asfortranarray(small.u.values))
    check(open_snapshots(tmp_path / "f.npy", layout={"fields": ["u"]}), small, ("u",))


def test_npy_with_channels_and_cases(tmp_path, small):
    np.save(tmp_path / "all.npy", values(small))
    dims, names = ["time", "component", "y", "x"], ["u", "v", "p"]
    time = {"start": 2.0, "step": 0.25}
    opened = open_snapshots(
        tmp_path / "all.npy", layout={"dims": dims, "components": names, "coords": {"time": time}}
    )
    check(opened, small)
    assert opened.dt == 0.25
    np.save(tmp_path / "cases.npy", small.u.values.reshape(4, 6, 5, 6))
    cases = open_snapshots(tmp_path / "cases.npy", layout=["case", "time", "y", "x"])
    assert cases.lengths == (6, 6, 6, 6)
    np.testing.assert_array_equal(cases.read(1, 3, 2)[:, 0], small.u.values[13:15])
    np.save(tmp_path / "five.npy", np.zeros((2, 2, 2, 2, 2)))
    with pytest.raises(OptionError, match=r"5 axes .*too many to guess.*layout="):
        open_snapshots(tmp_path / "five.npy")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npz(tmp_path, small, save, order):
    arrays = {n: np.array(small[n].values, order=order) for n in ("u", "v", "p")}
    about = {"note": np.array({"a": 1}, dtype=object)}
    save(tmp_path / "a.npz", **arrays, t=small.time.values, y=small.y.values, **about)
    opened = open_snapshots(tmp_path / "a.npz")
    check(opened, small)
    np.testing.assert_array_equal(opened.times().values, small.time.values)
    np.testing.assert_array_equal(
        opened.isel(time=slice(1, 24, 9)).read(0, 3)[:, 0], small.u.values[1:24:9]
    )


def test_npz_is_inflated_once_per_pass(tmp_path, small, monkeypatch):
    from romae.fields.numpyfile import StreamedArray

    np.savez_compressed(tmp_path / "a.npz", u=small.u.values)
    seen = []
    rows = StreamedArray._rows
    monkeypatch.setattr(
        StreamedArray, "_rows", lambda s, a, b: seen.append((a, b)) or rows(s, a, b)
    )
    opened = open_snapshots(tmp_path / "a.npz")
    seen.clear()
    for t in range(0, 24, 6):
        opened.read(t, t + 6)
    assert seen == [(0, 6), (6, 12), (12, 18), (18, 24)]


def test_numpy_files_that_cannot_be_fields(tmp_path, small):
    np.save(tmp_path / "o.npy", np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match=r"o.npy: holds object. Expected real numbers"):
        open_snapshots(tmp_path / "o.npy")
    np.save(tmp_path / "z.npy", small.u.values + 1j)
    with pytest.raises(DataError, match=r"complex64"):
        open_snapshots(tmp_path / "z.npy")
    np.save(tmp_path / "t.npy", small.u.values)
    data = (tmp_path / "t.npy").read_bytes()
    (tmp_path / "t.npy").write_bytes(data[:-100])
    with pytest.raises(UnreadableFileError, match=r"truncated: 100 bytes"):
        open_snapshots(tmp_path / "t.npy")
    (tmp_path / "h.npy").write_bytes(data[:20])
    with pytest.raises(UnreadableFileError, match=r"h.npy: is no readable NumPy array"):
        open_snapshots(tmp_path / "h.npy")
