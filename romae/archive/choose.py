"""Which methods a chunk may be coded by.

    candidates(snapshots, eps, model) -> [Method, ...]        tried on every chunk, fewest bytes win

``model=None`` learns nothing: splines and the lossless coder. ``"auto"`` also fits what may pay
for itself. A method of one's own, or a fitted reducer, is tried beside the splines. A method's
side information is stored once and counted, so a candidate stays only if, on sample chunks, it
saves more than it costs.
"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from romae.archive.method import Method
from romae.archive.store import sha256
from romae.errors import ArchiveError, OptionError, nearest
from romae.fields.snapshots import Snapshots


def classes() -> dict[str, type[Method]]:
    """The methods this romae can decode, by the name that chunks carry."""
    from romae.archive.spline import Spline

    return {c.name: c for c in (Spline,)}


def load_method(name: str, side: bytes) -> Method:
    """The method ``name`` with its side information.

    Raises :class:`ArchiveError` for a name this romae does not know.
    """
    known = classes()
    if name not in known:
        raise ArchiveError(
            f"the archive was coded by the method {name!r}. {nearest(name, known)} It may come "
            "from a newer romae; type `pip install --upgrade romae`"
        )
    return known[name].from_bytes(side)


def candidates(snapshots: Snapshots, eps: np.ndarray, model: Any, chunk: int) -> list[Method]:
    """Methods to try on every chunk of ``chunk`` snapshots; ``eps``: (C,), 0 = exact.

    Raises :class:`OptionError` for a ``model`` that cannot code.
    """
    found: list[Method] = [c.from_bytes(b"") for c in classes().values()][:1]
    if not eps.any() or model is None or model == "auto":
        return found
    method = as_method(model)
    if method.name in {m.name for m in found}:
        return [method]
    return [*found, method]


def as_method(model: Any) -> Method:
    """``model`` (not "auto" or None) as a method."""
    if isinstance(model, Method):
        if model.name not in classes():
            raise OptionError(
                f"model={model!r} has the name {model.name!r}, by which nobody could open the "
                f"archive. {nearest(model.name, classes())}"
            )
        return model
    what = repr(model) if isinstance(model, str | os.PathLike) else type(model).__name__
    raise OptionError(
        f"model={what} cannot predict fields for an archive. Expected 'auto', None or a method of "
        "romae.archive"
    )


def describe_model(model: Any) -> str:
    """``model`` in the plan: equal words, equal bytes."""
    if model is None or isinstance(model, str):
        return json.dumps(model)
    method = as_method(model)
    return f"{method.name} {sha256(method.to_bytes())[:16]}"
