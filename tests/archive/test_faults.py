"""Damage is seen, named, and leaves the rest readable; a full disk loses no work."""

import errno
import os
import random
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import romae
from romae.archive import Archive, preparing, write
from romae.archive.stencil_fit import fit_stencil
from romae.errors import ArchiveError, DataError, MissingFileError, RomaeError, UnwritableFileError

FLIPS = 150


@pytest.fixture
def archive(tmp_path, source):
    path = tmp_path / "a.romae"
    romae.compress(source, path, rel=1e-3, chunk=8)
    return path


def contents(path):
    """Everything a reader sees, or the error."""
    try:
        return xr.open_dataset(path, engine="romae", cache_bytes=0).load()
    except RomaeError as error:
        return error


def flip(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def check_flips(path, count, seed=0):
    """Flip one bit anywhere, ``count`` times: never wrong numbers, and verify always sees it."""
    whole, rng = contents(path), random.Random(seed)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    weights, seen = [p.stat().st_size for p in files], 0
    for _ in range(count):
        file = rng.choice(files) if rng.random() < 0.5 else rng.choices(files, weights)[0]
        data = file.read_bytes()
        file.write_bytes(flip(data, rng.randrange(8 * len(data))))
        found = contents(path)
        if isinstance(found, RomaeError):
            seen += 1
        else:
            xr.testing.assert_identical(found, whole)
        try:
            sound = romae.verify(path).ok
        except ArchiveError:
            sound = False
        assert not sound or path.is_file(), file  # ZIP headers hold dates that nobody reads
        file.write_bytes(data)
    assert seen > count // 2
    xr.testing.assert_identical(contents(path), whole)


def test_any_flipped_bit_is_seen_and_none_gives_a_wrong_number(archive):
    check_flips(archive, FLIPS)


def test_any_flipped_bit_of_a_packed_archive(archive, tmp_path):
    check_flips(romae.pack(archive, tmp_path / "one.romae"), FLIPS // 3)


def test_any_flipped_bit_of_the_directory_of_a_packed_archive(archive, tmp_path):
    """zipfile has errors of many classes for damage there."""
    path = romae.pack(archive, tmp_path / "one.romae")
    data, whole = path.read_bytes(), Archive(path).read(0, 40)
    entry, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    for place in (*range(8 * entry, 8 * (entry + 64)), *range(8 * end, 8 * len(data))):
        path.write_bytes(flip(data, place))
        try:
            found = Archive(path, cache_bytes=0).read(0, 40)
        except RomaeError:
            continue
        for a, b in zip(found, whole, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "flip"])
def test_a_damaged_chunk_is_named_and_the_rest_is_read(archive, damage):
    chunk = archive / "coded" / "0" / "c.2.0.0.0"
    data = chunk.read_bytes()
    whole = Archive(archive).read(0, 16)
    if damage == "gone":
        chunk.unlink()
    else:
        chunk.write_bytes(
            {"cut": data[: len(data) // 2], "empty": b"", "flip": flip(data, 99)}[damage]
        )
    words = re.escape("chunk 2, snapshots 16 to 23 (time 6.0 to 7.75)")
    broken = Archive(archive, cache_bytes=0)
    with pytest.raises(ArchiveError, match=words):
        broken.read(10, 30)
    with pytest.raises(ArchiveError, match=words):
        xr.open_dataset(archive, cache_bytes=0).u.isel(time=20).load()
    for a, b in zip(broken.read(0, 16), whole, strict=True):
        assert np.array_equal(a, b)
    found = romae.verify(archive)
    assert [(d["case"], d["chunk"], d["start"], d["stop"]) for d in found.damaged] == [
        (0, 2, 16, 24)
    ]
    assert len(found.problems) == 1


def test_every_damaged_chunk_is_listed(archive):
    for i in (0, 3, 4):
        chunk = archive / "coded" / "0" / f"c.{i}.0.0.0"
        chunk.write_bytes(flip(chunk.read_bytes(), 200))
    assert [d["chunk"] for d in romae.verify(archive).damaged] == [0, 3, 4]


def test_exchanged_chunks_are_seen(archive):
    one, two = (archive / "coded" / "0" / f"c.{i}.0.0.0" for i in (1, 2))
    a, b = one.read_bytes(), two.read_bytes()
    one.write_bytes(b)
    two.write_bytes(a)
    assert "exchanged" in str(romae.verify(archive))


def test_a_missing_side_file_is_named(tmp_path):
    t, x = np.meshgrid(np.arange(600), 2 * np.pi * np.arange(64) / 64, indexing="ij")
    wave = (np.sin(0.1 * t - 3 * x) + 0.3 * np.sin(0.07 * t + 2 * x)).astype("f4")
    data = xr.Dataset({"u": (("time", "x"), wave)})
    model = fit_stencil([wave[:64, None].astype("f8")], np.array([1e-5]), (True,))
    report = romae.compress(data, tmp_path / "a.romae", abs=1e-5, model=model)
    sides = list((tmp_path / "a.romae" / "side").glob("*.bin"))
    assert sides, report
    for side in sides:
        side.unlink()
    with pytest.raises(ArchiveError, match=r"side/.*\.bin"):
        Archive(tmp_path / "a.romae", cache_bytes=0).read(0, 600)
    assert not romae.verify(tmp_path / "a.romae").ok


def test_damaged_coordinates_are_refused(archive):
    part = archive / "labels.bin"
    part.write_bytes(flip(part.read_bytes(), 300))
    with pytest.raises(ArchiveError, match=r"'labels\.bin' is damaged"):
        xr.open_dataset(archive)
    assert len(Archive(archive).read(0, 40)) == 2


def test_verify_sees_another_source_and_says_where_it_is_worst(archive, source, make_waves):
    other = xr.open_dataset(source).load()
    other["u"][7, 2, 3] += 0.5
    found = romae.verify(archive, against=other)
    assert not found.ok
    worst = {w["field"]: w for w in found.worst}["u"]
    assert (worst["index"], worst["place"]) == (7, "y[2], x[3]")
    assert worst["error"] == pytest.approx(0.5, rel=1e-2)
    assert "exceeds the bound" in str(found)
    other["u"][7, 2, 3] = np.nan
    assert "NaN" in str(romae.verify(archive, against=other))
    shifted = xr.open_dataset(source).assign_coords(x=np.arange(8.0))
    assert "'x' has other values" in str(romae.verify(archive, against=shifted))


def test_verify_names_what_keeps_another_source_from_being_compared(archive, make_waves, tmp_path):
    data = make_waves()
    data.rename(p="q").to_netcdf(tmp_path / "q.nc")
    for other, words in (
        (make_waves(30), "40 snapshots (2 to 11.75) in the archive, 30 snapshots (2 to 9.25)"),
        (data.rename(u="v"), "fields u, p in the archive, v, p in the source"),
        (tmp_path / "q.nc", "fields u, p in the archive, u, q in the source"),
        (romae.open_snapshots(data, variables=["u"]), "fields u, p in the archive, u in the"),
        (data.isel(x=slice(3)), "points y=6, x=8 in the archive, y=6, x=3 in the source"),
        (data.rename(x="lon"), "points y=6, x=8 in the archive, y=6, lon=8 in the source"),
        (data.rename(time="t"), "time axis time in the archive, t in the source"),
    ):
        found = romae.verify(archive, against=other)
        assert found.problems == [found.problems[0]]
        assert words in found.problems[0]
        assert not found.worst
    moved = data.assign_coords(time=data.time + np.where(np.arange(40) == 7, 0.1, 0))
    found = romae.verify(archive, against=moved)
    assert found.problems == [
        "'time' has other values than in the source: 3.75 in the archive, 3.85 there, at [7]"
    ]


def test_verify_says_whether_the_fingerprint_is_the_recorded_one(archive, source):
    other = xr.open_dataset(source).load()
    other["u"][0, 2, 3] += 0.5
    assert "made from other data" in str(romae.verify(archive, against=other))
    other = xr.open_dataset(source).load()
    other["u"][7, 2, 3] += 0.5  # not one of the snapshots that the fingerprint looks at
    assert "values elsewhere were changed" in str(romae.verify(archive, against=other))
    assert "fingerprint" not in str(romae.verify(archive, against=source))


def test_a_file_that_does_not_belong_is_noted(archive):
    (archive / "notes.txt").write_text("mine")
    found = romae.verify(archive)
    assert found.ok
    assert "'notes.txt' is not of this archive" in str(found)


@pytest.mark.slow
def test_a_full_disk_is_said_and_the_run_goes_on_afterwards(tmp_path, source, files):
    romae.compress(source, tmp_path / "whole.romae", abs=1e-30, chunk=40)
    code = textwrap.dedent(f"""
        import resource, signal, romae
        from romae.errors import UnwritableFileError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
        try:
            romae.compress({str(source)!r}, {str(tmp_path / "a.romae")!r}, abs=1e-30, chunk=40)
        except UnwritableFileError as error:
            print(error)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "goes on" in done.stdout, done.stderr
    assert not (tmp_path / "a.romae").exists()
    romae.compress(source, tmp_path / "a.romae", abs=1e-30, chunk=40)
    assert files(tmp_path / "a.romae") == files(tmp_path / "whole.romae")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_packing_onto_a_full_or_read_only_disk_leaves_nothing(
    archive, tmp_path, monkeypatch, number
):
    def refuse(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(zipfile.ZipFile, "writestr", refuse)
    words = {errno.ENOSPC: "are free in", errno.EROFS: "that you may write to"}[number]
    with pytest.raises(UnwritableFileError, match=words):
        romae.pack(archive, tmp_path / "one.romae")
    assert not list(tmp_path.glob("one.romae*"))


def test_a_folder_that_may_not_be_written_to_is_said_at_once(tmp_path, source, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", refuse)
    monkeypatch.setattr(preparing, "measure_ranges", lambda *_: pytest.fail("the data were read"))
    with pytest.raises(UnwritableFileError, match="Expected a folder that you may write to"):
        romae.compress(source, tmp_path / "b.romae", rel=1e-3)


@pytest.mark.parametrize("change", ["replaced", "grown"])
def test_a_source_that_changes_meanwhile(tmp_path, make_waves, monkeypatch, change):
    """Chunks of the old file and the new would make an archive of neither."""
    path, other = tmp_path / "a.nc", tmp_path / "other"
    make_waves().to_netcdf(path)
    longer = make_waves(seed=1) if change == "replaced" else make_waves(50)
    if change == "grown":
        longer["p"][:40], longer["u"][:40] = (make_waves()[n].values for n in ("p", "u"))
    longer.to_netcdf(other)
    encode, calls = write.encode, []

    def replaced(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            os.replace(other, path)
        return encode(*arguments)

    monkeypatch.setattr(write, "encode", replaced)
    monkeypatch.setattr(write, "thread_count", lambda facts: 1)
    if change == "grown":
        romae.compress(path, tmp_path / "a.romae", rel=1e-3, chunk=8, model=None)
        assert romae.verify(tmp_path / "a.romae", against=make_waves()).ok
    else:
        with pytest.raises(DataError, match="changed while it was compressed"):
            romae.compress(path, tmp_path / "a.romae", rel=1e-3, chunk=8, model=None)
        assert not list(tmp_path.glob("a.romae*"))


def test_what_cannot_be_opened_is_told_apart(archive, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.romae").write_bytes(romae.pack(archive, tmp_path / "b.zip").read_bytes()[:900])
    for name, error, words in (
        ("b.romae", MissingFileError, "Expected one of: a.romae, b.zip, cut.romae. Did you mean"),
        ("no/b.romae", MissingFileError, "that folder is not there"),
        ("empty/b.romae", MissingFileError, "There is none beside it"),
        ("empty", ArchiveError, "no romae.json of one in it"),
        ("cut.romae", ArchiveError, "damaged packed archive"),
        ("waves.nc", ArchiveError, "is no romae archive"),
    ):
        with pytest.raises(error, match=re.escape(words)):
            romae.verify(tmp_path / name)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(ArchiveError, match="Expected a file that you may read"):
        romae.verify(archive)


def test_a_copy_reads_alike(archive, tmp_path):
    shutil.copytree(archive, tmp_path / "copy.romae")
    xr.testing.assert_identical(contents(tmp_path / "copy.romae"), contents(archive))
