"""NumPy .npy and .npz: bare arrays, memory-mapped where the file allows it.

An array (T, y, x) has its axes named by the rules of :mod:`romae.fields.stored`, or by a layout
table; without a coordinate, times are 0 .. T-1. An .npy file has one field, named like the file
without its number (u_0012.npy holds u).

Members of an .npz that are stored as they are (np.savez) are mapped in place. Compressed ones
(np.savez_compressed) are inflated as a stream that goes on where the last read ended, so that
one pass over the file inflates it once and holds no more than the block.
"""

from __future__ import annotations

import os
import re
import struct
import threading
import weakref
import zipfile
from typing import IO, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from romae.errors import DataError, UnreadableFileError
from romae.fields.stored import Stored, build
from romae.fields.table import Table

NPY_MAGIC = b"\x93NUMPY"
LOCAL_HEADER = 30  # bytes before the name in a zip archive


class MappedArray(BackendArray):
    """An array in a file at ``offset``, mapped anew when it is indexed, so that it pickles."""

    def __init__(self, path: str, header: Header, offset: int) -> None:
        self.path, self.header, self.offset = os.path.abspath(path), header, offset
        self.shape, self.dtype = header.shape, header.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> Any:
        order: Any = "F" if self.header.fortran else "C"
        try:
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, order)
        except ValueError as error:  # shorter than its header says
            raise OSError(f"{error} ({os.path.getsize(self.path)} bytes)") from error
        return np.array(mapped[key])


class StreamedArray(BackendArray):
    """A compressed member of an .npz: rows of the first axis, inflated as they are asked for."""

    def __init__(self, path: str, member: str, header: Header) -> None:
        self.path, self.member, self.header = os.path.abspath(path), member, header
        self.shape, self.dtype = header.shape, header.dtype
        self.lock = threading.Lock()
        self.stream: IO[bytes] | None = None

    def __getstate__(self) -> tuple[str, str, Header]:
        return self.path, self.member, self.header

    def __setstate__(self, state: tuple[str, str, Header]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._read
        )

    def _read(self, key: tuple[int | slice, ...]) -> Any:
        if not self.shape:
            return self._rows(0, 1).reshape(())[()]
        if self.header.fortran:  # its first axis is not contiguous: all of it
            whole = self._rows(0, self.shape[0]).reshape(self.shape[::-1]).T
            return whole[key]
        at = key[0]
        if not isinstance(at, slice):
            return self._rows(at, at + 1)[0][key[1:]]
        chosen = range(self.shape[0])[at]
        if not chosen:
            return np.empty(self.shape, self.dtype)[key]
        low, high = min(chosen), max(chosen) + 1
        rows = self._rows(low, high)[:: abs(chosen.step)]
        return (rows if chosen.step > 0 else rows[::-1])[:, *key[1:]]

    def _rows(self, start: int, stop: int) -> np.ndarray:
        row = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        with self.lock:
            try:
                if self.stream is None:
                    archive = zipfile.ZipFile(self.path)
                    self.stream = archive.open(self.member)
                    weakref.finalize(self, _close, self.stream, archive)
                self.stream.seek(self.header.length + start * row)
                data = self.stream.read((stop - start) * row)
            except (zipfile.BadZipFile, EOFError, struct.error) as error:
                raise OSError(f"{self.member}: {str(error) or 'it ends too early'}") from error
        return np.frombuffer(data, self.dtype).reshape(stop - start, *self.shape[1:])


def _close(*files: Any) -> None:
    for file in files:
        file.close()


class Header:
    """What an .npy says first: shape, dtype, order, and its own length in bytes."""

    def __init__(self, file: Any, label: str) -> None:
        from numpy.lib import format as npy

        try:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            self.shape, self.fortran, self.dtype = read(file)
        except ValueError as error:
            raise UnreadableFileError(
                f"{label}: is no readable NumPy array ({error}). Write it again with np.save"
            ) from error
        if self.dtype.hasobject or self.dtype.names:
            raise DataError(
                f"{label}: holds {self.dtype}. Expected real numbers; save them again, for "
                "example np.save(path, x.astype('float32'))"
            )
        self.length = file.tell()

    @property
    def nbytes(self) -> int:
        """Bytes of the array itself."""
        return int(self.dtype.itemsize * np.prod(self.shape, dtype=np.int64))


def is_npz(path: str) -> bool:
    """Whether a zip archive holds .npy members."""
    if not os.path.isfile(path) or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(n.endswith(".npy") for n in archive.namelist())


def open_npy(path: str, table: Table | None, *, snapshot: bool = False) -> xr.Dataset:
    """The array in ``path`` as a lazy Dataset; errors as :func:`build`."""
    label = os.path.basename(path)
    with open(path, "rb") as file:
        header = Header(file, label)
    missing = header.length + header.nbytes - os.path.getsize(path)
    if missing > 0:
        raise UnreadableFileError(
            f"{path} is truncated: {missing} bytes of an array {header.shape} are missing. "
            "Expected a complete file; copy it again"
        )
    array = Stored(indexing.LazilyIndexedArray(MappedArray(path, header, header.length)))
    given = list(table.paths() or {}) if table else []
    name = given[0] if len(given) == 1 else _name(path)
    fields = {name: name}
    return build(
        {f"/{name}": array}, (table or Table()).with_fields(fields), label, snapshot=snapshot
    )


def _name(path: str) -> str:
    """File name without suffix and without its number."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return re.sub(r"[\d._-]+$", "", stem) or "field"


def open_npz(path: str, table: Table | None, *, snapshot: bool = False) -> xr.Dataset:
    """The arrays in ``path`` as a lazy Dataset; errors as :func:`build`."""
    label, found = os.path.basename(path), {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            name = info.filename.removesuffix(".npy")
            try:
                with archive.open(info) as file:
                    header = Header(file, f"{label}[{name}]")
            except DataError:
                continue  # objects and tables are no fields
            array: BackendArray = StreamedArray(path, info.filename, header)
            if info.compress_type == zipfile.ZIP_STORED:
                offset = _start(path, info) + header.length
                array = MappedArray(path, header, offset)
            found[f"/{name}"] = Stored(indexing.LazilyIndexedArray(array))
    return build(found, table, label, snapshot=snapshot)


def _start(path: str, info: zipfile.ZipInfo) -> int:
    """Where the data of a stored member begin."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        name, extra = struct.unpack("<HH", file.read(LOCAL_HEADER)[26:30])
    return int(info.header_offset + LOCAL_HEADER + name + extra)
