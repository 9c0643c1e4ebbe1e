"""A fitted thing on disk: a directory with ``romae.json`` and ``model.safetensors``.

``romae.json`` holds the class, its arguments, where its data came from, versions and
metrics; ``model.safetensors`` every array. No pickle: opening a bundle runs no code from
it. Written to a temporary name, fsynced and renamed. Parts of a composed model are bundles
in sub-directories.
"""

import json
import os
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from romae.conventions import BUNDLE_FILE, FORMAT_VERSION
from romae.errors import BundleError, MissingFileError
from romae.files import atomic_directory

ARRAYS_FILE = "model.safetensors"
Bundle = tuple[dict[str, Any], dict[str, np.ndarray]]


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
            (target / BUNDLE_FILE).write_text(json.dumps(text, indent=2, allow_nan=True) + "\n")
            owned = {k: np.ascontiguousarray(v) for k, v in arrays.items()}
            save_file(owned, target / ARRAYS_FILE)
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
    if not (folder / BUNDLE_FILE).is_file():
        raise BundleError(
            f"{str(path)!r} is no saved model: it has no {BUNDLE_FILE}. Expected a directory "
            f"written by `romae fit ... -o NAME.rom` or `.save('NAME.rom')`."
        )
    try:
        document = json.loads((folder / BUNDLE_FILE).read_text())
        newer = int(document["format"]) > FORMAT_VERSION
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{folder / BUNDLE_FILE} is damaged ({error}). Expected the JSON that romae wrote; "
            f"copy the model again or fit it anew."
        ) from error
    if newer:
        raise BundleError(
            f"{str(path)!r} has format {document['format']} and this romae reads up to "
            f"{FORMAT_VERSION}. It was written by romae {document['versions']['romae']}; "
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
