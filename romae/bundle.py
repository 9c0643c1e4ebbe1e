"""A fitted thing on disk: a directory with ``romae.json`` and ``model.safetensors``.

``romae.json`` holds the class, its arguments, where its data came from, versions and
metrics; ``model.safetensors`` every array. The JSON is strict: numbers that are not finite are
written as ``{"__float__": "nan"}``. No pickle: opening a bundle runs no code from
it. Written to a temporary name, fsynced and renamed. Parts of a composed model are bundles
in sub-directories.
"""

import inspect
import json
import math
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from romae.config import as_table
from romae.conventions import BUNDLE_FILE, FORMAT_VERSION
from romae.errors import BundleError, MissingFileError
from romae.files import atomic_directory, is_archive

ARRAYS_FILE = "model.safetensors"
Bundle = tuple[dict[str, Any], dict[str, np.ndarray]]


class Bundled(ABC):
    """What reducers and dynamics share: constructor arguments by name, saving, size.

    Every constructor argument is stored as an attribute under its own name.
    """

    @abstractmethod
    def to_bundle(self) -> Bundle:
        """JSON document and arrays of the fitted thing."""

    @property
    def name(self) -> str:
        """Name of the class."""
        return type(self).__name__

    @property
    def arguments(self) -> dict[str, Any]:
        """Constructor arguments, as given."""
        given = {n: getattr(self, n) for n in _parameters(type(self))}
        return {n: v.item() if isinstance(v, np.generic) else v for n, v in given.items()}

    @property
    def nbytes(self) -> int:
        """Bytes of every array that ``save`` stores: weights, modes, scaling, coordinates."""
        return sum(a.nbytes for a in self.to_bundle()[1].values())

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the directory ``path``; :func:`romae.load` opens it.

        Raises :class:`romae.errors.PathExistsError` when ``path`` exists and ``overwrite`` is
        false, :class:`romae.errors.NotFittedError` before ``fit``.
        """
        return write_bundle(path, {"": self.to_bundle()}, overwrite=overwrite)

    def header(self, kind: str) -> dict[str, Any]:
        """Beginning of the document: class and arguments, as JSON."""
        cls = type(self)
        own = cls.__module__.partition(".")[0] == "romae"
        arguments = {n: as_table(v) for n, v in self.arguments.items()}
        label = cls.__name__ if own else f"{cls.__module__}:{cls.__qualname__}"
        return {"class": label, "kind": kind, "arguments": arguments}

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{n}={v!r}' for n, v in self.arguments.items())})"


@cache
def _parameters(cls: type) -> tuple[str, ...]:
    return tuple(inspect.signature(cls).parameters)


def write_bundle(
    path: str | os.PathLike[str], parts: Mapping[str, Bundle], *, overwrite: bool = False
) -> Path:
    """Write ``{"": (document, arrays), "sub": (document, arrays)}`` as one directory.

    Raises :class:`romae.errors.PathExistsError` when ``path`` exists and ``overwrite`` is
    false.
    """
    from safetensors.numpy import save_file

    with atomic_directory(path, overwrite=overwrite) as folder:
        for name, (document, arrays) in parts.items():
            target = folder / name
            target.mkdir(exist_ok=True)
            text = {"format": FORMAT_VERSION, **document, "versions": versions()}
            (target / BUNDLE_FILE).write_text(
                json.dumps(_strict(text), indent=2, allow_nan=False) + "\n"
            )
            owned = {k: np.asarray(v, order="C") for k, v in arrays.items()}
            save_file(owned, target / ARRAYS_FILE)
            # safetensors makes files that the owner alone may read; groups share models.
            shutil.copymode(target / BUNDLE_FILE, target / ARRAYS_FILE)
    return Path(path)


def read_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Document and arrays of the bundle directory ``path``.

    Raises :class:`MissingFileError` when there is nothing, :class:`BundleError` when it is
    no bundle, is damaged, or was written by a newer romae.
    """
    from safetensors.numpy import load_file

    folder = Path(path)
    if not folder.exists():
        raise MissingFileError(
            f"no model at {str(path)!r} (working directory {Path.cwd()}). Expected a directory "
            f"written by `romae fit ... -o {path}` or `.save({str(path)!r})`."
        )
    if is_archive(path):
        raise BundleError(
            f"{str(path)!r} is an archive of snapshots, no saved model. Open it with "
            f"xr.open_dataset({str(path)!r}) or romae.open_snapshots({str(path)!r})."
        )
    if not (folder / BUNDLE_FILE).is_file():
        raise BundleError(
            f"{str(path)!r} is no saved model: it has no {BUNDLE_FILE}. Expected a directory "
            f"written by `romae fit ... -o NAME.rom` or `.save('NAME.rom')`."
        )
    try:
        document = json.loads((folder / BUNDLE_FILE).read_text(), object_hook=_number)
        newer = int(document["format"]) > FORMAT_VERSION
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{folder / BUNDLE_FILE} is damaged ({error}). Expected the JSON that romae wrote; "
            f"copy the model again or fit it anew."
        ) from error
    if newer:
        raise BundleError(
            f"{str(path)!r} has format {document['format']} and this romae reads up to "
            f"{FORMAT_VERSION}. It was written by a newer romae ({document.get('versions')}); "
            f"type `pip install --upgrade romae`."
        )
    try:
        arrays = load_file(folder / ARRAYS_FILE)
    except Exception as error:  # safetensors raises several kinds for damage
        raise BundleError(
            f"{folder / ARRAYS_FILE} is missing or damaged ({error}). Copy the model again or "
            f"fit it anew."
        ) from error
    return document, arrays


def _strict(value: Any) -> Any:
    """``value`` with numbers that JSON does not know as :func:`_number` finds them."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"__float__": repr(float(value))}
    if isinstance(value, Mapping):
        return {k: _strict(v) for k, v in value.items()}
    return [_strict(v) for v in value] if isinstance(value, list | tuple) else value


def _number(found: dict[str, Any]) -> Any:
    return float(found["__float__"]) if found.keys() == {"__float__"} else found


def versions() -> dict[str, str]:
    """Versions of romae and of the libraries that decide its numbers."""
    found = {}
    for name in ("romae", "torch", "numpy", "xarray"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a checkout on PYTHONPATH
            found[name] = "unknown"
    return found


def bundle_class(document: Mapping[str, Any]) -> str:
    """Class recorded in a bundle: ``"POD"``, or ``"package.module:Class"`` of a third party."""
    try:
        return str(document["class"])
    except KeyError as error:
        raise BundleError(f"a model's {BUNDLE_FILE} names no class; fit it anew.") from error
