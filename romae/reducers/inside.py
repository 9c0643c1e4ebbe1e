"""A reducer that works inside another one: unfitted, of its own, and of the size that is left."""

import inspect
import sys
from typing import Any

from romae.config import read_arguments
from romae.errors import BundleError, OptionError, nearest
from romae.reducers.base import Reducer


def unfitted(given: Reducer | dict[str, Any] | int, size: int | None = None) -> Reducer:
    """A reducer of its own, of another one's arguments, a table of class and arguments, a size.

    ``size``: latents that it shall have, whatever ``given`` says. Raises
    :class:`OptionError` for unknown classes, and for ``size`` where the class has no such argument.
    """
    if isinstance(given, Reducer):
        cls = type(given)
        return cls(**{**given.arguments, **_sized(cls, size)})
    if not isinstance(given, dict):
        from romae.reducers.pod_autoencoder import PODAutoencoder

        return PODAutoencoder(given if size is None else size)
    label = str(given.get("class"))
    module, _, name = label.rpartition(":")
    home = sys.modules.get(module or "romae.reducers")
    if home is None:
        raise BundleError(
            f"the reducer inside another one is of {label}. Type `import {module}` first."
        )
    found = getattr(home, name, None)
    if not (isinstance(found, type) and issubclass(found, Reducer)):
        raise OptionError(f"unknown reducer {label!r}. {nearest(label, home.__all__)}")
    arguments = read_arguments(found, given.get("arguments", {}), where=label)
    return found(**{**arguments, **_sized(found, size)})


def _sized(cls: type[Reducer], size: int | None) -> dict[str, int]:
    """The argument of ``cls`` that says how many latents."""
    if size is None:
        return {}
    taken = inspect.signature(cls).parameters
    for name in ("latent", "rank"):  # POD calls it rank
        if name in taken:
            return {name: size}
    raise OptionError(
        f"{cls.__name__} has no argument `latent` or `rank` to set to {size}. Expected a reducer "
        "that has; give it its size yourself and leave latent out."
    )
