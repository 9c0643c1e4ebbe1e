"""Chunks, each on its own: read, coded, written whole, by any process in any order.

    chunk (case, i)  =  encode(snapshots [i K, (i + 1) K) of the case, eps, methods)

depends on the plan and the data alone. So N processes give the bytes that one gives, and a process
that is killed leaves whole chunks, which the next one keeps if their checksum is right. A thread
holds one chunk at a time.

A bound on the rms (nrmse) is kept per chunk: coded with eps, measured, and where a field has
missed its target, coded again with eps smaller in the same ratio.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

import numpy as np

from romae.archive.bound import read_fields
from romae.archive.chunk import encode_chunk
from romae.archive.chunk_reading import ChunkFacts, chunk_facts
from romae.archive.plan import Item, Plan, chunk_range
from romae.archive.store import chunk_name, seal, unseal
from romae.errors import ArchiveError
from romae.fields.snapshots import Snapshots
from romae.fields.work import THREADS, processors

Result = TypeVar("Result")
MEMORY = 2 * 2**30  # bytes that all threads together may hold
COPIES = 16  # of a chunk in float64 while it is coded
MARGIN = 0.995  # of the ratio by which eps is made smaller


def write_chunks(
    plan: Plan, snapshots: Snapshots, items: Sequence[Item], *, threads: int | None = None
) -> Iterator[int]:
    """Write the chunks ``items`` that are not there yet; yields the bytes of fields of each."""
    count = threads or thread_count(plan.facts)
    yield from on_threads(lambda item: write_chunk(plan, snapshots, item), items, count)


def on_threads(
    work: Callable[[Item], Result], items: Sequence[Item], count: int
) -> Iterator[Result]:
    """Results of ``work`` on each of ``items``, as they come; at most ``count`` are under way."""
    if count < 2:
        yield from map(work, items)
        return
    left, running = iter(items), set[Future[Result]]()
    with ThreadPoolExecutor(count, "romae-archive") as pool:
        try:
            while True:
                for item in left:
                    context = contextvars.copy_context()  # a quiet call stays quiet on threads
                    running.add(pool.submit(context.run, work, item))
                    if len(running) == count:
                        break
                if not running:
                    return
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (f.result() for f in done)
        finally:
            for future in running:
                future.cancel()


def thread_count(facts: dict[str, Any]) -> int:
    """Threads: as many as there are processors, while their chunks fit into :data:`MEMORY`."""
    each = facts["chunk"] * len(facts["variables"]) * int(np.prod(facts["shape"])) * 8 * COPIES
    return max(1, min(THREADS, processors(), MEMORY // max(1, each)))


def write_chunk(plan: Plan, snapshots: Snapshots, item: Item) -> int:
    """Write one chunk unless it is there; bytes of its fields."""
    facts = plan.facts
    start, stop = chunk_range(item, facts["lengths"], facts["chunk"])
    size = (stop - start) * int(np.prod(facts["shape"])) * sum(d.itemsize for d in plan.dtypes)
    name = chunk_name(*item, len(facts["space"]))
    try:
        held(plan.path(name).read_bytes(), item, facts)
    except (FileNotFoundError, ArchiveError):
        x = read_fields(snapshots, start, stop, item[0], facts["variables"].values())
        plan.put(name, seal(encode(plan, x)))
    return size


def held(data: bytes, item: Item, facts: dict[str, Any]) -> ChunkFacts:
    """The head of the chunk file ``data``.

    Raises :class:`ArchiveError` when it is damaged, or of another shape than chunk ``item`` has.
    """
    found = chunk_facts(unseal(data))
    start, stop = chunk_range(item, facts["lengths"], facts["chunk"])
    shape = (stop - start, len(facts["variables"]), *facts["shape"])
    if found.shape != shape:
        raise ArchiveError(f"it holds {found.shape} and should hold {shape}")
    return found


def encode(plan: Plan, x: Sequence[np.ndarray]) -> bytes:
    """The payload of a chunk of the fields ``x`` (n, *space) that keeps the plan's bound."""
    eps = plan.eps.copy()
    data = encode_chunk(x, eps, plan.candidates, plan.dtypes)
    if plan.facts["bound"] != "nrmse":
        return data
    targets = np.array([v["target"] for v in plan.facts["variables"].values()])
    counts = np.array([np.isfinite(f).sum() for f in x])
    while True:
        fields = chunk_facts(data).fields
        rms = np.sqrt([f.square_error for f in fields] / np.maximum(counts, 1))
        over = rms > targets
        if not over.any():
            return data
        ratio = np.where(over, targets / np.maximum(rms, np.finfo(float).tiny), 1.0) * MARGIN
        # Never below the target itself: an error of at most that everywhere has no larger rms.
        eps = np.where(over, np.maximum(eps * ratio, np.nextafter(targets, 0)), eps)
        data = encode_chunk(x, eps, plan.candidates, plan.dtypes)
