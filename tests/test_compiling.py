"""Compiled functions are made and called where nothing can be cached, and without numba."""

import errno
import re
from pathlib import Path

import numpy as np
import pytest

import romae
from romae import compiling


def double(x):
    return 2 * x


def test_every_compiled_function_is_made_here():
    """Elsewhere a read-only installation would fail on import."""
    folder = Path(romae.__file__).parent
    users = [p for p in folder.rglob("*.py") if re.search(r"^\s*import numba", p.read_text(), re.M)]
    assert {p.name for p in users} == {"compiling.py"}


def test_without_a_folder_for_the_cache(monkeypatch):
    caching = pytest.importorskip("numba.core.caching")
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        compiling.numba.njit(cache=True)(double)
    made = compiling.jit()(double)
    assert made(np.float64(4)) == 8
    assert made.signatures


def test_with_a_full_disk_for_the_cache(monkeypatch, tmp_path):
    caching = pytest.importorskip("numba.core.caching")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    with pytest.raises(OSError, match="No space"):
        compiling.numba.njit(cache=True)(double)(np.float32(4))
    assert compiling.jit()(double)(np.float32(4)) == 8


def test_without_numba(monkeypatch):
    monkeypatch.setattr(compiling, "numba", None)
    made = compiling.jit(fastmath=True)(double)
    assert made is double
    assert made.py_func(4) == 8
