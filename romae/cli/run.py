"""``romae run``: a whole study from one TOML file."""

import click

from romae.cli.command import Result, command
from romae.cli.options import output_option, set_option


@command("run")
@click.argument("study", metavar="STUDY.toml")
@output_option("Folder of the study; runs/NAME otherwise.", required=False)
@set_option
@click.option("--device", metavar="auto|cpu|cuda", help="Instead of what the study says.")
@click.option(
    "--until", metavar="STEP", help="Stop after data, fit, compare, dynamics or forecast."
)
def run(
    study: str, output: str | None, settings: tuple[str, ...], device: str | None, until: str | None
) -> Result:
    """Run a study from data to report.

    Each finished step is kept: started again after a kill, or with changed settings, only
    what is missing or depends on the change is done.
    """
    from romae.study import run_study

    if device is not None:
        settings = (*settings, f"run.device={device}")
    outcome = run_study(study, output, settings=settings, until=until)
    return Result(outcome.text, outcome.data)
