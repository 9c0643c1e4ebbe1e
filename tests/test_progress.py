"""Progress goes to standard error, at a bounded rate, and never into the results."""

import io
import subprocess
import sys

import pytest

from romae import progress
from romae.progress import log, silent, track


class Clock:
    """A clock that a test moves by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock)
    return clock


def test_plain_lines_are_limited_in_rate(clock, capsys):
    with track(1000, "training") as task:
        for step in range(1000):
            clock.now += 0.1
            task.advance(loss=1.0 / (step + 1))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert 9 <= len(lines) <= 11  # 100 seconds, one line every ten
    assert lines[0].startswith("training: 10")
    assert "(10 %)" in lines[0]
    assert "left" in lines[0]
    assert lines[-1] == "training: done in 1 min 40 s  loss 0.001"


def test_no_guess_before_there_is_something_to_guess_from(clock, capsys):
    with track(1000, "making") as task:
        clock.now += 60
        task.advance()
        clock.now += 20
        task.advance(499)
    first, second, _ = capsys.readouterr().err.splitlines()
    assert "left" not in first
    assert "left" in second


def test_short_tasks_leave_no_line(clock, capsys):
    with track(None, "reading") as task:
        clock.now += 1.0
        task.advance(3)
    assert capsys.readouterr() == ("", "")


def test_silent_is_silent_and_ends(clock, capsys):
    with silent(), track(10, "training") as task:
        clock.now += 100
        task.advance()
        log("hidden")
        with silent(False):
            log("shown")
    log("after")
    assert capsys.readouterr() == ("", "shown\nafter\n")


def test_an_exception_passes_and_claims_no_success(clock, capsys):
    with pytest.raises(ZeroDivisionError), track(3, "work") as task:
        clock.now += 60
        task.advance()
        raise ZeroDivisionError
    assert "done" not in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_terminal_shows_a_bar_and_nested_tasks(monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    with track(2, "outer") as outer:
        with track(5, "inner") as inner:
            inner.advance(5, loss=0.25)
        outer.advance()
        log("a [bold] line")
        outer.advance()
    shown = terminal.getvalue()
    assert "outer" in shown
    assert "100%" in shown
    assert "a [bold] line" in shown
    assert progress._live.get() is None


def test_no_rich_without_a_terminal():
    code = (
        "import sys; from romae.progress import track\n"
        "with track(1, 'x') as task: task.advance()\n"
        "assert 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.PIPE)
