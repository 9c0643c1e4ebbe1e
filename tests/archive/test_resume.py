"""Killed at any moment, an archive goes on and ends with the bytes of an undisturbed run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

import romae
from romae.archive import preparing, write
from romae.errors import MissingFileError, PathExistsError


class Stop(BaseException):
    """Ends a run as a kill would, at a place of our choice."""


@pytest.fixture
def stop_after(monkeypatch):
    """Let ``n`` chunks be written, then stop."""

    def set_up(n):
        left = [n]
        encode = write.encode

        def counted(*args):
            if not left[0]:
                raise Stop
            left[0] -= 1
            return encode(*args)

        monkeypatch.setattr(write, "encode", counted)
        monkeypatch.setattr(write, "thread_count", lambda facts: 1)

    yield set_up
    monkeypatch.undo()


@pytest.mark.parametrize("done", [0, 1, 4])
def test_a_stopped_run_goes_on_and_gives_the_same_bytes(
    tmp_path, source, files, stop_after, monkeypatch, done
):
    romae.compress(source, tmp_path / "whole.romae", rel=1e-3, chunk=8)
    path = tmp_path / "a.romae"
    stop_after(done)
    with pytest.raises(Stop):
        romae.compress(source, path, rel=1e-3, chunk=8)
    with pytest.raises(MissingFileError, match="not finished"):
        xr.open_dataset(path, engine="romae")
    monkeypatch.undo()
    encoded = []
    encode = write.encode
    monkeypatch.setattr(write, "encode", lambda *a: encoded.append(1) or encode(*a))
    monkeypatch.setattr(preparing, "measure_ranges", lambda *a: pytest.fail("surveyed again"))
    report = romae.compress(source, path, rel=1e-3, chunk=8)
    assert report.finished
    assert len(encoded) == 5 - done
    assert files(path) == files(tmp_path / "whole.romae")
    assert not list(tmp_path.glob("*.partial*"))


def test_a_damaged_chunk_of_an_unfinished_archive_is_written_anew(
    tmp_path, source, files, stop_after, monkeypatch
):
    romae.compress(source, tmp_path / "whole.romae", rel=1e-3, chunk=8)
    path = tmp_path / "a.romae"
    stop_after(3)
    with pytest.raises(Stop):
        romae.compress(source, path, rel=1e-3, chunk=8)
    monkeypatch.undo()
    chunk = tmp_path / "a.romae.partial" / "archive" / "coded" / "0" / "c.1.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-3])  # the page cache was lost with the power
    romae.compress(source, path, rel=1e-3, chunk=8)
    assert files(path) == files(tmp_path / "whole.romae")


@pytest.mark.parametrize(
    ("change", "words"),
    [({"rel": 1e-2}, "other settings: rel is"), ({"rel": 1e-3, "chunk": 4}, "chunk is 8 there")],
)
def test_an_unfinished_archive_of_another_request_is_not_continued(
    tmp_path, source, stop_after, monkeypatch, change, words
):
    stop_after(2)
    with pytest.raises(Stop):
        romae.compress(source, tmp_path / "a.romae", rel=1e-3, chunk=8)
    monkeypatch.undo()
    with pytest.raises(PathExistsError, match=words):
        romae.compress(source, tmp_path / "a.romae", **{"chunk": 8, **change})
    romae.compress(source, tmp_path / "a.romae", **{"chunk": 8, **change}, overwrite=True)
    assert romae.verify(tmp_path / "a.romae", against=source).ok


def test_an_unfinished_archive_of_other_data_is_not_continued(
    tmp_path, source, make_waves, stop_after, monkeypatch
):
    stop_after(0)
    with pytest.raises(Stop):
        romae.compress(source, tmp_path / "a.romae", rel=1e-3)
    monkeypatch.undo()
    with pytest.raises(PathExistsError, match="of other data"):
        romae.compress(make_waves(seed=3), tmp_path / "a.romae", rel=1e-3)


def test_stopped_between_manifest_and_rename(tmp_path, source, files, monkeypatch):
    from romae.archive import finish

    romae.compress(source, tmp_path / "whole.romae", rel=1e-3)
    rename = finish.os.rename

    def refuse(a, b):
        if str(b).endswith("a.romae"):
            raise Stop
        rename(a, b)

    monkeypatch.setattr(finish.os, "rename", refuse)
    with pytest.raises(Stop):
        romae.compress(source, tmp_path / "a.romae", rel=1e-3)
    monkeypatch.undo()
    assert not (tmp_path / "a.romae").exists()
    report = romae.compress(source, tmp_path / "a.romae", rel=1e-3)
    assert report.finished
    assert files(tmp_path / "a.romae") == files(tmp_path / "whole.romae")


@pytest.mark.slow
@pytest.mark.parametrize("what", [[], ["append"]])
def test_processes_killed_at_random_moments_leave_whole_archives(what):
    script = Path(__file__).with_name("kills.py")
    done = subprocess.run(
        [sys.executable, str(script), "12", "7", *what], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["kills"] >= 12
    assert found["wrong"] == found["errors"] == 0, done.stderr
