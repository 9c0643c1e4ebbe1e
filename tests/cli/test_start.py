"""What every command has in common: quick help, suggestions, errors, JSON, quiet."""

import subprocess
import sys
import warnings
from pathlib import Path

import click
import pytest

from romae.cli import _COMMANDS, main
from romae.cli.command import Command, Result, command, plain
from romae.errors import DataError

HEAVY = {"torch", "xarray", "numpy", "rich", "pandas", "dask", "netCDF4", "h5py", "matplotlib"}
GROUPS = ["data"]


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in _COMMANDS)])
def test_help_loads_nothing_heavy(words):
    """Start-up time is what is imported; counting modules does not depend on the machine."""
    code = (
        "import sys\nfrom romae.cli import main\n"
        f"main({words!r}, standalone_mode=False)\nprint('LOADED', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    text, _, loaded = done.stdout.partition("LOADED")
    assert "Usage" in text
    assert HEAVY.isdisjoint(loaded.split())


def test_help_lists_every_command_with_a_whole_sentence(call):
    text = call("--help").stdout
    for name in _COMMANDS:
        assert f"  {name} " in text
    assert "..." not in text.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        (["ifno"], "Did you mean 'info'?"),
        (["data", "mak"], "Did you mean 'make'?"),
        (["info", "x.nc", "--tmie", "t"], "--time"),
        (["data", "make", "burgrs"], "Did you mean 'burgers'?"),
        (["data", "make", "burgers", "--size", "tinny"], "Did you mean 'tiny'?"),
        (["fit", "pdo", "x.nc", "-o", "x.rom"], "Did you mean 'pod'?"),
        (["fit", "pod-ae", "x.nc", "-o", "x.rom", "--set", "train.epoch=3"], "'epochs'?"),
        (["fit", "pod", "x.nc", "-o", "x.rom", "--dynamics", "grru"], "Did you mean 'gru'?"),
    ],
)
def test_typing_errors_name_the_nearest(call, words, suggested):
    result = call(*words, status=2)
    assert suggested in result.stderr
    assert result.stdout == ""


def every_command():
    for name in _COMMANDS:
        found = main.get_command(click.Context(main), name)
        if isinstance(found, click.Group):
            yield from found.commands.values()
        else:
            yield found


def test_every_command_shares_the_common_options():
    found = list(every_command())
    assert len(found) == len(_COMMANDS) - len(GROUPS) + 3
    for one in found:
        assert isinstance(one, Command)
        assert {"as_json", "quiet", "debug"} <= {p.name for p in one.params}
        assert one.help
        for option in one.params:
            assert isinstance(option, click.Argument) or option.help, (one.name, option.name)


@command("sample")
@click.option("--how", default="well")
def sample(how: str) -> Result:
    """A command that can do anything."""
    if how == "wrong":
        raise DataError("seen this, expected that, type this")
    if how == "crash":
        raise ZeroDivisionError("a defect")
    if how == "warn":
        warnings.warn("take care", UserWarning, stacklevel=1)
    return Result("text", {"value": float("nan")}, status=1 if how == "failed check" else 0)


@pytest.fixture
def run_sample():
    from click.testing import CliRunner

    return lambda *words: CliRunner().invoke(sample, list(words))


def test_exit_status(run_sample):
    assert run_sample().exit_code == 0
    assert run_sample("--how", "failed check").exit_code == 1
    wrong = run_sample("--how", "wrong")
    assert wrong.exit_code == 2
    assert wrong.stderr == "error: seen this, expected that, type this\n"
    assert wrong.stdout == ""
    crash = run_sample("--how", "crash")
    assert crash.exit_code == 1
    assert isinstance(crash.exception, ZeroDivisionError)  # the traceback is kept


def test_debug_shows_the_traceback(run_sample):
    assert isinstance(run_sample("--how", "wrong", "--debug").exception, DataError)


def test_output_for_people_machines_and_nobody(run_sample):
    assert run_sample().stdout == "text\n"
    assert run_sample("--json").stdout == '{\n  "value": null\n}\n'
    assert run_sample("-q").stdout == ""


@pytest.mark.filterwarnings("default")
def test_warnings_are_one_line_on_standard_error(run_sample):
    result = run_sample("--how", "warn", "--json")
    assert result.stderr == "warning: take care\n"
    assert "take care" not in result.stdout


def test_plain_values():
    import numpy as np

    value = {"a": np.float32(0.5), "b": np.arange(2), "c": (np.inf, None), 3: Path("d")}
    assert plain(value) == {"a": 0.5, "b": [0, 1], "c": [None, None], "3": "d"}
