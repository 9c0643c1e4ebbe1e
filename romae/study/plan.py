"""The steps of a study: what each reads, does and leaves in the run folder.

data/                   snapshots.nc, when a reference case is made
models/<label>.rom      one per reducer and latent size
compare/                comparison.csv, .json, .nc
dynamics/<label>.rom    one per reducer and dynamics, reduced models
dynamics/<label>.choice the ranking by which "auto" chose: dynamics.csv, .json, .nc
forecast/               forecasts.csv, .json, .nc
archive/                <study>.romae, archive.json, examined.nc
report/                 index.html, with the figures and numbers in it
checkpoints/            of trainings and archives that are under way
study.json              the study as it was read, with all defaults
"""

import hashlib
import shutil
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import romae
from romae.errors import MissingFileError
from romae.fields.series import open_series, split_series
from romae.files import atomic_directory
from romae.kinds import DYNAMICS, REDUCERS, class_name, make_dynamics, make_reducer, seeded
from romae.study.archive import archive_step
from romae.study.config import AUTO, DynamicsSpec, ReducerSpec, Study
from romae.study.forecasting import fit_dynamics, make_forecasts, seeded_dynamics
from romae.study.ledger import Step, key_of

if TYPE_CHECKING:
    from romae.fields import Snapshots


class Plan:
    """The steps of ``study`` in ``folder``, in the order in which they are done."""

    def __init__(self, study: Study, folder: Path) -> None:
        self.study, self.folder = study, folder

    # -- data -----------------------------------------------------------------------------

    @property
    def data_step(self) -> Step:
        """Make the reference case; with files there is nothing to do but to look at them."""
        data = self.study.data
        if data.case is None:
            return Step("data", key_of("files", data.files), self.folder, lambda: None)
        from romae.cases import get_case

        arguments = get_case(data.case, data.size, **data.settings).arguments()
        key = key_of("case", data.case, arguments)
        return Step("data", key, self._made, self._make_data)

    @property
    def _made(self) -> Path:
        return self.folder / "data" / "snapshots.nc"

    def _make_data(self) -> None:
        from romae.cases import make_case

        data = self.study.data
        assert data.case is not None
        make_case(data.case, data.size, self._made, overwrite=True, **data.settings)

    @cached_property
    def snapshots(self) -> "Snapshots":
        """All the data, lazy."""
        data = self.study.data
        if data.case is not None and not self._made.exists():
            raise MissingFileError(f"{self._made} is not there yet. Run the step `data` first.")
        source = self._made if data.files is None else data.files
        return romae.open_snapshots(source, **data.opening())

    @cached_property
    def parts(self) -> "tuple[Snapshots, ...]":
        """Train, validation, test."""
        data = self.study.data
        return self.snapshots.split(*data.split, by=data.split_by, gap=data.gap)

    @cached_property
    def data_key(self) -> str:
        """Hash of the data themselves and of how they are divided."""
        data = self.study.data
        opening = {k: v for k, v in data.opening().items() if k in ("weights", "periodic", "cases")}
        return key_of(self.snapshots.fingerprint, data.split, data.split_by, data.gap, opening)

    @cached_property
    def inputs(self) -> list[Any]:
        """Known series of train, validation and test; None without."""
        data = self.study.data
        if data.inputs is None:
            return [None, None, None]
        where = "study [data].inputs"
        series = open_series(data.inputs, self.snapshots.layout.time, where=where)
        return split_series(series, self.snapshots.cases, data.split, data.split_by, data.gap)

    @cached_property
    def known_key(self) -> list[Any]:
        """What dynamics are told of inputs and steps, for their keys; nothing without."""
        data = self.study.data
        found: list[Any] = [] if data.resample is None else ["resample", data.resample]
        if data.inputs is not None and self.inputs:  # read, so that errors are ours
            content = hashlib.sha256(Path(data.inputs).read_bytes()).hexdigest()
            found += ["inputs", content]
        return found

    # -- reducers -------------------------------------------------------------------------

    @cached_property
    def fit_steps(self) -> dict[str, Step]:
        """By label, one per reducer and latent size."""
        steps = {}
        for spec in self.study.reducers:
            for label, latent in spec.labels().items():
                options = self._seeded_reducer(spec)
                key = key_of(self.data_key, class_name(spec.kind, REDUCERS, ""), latent, options)
                output = self.folder / "models" / f"{label}.rom"
                work = partial(self._fit, spec, label, latent, key, output)
                steps[label] = Step(f"fit/{label}", key, output, work)
        return steps

    def new_reducers(self) -> dict[str, Any]:
        """Unfitted, by label: wrong options show here, before any work."""
        return {
            label: make_reducer(spec.kind, latent, self._seeded_reducer(spec), where="[[reducers]]")
            for spec in self.study.reducers
            for label, latent in spec.labels().items()
        }

    def _seeded_reducer(self, spec: ReducerSpec) -> dict[str, Any]:
        return seeded(spec.kind, spec.options, self.study.run.seed)

    def _fit(
        self, spec: ReducerSpec, label: str, latent: int | float, key: str, output: Path
    ) -> None:
        # The key is in the name, so that a training never goes on from another one's state.
        checkpoint = self.folder / "checkpoints" / f"{label}-{key[:12]}"
        train, validation, _ = self.parts
        reducer = make_reducer(spec.kind, latent, self._seeded_reducer(spec))
        reducer.fit(train, validation, device=self.study.run.device, checkpoint=checkpoint)
        reducer.save(output, overwrite=True)
        for old in checkpoint.parent.glob(f"{label}-{'?' * 12}"):
            shutil.rmtree(old)

    def reducers(self) -> dict[str, Any]:
        """Fitted reducers by label, from their files."""
        return {label: self._load(step.output) for label, step in self.fit_steps.items()}

    def reducer(self, label: str) -> Any:
        """One fitted reducer, from its file."""
        return self._load(self.fit_steps[label].output)

    def _load(self, path: Path) -> Any:
        model = romae.load(path)
        getattr(model, "reducer", model).to(self.study.run.device)
        return model

    def shown(self, fitted: dict[str, Any]) -> dict[str, Any]:
        """Names for tables and figures: "POD k=16", or the name given in the study."""
        given = {label: s.name for s in self.study.reducers for label in s.labels()}
        found: dict[str, Any] = {}
        for label, model in fitted.items():
            name = f"{given[label] or model.name} k={model.latent}"
            found[name if name not in found else f"{name} ({label})"] = model
        return found

    @cached_property
    def compare_step(self) -> Step:
        key = key_of([step.key for step in self.fit_steps.values()])
        return Step("compare", key, self.folder / "compare", self._compare)

    def _compare(self) -> None:
        from romae.compare import write_comparison

        found = romae.compare(self.shown(self.reducers()), self.parts[2])
        with self._folder("compare", "comparison.nc") as folder:
            write_comparison(found, folder)

    # -- dynamics -------------------------------------------------------------------------

    def pairs(self) -> Iterator[tuple[str, DynamicsSpec, str]]:
        """(label of the pair, dynamics, label of the reducer it works on)."""
        for spec in self.study.dynamics:
            for name, label in spec.labels(self.fit_steps).items():
                yield name, spec, label

    @cached_property
    def dynamics_steps(self) -> dict[str, Step]:
        """By label, one per reducer and dynamics."""
        steps: dict[str, Step] = {}
        for name, spec, label in self.pairs():
            auto = spec.kind == AUTO
            cls = AUTO if auto else class_name(spec.kind, DYNAMICS, "dynamics")
            options = vars(spec.choice()) if auto else seeded_dynamics(spec, self.study.run.seed)
            extra = [self.study.run.seed, sorted(DYNAMICS)] if auto else []
            key = key_of(self.fit_steps[label].key, cls, options, *extra, *self.known_key)
            output = self.folder / "dynamics" / f"{name}.rom"
            work = partial(fit_dynamics, self, spec, label, output)
            steps[name] = Step(f"dynamics/{name}", key, output, work)
        return steps

    def new_dynamics(self) -> list[Any]:
        """Unfitted: wrong options show here, before any work."""
        return [
            make_dynamics(s.kind, seeded_dynamics(s, self.study.run.seed), where="[[dynamics]]")
            for s in self.study.dynamics
            if s.kind != AUTO
        ]

    @property
    def chooses(self) -> bool:
        """Whether some dynamics are chosen by a ranking."""
        return any(spec.kind == AUTO for spec in self.study.dynamics)

    def reduced_models(self) -> dict[str, Any]:
        """Fitted reduced models by the names shown; one reducer object for each label."""
        reducers, found = self.reducers(), {}
        for name, spec, label in self.pairs():
            model = self._load(self.dynamics_steps[name].output)
            model.reducer = reducers[label]
            (shown,) = self.shown({label: model.reducer})
            key = f"{shown} + {spec.name or model.dynamics.name}"
            # "auto" may have chosen what stands beside it
            found[f"{key} ({spec.kind})" if key in found else key] = model
        return found

    @cached_property
    def forecast_step(self) -> Step:
        wanted = self.study.forecast
        key = key_of([s.key for s in self.dynamics_steps.values()], vars(wanted))
        return Step("forecast", key, self.folder / "forecast", partial(make_forecasts, self))

    def _folder(self, name: str, marker: str) -> Any:
        return atomic_directory(self.folder / name, overwrite=True, marker=marker)

    @cached_property
    def archive_step(self) -> Step:
        """Only of a study with ``[archive]``."""
        return archive_step(self)

    # -- all of it ------------------------------------------------------------------------

    @cached_property
    def steps(self) -> list[Step]:
        """All steps but the data, in order; needs the data."""
        found = [*self.fit_steps.values(), self.compare_step]
        if self.study.dynamics:
            found += [*self.dynamics_steps.values(), self.forecast_step]
        if self.study.archive is not None:
            found.append(self.archive_step)
        return [*found, self.report_step]

    @cached_property
    def report_step(self) -> Step:
        from romae.study.report import make_report

        inputs = [self.compare_step.key]
        if self.study.dynamics:
            inputs.append(self.forecast_step.key)
        if self.study.archive is not None:
            inputs.append(self.archive_step.key)
        key = key_of(inputs, vars(self.study.report))
        work: Callable[[], None] = partial(make_report, self)
        return Step("report", key, self.folder / "report", work)
