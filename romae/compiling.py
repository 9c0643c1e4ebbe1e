"""Compiled functions, wherever romae is installed: the cache of numba must not be needed.

numba keeps compiled code beside the sources, or in the user's cache folder. On a node where both
are read-only it refuses to make the function, and with a full disk a call fails after compiling:
here the function is compiled anew in each process then, which takes seconds. Without numba it stays
plain Python.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

try:
    import numba
except ImportError:  # slow, the same numbers
    numba = None  # type: ignore[assignment]


def jit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: ``numba.njit`` that releases the lock and divides as numpy does, ``options`` too.

    >>> @jit()
    ... def square(x):
    ...     return x * x
    >>> square(3.0)
    9.0
    """

    def decorated(function: Callable[..., Any]) -> Any:
        if numba is None:
            vars(function)["py_func"] = function
            return function
        njit: Any = numba.njit
        given = {"nogil": True, "error_model": "numpy", **options}
        try:
            made = njit(cache=True, **given)(function)
        except RuntimeError:  # no folder to cache in: neither here nor the user's
            return njit(**given)(function)
        _survive_full_disks(made)
        return made

    return decorated


def _survive_full_disks(made: Any) -> None:
    """Compiled code that cannot be kept is used all the same."""
    cache: Any = getattr(made, "_cache", None)
    save = getattr(cache, "save_overload", None)
    if save is None:
        return

    def save_if_possible(*arguments: Any) -> None:
        with suppress(OSError):
            save(*arguments)

    cache.save_overload = save_if_possible
