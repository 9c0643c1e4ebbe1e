"""Configuration: a mapping, as read from TOML, becomes a frozen dataclass, strictly.

The dataclass says which keys there are, their types and their defaults. An
unknown key, a missing one or a value of another type is an
:class:`~romae.errors.OptionError` that names the place and the nearest spelling::

    study.toml [train]: unknown key 'epoch'. Expected one of: epochs, lr. Did you mean 'epochs'?

Types understood: bool, int, float (takes integers), str, Path, Any, Literal,
unions (``int | None``), ``tuple[T, ...]``, ``tuple[T, U]``, ``list[T]``,
``dict[str, T]``, dataclasses of these, to any depth, and families of dataclasses that a ``kind``
tells apart (:class:`Part`).
"""

import dataclasses
import inspect
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from romae.errors import MissingFileError, OptionError, UnreadableFileError, nearest

T = TypeVar("T")
_SEQUENCES = (list, tuple, Sequence)
_SCALARS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    Path: "a path",
}
_MANY = {int: "integers", float: "numbers", str: "strings", Path: "paths"}
_EXAMPLES = {bool: "true", int: "8", float: "0.001", str: "name", Path: "file.nc"}
_USUAL = {"steps": "500", "epochs": "50", "batch": "32"}  # where 8 would mislead
COMMAND = "--set"  # opens ``where`` of what was typed on the command line


class Part:
    """Base of families of frozen dataclasses: one is told from another by its ``kind``.

    In files a part is a table ``{kind = "noise", std = 0.1}``, or ``"noise"`` for its defaults.
    """

    kind: ClassVar[str] = ""

    @classmethod
    def kinds(cls) -> dict[str, type[Any]]:
        """Classes of the family by ``kind``; those of other packages once they are imported."""
        found: dict[str, type[Any]] = {cls.kind: cls} if cls.kind else {}
        for member in cls.__subclasses__():
            found |= member.kinds()
        return found


def as_table(value: Any) -> Any:
    """``value`` for a file: dataclasses as tables, parts with their ``kind``, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: as_table(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"kind": value.kind, **fields} if isinstance(value, Part) else fields
    return [as_table(item) for item in value] if isinstance(value, list | tuple) else value


def read_toml(path: str | Path) -> dict[str, Any]:
    """Mapping in a TOML file.

    Raises :class:`MissingFileError`, or :class:`UnreadableFileError` with line and column.
    """
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        folder = Path(path).parent
        names = [p.name for p in folder.glob(f"*{Path(path).suffix}")] if folder.is_dir() else []
        raise MissingFileError(
            f"no file {str(path)!r} (working directory {Path.cwd()}). "
            f"{nearest(Path(path).name, sorted(names)[:20])}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UnreadableFileError(f"{path}: not a readable TOML file: {error}") from None


def read_dataclass(cls: type[T], mapping: Mapping[str, Any], *, where: str = "configuration") -> T:
    """Instance of the dataclass ``cls`` from ``mapping``; ``where`` opens every error.

    Raises :class:`OptionError` for unknown or missing keys and values of another type.
    """
    if not isinstance(mapping, Mapping):
        raise OptionError(f"{where}: expected a table of keys, got {mapping!r}.")
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    for key in mapping:
        if key not in fields:
            raise OptionError(f"{where}: unknown key {key!r}. {nearest(key, fields)}")
    for name, field in fields.items():
        default = field.default is not dataclasses.MISSING
        if name not in mapping and not default and field.default_factory is dataclasses.MISSING:
            raise OptionError(f"{where}: key {name!r} is missing. It has no default; add it.")
    hints = get_type_hints(cls)
    values = {key: _read(hints[key], value, f"{where}.{key}") for key, value in mapping.items()}
    return cls(**values)


def read_arguments(
    function: Callable[..., Any],
    mapping: Mapping[str, Any],
    *,
    where: str,
    rest: Callable[..., Any] | None = None,
    besides: Iterable[str] = (),
) -> dict[str, Any]:
    """Keyword arguments of ``function`` from ``mapping``, by its signature and annotations.

    A table becomes the dataclass that the annotation names (``train = {epochs = 5}``). ``rest`` is
    what ``function`` hands its ``**options`` to; ``besides`` are names that somebody else has taken
    out of ``mapping``, for the error. Raises :class:`OptionError` as
    :func:`read_dataclass` does; missing arguments are left to the call.
    """
    own = _parameters(function)
    hints = {**own, **(_parameters(rest) if rest else {}), **own}  # its own come first
    for key in mapping:
        if key not in hints:
            known = [*besides, *hints]
            raise OptionError(f"{where}: unknown option {key!r}. {nearest(key, known)}")
    return {k: _read(hints[k], v, f"{where}.{k}") for k, v in mapping.items()}


def _parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """Annotation by name of what ``function`` takes by keyword."""
    # A class has its annotations at __init__; signature finds that by itself.
    hints = get_type_hints(
        getattr(function, "__init__", function) if inspect.isclass(function) else function
    )
    parameters = inspect.signature(function).parameters.values()
    return {
        p.name: hints.get(p.name, Any)
        for p in parameters
        if p.name != "self" and p.kind is not p.VAR_KEYWORD
    }


def _read(kind: Any, value: Any, where: str) -> Any:
    """``value`` as the type ``kind``, or an error that says what was expected at ``where``."""
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is Literal:
        return _read_literal(get_args(kind), value, where)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(kind), value, where)
    if origin in _SEQUENCES or kind in _SEQUENCES:
        return _read_sequence(kind, value, where)
    if origin is dict or kind is dict:
        inner = get_args(kind)[1] if get_args(kind) else Any
        if not isinstance(value, Mapping):
            raise OptionError(f"{where}: expected a table, got {value!r}.")
        return {str(key): _read(inner, item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, Part):
        return value if isinstance(value, kind) else _read_part(kind, value, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return value if isinstance(value, kind) else read_dataclass(kind, value, where=where)
    return _read_scalar(kind, value, where)


def _read_scalar(kind: Any, value: Any, where: str) -> Any:
    if kind is type(None):
        if value is None:
            return None
    elif kind is Path and isinstance(value, str | Path):
        return Path(value)
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif type(value) is kind:  # not isinstance: true is no integer
        return value
    raise OptionError(f"{where}: expected {_describe(kind)}, got {value!r}.{_hint(kind, where)}")


def _read_part(family: type[Part], value: Any, where: str) -> Any:
    table = {"kind": value} if isinstance(value, str) else value
    known = family.kinds()
    if not isinstance(table, Mapping) or "kind" not in table:
        raise OptionError(
            f"{where}: expected one of {', '.join(known)}, or a table with a kind such as "
            f'{{kind = "{next(iter(known))}"}}, got {value!r}.'
        )
    name = table["kind"]
    if name not in known:
        raise OptionError(f"{where}: unknown kind {name!r}. {nearest(str(name), known)}")
    rest = {k: v for k, v in table.items() if k != "kind"}
    return read_dataclass(known[name], rest, where=f"{where} ({name})")


def _read_literal(options: tuple[Any, ...], value: Any, where: str) -> Any:
    for option in options:
        if type(option) is type(value) and option == value:
            return option
    raise OptionError(f"{where}: unknown value {value!r}. {nearest(str(value), map(str, options))}")


def _read_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    """First exact fit wins, so that 3 stays an integer in ``float | int``."""
    for option in options:
        if isinstance(option, type) and type(value) is option:
            return value
    failures: list[tuple[Any, str]] = []
    for option in options:
        try:
            return _read(option, value, where)
        except OptionError as error:
            failures.append((option, str(error)))
    described = [message for option, message in failures if option is not type(None)]
    like = [message for option, message in failures if _looks_like(option, value)]
    for messages in (described, like):  # T | None, T | tuple[T, ...]: the error of one says most
        if len(messages) == 1:
            raise OptionError(messages[0])
    expected = " or ".join(_describe(option) for option in options if option is not type(None))
    raise OptionError(f"{where}: expected {expected}, got {value!r}.")


def _looks_like(kind: Any, value: Any) -> bool:
    """Whether ``value`` was meant for ``kind``: a part by name or table, or a list of parts."""
    meant: tuple[type, ...] = (str, Mapping)
    if (get_origin(kind) or kind) in _SEQUENCES and get_args(kind):
        kind, meant = get_args(kind)[0], (list, tuple)
    return isinstance(kind, type) and issubclass(kind, Part) and isinstance(value, meant)


def _read_sequence(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    make = list if origin is list else tuple
    if not isinstance(value, list | tuple):
        hint = _hint(kind, where)
        raise OptionError(f"{where}: expected {_describe(kind)}, got {value!r}.{hint}")
    if not arguments:
        kinds = [Any] * len(value)
    elif origin is not tuple or arguments[-1] is Ellipsis:
        kinds = [arguments[0]] * len(value)
    else:
        kinds = list(arguments)
        if len(kinds) != len(value):
            raise OptionError(f"{where}: expected {len(kinds)} values, got {len(value)}: {value!r}")
    items = (
        _read(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True))
    )
    return make(items)


def _describe(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(repr(a) for a in arguments)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if (origin or kind) in _SEQUENCES:
        inner = {a: None for a in arguments if a is not Ellipsis}  # ordered, once each
        return (
            "a list of " + ", ".join(_MANY.get(a, _describe(a)) for a in inner)
            if inner
            else "a list"
        )
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(a) for a in arguments if a is not type(None))
    if isinstance(kind, type) and issubclass(kind, Part):
        return "one of " + ", ".join(kind.kinds())
    if origin is dict or dataclasses.is_dataclass(kind):
        return "a table"
    return getattr(kind, "__name__", str(kind))


def _hint(kind: Any, where: str) -> str:
    """What to type at ``where``: as a setting of the command line, or as a line of TOML."""
    path = re.sub(r" \([^ ]*\)", "", where)  # kinds of parts are no keys
    tail = path.rsplit(" ", 1)[-1]
    key = tail.rpartition(".toml.")[2] if ".toml." in tail else tail.partition(".")[2]
    key, item, _ = key.partition("[")
    many = bool(item) or (get_origin(kind) or kind) in _SEQUENCES
    inner = (get_args(kind) or (kind,))[0]
    if not key or inner not in _EXAMPLES:
        return ""
    example = _USUAL.get(key.rpartition(".")[2], _EXAMPLES[inner])
    if path.startswith(COMMAND):
        key = ".".join([*path.split(" ")[1:-1], key])
        return f" Type {COMMAND} {key}={f'{example},{example}' if many else example}."
    example = f'"{example}"' if inner in (str, Path) else example
    return f" Type {key} = {f'[{example}, {example}]' if many else example}."


def apply_settings(mapping: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Copy of ``mapping`` with ``settings`` such as ``"train.epochs=50"`` put in.

    Keys are dotted; a number indexes a list (``reducers.0.latent=4``). Values are TOML; a
    bare word is a string and ``64,64`` is a list, so that no shell quoting is needed.

    >>> apply_settings({"train": {"lr": 0.1}}, ["train.epochs=50", "device=cpu"])
    {'train': {'lr': 0.1, 'epochs': 50}, 'device': 'cpu'}
    """
    result = _copy(mapping)
    for setting in settings:
        name, equals, text = setting.partition("=")
        keys = [key.strip() for key in name.split(".")]
        if not equals or not all(keys):
            raise OptionError(f"setting {setting!r}: expected KEY=VALUE, such as train.epochs=50.")
        _assign(result, keys, _parse_value(text.strip(), setting), setting)
    return result


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def _assign(table: Any, keys: list[str], value: Any, setting: str) -> None:
    for depth, key in enumerate(keys):
        step: Any = key
        if isinstance(table, list):
            if not key.isdecimal() or int(key) >= len(table):
                place, size = ".".join(keys[:depth]), len(table)
                raise OptionError(
                    f"setting {setting!r}: {place} is a list of {size}; expected a number below "
                    f"{size} after it, got {key!r}."
                )
            step = int(key)
        elif not isinstance(table, dict):
            raise OptionError(
                f"setting {setting!r}: {'.'.join(keys[:depth])} is {table!r}, not a table."
            )
        if depth == len(keys) - 1:
            table[step] = value
        else:
            table = table[step] if isinstance(table, list) else table.setdefault(step, {})


def _parse_value(text: str, setting: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if not text or text[0] in "\"'[{":
            raise OptionError(
                f"setting {setting!r}: value is not TOML: {error}. Words inside brackets want "
                'quotes, as in \'key=["a", "b"]\'; without brackets key=a,b is a list, too.'
            ) from None
        if "," in text:
            return [_parse_value(item.strip(), setting) for item in text.split(",") if item.strip()]
        return text
