"""The Python blocks of README.md and docs/*.md run as tests, each file in a fresh folder.

A block follows the ones above it in the same file. Files that the text takes for
granted are made by a hidden block at its top (``<!-- invisible-code-block: python``).
"""

import os
import tempfile
from contextlib import ExitStack
from typing import Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

_HERE = os.getcwd()


def _enter(namespace: dict[str, Any]) -> None:
    namespace["cleanup"] = cleanup = ExitStack()  # a hidden block may put its own patches there
    folder = cleanup.enter_context(tempfile.TemporaryDirectory(prefix="romae-docs-"))
    cleanup.callback(os.chdir, _HERE)
    os.chdir(folder)


def _leave(namespace: dict[str, Any]) -> None:
    namespace["cleanup"].close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
    setup=_enter,
    teardown=_leave,
).pytest()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Examples of documents train models: they are slow tests."""
    for item in items:
        if item.path.suffix == ".md":
            item.add_marker(pytest.mark.slow)
