"""``romae info``: what is in the files, as romae would read it, and what is wrong."""

from dataclasses import asdict
from typing import Any

import click

from romae.cli.command import Result, command
from romae.cli.options import DataOptions, data_options, files_argument


@command("info")
@files_argument
@click.option(
    "--scan",
    type=click.Choice(["all", "open"]),
    default="all",
    help="all: read every value once; open: only what opening the files reads.",
)
@click.option("--speed", is_flag=True, help="Measure how fast a training would get them.")
@data_options
def info(files: tuple[str, ...], scan: str, speed: bool, data: DataOptions) -> Result:
    """Show what FILES hold and what is wrong.

    As romae would read them: fields, units, grid, time, mask, storage, range of values; of an
    archive its bound, errors and sizes too. Exit status 1 when the data cannot be used as they are.
    """
    from romae.errors import DataError
    from romae.fields.inspect import Finding, inspect_source
    from romae.files import is_archive

    facts: dict[str, Any] = {}
    try:
        snapshots = data.open(files)
    except DataError as error:
        findings = [Finding("error", "source", str(error))]
    else:
        findings = inspect_source(snapshots, scan=scan)  # type: ignore[arg-type]
        facts = {
            "source": snapshots.source,
            "shape": snapshots.shape,
            "fields": {f.name: f.units for f in snapshots.layout.fields},
            "space": dict(zip(snapshots.layout.space, snapshots.layout.shape, strict=True)),
            "cases": snapshots.cases,
            "lengths": snapshots.lengths,
            "dt": snapshots.dt,
            "bytes": snapshots.nbytes,
            "fingerprint": snapshots.fingerprint,
        }
        if speed:
            from romae.feed import measure_speed

            measured = measure_speed(snapshots)
            facts["speed"] = asdict(measured)
            findings.append(Finding("note", "speed", str(measured)))
    levels = [f.level for f in findings]
    facts["findings"] = [{"level": f.level, "topic": f.topic, "text": f.text} for f in findings]
    text = _text(findings)
    if archives := [f for f in files if is_archive(f)]:
        about, facts["archives"] = _archives(archives)
        text = f"{about}\n\n{text}"
    return Result(text, facts, status=1 if "error" in levels else 0)


def _archives(paths: list[str]) -> tuple[str, list[dict[str, Any]]]:
    """What was recorded of each archive, as a table and for ``--json``."""
    from romae.archive import Archive, Report
    from romae.archive.report import summary

    manifests = [Archive(path).facts for path in paths]
    texts = [summary(m, path) for m, path in zip(manifests, paths, strict=True)]
    return "\n\n".join(texts), [
        Report(path, m, 0.0, 0).recorded() for m, path in zip(manifests, paths, strict=True)
    ]


def _text(findings: list[Any]) -> str:
    width = max(len(f.topic) for f in findings)
    lines = [
        f"{f.topic.ljust(width)}  {'' if f.level == 'note' else f.level + ': '}{f.text}"
        for f in findings
    ]
    doubts = sum(f.level != "note" for f in findings)
    lines.append(f"{'':{width}}  {doubts} to look at" if doubts else f"{'':{width}}  nothing wrong")
    return "\n".join(lines)
