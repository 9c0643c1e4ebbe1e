"""The ``model`` of ``compress`` when it is a fitted reducer, or the path of a saved one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from romae.archive.parent import Parent
from romae.errors import OptionError
from romae.fields.layout import Layout


@dataclass(frozen=True)
class GivenModel:
    """``reducer``: fitted; ``parent``: where it stays if the archive does not hold it."""

    reducer: Any
    parent: Parent | None

    def describe(self) -> str:
        """In the plan: equal words, equal bytes."""
        from romae.archive.decoder import digest

        where = "" if self.parent is None else f" at {self.parent.path}"
        return f"network {self.reducer.name} {digest(self.reducer)[:16]}{where}"


def read_model(model: Any, embed: bool, layout: Layout, folder: Path) -> Any:
    """``model`` as a :class:`GivenModel` if it is a reducer, a reduced model or a path; else as is.

    ``folder``: where the archive will lie. Raises :class:`OptionError` for ``embed=False`` without
    a path, :class:`~romae.errors.MissingFileError` and :class:`~romae.errors.BundleError` for a
    path without a model, and what :func:`romae.archive.network_fit.check_reducer` raises.
    """
    if model is None or (isinstance(model, str) and model == "auto"):
        _check_embed(embed, model)
        return model
    path = os.fspath(model) if isinstance(model, str | os.PathLike) else None
    if path is None and not hasattr(model, "encode"):
        return model
    from romae.archive.network_fit import check_reducer
    from romae.model import ReducedModel, load
    from romae.reducers import Reducer

    found = model if path is None else load(path)
    found = found.reducer if isinstance(found, ReducedModel) else found
    if not isinstance(found, Reducer):
        if path is None:
            return model
        raise OptionError(
            f"model={path!r} holds a {type(found).__name__}, which does not decode fields. "
            "Expected a saved reducer or reduced model, 'auto' or None"
        )
    check_reducer(found, layout)
    if embed:
        return GivenModel(found, None)
    if path is None:
        _check_embed(embed, type(found).__name__)
    return GivenModel(found, Parent.of(found, path or "", folder))


def _check_embed(embed: bool, model: Any) -> None:
    if not embed:
        raise OptionError(
            f"embed=False with model={model!r}: there is no file that the archive could refer to. "
            "Expected the path of a saved model; type model.save('wake.rom') and "
            "model='wake.rom', embed=False"
        )
