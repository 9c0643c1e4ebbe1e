"""``romae run``: a whole study from one TOML file."""

import click

from romae.cli.command import Result, command, table
from romae.cli.options import output_option, set_option


@command("run")
@click.argument("study", metavar="STUDY.toml")
@output_option("Folder of the study; runs/NAME otherwise.", required=False)
@set_option
@click.option("--device", metavar="auto|cpu|cuda", help="Instead of what the study says.")
@click.option("--list", "listing", is_flag=True, help="List the steps and which are finished.")
@click.option("--only", metavar="STEP", help="Do one step, as --list names it.")
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
def run(
    study: str,
    output: str | None,
    settings: tuple[str, ...],
    device: str | None,
    listing: bool,
    only: str | None,
    until: str | None,
) -> Result:
    """Run a study from data to report.

    Stages: data, fit, compare, dynamics, forecast, archive, report. Each finished step is kept:
    started again after a kill, or with changed settings, only what is missing or depends on
    the change is done.

    \b
    romae run wake.toml -o runs/wake
    romae run wake.toml -o runs/wake --set run.seed=1
    romae run wake.toml -o runs/wake --list
    """
    from romae.study import list_steps, run_study

    if device is not None:
        settings = (*settings, f"run.device={device}")
    if listing:
        steps = list_steps(study, output, settings=settings)
        rows = [[name, "done" if finished else "to do"] for name, finished in steps.items()]
        text = table(["step", "state"], rows, left=2)
        return Result(text, {"steps": [{"name": n, "done": ok} for n, ok in steps.items()]})
    outcome = run_study(study, output, settings=settings, until=until, only=only)
    return Result(outcome.text, outcome.data)
