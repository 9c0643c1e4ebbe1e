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
small functions that tight loops call. Compiled code is cached beside the sources, or in the user's
cache folder where those are read-only. numba itself notices a change of a function's own module
only, by its date and size; a function of another module that was copied in, or a constant, would
stay as it was: wrong bytes after an upgrade. So the cached name carries a digest of all sources
here that compiled code can come from. ``function.py_func`` is the plain function.
"""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from romae import compiling


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
    if compiling.numba is not None:
        function.__qualname__ += "_" + sources_digest()
    return compiling.jit(**options)(function)


def sources(folder: Path = Path(__file__).parent) -> list[Path]:
    """Modules in ``folder`` whose functions are compiled."""
    return [p for p in sorted(folder.glob("*.py")) if b"romae.archive.compiled" in p.read_bytes()]


@cache
def sources_digest(folder: Path = Path(__file__).parent) -> str:
    """Whichever of the sources changes, everything is compiled anew."""
    own = [Path(__file__), Path(compiling.__file__)]
    texts = b"".join(p.name.encode() + p.read_bytes() for p in [*own, *sources(folder)])
    return hashlib.sha256(texts).hexdigest()[:12]
