"""What a study file may say. Unknown keys are errors that name the nearest one."""

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from romae.config import apply_settings, read_dataclass, read_toml
from romae.errors import OptionError, check_whole, nearest
from romae.kinds import DYNAMICS, REDUCERS, class_name

Table = dict[str, Any]
AUTO = "auto"


@dataclass(frozen=True, kw_only=True)
class Data:
    """``[data]``: files, or a reference case to make; how to read and to divide them."""

    files: str | list[str] | None = None  # paths and globs, from the folder of the study file
    case: str | None = None  # name of a reference case, instead of files
    size: str = "demo"
    settings: Table = field(default_factory=dict)  # changed arguments of the case
    variables: list[str] | None = None
    time: str | None = None
    space: list[str] | None = None
    periodic: list[str] | None = None
    mask: str | None = None
    weights: str | None = None
    layout: Table | None = None  # what plain HDF5, MATLAB or NumPy files do not say
    cases: Literal["auto", "file"] = "auto"
    split: tuple[float, float, float] = (0.7, 0.15, 0.15)  # train, validation, test
    split_by: Literal["time", "case"] = "time"
    gap: int = 0  # snapshots (or cases) left out between the parts
    inputs: str | None = None  # file of series over time, known to the dynamics that take some
    resample: str | float | None = None  # step of the dynamics for uneven times; or "median"

    def __post_init__(self) -> None:
        if (self.files is None) == (self.case is None):
            raise OptionError(
                "study [data]: expected either files or case, got "
                f"{'neither' if self.files is None else 'both'}. Write for example "
                'files = "wake-*.nc" or case = "cylinder".'
            )
        if self.case is None and self.settings:
            raise OptionError("study [data]: settings change a reference case; files have none.")

    def opening(self) -> Table:
        """Arguments of ``open_snapshots`` that were given."""
        names = ("variables", "time", "space", "periodic", "mask", "weights", "layout", "cases")
        return {n: getattr(self, n) for n in names if getattr(self, n) is not None}


@dataclass(frozen=True, kw_only=True)
class ReducerSpec:
    """One ``[[reducers]]``: a kind, one latent size or several, arguments of the class."""

    kind: str
    latent: int | float | list[int]
    options: Table = field(default_factory=dict)
    name: str | None = None  # in tables and figures, instead of the class name

    def labels(self) -> dict[str, int | float]:
        """Names of the steps and folders, with the latent size of each: pod-ae-2."""
        sizes = self.latent if isinstance(self.latent, list) else [self.latent]
        labels = [f"{_stem(self)}-{size}" for size in sizes]
        _check_once(labels, "[[reducers]]")
        return dict(zip(labels, sizes, strict=True))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """``options`` of ``[[dynamics]] kind = "auto"``: the kind that forecasts the validation data
    best, by :func:`romae.compare_dynamics`."""

    models: list[str] | None = None  # kinds to choose from; all otherwise
    steps: int | None = None  # half of the validation data otherwise, at most 200
    starts: int = 50
    budget: float | None = None  # seconds of fitting

    def __post_init__(self) -> None:
        for kind in self.models or []:
            class_name(kind, DYNAMICS, "dynamics")


@dataclass(frozen=True, kw_only=True)
class DynamicsSpec:
    """One ``[[dynamics]]``: a kind, fitted on the latents of each reducer named in ``on``.

    ``kind = "auto"`` chooses one; its options are those of :class:`Choice`.
    """

    kind: str
    on: list[str] | None = None  # labels such as pod-ae-2; all reducers otherwise
    options: Table = field(default_factory=dict)
    name: str | None = None  # in tables and figures, instead of the class name

    def choice(self) -> "Choice":
        """Of ``kind = "auto"``: its options."""
        return read_dataclass(Choice, dict(self.options), where='[[dynamics]] kind = "auto"')

    def labels(self, reducers: Iterable[str]) -> dict[str, str]:
        """Names of the steps and folders, with the reducer of each: pod-ae-2+gru."""
        return {f"{label}+{_stem(self)}": label for label in self.on or reducers}


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """``[forecast]``: from many starts in the test data."""

    steps: int = 100
    starts: int = 20
    threshold: float = 0.4  # of the NRMSE, for the valid prediction time
    long_run: int | None = None  # steps of rollouts whose statistics are compared with the data's
    ensemble: int | None = None  # members of ensembles whose spread is compared with their error

    def __post_init__(self) -> None:
        for key, least in (("long_run", 8), ("ensemble", 2)):
            if getattr(self, key) is not None:
                check_whole(f"study [forecast].{key}", getattr(self, key), least)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """``[archive]``: all the data as an archive, compressed and compared with its source.

    Exactly one bound, a number or a table with one for each field, as :func:`romae.compress` takes.
    """

    rel: float | dict[str, float] | None = None
    abs: float | dict[str, float] | None = None
    nrmse: float | dict[str, float] | None = None
    model: str = AUTO  # auto, none, or the label of a reducer such as pod-ae-2
    chunk: int | None = None  # snapshots that are decoded together

    def __post_init__(self) -> None:
        self.check_bound(None)
        if self.chunk is not None:
            check_whole("study [archive].chunk", self.chunk)

    @property
    def reducer(self) -> str | None:
        """Label of the reducer that predicts the fields, if one was named."""
        return None if self.model in (AUTO, "none") else self.model

    def bound(self) -> dict[str, float | dict[str, float]]:
        """The keyword of :func:`romae.compress`."""
        given = {"rel": self.rel, "abs": self.abs, "nrmse": self.nrmse}
        return {k: v for k, v in given.items() if v is not None}

    def check_bound(self, fields: Iterable[str] | None) -> None:
        """One bound, above 0, for ``fields``; None: they are not known yet.

        Raises :class:`OptionError`.
        """
        from romae.archive.bound import read_bound

        tables = (v for v in self.bound().values() if isinstance(v, dict))
        names = list(next(tables, {"": 0})) if fields is None else list(fields)
        try:
            read_bound(names, abs=self.abs, rel=self.rel, nrmse=self.nrmse)
        except OptionError as error:
            words = str(error).rstrip(".")
            raise OptionError(f"study [archive]: {words}.") from error


@dataclass(frozen=True, kw_only=True)
class Report:
    """``[report]``."""

    title: str | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """``[run]``: what changes where and how it is computed, not what."""

    seed: int = 0
    device: str = "auto"


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study file."""

    data: Data
    reducers: list[ReducerSpec]
    name: str = "study"
    dynamics: list[DynamicsSpec] = field(default_factory=list)
    forecast: Forecast = field(default_factory=Forecast)
    archive: Archive | None = None
    report: Report = field(default_factory=Report)
    run: Run = field(default_factory=Run)

    def __post_init__(self) -> None:
        """What does not need the data is checked here, before any work."""
        if not self.reducers:
            raise OptionError(
                "study: no [[reducers]]. Expected at least one, such as kind = 'pod'."
            )
        for key in ("inputs", "resample"):
            if getattr(self.data, key) is not None and not self.dynamics:
                raise OptionError(
                    f"study [data].{key} = {getattr(self.data, key)!r} without [[dynamics]]: a "
                    f"reducer alone knows no time. Expected [[dynamics]], or no {key}."
                )
        labels = [label for spec in self.reducers for label in spec.labels()]
        for spec in self.reducers:
            class_name(spec.kind, REDUCERS, "reducer")
        for one in self.dynamics:
            if one.kind == AUTO:
                one.choice()
            else:
                class_name(one.kind, DYNAMICS, "dynamics")
            for label in one.on or []:
                if label not in labels:
                    raise OptionError(
                        f"study [[dynamics]] {one.kind}: on = {label!r}. {nearest(label, labels)}"
                    )
        if self.archive is not None and self.archive.reducer not in (None, *labels):
            raise OptionError(
                f"study [archive]: model = {self.archive.model!r}. "
                f"{nearest(self.archive.model, [AUTO, 'none', *labels])}"
            )
        _check_once(labels, "[[reducers]]")
        _check_once([p for one in self.dynamics for p in one.labels(labels)], "[[dynamics]]")

    def resolved(self) -> Table:
        """Everything that was decided, with the defaults, as plain tables."""
        return dataclasses.asdict(self)


def _stem(spec: ReducerSpec | DynamicsSpec) -> str:
    """Name or short kind as it goes into file names."""
    short = {name: kind for table in (REDUCERS, DYNAMICS) for kind, name in table.items()}
    name = spec.name or short.get(spec.kind, spec.kind)
    return re.sub(r"[^a-z0-9.-]+", "-", name.lower())


def _check_once(labels: list[str], where: str) -> None:
    for label in labels:
        if labels.count(label) > 1:
            raise OptionError(
                f"study {where}: {label!r} appears {labels.count(label)} times. Give one of them a "
                "name of its own."
            )


def read_study(path: str | Path, settings: Iterable[str] = ()) -> Study:
    """The study in the TOML file ``path``, with ``settings`` such as ``run.seed=1`` put in.

    File names and patterns are taken from the folder of the study. Raises
    :class:`MissingFileError`, :class:`UnreadableFileError` and :class:`OptionError`.
    """
    table = apply_settings({"name": Path(path).stem, **read_toml(path)}, settings)
    study = read_dataclass(Study, table, where=str(path))
    data, base = study.data, Path(path).resolve().parent
    if data.inputs is not None:
        data = dataclasses.replace(data, inputs=str(base / data.inputs))
        study = dataclasses.replace(study, data=data)
    given = data.files
    if given is None:
        return study
    files = [str(base / f) for f in ([given] if isinstance(given, str) else given)]
    # One pattern stays one string: several paths are a list that has to exist as it is.
    data = dataclasses.replace(data, files=files[0] if isinstance(given, str) else files)
    return dataclasses.replace(study, data=data)
