"""Results are written whole or not at all.

A result is written under a temporary sibling name, every byte is forced to disk
(fsync), and then one rename gives it its own name::

    wake.nc.partial-node7-4711-9f3a2c   ->   wake.nc

An exception removes the temporary. A killed process leaves at most the temporary, whose
name no glob of data files matches (``*.nc`` does not), and which the next writer of the
same result on that machine removes. Replacing a directory takes two renames, old away and
new in, because POSIX has no single one; a process killed between them leaves both, whole,
as ``NAME.replaced-*`` and ``NAME.partial-*``.
"""

import glob
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from romae.conventions import ARCHIVE_HEAD, BUNDLE_FILE
from romae.errors import PathExistsError

_PathLike = str | os.PathLike[str]
_ZIP_HEADER = 30  # bytes before the name of the first entry


@contextmanager
def atomic_file(path: _PathLike, *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write; on success it becomes the file ``path``.

    The temporary name ends in no data suffix, so name the format to writers that
    guess it (``engine="netcdf4"``, ``format="png"``). Missing parent folders are made.

    Raises :class:`PathExistsError` when ``path`` exists and ``overwrite`` is false, and
    always when ``path`` is a directory; before anything is written.
    """
    target = _target(path)
    _refuse_existing_file(target, overwrite)
    _sweep(target)
    temporary = _sibling(target, "partial")
    try:
        yield temporary
        _refuse_existing_file(target, overwrite)  # somebody may have written it meanwhile
        _fsync(temporary)
        os.replace(temporary, target)
        _fsync(target.parent)
    except BaseException:
        _remove(temporary)
        raise


@contextmanager
def atomic_directory(
    path: _PathLike, *, overwrite: bool = False, marker: str = BUNDLE_FILE
) -> Iterator[Path]:
    """Yield a fresh temporary directory to fill; on success it becomes ``path``.

    With ``overwrite`` an existing directory is replaced as a whole, if it is empty or
    holds the file ``marker``: so ``-o .`` or ``-o ~`` never removes what romae did not
    write. Missing parent folders are made.

    Raises :class:`PathExistsError` when ``path`` is in the way, before anything is written.
    """
    target = _target(path)
    _refuse_existing_directory(target, overwrite, marker)
    _sweep(target)
    temporary = _sibling(target, "partial")
    temporary.mkdir()
    try:
        yield temporary
        _refuse_existing_directory(target, overwrite, marker)
        _fsync_tree(temporary)
        _swap_in(temporary, target)
    except BaseException:
        _remove(temporary)
        raise


def check_output(
    path: _PathLike,
    kind: Literal["file", "directory"],
    *,
    overwrite: bool = False,
    marker: str = BUNDLE_FILE,
) -> None:
    """Raise :class:`PathExistsError` now if ``path`` could not be written later.

    For the start of long work, so that it does not fail at its end.
    """
    target = Path(os.path.realpath(path))
    if kind == "file":
        _refuse_existing_file(target, overwrite)
    else:
        _refuse_existing_directory(target, overwrite, marker)


def is_archive(path: object) -> bool:
    """Whether a finished archive, folder or packed file, lies at ``path``; looks at 64 bytes."""
    if not isinstance(path, str | os.PathLike):
        return False
    head, name = ARCHIVE_HEAD, BUNDLE_FILE.encode()
    try:
        if os.path.isdir(path):
            with open(os.path.join(path, BUNDLE_FILE), "rb") as file:
                return file.read(len(head)) == head
        with open(path, "rb") as file:
            start = file.read(_ZIP_HEADER + len(name) + len(head))
    except (OSError, ValueError):
        return False
    return start[:4] == b"PK\x03\x04" and start[_ZIP_HEADER:] == name + head


def _target(path: _PathLike) -> Path:
    """Absolute path with links followed, so that a link keeps pointing where it did."""
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _sibling(target: Path, kind: str) -> Path:
    """Name beside ``target``, so that the rename stays on one file system."""
    # The process id alone is not unique on a file system shared between nodes.
    process = f"{socket.gethostname()}-{os.getpid()}"
    return target.with_name(f"{target.name}.{kind}-{process}-{secrets.token_hex(3)}")


def _sweep(target: Path) -> None:
    """Remove what killed writers of ``target`` left, as far as they ran on this machine."""
    stem = f"{target.name}.partial-{socket.gethostname()}-"
    for left in target.parent.glob(glob.escape(stem) + "*"):
        process = left.name.removeprefix(stem).partition("-")[0]
        if process.isdecimal() and not _alive(int(process)):
            _remove(left)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is there, and somebody else's
        return True
    return True


def _refuse_existing_file(target: Path, overwrite: bool) -> None:
    if target.is_dir():
        raise PathExistsError(
            f"{target} is a directory, a file was to be written there. Choose another name."
        )
    if target.exists() and not overwrite:
        raise PathExistsError(_exists(target))


def _refuse_existing_directory(target: Path, overwrite: bool, marker: str) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise PathExistsError(
            f"{target} is a file, a directory was to be written there. Choose another name."
        )
    if not overwrite:
        raise PathExistsError(_exists(target))
    inside = sorted(entry.name for entry in target.iterdir())
    if inside and marker not in inside:
        raise PathExistsError(
            f"{target} holds {inside[0]!r} and no {marker!r}: it was not written by this "
            f"command and is not replaced. Choose another name, or remove it yourself."
        )


def _exists(target: Path) -> str:
    return (
        f"{target} exists already. Choose another name, or allow it to be replaced: type "
        "overwrite=True."
    )


def _swap_in(temporary: Path, target: Path) -> None:
    """Rename ``temporary`` to ``target``; what was there goes away, or comes back."""
    replaced = _sibling(target, "replaced")
    old = target.exists()
    if old:
        os.rename(target, replaced)
    try:
        os.rename(temporary, target)
    except BaseException:
        if old:
            os.rename(replaced, target)
        raise
    _fsync(target.parent)
    if old:
        shutil.rmtree(replaced, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _fsync_tree(directory: Path) -> None:
    """Files before the directory that names them."""
    for folder, _, names in os.walk(directory, topdown=False):
        for name in names:
            _fsync(Path(folder, name))
        _fsync(Path(folder))


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
