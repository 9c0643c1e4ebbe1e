"""Where the bytes of an archive lie: a folder, or one ZIP file that holds the same files.

    romae.json               manifest, written last; every version begins it alike
    labels.bin, or labels/   coordinates and other variables: a Zarr v3 group, packed if it is small
    coded/<case>/c.<i>.0...  chunk i: our payload, then its crc32c (4 bytes, little-endian)
    side/<method>.bin        what a method needs beyond its chunks

In the ZIP file every entry is stored, not deflated, so that a chunk is ``size`` bytes at an offset;
``romae.json`` comes first, so that 64 bytes tell what the file is. The same files in the same order
with the same dates give the same ZIP file, whenever and wherever it is packed.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import secrets
import socket
import struct
import zipfile
from pathlib import Path

from romae.conventions import BUNDLE_FILE
from romae.errors import ArchiveError, MissingFileError, nearest
from romae.files import is_archive

VERSION = 2  # of the container; 1: labels always in a folder, stencils with plain weights
MANIFEST = BUNDLE_FILE
CODED, SIDE, LABELS, PLAN = "coded", "side", "labels", "plan.json"
LABELS_FILE = "labels.bin"  # all of a small group of labels
TOOLS = ".tools"  # ending of what a method needs to encode only; the unfinished archive has it
ARCHIVE, TEMPORARY, OLD = "archive", "temporary", "old"  # in an unfinished archive, see plan
CRC_BYTES = 4
SHOWN = 8  # archives that a message names
LOCAL_HEADER = 30  # bytes before the name in a ZIP entry
PathLike = str | os.PathLike[str]


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum, the one of Zarr's codec of that name."""
    import google_crc32c

    return int(google_crc32c.value(data))


def seal(payload: bytes) -> bytes:
    """``payload`` and its checksum: the bytes of a chunk file."""
    return payload + struct.pack("<I", crc32c(payload))


def unseal(data: bytes) -> bytes:
    """The payload of a chunk file. Raises :class:`ArchiveError` when the checksum differs."""
    if len(data) <= CRC_BYTES:
        raise ArchiveError(f"it has {len(data)} bytes and cannot be a chunk")
    payload = data[:-CRC_BYTES]
    (want,), got = struct.unpack("<I", data[-CRC_BYTES:]), crc32c(payload)
    if got != want:
        raise ArchiveError(f"its crc32c is {got:08x} and should be {want:08x} ({len(data)} bytes)")
    return payload


def sha256(data: bytes) -> str:
    """Hexadecimal digest."""
    return hashlib.sha256(data).hexdigest()


def chunk_name(case: int, index: int, space: int) -> str:
    """File of chunk ``index`` of ``case`` in an archive over ``space`` space dimensions."""
    return f"{CODED}/{case}/c.{index}.{'.'.join('0' * (space + 1))}"


class Store:
    """Read access to the files of a finished archive at ``path``, folder or packed."""

    def __init__(self, path: PathLike) -> None:
        self.path = os.path.abspath(os.fspath(path))
        if not os.path.exists(self.path):
            left = f"{self.path}.partial"
            more = (
                f" There is {left!r}, an archive that is not finished: give the same `romae "
                "compress` once more and it goes on."
                if os.path.isdir(left)
                else ""
            )
            raise MissingFileError(
                f"no archive {os.fspath(path)!r} in {os.getcwd()}.{more or _beside(self.path)}"
            )
        manifest = self.path if os.path.isfile(self.path) else os.path.join(self.path, MANIFEST)
        try:
            with open(manifest, "rb"):
                pass
        except PermissionError as error:
            raise ArchiveError(
                f"{manifest} cannot be read: {error}. Expected a file that you may read; ask its "
                "owner, or type: chmod -R a+rX " + repr(os.fspath(path))
            ) from error
        except OSError:  # no archive, as is said next
            pass
        if not is_archive(self.path):
            raise ArchiveError(
                f"{os.fspath(path)!r} is no romae archive: no {MANIFEST} of one in it. Expected "
                "what `romae compress` or `romae pack` wrote"
            )
        self.packed = os.path.isfile(self.path)
        self.entries = self._offsets() if self.packed else {}
        self.identity = self._identity()

    def read(self, name: str) -> bytes:
        """All bytes of one file. Raises :class:`FileNotFoundError`."""
        if not self.packed:
            with open(os.path.join(self.path, name), "rb") as file:
                return file.read()
        if name not in self.entries:
            raise FileNotFoundError(name)
        offset, size = self.entries[name]
        with open(self.path, "rb") as file:
            file.seek(offset)
            head = file.read(LOCAL_HEADER)
            if head[:4] != b"PK\x03\x04":
                raise ArchiveError(f"there is no ZIP entry at byte {offset}")
            length, extra = struct.unpack("<HH", head[26:30])
            if file.read(length) != name.encode():
                raise ArchiveError(f"the ZIP entry at byte {offset} has another name")
            file.seek(extra, os.SEEK_CUR)
            return file.read(size)

    def names(self) -> list[str]:
        """All files, in order."""
        if self.packed:
            return sorted(self.entries)
        return list_files(self.path)

    def size(self, name: str) -> int:
        """Bytes of one file. Raises :class:`FileNotFoundError`."""
        if self.packed:
            if name not in self.entries:
                raise FileNotFoundError(name)
            return self.entries[name][1]
        return os.path.getsize(os.path.join(self.path, name))

    def check_same(self) -> None:
        """Raise :class:`ArchiveError` when the archive was replaced since it was opened."""
        try:
            same = self._identity() == self.identity
        except OSError:
            same = False
        if not same:
            raise ArchiveError(
                f"{self.path} was replaced or removed since it was opened; open it again"
            )

    def _identity(self) -> tuple[int, int, int]:
        seen = os.stat(self.path if self.packed else os.path.join(self.path, MANIFEST))
        return seen.st_ino, seen.st_mtime_ns, seen.st_size

    def _offsets(self) -> dict[str, tuple[int, int]]:
        try:
            with zipfile.ZipFile(self.path) as file:
                infos = file.infolist()
        except (zipfile.BadZipFile, RuntimeError, ValueError, struct.error) as error:
            raise ArchiveError(
                f"{self.path} is a damaged packed archive ({error}; "
                f"{os.path.getsize(self.path)} bytes). Copy it again"
            ) from error
        if deflated := [i.filename for i in infos if i.compress_type != zipfile.ZIP_STORED]:
            raise ArchiveError(
                f"{self.path}: {deflated[0]!r} is deflated. Expected a file made by `romae pack`, "
                "which stores; unzip it to a folder, which opens as it is"
            )
        return {i.filename: (i.header_offset, i.file_size) for i in infos}


def _beside(path: str) -> str:
    """The archives in the folder of ``path``, for one who has misspelled its name."""
    try:
        with os.scandir(os.path.dirname(path)) as entries:
            names = sorted(e.name for e in entries if is_archive(e.path))
    except OSError:
        return " Expected the path of an archive, and that folder is not there either"
    word = os.path.basename(path)
    shown = names if len(names) <= SHOWN else difflib.get_close_matches(word, names, SHOWN, 0)
    return f" {nearest(word, shown)}" if names else " There is none beside it"


def list_files(folder: PathLike) -> list[str]:
    """Files below ``folder`` by their relative names with slashes, sorted."""
    found = []
    for where, _, names in os.walk(folder):
        inner = os.path.relpath(where, folder)
        found += [n if inner == "." else f"{inner.replace(os.sep, '/')}/{n}" for n in names]
    return sorted(found)


def put_file(path: Path, data: bytes, by: Path | None = None) -> None:
    """Write ``data`` to ``path`` whole or not at all; of several writers the last one stays.

    ``by``: folder for the unfinished file, the one of ``path`` otherwise.
    """
    unique = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    temporary = (by or path.parent) / f".{path.name}.{unique}"
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
