"""Loops that are compiled where numba is there, and plain Python where it is not: same bytes.

Archives last only if every machine decodes the same bits. Hence the rules for functions under
:func:`compiled`:

- integers stay within int64, so that Python's and the machine's agree; array elements pass
  through ``int()`` before arithmetic;
- floats are element-wise float64 in a written order: no ``fastmath``, so neither reordering
  nor fused multiply-add; no transcendental functions, whose last bit differs between libraries;
- no thread pools inside: the lock of the interpreter is released (``nogil``), so that callers
  run chunks side by side.

The compiled code is cached beside the sources, or, where they are read-only, in the user's cache
folder (numba chooses). ``function.py_func`` is the plain function in either case.
"""

from collections.abc import Callable
from typing import Any

try:
    import numba
except ImportError:  # the slow reference path gives the same bytes
    numba = None  # type: ignore[assignment]


def compiled(function: Callable[..., Any]) -> Any:
    """``function`` compiled by numba on its first call; itself, if numba is not installed."""
    if numba is None:
        vars(function)["py_func"] = function
        return function
    return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
