"""Run a study: every step that is not finished, in order."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from romae.errors import MissingFileError, OptionError, nearest
from romae.files import atomic_file
from romae.progress import format_seconds
from romae.study.archive import archive_text, check_model
from romae.study.config import Study, read_study
from romae.study.ledger import Ledger, Step
from romae.study.plan import Plan

if TYPE_CHECKING:
    from romae.fields import Snapshots

STAGES = ("data", "fit", "compare", "dynamics", "forecast", "archive", "report")


@dataclass(frozen=True)
class Outcome:
    """``text`` for people; ``data``: folder, report and the steps with what was done."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)


def run_study(
    path: str | Path,
    folder: str | Path | None = None,
    *,
    settings: Iterable[str] = (),
    until: str | None = None,
    only: str | None = None,
) -> Outcome:
    """Run the study file ``path`` in ``folder`` (``runs/<name>`` otherwise).

    ``until`` names the last stage to do (data, fit, compare, dynamics, forecast, archive,
    report); ``only`` names one step, as :func:`list_steps` shows them: the tasks of a batch array
    do one each. Everything that can be wrong without training is found first.
    """
    study = read_study(path, settings)
    plan = Plan(study, run_folder(study, folder))
    ledger = Ledger(plan.folder)
    _check_names(until, only, study)
    check_options(plan)
    with atomic_file(plan.folder / "study.json", overwrite=True) as temporary:
        temporary.write_text(json.dumps(study.resolved(), indent=2, default=str) + "\n")
    done = {"data": ledger.perform(plan.data_step)} if only in (None, "data") else {}
    if until != "data" and only != "data":
        check_data(plan)
        for step in _chosen(plan, until, only):
            if only is not None:
                _require_before(step, plan, ledger)
            done[step.name] = ledger.perform(step)
    return _outcome(plan, ledger, done)


def list_steps(
    path: str | Path, folder: str | Path | None = None, *, settings: Iterable[str] = ()
) -> dict[str, bool]:
    """Every step of the study, in order, and whether it is finished."""
    study = read_study(path, settings)
    plan = Plan(study, run_folder(study, folder))
    ledger = Ledger(plan.folder)
    found = {"data": ledger.finished(plan.data_step)}
    if plan.study.data.case is not None and not found["data"]:
        return found | dict.fromkeys(step_names(plan.study), False)
    return found | {step.name: ledger.finished(step) for step in plan.steps}


def run_folder(study: Study, folder: str | Path | None) -> Path:
    """``folder``, or ``runs/<name of the study>``."""
    target = Path(folder if folder is not None else Path("runs") / study.name)
    if target.exists() and not target.is_dir():
        raise OptionError(f"{target} is a file. Expected the folder of a run; type another -o.")
    return target


def step_names(study: Study) -> list[str]:
    """Names of the steps after the data, known without the data."""
    labels = [label for spec in study.reducers for label in spec.labels()]
    names = [f"fit/{label}" for label in labels] + ["compare"]
    if study.dynamics:
        names += [f"dynamics/{pair}" for spec in study.dynamics for pair in spec.labels(labels)] + [
            "forecast"
        ]
    if study.archive is not None:
        names.append("archive")
    return [*names, "report"]


def check_options(plan: Plan) -> None:
    """Wrong options and a device that is not there show before any work."""
    from romae.feed import pick_device

    pick_device(plan.study.run.device)
    plan.new_reducers()
    plan.new_dynamics()
    check_model(plan)


def check_data(plan: Plan) -> None:
    """Latent sizes and forecast lengths that the data do not allow show before training."""
    train, _, test = plan.parts
    for reducer in plan.new_reducers().values():
        reducer.check_size(train)
    if plan.study.archive is not None:
        plan.study.archive.check_bound(plan.snapshots.layout.names)
    if not plan.study.dynamics:
        return
    test = _check_times(plan, test)
    context = max((dynamics.context for dynamics in plan.new_dynamics()), default=1)
    steps, longest = plan.study.forecast.steps, max(test.lengths)
    if context + steps > longest:
        raise OptionError(
            f"study [forecast]: steps = {steps} and a history of {context} snapshots do not fit "
            f"into the {longest} of the test data. Expected at most {longest - context} steps; set "
            "forecast.steps, or a larger last part in data.split."
        )


def _check_times(plan: Plan, test: "Snapshots") -> "Snapshots":
    """The test data as forecasts are compared with them: at even times, covered by inputs."""
    from romae.compare.even import evenly
    from romae.compare.forcing import Forcing

    data = plan.study.data
    if data.resample is None and any(part.dt is None for part in plan.parts):
        raise OptionError(
            f"study [data]: the times of {plan.snapshots.source} are uneven, and forecasts are "
            'compared at even steps. Expected a step: resample = "6 h", or "median"; reducers see '
            "the snapshots as they are."
        )
    if data.inputs is not None:
        if not any("inputs" in d.takes for d in plan.new_dynamics()) and not plan.chooses:
            names = ", ".join(d.name for d in plan.new_dynamics())
            raise OptionError(
                f"study [data].inputs: none of the dynamics ({names}) takes inputs. Expected one "
                'that does, such as kind = "opinf", "echo" or "gru"; or leave inputs out.'
            )
        for part, known in zip(plan.parts, plan.inputs, strict=True):
            Forcing.read(known, part)
    return test if data.resample is None else evenly(test, data.resample)


def _check_names(until: str | None, only: str | None, study: Study) -> None:
    if until is not None and until not in STAGES:
        raise OptionError(f"unknown stage {until!r}. {nearest(until, STAGES)}")
    names = ["data", *step_names(study)]
    if only is not None and only not in names:
        raise OptionError(f"unknown step {only!r}. {nearest(only, names)}")


def _chosen(plan: Plan, until: str | None, only: str | None) -> list[Step]:
    if only is not None:
        return [step for step in plan.steps if step.name == only]
    last = STAGES.index(until) if until else len(STAGES)
    return [s for s in plan.steps if STAGES.index(s.name.partition("/")[0]) <= last]


def _require_before(step: Step, plan: Plan, ledger: Ledger) -> None:
    """Steps of the stages that this one reads have to be there, made from the same settings."""
    stage = STAGES.index(step.name.partition("/")[0])
    for earlier in plan.steps:
        before = STAGES.index(earlier.name.partition("/")[0]) < stage
        # A reduced model reads its own reducer; comparison and dynamics do not meet.
        if step.name.startswith("dynamics/"):
            label = step.name.partition("/")[2].partition("+")[0]
            before = earlier.name == f"fit/{label}"
        if step.name == "forecast" and earlier.name == "compare":
            before = False
        if step.name == "archive":
            archive = plan.study.archive
            before = archive is not None and earlier.name == f"fit/{archive.reducer}"
        if before and not ledger.finished(earlier):
            raise MissingFileError(
                f"step {step.name!r} needs {earlier.name!r}, which is not finished with these "
                f"settings. Run it first: --only {earlier.name}"
            )


def _outcome(plan: Plan, ledger: Ledger, done: dict[str, bool]) -> Outcome:
    seconds = {name: ledger.record(name).get("seconds") for name in done}
    worked = sum(seconds[name] or 0 for name, was in done.items() if was)
    facts: dict[str, Any] = {
        "folder": plan.folder,
        "steps": [{"name": n, "done": was, "seconds": seconds[n]} for n, was in done.items()],
    }
    text = f"{sum(done.values())} of {len(done)} steps done in {format_seconds(worked)}"
    if "archive" in done:
        text = f"{archive_text(plan)}\n\n{text}"
        facts["archive"] = plan.folder / "archive"
    page = plan.folder / "report" / "index.html"
    if "report" in done and page.exists():
        facts["report"] = page
        text += f"\n{page}"
    return Outcome(text, facts)
