"""Loops that are compiled where numba is there, and plain Python where it is not: same bytes.

Archives last only if every machine decodes the same bits. Hence the rules for compiled functions:

- integers stay within int64, so that Python's and the machine's agree; array elements pass
  through ``int()`` before arithmetic;
- floats are element-wise float64 in a written order: no ``fastmath``, so neither reordering
  nor fused multiply-add; no transcendental functions, whose last bit differs between libraries;
- no thread pools inside: the lock of the interpreter is released (``nogil``), so that callers
  run chunks side by side.

:func:`compiled` is for anything; :func:`tight` for loops that make no arrays (counting references
to arrays, which it leaves out, made the range coder seven times slower); :func:`inlined` for the
small functions that tight loops call. A loop may call functions of other modules only if these are
``inlined``: the compiled code is cached beside the sources, or in the user's cache folder where
those are read-only, and renewed when its own module or one with ``@inlined`` in it changes.
``function.py_func`` is the plain function.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

try:
    import numba
except ImportError:  # the slow reference path gives the same bytes
    numba = None  # type: ignore[assignment]


def compiled(function: Callable[..., Any]) -> Any:
    """``function`` compiled on its first call; itself, if numba is not installed."""
    return _compiled(function)


def tight(function: Callable[..., Any]) -> Any:
    """The same for loops over arrays that are passed in; they may not make any."""
    return _compiled(function, _nrt=False)


def inlined(function: Callable[..., Any]) -> Any:
    """The same for small functions: copied into each tight loop that calls them."""
    return _compiled(function, _nrt=False, forceinline=True)


def _compiled(function: Callable[..., Any], **options: bool) -> Any:
    if numba is None:
        vars(function)["py_func"] = function
        return function
    function.__qualname__ += "_" + _shared()  # numba itself looks at one module only
    njit: Any = numba.njit
    try:
        return njit(nogil=True, cache=True, error_model="numpy", **options)(function)
    except RuntimeError:  # no folder to cache in: neither here nor the user's
        return njit(nogil=True, error_model="numpy", **options)(function)


@cache
def _shared() -> str:
    """Digest of the modules whose functions are copied into others."""
    texts = (path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    shared = b"".join(text for text in texts if b"\n@inlined" in text)
    return hashlib.sha256(shared).hexdigest()[:12]
