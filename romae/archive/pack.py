"""pack: one file instead of a folder, for copying and for file systems that count files.

    x.romae/...  ->  x.romae.zip        the same files, stored as they are, romae.json first

A ZIP archive of which nothing is deflated: chunks are read from it by their offset, and any unzip
gives the folder back. Packing the same archive twice gives the same bytes.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from romae.archive.reading import Archive
from romae.archive.store import MANIFEST, PathLike
from romae.archive.unwritable import explained
from romae.errors import OptionError
from romae.files import atomic_file
from romae.progress import track

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date of ZIP: the same bytes whenever it is packed
MODE = 0o644 << 16
UNIX = 3


def pack(path: PathLike, to: PathLike, *, overwrite: bool = False) -> Path:
    """Write the archive folder ``path`` as one file ``to`` (named ``.romae`` or ``.romae.zip``).

    Every checksum is looked at on the way. Raises :class:`~romae.errors.ArchiveError` when
    something is damaged, :class:`OptionError` for a file that is packed already,
    :class:`~romae.errors.PathExistsError` when ``to`` exists and
    :class:`~romae.errors.UnwritableFileError` when the disk is full.
    """
    archive = Archive(path)
    if archive.store.packed:
        raise OptionError(
            f"{os.fspath(path)!r} is one file already. Expected an archive folder; to get the "
            f"folder back, type: unzip {os.fspath(path)} -d NAME.romae"
        )
    names = [MANIFEST, *archive.facts["files"]]
    target = Path(os.path.realpath(to))
    with (
        explained(target, "Make room, or choose another folder; nothing is left there"),
        atomic_file(to, overwrite=overwrite) as temporary,
        zipfile.ZipFile(temporary, "w") as file,
    ):
        for name in names:
            data = archive.store.read(name) if name == MANIFEST else archive.checked(name)
            file.writestr(_entry(name), data)
        with track(len(archive.items), "packing, chunks") as task:
            for item in archive.items:
                archive.payload(item)  # checked
                name = archive.chunk_file(item)
                file.writestr(_entry(name), archive.store.read(name))
                task.advance()
    return Path(os.fspath(to))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_STORED, UNIX, MODE
    return entry
