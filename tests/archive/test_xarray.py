"""An archive opens with plain xarray, and what is not a field is the source's to the last bit."""

import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import xarray as xr

import romae
from romae.archive import Archive
from romae.archive.store import Store
from romae.errors import ArchiveError, OptionError


def same_labels(a: xr.Dataset, b: xr.Dataset, fields=("u", "p")) -> None:
    """Coordinates, attributes, dims, dtypes and other variables are equal."""
    rest = [n for n in a.data_vars if n not in fields]
    xr.testing.assert_identical(a[rest].load(), b[rest].load())
    assert set(a.variables) == set(b.variables)
    for name in fields:
        assert a[name].dims == b[name].dims
        assert a[name].dtype == b[name].dtype
        assert a[name].attrs == b[name].attrs
        assert set(a[name].coords) == set(b[name].coords)


def rich(make_waves) -> xr.Dataset:
    """A source with most that CF knows."""
    data = make_waves()
    data = data.assign_coords(
        time=("time", np.datetime64("2001-02-03T04:05:06.789", "ns")
              + np.arange(40) * np.timedelta64(3661, "s").astype("m8[ns]")),
        lat=(("y", "x"), np.random.default_rng(1).normal(size=(6, 8)), {"units": "degrees_north"}),
        level=850.0,
        station=("x", list("abcdefgh")),
    )  # fmt: skip
    data["area"] = (("y", "x"), np.random.default_rng(2).normal(size=(6, 8)), {"units": "m2"})
    data["energy"] = ("time", np.arange(40.0), {"note": "a series"})
    data["grid_mapping"] = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    return data


def test_labels_of_a_rich_source_come_back_identical(tmp_path, make_waves):
    rich(make_waves).to_netcdf(tmp_path / "a.nc", unlimited_dims=["time"])
    romae.compress(tmp_path / "a.nc", tmp_path / "a.romae", rel=1e-3, chunk=16)
    source, back = xr.open_dataset(tmp_path / "a.nc"), xr.open_dataset(tmp_path / "a.romae")
    same_labels(source, back)
    assert back.encoding["unlimited_dims"] == {"time"}
    for key in ("units", "calendar"):
        assert back.time.encoding[key] == source.time.encoding[key]
    back.to_netcdf(tmp_path / "back.nc")
    again = xr.open_dataset(tmp_path / "back.nc")
    same_labels(source, again)
    xr.testing.assert_identical(again.load(), back.load())


@pytest.mark.parametrize("dates", ["noleap", "360_day"])
def test_calendars_come_back(tmp_path, make_waves, dates):
    data = make_waves()
    data["time"] = xr.date_range("2000-02-25", periods=40, calendar=dates, use_cftime=True)
    romae.compress(data, tmp_path / "a.romae", rel=1e-3)
    back = xr.open_dataset(tmp_path / "a.romae")
    assert back.indexes["time"].equals(data.indexes["time"])
    assert back.time.dt.calendar == dates


def test_times_that_an_encoding_would_round_come_back_to_the_last_bit(tmp_path, make_waves):
    data = make_waves()
    odd = np.datetime64("1999-12-31", "ns") + np.arange(40) * np.timedelta64(123456789, "ns")
    data["time"] = odd
    data["time"].encoding = {"units": "days since 1900-01-01", "dtype": "float32"}
    romae.compress(data, tmp_path / "a.romae", rel=1e-3)
    back = xr.open_dataset(tmp_path / "a.romae")
    assert np.array_equal(back.time.values, odd)
    assert back.time.encoding["units"] == "days since 1900-01-01"


def test_packed_sources_give_the_decoded_floats(tmp_path, make_waves):
    packed = {"dtype": "i2", "scale_factor": 0.001, "add_offset": 0.5, "_FillValue": -32768}
    data = make_waves()
    data.u[:, 2, 3] = np.nan
    data.to_netcdf(tmp_path / "a.nc", encoding={"u": packed})
    romae.compress(tmp_path / "a.nc", tmp_path / "a.romae", abs=1e-2)
    source, back = xr.open_dataset(tmp_path / "a.nc"), xr.open_dataset(tmp_path / "a.romae")
    same_labels(source, back)
    assert float(np.nanmax(np.abs(source.u - back.u))) <= 1e-2
    assert np.array_equal(np.isnan(source.u), np.isnan(back.u))


def test_dimensions_in_another_order_and_of_length_one_come_back(tmp_path, make_waves):
    data = make_waves().transpose("x", "time", "y").expand_dims(level=[500.0], axis=1)
    data["p"] = data.p.transpose("level", "y", "x", "time")
    romae.compress(data, tmp_path / "a.romae", rel=1e-4, chunk=16)
    back = xr.open_dataset(tmp_path / "a.romae")
    same_labels(data, back)
    for key in ({"time": 17}, {"x": slice(2, 7, 2), "time": [30, 3]}, {"level": 0, "y": [1, 1]}):
        for name in ("u", "p"):
            limit = 1e-4 * float(np.ptp(data[name].values))
            part = back[name].isel(key)
            assert part.dims == data[name].isel(key).dims
            assert np.abs(part.values.astype("f8") - data[name].isel(key).values).max() <= limit


def test_a_case_dimension_with_parameters(tmp_path, make_waves):
    runs = xr.concat([make_waves(seed=i) for i in range(3)], dim="case")
    runs = runs.assign_coords(case=[10, 20, 30], Re=("case", [1.0, 2.0, 4.0]))
    romae.compress(runs, tmp_path / "a.romae", rel=1e-3, chunk=16)
    back = xr.open_dataset(tmp_path / "a.romae")
    same_labels(runs, back)
    assert romae.verify(tmp_path / "a.romae", against=runs).ok
    one = xr.open_dataset(tmp_path / "a.romae", case=1)
    xr.testing.assert_identical(one.load(), back.isel(case=1).load())
    again = romae.open_snapshots(tmp_path / "a.romae")
    assert again.params["Re"].tolist() == [1.0, 2.0, 4.0]
    part = romae.open_snapshots(runs).isel(case=[2, 0], time=slice(3, 30))
    romae.compress(part, tmp_path / "b.romae", rel=1e-3)
    same_labels(runs.isel(case=[2, 0], time=slice(3, 30)), xr.open_dataset(tmp_path / "b.romae"))


def test_files_of_different_lengths_are_cases_that_open_one_by_one(tmp_path, make_waves):
    for i, n in enumerate((20, 30)):
        make_waves(n, seed=i).assign_coords(Re=float(i)).to_netcdf(tmp_path / f"r{i}.nc")
    runs = romae.open_snapshots(str(tmp_path / "r*.nc"), cases="file")
    romae.compress(runs, tmp_path / "a.romae", rel=1e-3, chunk=8)
    with pytest.raises(OptionError, match="case=0"):
        xr.open_dataset(tmp_path / "a.romae")
    for i in range(2):
        back = xr.open_dataset(tmp_path / "a.romae", case=i)
        same_labels(xr.open_dataset(tmp_path / f"r{i}.nc"), back)
    assert romae.verify(tmp_path / "a.romae", against=str(tmp_path / "r*.nc")).ok
    romae.decompress(tmp_path / "a.romae", tmp_path / "one.nc", case=1)
    assert xr.open_dataset(tmp_path / "one.nc").sizes["time"] == 30


def test_files_of_equal_times_are_cases_of_one_dataset(tmp_path, make_waves):
    for i in range(2):
        make_waves(seed=i).assign_coords(Re=float(i)).to_netcdf(tmp_path / f"r{i}.nc")
    runs = romae.open_snapshots(str(tmp_path / "r*.nc"), cases="file")
    romae.compress(runs, tmp_path / "a.romae", rel=1e-3)
    back = xr.open_dataset(tmp_path / "a.romae")
    assert back.u.dims == ("case", "time", "y", "x")
    assert back.Re.values.tolist() == [0.0, 1.0]


def test_files_in_time_order_give_one_archive(tmp_path, make_waves):
    data = rich(make_waves)
    for i, part in enumerate((slice(0, 13), slice(13, 40))):
        data.isel(time=part).to_netcdf(tmp_path / f"t{i}.nc")
    romae.compress(str(tmp_path / "t*.nc"), tmp_path / "a.romae", rel=1e-3)
    back = xr.open_dataset(tmp_path / "a.romae")
    assert np.array_equal(back.time, data.time)
    assert np.array_equal(back.energy, data.energy)


def test_fields_not_chosen_are_left_out_and_named(tmp_path, make_waves):
    chosen = romae.open_snapshots(make_waves(), variables=["u"])
    report = romae.compress(chosen, tmp_path / "a.romae", rel=1e-3)
    assert set(xr.open_dataset(tmp_path / "a.romae").data_vars) == {"u"}
    assert "left out: p" in str(report)


def test_chunks_drop_variables_and_decoding_are_as_xarray_has_them(tmp_path, make_waves):
    rich(make_waves).to_netcdf(tmp_path / "a.nc")
    romae.compress(tmp_path / "a.nc", tmp_path / "a.romae", rel=1e-3, chunk=16)
    path = tmp_path / "a.romae"
    assert xr.open_dataset(path, chunks={}).u.chunks == ((16, 16, 8), (6,), (8,))
    assert set(xr.open_dataset(path, drop_variables=["p", "energy"]).data_vars) == {
        "u", "area", "grid_mapping"
    }  # fmt: skip
    for options in ({"decode_times": False}, {"decode_cf": False}, {"decode_coords": False}):
        ours, theirs = (xr.open_dataset(p, **options) for p in (path, tmp_path / "a.nc"))
        assert ours.time.dtype == theirs.time.dtype
        assert np.array_equal(ours.time, theirs.time)
        assert set(ours.coords) == set(theirs.coords)


def test_several_archives_open_as_one(tmp_path, make_waves):
    data = make_waves()
    for i, part in enumerate((slice(0, 25), slice(25, 40))):
        romae.compress(data.isel(time=part), tmp_path / f"{i}.romae", abs=1e-3)
    both = xr.open_mfdataset(
        [tmp_path / "0.romae", tmp_path / "1.romae"], data_vars="minimal", coords="minimal",
        compat="override", join="outer",
    )  # fmt: skip
    assert both.u.shape == data.u.shape
    assert float(np.abs(both.u - data.u).max()) <= 1e-3
    joined = romae.open_snapshots([tmp_path / "0.romae", tmp_path / "1.romae"])
    assert len(joined) == 40


@pytest.mark.parametrize("packed", [False, True])
def test_one_snapshot_reads_one_chunk_and_is_lazy(tmp_path, make_waves, monkeypatch, packed):
    path = tmp_path / "a.romae"
    romae.compress(make_waves(), path, rel=1e-3, chunk=8)
    if packed:
        path = romae.pack(path, tmp_path / "b.romae")
    touched = []
    read = Store.read
    monkeypatch.setattr(Store, "read", lambda self, n: touched.append(n) or read(self, n))
    back = xr.open_dataset(path, cache_bytes=2**20)
    assert not [n for n in touched if "/c." in n]
    back.isel(time=19).load()
    assert [n for n in touched if "/c." in n] == ["coded/0/c.2.0.0.0"]
    back.u.isel(time=slice(18, 23)).load()
    back.p.isel(time=slice(16, 20)).load()  # in memory still
    assert len([n for n in touched if "/c." in n]) <= 2


def test_threads_share_one_decoding_and_see_the_same(tmp_path, make_waves, monkeypatch):
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3, chunk=8)
    decoded = []
    decode = Archive.decode

    def slowly(self, item):
        decoded.append(item)
        time.sleep(0.02)
        return decode(self, item)

    monkeypatch.setattr(Archive, "decode", slowly)
    archive = Archive(tmp_path / "a.romae", cache_bytes=2**20)
    found = []
    threads = [threading.Thread(target=lambda: found.append(archive.read(0, 40))) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(decoded) == archive.items
    assert all(np.array_equal(f[0], found[0][0]) for f in found)


def test_the_cache_holds_no_more_than_it_may(tmp_path, make_waves):
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3, chunk=8)
    chunk = 2 * 8 * 6 * 8 * 4
    archive = Archive(tmp_path / "a.romae", cache_bytes=2 * chunk)
    archive.read(0, 40)
    assert archive.cache.held == 2 * chunk
    none = Archive(tmp_path / "a.romae", cache_bytes=0)
    none.read(0, 40)
    assert none.cache.held == 0


@pytest.mark.parametrize("packed", [False, True])
def test_pickles_open_the_archive_again(tmp_path, make_waves, packed):
    path = tmp_path / "a.romae"
    romae.compress(make_waves(), path, rel=1e-3)
    if packed:
        path = romae.pack(path, tmp_path / "b.romae")
    back = xr.open_dataset(path)
    again = pickle.loads(pickle.dumps(back))
    xr.testing.assert_identical(again.load(), back.load())
    assert pickle.loads(pickle.dumps(Archive(path))).lengths == [40]


def test_what_was_decoded_cannot_be_changed_behind_the_cache(tmp_path, make_waves):
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3)
    first = xr.open_dataset(tmp_path / "a.romae").u.load()
    kept = first.values.copy()
    first[:] = 0
    assert np.array_equal(xr.open_dataset(tmp_path / "a.romae").u.values, kept)


def test_an_archive_that_was_replaced_is_not_read_with_the_old_manifest(tmp_path, make_waves):
    path = tmp_path / "a.romae"
    romae.compress(make_waves(), path, rel=1e-3, chunk=8)
    archive = Archive(path, cache_bytes=0)
    romae.compress(make_waves(seed=1), path, rel=1e-1, chunk=8, overwrite=True)
    with pytest.raises(ArchiveError, match="replaced"):
        archive.read(0, 1)


def test_the_engine_loads_neither_torch_nor_zarr():
    code = "import sys, romae.xarray_backend; print(*{'torch', 'zarr', 'numba'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_archives_are_snapshots_too(tmp_path, make_waves):
    data = make_waves()
    romae.compress(data, tmp_path / "a.romae", abs=1e-30)
    again = romae.open_snapshots(tmp_path / "a.romae")
    assert again.fingerprint == romae.open_snapshots(data).fingerprint
    assert np.array_equal(again.read(3, 9), romae.open_snapshots(data).read(3, 9))
