"""A grown archive is within its bound of the grown source, and old or new at every moment."""

import os

import numpy as np
import pytest
import xarray as xr

import romae
from romae.archive import append as appending
from romae.archive import finish, write
from romae.errors import ArchiveError, DataError, MissingFileError, OptionError


class Stop(BaseException):
    """Ends a run as a kill would, at a place of our choice."""


@pytest.fixture
def grown(tmp_path, make_waves):
    """A source of 40 snapshots, an archive of its first 21, and that archive's path."""
    whole = make_waves()
    path = tmp_path / "a.romae"
    romae.compress(whole.isel(time=slice(21)), path, rel=1e-3, chunk=8)
    return whole, path


def test_whole_chunks_stay_and_all_is_within_the_first_bound(grown, files):
    whole, path = grown
    before, eps = files(path), romae.archive.Archive(path).facts["variables"]["u"]["eps"]
    inode = os.stat(path / "coded/0/c.1.0.0.0").st_ino
    report = romae.compress(whole, path, append=True)
    after = files(path)
    for i in (0, 1):
        assert after[f"coded/0/c.{i}.0.0.0"] == before[f"coded/0/c.{i}.0.0.0"]
    assert os.stat(path / "coded/0/c.1.0.0.0").st_ino == inode
    assert report.manifest["lengths"] == [40]
    assert report.manifest["appended"] == [[21]]
    assert report.manifest["variables"]["u"]["eps"] == eps
    assert romae.verify(path, against=whole).ok
    xr.testing.assert_equal(xr.open_dataset(path).time, whole.time)
    assert not list(path.parent.glob("*.partial*"))
    again = romae.compress(whole, path, append=True)
    assert (again.finished, again.coded) == (True, 0)
    assert files(path) == after


def test_extremes_gaps_and_lengths_are_of_old_and_new(grown):
    whole, path = grown
    whole["u"][30, 2, 2], whole["u"][31, 2, 2], whole["u"][32] = 9.0, -7.0, np.nan
    romae.compress(whole.isel(time=slice(35)), path, append=True)
    about = romae.compress(whole, path, append=True).manifest
    assert about["variables"]["u"]["range"] == [-7.0, 9.0]
    assert about["variables"]["u"]["special"] == 6 * 8
    assert about["appended"] == [[21], [35]]
    assert romae.verify(path, against=whole).ok


def test_by_steps_and_at_once_give_the_same_chunks(grown, tmp_path, files):
    whole, path = grown
    for n in (22, 24, 33, 40):
        romae.compress(whole.isel(time=slice(n)), path, append=True)
    romae.compress(whole.isel(time=slice(21)), tmp_path / "b.romae", rel=1e-3, chunk=8)
    romae.compress(whole, tmp_path / "b.romae", rel=1e-3, append=True)
    a, b = files(path), files(tmp_path / "b.romae")
    assert {n: v for n, v in a.items() if n != "romae.json"} == {
        n: v for n, v in b.items() if n != "romae.json"
    }


def test_other_data_and_other_settings_are_refused(grown, make_waves, files):
    whole, path = grown
    before = files(path)
    with pytest.raises(DataError, match="not those that"):
        romae.compress(make_waves(seed=3), path, append=True)
    with pytest.raises(DataError, match="the whole source"):
        romae.compress(whole.isel(time=slice(21, 40)).isel(time=slice(3)), path, append=True)
    with pytest.raises(DataError, match="fields u, p"):
        romae.compress(whole[["u"]], path, append=True)
    with pytest.raises(OptionError, match="new snapshots keep"):
        romae.compress(whole, path, rel=1e-2, append=True)
    with pytest.raises(OptionError, match="exclude each other"):
        romae.compress(whole, path, append=True, overwrite=True)
    assert files(path) == before


@pytest.mark.parametrize("place", ["plan", "chunk", "manifest", "away", "published"])
def test_stopped_at_any_step_the_old_archive_stays_or_the_next_call_ends_it(
    grown, tmp_path, files, monkeypatch, place
):
    whole, path = grown
    romae.compress(whole.isel(time=slice(21)), tmp_path / "b.romae", rel=1e-3, chunk=8)
    old = files(path)
    romae.compress(whole, tmp_path / "b.romae", append=True)

    def stop(*args, **kwargs):
        raise Stop

    rename = os.rename

    def refuse(a, b):
        if str(b) == str(path):
            raise Stop
        rename(a, b)

    where = {
        "plan": (appending, "measure_ranges", stop),
        "chunk": (write, "encode", stop),
        "manifest": (finish, "publish", stop),
        "away": (finish.os, "rename", refuse),
        "published": (finish, "remove_partial", stop),
    }[place]
    monkeypatch.setattr(write, "thread_count", lambda facts: 1)
    monkeypatch.setattr(*where)
    with pytest.raises(Stop):
        romae.compress(whole, path, append=True)
    monkeypatch.undo()
    if place == "away":
        with pytest.raises(MissingFileError, match="not finished"):
            romae.archive.Archive(path)
    else:
        assert files(path) == (files(tmp_path / "b.romae") if place == "published" else old)
    report = romae.compress(whole, path, append=True)
    assert report.finished
    assert files(path) == files(tmp_path / "b.romae")
    assert not list(tmp_path.glob("*.partial*"))


def test_who_has_it_open_is_told_that_it_grew(grown):
    whole, path = grown
    held = romae.archive.Archive(path, cache_bytes=0)
    held.read(0, 3)
    romae.compress(whole, path, append=True)
    with pytest.raises(ArchiveError, match="open it again"):
        held.read(0, 3)


def test_without_an_archive_it_begins_one(tmp_path, source, files):
    romae.compress(source, tmp_path / "a.romae", rel=1e-3, append=True)
    romae.compress(source, tmp_path / "b.romae", rel=1e-3)
    assert files(tmp_path / "a.romae") == files(tmp_path / "b.romae")
