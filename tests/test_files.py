"""A result exists whole or not at all, whatever happens while it is written."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from romae.errors import PathExistsError, RomaeError
from romae.files import atomic_directory, atomic_file


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_file_appears_only_at_the_end(tmp_path):
    target = tmp_path / "new" / "wake.nc"
    with atomic_file(target) as temporary:
        temporary.write_text("data")
        assert not target.exists()
        assert temporary.parent == target.parent
        assert not temporary.match("*.nc")
    assert target.read_text() == "data"
    assert names(target.parent) == ["wake.nc"]


def test_directory_appears_only_at_the_end(tmp_path):
    target = tmp_path / "wake.rom"
    with atomic_directory(target) as temporary:
        (temporary / "deep").mkdir()
        (temporary / "deep" / "weights").write_text("w")
        assert not target.exists()
    assert (target / "deep" / "weights").read_text() == "w"
    assert names(tmp_path) == ["wake.rom"]


@pytest.mark.parametrize("writer", [atomic_file, atomic_directory])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_nothing(tmp_path, writer, error):
    with pytest.raises(error), writer(tmp_path / "out") as temporary:
        half_write(temporary)
        raise error
    assert names(tmp_path) == []


def half_write(temporary: Path) -> None:
    (temporary / "half" if temporary.is_dir() else temporary).write_text("half")


@pytest.mark.parametrize("writer", [atomic_file, atomic_directory])
def test_an_exception_keeps_what_was_there(tmp_path, writer):
    target = tmp_path / "out"
    with writer(target) as temporary:
        half_write(temporary)
        if temporary.is_dir():
            (temporary / "romae.json").write_text("{}")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ValueError), writer(target, overwrite=True) as temporary:
        half_write(temporary)
        raise ValueError
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_existing_file_is_refused_before_writing(tmp_path):
    target = tmp_path / "out"
    target.write_text("old")
    with pytest.raises(PathExistsError, match="overwrite=True"), atomic_file(target):
        pytest.fail("the body must not run")
    assert target.read_text() == "old"
    with atomic_file(target, overwrite=True) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_file_written_meanwhile_by_another_is_kept(tmp_path):
    target = tmp_path / "out"
    with pytest.raises(PathExistsError), atomic_file(target) as temporary:
        temporary.write_text("mine")
        target.write_text("theirs")
    assert target.read_text() == "theirs"
    assert names(tmp_path) == ["out"]


def test_directory_is_replaced_as_a_whole(tmp_path):
    target = tmp_path / "out"
    for content in ("old", "new"):
        with atomic_directory(target, overwrite=True) as temporary:
            (temporary / "romae.json").write_text("{}")
            (temporary / content).write_text(content)
    assert names(target) == ["new", "romae.json"]
    assert names(tmp_path) == ["out"]
    with pytest.raises(PathExistsError), atomic_directory(target):
        pytest.fail("the body must not run")


def test_a_directory_that_is_not_ours_is_never_replaced(tmp_path):
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work")
    with (
        pytest.raises(PathExistsError, match=r"thesis\.tex"),
        atomic_directory(tmp_path, overwrite=True),
    ):
        pytest.fail("the body must not run")
    assert precious.read_text() == "years of work"


def test_kinds_are_not_mixed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(PathExistsError), atomic_file(tmp_path / "folder", overwrite=True):
        pass
    with pytest.raises(PathExistsError), atomic_directory(tmp_path / "file", overwrite=True):
        pass
    assert issubclass(PathExistsError, RomaeError)
    assert issubclass(PathExistsError, FileExistsError)


def test_a_link_keeps_pointing_where_it_did(tmp_path):
    real = tmp_path / "scratch" / "out"
    with atomic_file(real) as temporary:
        temporary.write_text("old")
    link = tmp_path / "out"
    link.symlink_to(real)
    with atomic_file(link, overwrite=True) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


@pytest.mark.parametrize("writer", ["atomic_file", "atomic_directory"])
def test_a_killed_process_leaves_only_a_named_temporary_and_the_next_removes_it(tmp_path, writer):
    target = tmp_path / "out.nc"
    body = textwrap.dedent(
        f"""
        import time
        from romae.files import {writer}
        with {writer}({str(target)!r}) as temporary:
            path = temporary / "half" if temporary.is_dir() else temporary
            path.write_text("half")
            print("writing", flush=True)
            time.sleep(60)
        """
    )
    with subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not target.exists()
    (left,) = names(tmp_path)
    assert left.startswith("out.nc.partial-")
    assert list(tmp_path.glob("*.nc")) == []
    write = atomic_file if writer == "atomic_file" else atomic_directory
    with write(target) as temporary:
        half_write(temporary)
    assert names(tmp_path) == ["out.nc"]


def test_a_writer_that_is_alive_is_left_alone(tmp_path):
    with atomic_file(tmp_path / "out") as first:
        first.write_text("first")
        with atomic_file(tmp_path / "out") as second:
            second.write_text("second")
        (tmp_path / "out").unlink()
    assert (tmp_path / "out").read_text() == "first"
