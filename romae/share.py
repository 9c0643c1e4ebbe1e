"""Where the data cards and the workflows are: inside a wheel, or in a checkout.

They live in top-level folders of the repository, ``datasets/`` and ``workflows/``;
the wheel carries both under ``romae/_share/``.
"""

from pathlib import Path
from typing import Literal

from romae.errors import MissingFileError, check_option

Kind = Literal["datasets", "workflows"]


def share_path(kind: Kind) -> Path:
    """Folder of the data cards or of the workflows.

    Raises :class:`MissingFileError` when the installation carries neither.

    >>> share_path("datasets").name
    'datasets'
    """
    check_option("share folder", kind, ["datasets", "workflows"])
    package = Path(__file__).resolve().parent
    places = [package / "_share" / kind, package.parent / kind]
    for place in places:
        if place.is_dir():
            return place
    raise MissingFileError(
        f"no folder {kind!r} beside romae: looked for {places[0]} (wheel) and {places[1]} "
        "(checkout). Install romae again: pip install --force-reinstall romae"
    )
