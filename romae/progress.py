"""How far along a long task is: a bar on a terminal, plain lines anywhere else.

    with track(epochs, "training") as task:
        for epoch in range(epochs):
            ...
            task.advance(loss=loss)

All of it goes to standard error, so that standard output stays free for results.
Batch logs get one line every ten seconds and none for tasks shorter than two.
rich is imported only when there is a terminal to draw on.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Any, Protocol

LOG_EVERY = 10.0  # seconds between two plain lines
SHORT = 2.0  # seconds; a task that took less leaves no line
FIRST_GUESS = 0.02  # share of a task that is done before the time left is guessed

# Per context and not per process: a quiet call in one thread does not silence another.
_silent: ContextVar[bool] = ContextVar("romae_silent", default=False)
_live: ContextVar[Any] = ContextVar("romae_live", default=None)  # the rich Progress on screen


class Task(Protocol):
    """What :func:`track` yields."""

    def advance(self, n: float = 1, **info: object) -> None:
        """``n`` more of the total are done; ``info`` is shown beside, such as ``loss=0.1``."""


@contextmanager
def silent(on: bool = True) -> Iterator[None]:
    """No bars and no log lines inside; ``silent(False)`` lets them through again."""
    token = _silent.set(on)
    try:
        yield
    finally:
        _silent.reset(token)


def log(message: str) -> None:
    """One plain line on standard error, above a bar when one is showing."""
    if _silent.get():
        return
    live = _live.get()
    if live is None:
        print(message, file=sys.stderr, flush=True)
    else:
        live.console.print(message, markup=False, highlight=False)


@contextmanager
def track(total: float | None, label: str) -> Iterator[Task]:
    """Show progress of a task of ``total`` units; None when the total is unknown."""
    if _silent.get():
        yield _Nothing()
    elif _on_terminal():
        with _bar(total, label) as task:
            yield task
    else:
        lines = _Lines(total, label)
        yield lines
        lines.finish()


def _on_terminal() -> bool:
    """Whether a bar can be drawn; a compute node may have a terminal and no rich."""
    drawn = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    return drawn and find_spec("rich") is not None


def format_info(info: dict[str, object]) -> str:
    """``loss 0.00123  epoch 3``: floats with three digits.

    >>> format_info({"loss": 0.0012345, "epoch": 3})
    'loss 0.00123  epoch 3'
    """
    shown = (f"{v:.3g}" if isinstance(v, float) else str(v) for v in info.values())
    return "  ".join(f"{key} {value}" for key, value in zip(info, shown, strict=True))


def format_seconds(seconds: float) -> str:
    """
    >>> format_seconds(3.21), format_seconds(75), format_seconds(7300)
    ('3.2 s', '1 min 15 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class _Nothing:
    def advance(self, n: float = 1, **info: object) -> None:
        pass


class _Lines:
    """Plain lines, at most one every :data:`LOG_EVERY` seconds."""

    def __init__(self, total: float | None, label: str):
        self.total, self.label = total, label
        self.done: float = 0
        self.info: dict[str, object] = {}
        self.start = self.last = time.monotonic()

    def advance(self, n: float = 1, **info: object) -> None:
        self.done += n
        self.info.update(info)
        now = time.monotonic()
        if now - self.last >= LOG_EVERY:
            self.last = now
            self._print(now - self.start)

    def finish(self) -> None:
        elapsed = time.monotonic() - self.start
        if elapsed >= SHORT:
            parts = [f"{self.label}: done in {format_seconds(elapsed)}", format_info(self.info)]
            log("  ".join(filter(None, parts)))

    def _print(self, elapsed: float) -> None:
        parts = [f"{self.label}: {self.done:g}"]
        left = 0.0
        if self.total:
            if self.done >= FIRST_GUESS * self.total:
                left = elapsed * (self.total - self.done) / self.done
            parts[0] += f" of {self.total:g} ({100 * self.done / self.total:.0f} %)"
        if self.info:
            parts.append(format_info(self.info))
        parts.append(format_seconds(elapsed))
        if left > 0:
            parts.append(f"about {format_seconds(left)} left")
        log("  ".join(parts))


@contextmanager
def _bar(total: float | None, label: str) -> Iterator[Task]:
    """One line of the display on screen; the outermost opens and closes the display."""
    live = _live.get()
    if live is not None:
        task = _BarTask(live, total, label)
        try:
            yield task
        finally:
            live.remove_task(task.id)
        return
    from rich import progress as bars
    from rich.console import Console

    columns = [
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=30),
        bars.TaskProgressColumn(),
        bars.TimeRemainingColumn(elapsed_when_finished=True),
        bars.TextColumn("[dim]{task.fields[info]}"),
    ]
    with bars.Progress(*columns, console=Console(stderr=True)) as live:
        token = _live.set(live)
        try:
            yield _BarTask(live, total, label)
        finally:
            _live.reset(token)


class _BarTask:
    def __init__(self, live: Any, total: float | None, label: str):
        self.live, self.info = live, {}  # type: Any, dict[str, object]
        self.id = live.add_task(label, total=total, info="")

    def advance(self, n: float = 1, **info: object) -> None:
        self.info.update(info)
        self.live.update(self.id, advance=n, info=format_info(self.info))
