"""Every error romae raises on purpose.

Each says four things: what is wrong, the value seen, what was expected, and
what to type. Each class is a :class:`RomaeError`, so that one ``except`` catches
them all, and also the builtin that a caller unaware of romae would catch.
"""

import difflib
from collections.abc import Iterable
from numbers import Integral


class RomaeError(Exception):
    """Base of every error that romae raises on purpose."""


class MissingFileError(RomaeError, FileNotFoundError):
    """A path, glob or store names nothing."""


class PathExistsError(RomaeError, FileExistsError):
    """Something is already where a result should be written."""


class UnreadableFileError(RomaeError, OSError):
    """A file exists and cannot be read as data: wrong format, truncated, damaged."""


class UnwritableFileError(RomaeError, OSError):
    """A result cannot be written: the disk or a quota is full, a folder is read-only."""


class DataError(RomaeError, ValueError):
    """The data cannot be used as snapshots: no time axis, stray NaN, too few times."""


class GridMismatchError(DataError):
    """Fields do not sit on the grid, variables or mask that was expected."""


class OptionError(RomaeError, ValueError):
    """An argument, option or configuration key has a value it cannot have."""


class NotFittedError(RomaeError, RuntimeError):
    """A model is used before ``fit``."""


class TrainingError(RomaeError, ArithmeticError):
    """Training cannot go on: a loss that is not finite, a resume on other data."""


class ForecastError(RomaeError, ArithmeticError):
    """A forecast left the range of its training data, and was asked to stop there."""


class ClusterError(RomaeError, RuntimeError):
    """Workers of a cluster cannot be reached, or were lost too often."""


class BundleError(RomaeError, ValueError):
    """A saved model cannot be opened: not a bundle, damaged, newer, unknown class."""


class ArchiveError(RomaeError, ValueError):
    """An archive cannot be decoded: damaged, foreign, newer than this romae."""


class MissingDependencyError(RomaeError, ImportError):
    """An optional library is needed for what was asked."""


def nearest(word: str, valid: Iterable[str]) -> str:
    """Sentence that lists ``valid`` and the spelling nearest to ``word``."""
    names = [str(name) for name in valid]
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Expected one of: {', '.join(names) or '(none)'}.{hint}"


def check_option(what: str, value: object, valid: Iterable[object]) -> None:
    """Raise :class:`OptionError` unless ``value`` is among ``valid``.

    >>> check_option("split", "time", ["time", "case"])
    """
    options = list(valid)
    if value not in options:
        known = nearest(str(value), [str(o) for o in options])
        raise OptionError(f"unknown {what} {value!r}. {known}")


def check_whole(what: str, value: object, least: int = 1) -> int:
    """``value`` as an int; :class:`OptionError` unless it is a whole number, ``least`` or more.

    >>> check_whole("latent", 8)
    8
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise OptionError(
            f"{what} is {value!r}. Expected a whole number, {least} or more; type {max(least, 8)}, "
            f"for example."
        )
    return int(value)
