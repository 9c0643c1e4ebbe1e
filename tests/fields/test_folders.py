"""A folder with one file per step, and series whose files are stored differently."""

import h5py
import numpy as np
import pytest

from romae.errors import DataError, OptionError, UnreadableFileError
from romae.fields import open_snapshots


def stacked(dataset):
    return np.stack([dataset[n].values for n in ("u", "v", "p")], axis=1)


def test_folder_of_steps_with_times(tmp_path, small):
    for i in range(24):
        small.isel(time=i).to_netcdf(tmp_path / f"step_{i}.nc")
    (tmp_path / "README.txt").write_text("one file per step")
    opened = open_snapshots(tmp_path)
    np.testing.assert_array_equal(opened.read(0, 24), stacked(small))
    np.testing.assert_array_equal(opened.times().values, small.time.values)
    assert "24 files" in opened.source


@pytest.mark.parametrize("kind", ["nc", "npy", "npz", "h5"])
def test_folder_of_steps_without_times(tmp_path, small, kind):
    for i in range(11):
        step, path = small.isel(time=i, drop=True), tmp_path / f"u_{i}.{kind}"
        if kind == "nc":
            step[["u"]].to_netcdf(path)
        elif kind == "h5":
            with h5py.File(path, "w") as file:
                file["u"] = step.u.values
        elif kind == "npy":
            np.save(path, step.u.values)
        else:
            np.savez_compressed(path, u=step.u.values)
    if kind == "nc":
        with pytest.raises(DataError, match=r"no time dimension.*time='file'"):
            open_snapshots(tmp_path)
    opened = open_snapshots(tmp_path, time="file")
    assert opened.layout.names == ("u",)
    assert opened.layout.space == ("y", "x")
    np.testing.assert_array_equal(opened.read(0, 11)[:, 0], small.u.values[:11])
    np.testing.assert_array_equal(opened.times().values, np.arange(11))
    assert opened.to_dataset().u.shape == (11, 5, 6)


def test_every_step_is_read_by_itself(tmp_path, small, monkeypatch):
    from romae.fields.numpyfile import MappedArray

    for i in range(6):
        np.save(tmp_path / f"u_{i}.npy", small.u.values[i])
    opened = open_snapshots(tmp_path, time="file")
    seen, read = [], MappedArray._read
    monkeypatch.setattr(MappedArray, "_read", lambda s, k: seen.append(s.path) or read(s, k))
    opened.read(2, 4)
    assert [p.rsplit("/", 1)[-1] for p in seen] == ["u_2.npy", "u_3.npy"]


def test_folders_that_do_not_open(tmp_path, small):
    np.save(tmp_path / "a.npy", small.u.values)
    small.to_netcdf(tmp_path / "b.nc")
    with pytest.raises(
        UnreadableFileError, match=r"several kinds: 1 NumPy \(a.npy\), 1 HDF5 \(b.nc\).*glob"
    ):
        open_snapshots(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFileError, match=r"empty is a folder without .*0 files"):
        open_snapshots(tmp_path / "empty")


def test_npy_steps_of_different_shape(tmp_path, small):
    for i in range(3):
        np.save(tmp_path / f"u_{i}.npy", small.u.values[i, : 5 - (i == 2)])
    with pytest.raises(DataError, match=r"u_2.npy: y has 4 points; expected 5 as in u_0.npy"):
        open_snapshots(tmp_path, time="file")


def test_series_stored_in_different_ways(tmp_path, small):
    ways = [
        {},
        {"chunksizes": (3, 5, 6), "zlib": True, "shuffle": True},
        {"chunksizes": (6, 2, 3), "compression": "zstd"},
        {"dtype": "f8", "fletcher32": True},
    ]
    for i, way in enumerate(ways):
        part = small.isel(time=slice(6 * i, 6 * i + 6))
        part.to_netcdf(tmp_path / f"{i}.nc", encoding=dict.fromkeys("uvp", way))
    opened = open_snapshots(tmp_path / "*.nc")
    np.testing.assert_array_equal(opened.read(0, 24), stacked(small))
    np.testing.assert_array_equal(
        np.concatenate([b.values for b in opened.blocks(2000)]), stacked(small)
    )


def test_overlapping_times_name_both_files(tmp_path, small):
    for name, a, b in (("a", 0, 10), ("b", 8, 24)):
        np.savez(tmp_path / f"{name}.npz", u=small.u.values[a:b], t=small.time.values[a:b])
    with pytest.raises(DataError, match=r"b.npz starts at .* 4.0, not after a.npz, .* 4.25"):
        open_snapshots(tmp_path / "*.npz")


def test_field_that_becomes_text_in_one_file(tmp_path, small):
    np.savez(tmp_path / "a.npz", u=small.u.values)
    np.savez(tmp_path / "b.npz", u=small.u.values.astype("U8"))
    with pytest.raises((DataError, OptionError), match=r"b.npz"):
        open_snapshots(tmp_path / "*.npz")
