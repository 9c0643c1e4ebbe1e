"""The step ``archive``: compress all the data, compare every value with its source, keep both.

archive/<study>.romae     the archive
archive/archive.json      seconds, and what the comparison found
archive/examined.nc       how errors are spread, what other methods would have needed

The archive grows in ``checkpoints/archive-<key>``, chunk by chunk: a run that was killed goes on
there, and what stood in ``archive/`` stays until the new one is whole.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from romae.errors import ArchiveError, OptionError
from romae.files import atomic_directory
from romae.study.ledger import Step, key_of

if TYPE_CHECKING:
    from romae.report import Archived
    from romae.study.plan import Plan

FACTS = "archive.json"


def archive_step(plan: "Plan") -> Step:
    """The step of a study that has ``[archive]``."""
    wanted = plan.study.archive
    assert wanted is not None
    fit = plan.fit_steps[wanted.reducer].key if wanted.reducer else None
    opening = {k: v for k, v in plan.study.data.opening().items() if k in ("periodic", "cases")}
    key = key_of(plan.snapshots.fingerprint, opening, vars(wanted), fit, _file_name(plan))
    return Step("archive", key, plan.folder / "archive", lambda: make_archive(plan, key))


def make_archive(plan: "Plan", key: str) -> None:
    """Compress, verify and examine; raises :class:`ArchiveError` when a value is not as bounded."""
    import romae
    from romae.archive import Archive
    from romae.archive.examine import examine

    wanted, work = plan.study.archive, plan.folder / "checkpoints" / f"archive-{key[:12]}"
    assert wanted is not None
    model = plan.reducer(wanted.reducer) if wanted.reducer else wanted.model
    growing = work / _file_name(plan)
    bound: dict[str, Any] = wanted.bound()
    report = romae.compress(
        plan.snapshots, growing, **bound, model=None if model == "none" else model,
        chunk=wanted.chunk, part=(0, 1),  # a finished one is taken as it is
    )  # fmt: skip
    found = romae.verify(growing, against=plan.snapshots)
    if not found.ok:
        raise ArchiveError(
            f"{growing}: compared with its source, the archive is not sound: "
            f"{' '.join(found.problems)} The data may have changed meanwhile; remove it and run "
            f"the same again: rm -r {str(work)!r}"
        )
    examined = examine(Archive(growing), plan.snapshots)
    facts: dict[str, Any] = {"seconds": report.seconds, "coded": report.coded}
    facts["verification"] = found.to_dict()
    facts["verification"]["path"] = str(plan.folder / "archive" / growing.name)
    with atomic_directory(plan.folder / "archive", overwrite=True, marker=FACTS) as folder:
        examined.to_netcdf(folder / "examined.nc", engine="netcdf4")
        (folder / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
        os.rename(growing, folder / growing.name)
    for old in work.parent.glob(f"archive-{'?' * 12}"):
        shutil.rmtree(old)


def read_archived(plan: "Plan") -> "Archived":
    """What the step left, for the report."""
    import xarray as xr

    from romae.archive import Archive
    from romae.report import Archived

    folder, facts = plan.folder / "archive", _facts(plan.folder)
    return Archived(
        Archive(folder / _file_name(plan)),
        plan.snapshots,
        facts["verification"],
        xr.load_dataset(folder / "examined.nc", engine="netcdf4"),
        facts["seconds"],
    )


def archive_text(plan: "Plan") -> str:
    """Bytes, ratio, bounds and worst errors, as ``romae compress`` and ``verify`` say them."""
    from romae.archive import Archive, Report, Verification

    facts, path = _facts(plan.folder), plan.folder / "archive" / _file_name(plan)
    report = Report(str(path), Archive(path).facts, facts["seconds"], facts["coded"])
    checked = {k: v for k, v in facts["verification"].items() if k != "ok"}
    return f"{report}\n\n{Verification(**checked)}"


def check_model(plan: "Plan") -> None:
    """Whether the reducer named in ``[archive]`` can predict fields from themselves alone.

    Raises :class:`OptionError`.
    """
    import romae

    label = plan.study.archive.reducer if plan.study.archive else None
    reducer = plan.new_reducers()[label] if label is not None else None
    if isinstance(reducer, romae.ConditionalAutoencoder):
        raise OptionError(
            f"study [archive]: model = {label!r} is a {type(reducer).__name__}, which needs the "
            "parameters of a case, and chunks of an archive do not carry them. Expected another "
            "reducer, 'auto', which learns what pays for itself, or 'none'."
        )


def _facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "archive" / FACTS).read_text())


def _file_name(plan: "Plan") -> str:
    return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', plan.study.name)}.romae"
