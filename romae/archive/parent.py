"""A model that several archives share, and that none of them holds.

An archive written with ``embed=False`` names its model by path and by the digest of what decides
its maps (:func:`romae.archive.decoder.digest`). It is looked for

    1. at the path given when the archive is opened,
    2. at the path recorded, relative to the folder that the archive lies in,
    3. beside the archive, under its own name,

and another model in its place is refused: never wrong numbers.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from romae.errors import ArchiveError


@dataclass(frozen=True)
class Parent:
    """``path``: as recorded; ``digest``: of its maps; ``nbytes``: of its files; ``at``: found."""

    path: str
    digest: str
    nbytes: int
    at: str = ""

    @classmethod
    def of(cls, reducer: Any, path: str | os.PathLike[str], folder: Path) -> Parent:
        """The model at ``path`` as an archive in ``folder`` records it."""
        from romae.archive.decoder import digest

        real = os.path.realpath(path)
        size = sum(p.stat().st_size for p in Path(real).rglob("*") if p.is_file())
        hint = os.path.relpath(real, folder).replace(os.sep, "/")
        return cls(hint, digest(reducer), size, real)

    def to_json(self) -> dict[str, Any]:
        """What the archive stores."""
        return {k: v for k, v in asdict(self).items() if k != "at"}

    def found(self, folder: str, model: str | os.PathLike[str] | None) -> Parent:
        """With the place where it lies, for an archive in ``folder``.

        Raises :class:`ArchiveError` where it lies nowhere.
        """
        beside = [os.path.join(folder, self.path), os.path.join(folder, Path(self.path).name)]
        places = [os.fspath(model)] if model is not None else beside
        for place in places:
            if os.path.exists(place):
                return replace(self, at=os.path.realpath(place))
        looked = " or ".join(repr(os.path.normpath(p)) for p in dict.fromkeys(places))
        raise ArchiveError(
            f"the archive was compressed with the model {Path(self.path).name!r}, which is not at "
            f"{looked}. Expected the saved model whose digest begins {self.digest[:12]}; put it "
            "there, or say where it is: xr.open_dataset(PATH, engine='romae', model='MODEL.rom')"
        )

    def open(self) -> Any:
        """The reducer.

        Raises :class:`ArchiveError` when it is another model than the archive was made with.
        """
        from romae.archive.decoder import digest
        from romae.model import ReducedModel, load

        if not self.at:
            return self.found(os.curdir, None).open()
        found = load(self.at)
        reducer = found.reducer if isinstance(found, ReducedModel) else found
        if digest(reducer) != self.digest:
            raise ArchiveError(
                f"{self.at!r} is not the model that the archive was compressed with: its digest "
                f"begins {digest(reducer)[:12]}, expected {self.digest[:12]}. Fitting again gives "
                "other numbers; restore the model from a copy, or name another place with model="
            )
        return reducer
