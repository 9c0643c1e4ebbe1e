"""Configuration is strict: what is read is what was written, anything else is an error."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from romae.config import apply_settings, read_arguments, read_dataclass, read_toml
from romae.errors import MissingFileError, OptionError, UnreadableFileError


@dataclasses.dataclass(frozen=True)
class Train:
    epochs: int = 100
    lr: float = 1e-3
    optimiser: Literal["adamw", "sgd"] = "adamw"


@dataclasses.dataclass(frozen=True)
class Settings:
    name: str
    train: Train = dataclasses.field(default_factory=Train)
    latent: int | list[int] = 2
    shape: tuple[int, int] = (1, 1)
    fractions: tuple[float, ...] = (0.7, 0.3)
    mask: str | None = None
    verbose: bool = False
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    stages: list[Train] = dataclasses.field(default_factory=list)
    output: Path = Path("out")


def test_defaults_and_nesting():
    got = read_dataclass(Settings, {"name": "a", "train": {"epochs": 3}, "stages": [{"lr": 1}]})
    assert got == Settings("a", train=Train(epochs=3), stages=[Train(lr=1.0)])
    assert isinstance(got.stages[0].lr, float)


settings = st.builds(
    Settings,
    name=st.text(),
    train=st.builds(
        Train,
        epochs=st.integers(),
        lr=st.floats(allow_nan=False),
        optimiser=st.sampled_from(["adamw", "sgd"]),
    ),
    latent=st.integers() | st.lists(st.integers()),
    shape=st.tuples(st.integers(), st.integers()),
    fractions=st.lists(st.floats(allow_nan=False)).map(tuple),
    mask=st.none() | st.text(),
    verbose=st.booleans(),
    options=st.dictionaries(st.text(), st.integers()),
    stages=st.lists(st.builds(Train, epochs=st.integers())),
    output=st.just(Path("b")),
)


@given(settings)
def test_reading_what_was_written_is_the_identity(value):
    assert read_dataclass(Settings, dataclasses.asdict(value)) == value


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({}, ["name", "missing"]),
        ({"nam": "a"}, ["'nam'", "'name'?"]),
        ({"name": "a", "train": {"epoch": 1}}, ["s.toml.train", "'epoch'", "'epochs'?"]),
        ({"name": "a", "train": {"epochs": 1.5}}, ["s.toml.train.epochs", "integer", "1.5"]),
        ({"name": "a", "train": {"epochs": True}}, ["integer", "True"]),
        ({"name": "a", "train": {"lr": "fast"}}, ["number", "'fast'"]),
        ({"name": "a", "train": {"lr": True}}, ["number", "True"]),
        ({"name": "a", "train": {"optimiser": "adamW"}}, ["'adamW'", "Did you mean 'adamw'?"]),
        ({"name": "a", "train": 3}, ["table", "3"]),
        ({"name": "a", "latent": "two"}, ["integer", "list", "'two'"]),
        ({"name": "a", "latent": [1, "two"]}, ["list", "'two'"]),
        ({"name": "a", "shape": [1]}, ["2 values", "1"]),
        ({"name": "a", "fractions": [0.5, None]}, ["fractions[1]", "number", "None"]),
        ({"name": "a", "mask": 3}, ["mask", "string", "3"]),
        ({"name": "a", "verbose": 1}, ["true or false", "1"]),
        ({"name": "a", "stages": [{}, {"lrr": 1}]}, ["stages[1]", "'lrr'", "'lr'?"]),
        ({"name": 3}, ["string", "3"]),
    ],
)
def test_errors_name_place_value_and_expectation(mapping, words):
    with pytest.raises(OptionError) as caught:
        read_dataclass(Settings, mapping, where="s.toml")
    for word in ["s.toml", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("50", 50), ("1e-3", 1e-3), ("true", True), ("[1, 2]", [1, 2]), ('"x y"', "x y"),
     ("cuda", "cuda"), ("wake-ae.nc", "wake-ae.nc"), ("{a = 1}", {"a": 1}), ("a=b", "a=b")],
)  # fmt: skip
def test_settings_are_toml_or_bare_words(text, value):
    assert apply_settings({}, [f"a.b={text}"]) == {"a": {"b": value}}


def test_settings_leave_the_mapping_alone_and_reach_into_lists():
    before = {"reducers": [{"latent": 2}, {"latent": 3}], "run": {"seed": 0}}
    after = apply_settings(before, ["reducers.1.latent=4", "run.seed=7"])
    assert after == {"reducers": [{"latent": 2}, {"latent": 4}], "run": {"seed": 7}}
    assert before == {"reducers": [{"latent": 2}, {"latent": 3}], "run": {"seed": 0}}


@pytest.mark.parametrize(
    "setting",
    ["epochs", "=3", "a..b=1", "a=", "a=[1,", "seed.x=3", "list.2=1", "list.x=1"],
)
def test_wrong_settings(setting):
    with pytest.raises(OptionError, match="setting"):
        apply_settings({"seed": 1, "list": [0, 0]}, [setting])


class Model:
    def __init__(
        self, latent: int = 2, *, hidden: Sequence[int] = (8,), train: Train | None = None
    ):
        self.latent, self.hidden, self.train = latent, hidden, train


def test_arguments_follow_the_signature():
    given = {"hidden": [4, 4], "train": {"epochs": 5}}
    assert read_arguments(Model, given, where="m") == {"hidden": (4, 4), "train": Train(epochs=5)}
    with pytest.raises(OptionError, match=r"'hiden'.*'hidden'"):
        read_arguments(Model, {"hiden": [4]}, where="m")
    with pytest.raises(OptionError, match=r"m\.train: unknown key 'epoch'.*'epochs'"):
        read_arguments(Model, {"train": {"epoch": 5}}, where="m")
    with pytest.raises(OptionError, match=r"m\.latent.*integer.*2\.5"):
        read_arguments(Model, {"latent": 2.5}, where="m")


def test_read_toml(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text("a = 1\n")
    assert read_toml(path) == {"a": 1}
    path.write_text("a = \n")
    with pytest.raises(UnreadableFileError, match="line 1"):
        read_toml(path)
    with pytest.raises(MissingFileError, match=r"none\.toml"):
        read_toml(tmp_path / "none.toml")


def test_a_bare_list_needs_no_brackets():
    assert apply_settings({}, ["hidden=64,32"]) == {"hidden": [64, 32]}
    assert apply_settings({}, ["names=u, v"]) == {"names": ["u", "v"]}


@pytest.mark.parametrize(
    ("where", "key", "value", "line"),
    [
        ("--set pod-ae", "steps", "x", "Type --set steps=500."),
        ("--set dynamics dmd", "rank", 0.5, "Type --set dynamics.rank=8."),
        ("[[reducers]] pod-ae", "steps", "x", "Type steps = 500."),
        ("a/study.toml", "rank", "x", "Type rank = 8."),
        ("--set pod-ae", "hidden", 3, "Type --set hidden=8,8."),
        ("m", "hidden", [1, "x"], "Type hidden = [8, 8]."),
        ("m", "name", 3, 'Type name = "name".'),
    ],
)
def test_a_wrong_type_says_what_to_type(where, key, value, line):
    @dataclasses.dataclass
    class Options:
        steps: int = 1
        rank: int | None = None
        hidden: tuple[int, ...] = ()
        name: str = ""

    with pytest.raises(OptionError) as caught:
        read_dataclass(Options, {key: value}, where=where)
    assert str(caught.value).endswith(line)
    _, _, typed = line.removesuffix(".").partition("Type ")
    told = apply_settings({}, [typed.removeprefix("--set ").removeprefix("dynamics.")])
    told = {name.strip(): item for name, item in told.items()}
    read_dataclass(Options, told)  # what it says to type is understood
