"""What `romae info` says."""

from __future__ import annotations

from typing import Any


def inspect_source(source: Any, **options: Any) -> list[Any]:
    """Findings; completed below."""
    raise NotImplementedError
