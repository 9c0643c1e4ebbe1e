"""A change in any source of compiled code renews all of it: a stale one would write other bytes."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import romae.archive
from romae.archive.compiled import sources, sources_digest

FOLDER = Path(romae.archive.__file__).parent
COMPILED = {path.stem for path in sources()}

PROBE = """
import sys, types
from pathlib import Path

here = Path(sys.argv[1])
parent = types.ModuleType("romae")
parent.__path__ = [str(here.parent)]
package = types.ModuleType("romae.archive")
package.__path__ = [str(here)]
sys.modules.update({"romae": parent, "romae.archive": package})
from romae.archive.outer import outer

print(outer(3), sum(outer.stats.cache_hits.values()) if hasattr(outer, "stats") else -1)
"""
OUTER = """
from romae.archive.compiled import compiled
from romae.archive.inner import inner


@compiled
def outer(x):
    return inner(x) + 1
"""
INNER = """
from romae.archive.compiled import compiled


@compiled
def inner(x):
    return x * {factor}
"""


def call(folder: Path) -> str:
    env = {**os.environ, "NUMBA_CACHE_DIR": str(folder.parent / "cache")}
    run = [sys.executable, "-c", PROBE, str(folder)]
    return subprocess.run(run, env=env, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_change_of_another_module_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    shutil.copy(FOLDER / "compiled.py", folder)
    shutil.copy(FOLDER.parent / "compiling.py", tmp_path)
    (folder / "outer.py").write_text(OUTER)
    (folder / "inner.py").write_text(INNER.format(factor=2))
    assert call(folder).split()[0] == "7"
    assert call(folder).split() in (["7", "1"], ["7", "-1"])  # from the cache, where there is one
    stamp = (folder / "inner.py").stat().st_mtime_ns
    (folder / "inner.py").write_text(INNER.format(factor=5))
    os.utime(folder / "inner.py", ns=(stamp, stamp))  # same size, same date
    assert call(folder).split()[0] == "16"


def test_digest_changes_with_each_source(tmp_path: Path) -> None:
    for path in sources():
        shutil.copy(path, tmp_path)
    found = {sources_digest(tmp_path)}
    assert found == {sources_digest()}
    for path in sources(tmp_path):
        path.write_bytes(path.read_bytes() + b"\n")
        sources_digest.cache_clear()
        found.add(sources_digest(tmp_path))
    assert len(found) == len(COMPILED) + 1


def test_compiled_functions_take_nothing_from_other_modules() -> None:
    """Functions and constants, which are copied when compiling, come from digested modules."""
    assert {"fourier", "pseudospectral", "equation_grid", "stencil_loop", "rangecoder"} <= COMPILED
    for path in sources():
        tree = ast.parse(path.read_text())
        origin = {
            alias.asname or alias.name: node.module or ""
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for function in (n for n in tree.body if isinstance(n, ast.FunctionDef)):
            marks = {d.id for d in function.decorator_list if isinstance(d, ast.Name)}
            if not marks & {"compiled", "tight", "inlined"}:
                continue
            for name in (
                n.id for body in function.body for n in ast.walk(body) if isinstance(n, ast.Name)
            ):
                module = origin.get(name, "romae.archive." + path.stem)
                assert module.removeprefix("romae.archive.") in COMPILED, (path, name, module)
