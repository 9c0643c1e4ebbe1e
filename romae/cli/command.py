"""What every command shares: output for people or for machines, errors, quiet.

A command returns a :class:`Result`; this prints its text, or with ``--json`` its
data as one JSON object and nothing else on standard output. Progress, warnings and
errors go to standard error.
"""

import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from romae.errors import RomaeError
from romae.progress import silent


@dataclass(frozen=True)
class Result:
    """``text`` for people, ``data`` for ``--json``; ``status`` 1 when a check failed."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    status: int = 0


class Command(click.Command):
    """Adds ``--json``, ``--quiet`` and ``--debug``, and turns errors into exit status 2."""

    def __init__(self, name: str, params: list[click.Parameter] | None = None, **kwargs: Any):
        common: list[click.Parameter] = [
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object."),
            click.Option(["-q", "--quiet"], is_flag=True, help="No progress, no text."),
            click.Option(["--debug"], is_flag=True, help="Show the traceback of an error."),
        ]
        super().__init__(name, params=[*(params or []), *common], **kwargs)

    def invoke(self, ctx: click.Context) -> None:
        as_json, quiet, debug = (ctx.params.pop(k) for k in ("as_json", "quiet", "debug"))
        if os.environ.get("RANK", "0") != "0":  # of the processes of torchrun, the first one talks
            as_json, quiet = False, True
        try:
            with silent(quiet), warnings.catch_warnings():
                warnings.showwarning = _show_warning
                result: Result = super().invoke(ctx)
        except RomaeError as error:
            if debug:
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(2)
        if as_json:
            click.echo(json.dumps(plain(result.data), indent=2))
        elif not quiet and result.text:
            click.echo(result.text)
        if result.status:
            ctx.exit(result.status)


def command(name: str) -> Callable[[Callable[..., Result]], click.Command]:
    """Decorator: the function, which returns a :class:`Result`, as the command ``name``."""
    return click.command(name, cls=Command)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: numpy scalars and arrays, paths; NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy, without importing it
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path) or not isinstance(value, str | int | float | bool | None):
        return str(value)
    return value


def table(header: list[str], rows: list[list[str]], *, left: int = 1) -> str:
    """Columns padded with spaces: the first ``left`` to the left, the others, numbers, right."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]

    def padded(line: list[str]) -> str:
        cells = enumerate(zip(line, widths, strict=True))
        return "  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in cells).rstrip()

    return "\n".join(map(padded, lines))
