"""Labels in few bytes: a small Zarr group as one file.

The group ``labels`` (:mod:`romae.archive.template`) has two files for each coordinate, whose
metadata say nearly the same in 500 bytes each, and the manifest a digest of 64 letters for each:
more than all chunks of a small archive. So a group of up to :data:`SMALL` bytes is stored as

    labels.bin := zstd( { name:block contents:block }* )            names sorted, below ``labels/``

and opened from memory as the same Zarr group; a larger one stays a folder.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numcodecs.zstd import Zstd

from romae.archive.pieces import Reader, Writer
from romae.archive.store import LABELS, LABELS_FILE, list_files, put_file
from romae.archive.template_zarr import write_template
from romae.errors import ArchiveError

SMALL = 2**16  # bytes of all files
LEVEL = 19


def write_labels(groups: Sequence[tuple[str, xr.Dataset]], archive: Path) -> dict[str, Any]:
    """Write the template ``groups`` into the folder ``archive``; what :func:`write_template` gives.

    Raises :class:`romae.errors.DataError` for a variable that Zarr cannot hold.
    """
    folder = archive / LABELS
    lost = write_template(groups, folder)
    files = {name: (folder / name).read_bytes() for name in list_files(folder)}
    if sum(map(len, files.values())) <= SMALL:
        put_file(archive / LABELS_FILE, pack_files(files))
        shutil.rmtree(folder)
    return lost


def pack_files(files: dict[str, bytes]) -> bytes:
    """One block of bytes."""
    out = Writer()
    for name, data in sorted(files.items()):
        out.block(name.encode())
        out.block(data)
    return bytes(Zstd(level=LEVEL).encode(np.frombuffer(out.data, np.uint8)))


def unpack_files(data: bytes) -> dict[str, bytes]:
    """The files by name. Raises :class:`ArchiveError` for bytes that are not of them."""
    try:
        reader, files = Reader(bytes(Zstd().decode(data))), {}
    except (RuntimeError, ValueError) as error:
        raise ArchiveError(
            f"{LABELS_FILE} cannot be read ({error}; {len(data)} bytes). Expected what romae "
            "wrote: copy it again from where the archive came from"
        ) from error
    while reader.at < len(reader.data):
        name = reader.block().decode()
        files[name] = reader.block()
    return files
