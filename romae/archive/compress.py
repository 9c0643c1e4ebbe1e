"""compress: snapshots to an archive whose every value is within a bound of its source.

    x -> plan -> x.romae.partial/ -> chunks, by any process in any order -> manifest -> x.romae

A restart with the same arguments goes on from the last whole chunk. The finished folder has the
same bytes however often it was interrupted and however many processes wrote it: the module
:mod:`romae.archive.plan` says who may write, rename and remove what.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from romae.archive.append import append_request, make_append, nothing_new
from romae.archive.bound import Given, read_bound
from romae.archive.finish import finish, missing_chunks
from romae.archive.given import read_model
from romae.archive.goal import Goal, identity
from romae.archive.plan import (
    Item,
    Plan,
    chunk_length,
    clear_published,
    find_plan,
    make_request,
    partial_folder,
    remove_partial,
)
from romae.archive.preparing import make_plan
from romae.archive.report import Report
from romae.archive.store import MANIFEST, PathLike
from romae.archive.unwritable import explained
from romae.archive.write import write_chunk, write_chunks
from romae.errors import (
    DataError,
    OptionError,
    PathExistsError,
    check_whole,
)
from romae.fields.fingerprint import fingerprint
from romae.fields.opening import Source, open_as_stored
from romae.fields.snapshots import Snapshots
from romae.files import check_output, is_archive
from romae.progress import track

Part = tuple[int, int] | Literal["plan"] | None


def compress(
    data: Source,
    path: PathLike,
    *,
    abs: Given = None,
    rel: Given = None,
    nrmse: Given = None,
    model: Any = "auto",
    embed: bool = True,
    chunk: int | None = None,
    overwrite: bool = False,
    append: bool = False,
    part: Part = None,
    client: Any = None,
) -> Report:
    """Write ``data`` to the archive ``path`` (a folder, usually named ``.romae``).

    Parameters
    ----------
    data : Snapshots, or anything that ``open_snapshots`` takes
    abs, rel, nrmse : exactly one bound, a number or one per field, {"u": 1e-3, "p": 0.5}
        abs: largest error in the field's unit. rel: largest error over the field's range (highest
        minus lowest value). nrmse: rms error over the range, kept in every chunk.
    model : "auto", None, a fitted reducer, the path of a saved one, or a method of romae.archive
        What predicts the fields: whatever pays for itself; nothing that is learned; a reducer as
        one more candidate, kept if it pays.
    embed : whether the archive holds the decoder of a reducer. False, with a path, for a model
        that several archives share: they refer to it, and open only where it is found.
    chunk : snapshots per chunk, at most. Default: 64, more where those would be less than 1 MiB,
        fewer where they would exceed 64 MiB. Reading one snapshot decodes one chunk.
    overwrite : replace an archive that stands at ``path``.
    append : ``data`` are the source of the archive at ``path``, longer by new snapshots: code
        those (and the last chunk, if it was not whole) by the plan of the archive, whose bound may
        be left out; a relative one keeps the eps of the first run. Without an archive: as usual.
    part : (i, n): write only the i-th of n shares of the chunks, i from 0; whoever finds all chunks
        there finishes. "plan": prepare, and leave the chunks to others.
    client : of dask.distributed, whose workers see the same files: they write the chunks.

    Returns
    -------
    Report : ratio, sizes and errors; ``print`` shows a table.

    Raises
    ------
    OptionError : no bound, several, one that is not above 0, an unknown field, a model that cannot
        predict fields, other settings than those of the archive that is appended to.
    DataError : data to append that do not begin with the snapshots of the archive; files that were
        replaced while they were read.
    GridMismatchError : a reducer of other fields, grid or mask.
    PathExistsError : something is at ``path``, or an unfinished archive of other data or bounds.
    UnwritableFileError : the disk is full, and the same call goes on when there is room; or the
        folder may not be written to.

    Examples
    --------
    >>> import numpy as np, tempfile, xarray as xr
    >>> wave = np.sin(np.arange(200.0)[:, None] / 9 + np.linspace(0, 6, 64)).astype("float32")
    >>> data = xr.Dataset({"u": (("time", "x"), wave)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     report = compress(data, f"{folder}/wave.romae", rel=1e-3)
    ...     back = xr.open_dataset(f"{folder}/wave.romae").load()
    >>> bool(np.abs(back.u - data.u).max() <= 1e-3 * np.ptp(wave))
    True
    """
    begun, target = time.perf_counter(), Path(os.path.realpath(path))
    snapshots = open_as_stored(data)
    if append and overwrite:
        raise OptionError("append=True and overwrite=True exclude each other. Expected one of them")
    if chunk is not None:
        check_whole("chunk", chunk)
    share = _check_part(part, client)
    cleared = clear_published(partial_folder(target))
    given = {"abs": abs, "rel": rel, "nrmse": nrmse}
    growth = append_request(snapshots, target, given, chunk) if append else None
    make: Callable[[], Plan | None]
    if growth:
        request, old = growth
        if old is not None and nothing_new(snapshots, old):
            return Report(os.fspath(path), old.facts, time.perf_counter() - begun, 0)
        goal = Goal(target, request, None)
        make = partial(make_append, snapshots, old, request, target)
    else:
        bound = read_bound(snapshots.layout.names, **given)
        model = read_model(model, embed, snapshots.layout, target.parent)
        request = make_request(snapshots, bound, chunk_length(snapshots, chunk), model)
        done = cleared == request  # killed after the last rename
        _check_target(target, overwrite, allow_archive=part is not None or done)
        goal = Goal(target, request, identity(target) if overwrite and not done else None)
        make = partial(make_plan, snapshots, bound, model, request, target)
    replace = overwrite or growth is not None
    folder = partial_folder(target)
    left = (
        "The chunks that are written stay there: make room (or raise the quota or `ulimit -f`) and "
        f"give the same command again, it goes on; or remove the folder {str(folder)!r}"
    )
    with explained(folder, left):
        plan = None if goal.manifest() else _plan(goal, make, overwrite)
        if plan is None:  # others have finished it
            return Report(os.fspath(path), goal.manifest(), time.perf_counter() - begun, 0)
        coded = 0
        if part != "plan":
            mine = plan.items[share[0] :: share[1]]
            total = plan.facts["source"]["bytes"] * len(mine) / max(1, len(plan.items))
            with track(total / 1e6, "compressing, MB") as task:
                for size in _written(plan, snapshots, mine, client, goal):
                    coded += size
                    task.advance(size / 1e6)
            _check_unchanged(snapshots, request, folder)
        missing = _finish(plan, snapshots, goal, replace)
        manifest = goal.manifest()
    seconds = time.perf_counter() - begun
    return Report(os.fspath(path), manifest, seconds, coded, 0 if manifest else missing)


def _check_part(part: Part, client: Any) -> tuple[int, int]:
    """(i, n) of the share."""
    if part is None or part == "plan":
        return 0, 1
    if client is not None:
        raise OptionError("part= and client= both share out the chunks. Expected one of them")
    good = isinstance(part, tuple | list) and len(part) == 2
    if good and all(isinstance(p, int) for p in part) and 0 <= part[0] < part[1]:
        return int(part[0]), int(part[1])
    raise OptionError(
        f"part={part!r} is no share. Expected (i, n), the i-th of n shares with i from 0 to n - 1, "
        "for example (0, 4), or 'plan'"
    )


def _check_target(target: Path, overwrite: bool, *, allow_archive: bool) -> None:
    if target.exists() and is_archive(target) and (allow_archive or overwrite) and target.is_dir():
        return
    check_output(target, "directory", overwrite=overwrite, marker=MANIFEST)
    if target.is_dir() and any(target.iterdir()):
        raise PathExistsError(
            f"{target} holds a {MANIFEST} and is no archive: a saved model, it seems. It is not "
            "replaced; choose another name, or remove it yourself"
        )


def _plan(goal: Goal, make: Callable[[], Plan | None], overwrite: bool) -> Plan | None:
    """The plan, found or made; None where the archive is finished."""
    folder, target = partial_folder(goal.target), goal.target
    foreign = folder.exists()  # asked before the plan, which comes and goes with the folder
    try:
        if found := find_plan(folder, goal.request, target):
            return found
        foreign = foreign and folder.exists()
    except PathExistsError:
        if not overwrite:
            raise
        foreign = True
    if foreign and overwrite:
        remove_partial(folder)
    elif foreign and not goal.manifest():
        raise PathExistsError(
            f"{folder} is in the way, without a plan of an unfinished archive in it. Remove it: "
            f"rm -r {str(folder)!r}"
        )
    try:
        plan = make()
    except FileNotFoundError:  # of an archive to append to, which others have just replaced
        if not goal.manifest():
            raise
        return None
    if goal.manifest():  # others made a plan, and finished, while this one was made
        remove_partial(folder)
        return None
    return plan


def _written(
    plan: Plan,
    snapshots: Snapshots,
    items: Sequence[Item],
    client: Any,
    goal: Goal,
) -> Iterator[int]:
    try:
        if client is None:
            yield from write_chunks(plan, snapshots, items)
        else:
            yield from _on_cluster(plan, snapshots, items, client)
    except FileNotFoundError as error:
        # Another process with the same share has finished: the folder is gone.
        if str(plan.folder) not in str(error) or not goal.reached_elsewhere():
            raise


def _check_unchanged(snapshots: Snapshots, request: dict[str, Any], folder: Path) -> None:
    """Chunks of files that were replaced meanwhile are of two sources, and belong nowhere."""
    now = fingerprint(snapshots)
    if now != request["fingerprint"]:
        remove_partial(folder)
        raise DataError(
            f"{snapshots.source} changed while it was compressed: its fingerprint was "
            f"{request['fingerprint'][:12]}... and is {now[:12]}... now. Expected files that stay "
            "as they are until the end, or that only grow. The unfinished archive was removed; "
            "give the same command again when the files are written"
        )


def _on_cluster(
    plan: Plan, snapshots: Snapshots, items: Sequence[Item], client: Any
) -> Iterator[int]:
    from distributed import as_completed

    data = client.scatter(snapshots, hash=False)
    light = Plan(plan.folder, plan.document)
    futures = [
        client.submit(
            write_chunk, light, data, item, pure=False, key=f"romae-{plan.folder.name}-{item}"
        )
        for item in items
    ]
    for future in as_completed(futures):
        yield future.result()


def _finish(plan: Plan, snapshots: Snapshots, goal: Goal, replace: bool) -> int:
    """Finish if every chunk is there; how many are not."""
    try:
        missing = missing_chunks(plan)
        if missing and plan.path("").exists():  # else somebody has just renamed it
            return len(missing)
        while damaged := finish(plan, goal.target, overwrite=replace):
            for _ in write_chunks(plan, snapshots, damaged):
                pass
    except OSError as error:
        known = error.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST)
        if not known or not goal.reached_elsewhere():
            raise
    return 0
