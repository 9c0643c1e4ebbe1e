"""What every command shares: output for people or for machines, errors, quiet.

A command returns a :class:`Result`; this prints its text, or with ``--json`` its
data as one JSON object and nothing else on standard output. Progress, warnings and
errors go to standard error.
"""

import json
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
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
            click.echo(f"error: {in_shell(str(error), self.params)}", err=True)
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


def in_shell(text: str, params: Iterable[click.Parameter]) -> str:
    """Arguments of Python in an error as the options ``params`` of the command that met it.

    ``rel=1e-3`` becomes ``--rel 1e-3``, ``overwrite=True`` ``--overwrite``, ``variables=['u']``
    ``--variables u``, ``params={'Re': 1}`` ``--params Re=1``; what stands inside a call,
    ``ds.isel(time=0)``, stays Python.

    >>> in_shell("type rel=1e-3, rel=..., or f(rel=2)", [click.Option(["--rel"])])
    'type --rel 1e-3, --rel ..., or f(rel=2)'
    >>> in_shell("params={'Re': value, ...}, one a case", [click.Option(["--params"])])
    '--params Re=value, one a case'
    """
    known = {(p.name or "").rstrip("_"): p for p in params if isinstance(p, click.Option)}

    def option(found: re.Match[str]) -> str:
        name, value = found[1], found[2]
        param = known.get(name)
        if param is None:
            return found[0]
        words = [max(param.opts, key=len)]
        if param.is_flag and value == "False" and param.secondary_opts:
            words = [param.secondary_opts[0]]
        elif value and not param.is_flag:
            value = re.sub(r": |, \.\.\.", lambda m: "=" if m[0] == ": " else "", value)
            words.append(re.sub(r"[\[\]{}'\" ]", "", value) or value)
        return " ".join(words)

    parts = _CALL.split(text)  # calls at odd places
    parts[::2] = [_ARGUMENT.sub(option, part) for part in parts[::2]]
    return "".join(parts)


_CALL = re.compile(r"([\w.\]]+\((?:[^()]|\([^()]*\))*\))")
_ARGUMENT = re.compile(r"(?<![\w(.\-])([a-z_]+)=(\[[^\]]*\]|\{[^}]*\}|'[^']*'|\.\.\.|[\w.+\-]*\w)?")


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
