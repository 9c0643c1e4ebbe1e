"""A full disk or a folder that may not be written to, as an error that says what to do."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from romae.errors import RomaeError, UnwritableFileError
from romae.fields.summary import human_bytes

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DENIED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def explained(path: Path, left: str) -> Iterator[None]:
    """Errors of writing ``path`` as :class:`UnwritableFileError`.

    ``left``: what is left of the work when the disk is full, and what to do with it.
    """
    try:
        yield
    except RomaeError:
        raise
    except OSError as error:
        if error.errno in DENIED:
            raise UnwritableFileError(
                f"{path} cannot be written: {error}. Expected a folder that you may write to; "
                "choose another, or change its permissions"
            ) from error
        if error.errno not in FULL:
            raise
        free = human_bytes(shutil.disk_usage(path.parent).free)
        raise UnwritableFileError(
            f"{path} cannot be written: {error}. {free} are free in {path.parent}. {left}"
        ) from error
