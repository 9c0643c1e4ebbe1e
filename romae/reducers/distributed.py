"""POD of snapshots on a ``dask.distributed`` cluster: the same modes, each worker reads its part.

Two passes over the data where T <= n (:mod:`romae.linalg.randomized`): the first takes the
statistics of every group of snapshots and the rows of the sketch, the second the modes.

    group  ->  moments, B_rows       merged in a tree; rows of B in their order
    scale  <-  moments               columns of B of field c are divided by scale_c
    group  ->  V X                   added in a tree, then shift and factor

Groups are whole blocks of about ``GROUP_BYTES``, cut by the data alone: the same
result on two workers and on two hundred, to the rounding of their processors.
"""

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from romae.errors import ClusterError, MissingDependencyError, OptionError
from romae.feed import pick_device
from romae.fields import Scaling, Snapshots, Survey, open_snapshots
from romae.fields.blocks import read_ahead
from romae.fields.moments import Moments, Running
from romae.linalg.distributed import Cluster, Range, decompose_on
from romae.linalg.randomized import OVERSAMPLE, SPREAD, sketch_for
from romae.linalg.sketch import Sketch, Sketcher
from romae.reducers import labels
from romae.reducers.base import _check_changes
from romae.reducers.data import BLOCK_BYTES
from romae.reducers.pod import POD, linear_coder

GROUP_BYTES = 256 << 20  # of snapshots in one task
WAIT = 300  # seconds for the first worker
CONNECT = 30  # seconds for the scheduler


@dataclass(frozen=True)
class Part:
    """Snapshots as rows, counted over all cases: what a worker is sent; ``nbytes`` of a block."""

    snapshots: Snapshots
    nbytes: int

    def raw(self, first: int, last: int) -> Iterator[tuple[int, int, int, np.ndarray]]:
        """(row, case, start, values (b, C, *space) as stored) of rows ``first`` to ``last``."""
        firsts = np.cumsum([0, *self.snapshots.lengths])

        def read(case: int, start: int, stop: int) -> tuple[int, Any]:
            values = self.snapshots.read_raw(start, stop, case)
            return int(firsts[case]) + start, (case, start, values)

        ranges = self.snapshots.block_ranges(self.nbytes)
        own = [r for r in ranges if first <= firsts[r[0]] + r[1] < last]
        for row, (case, start, values) in read_ahead(partial(read, *r) for r in own):
            yield row, case, start, values

    def __call__(self, first: int, last: int) -> Iterator[tuple[int, np.ndarray]]:
        """Rows (row, (b, n)), 0 at masked points."""
        for row, _, _, values in self.raw(first, last):
            yield row, self.flat(values)

    def flat(self, values: np.ndarray) -> np.ndarray:
        """(b, n) of ``values``, 0 at masked points; changed in place."""
        if self.snapshots.layout.mask is not None:
            np.copyto(values, 0, where=~self.snapshots.layout.mask)
        return values.reshape(len(values), -1)


def groups(part: Part, size: int, nbytes: int) -> list[Range]:
    """Ranges of rows: whole blocks of about ``nbytes``, or of 4 ``size`` rows where that is more.

    So the sums of a group, ``size`` rows, are never large beside what was read for them.
    """
    snapshots = part.snapshots
    least = max(nbytes // (snapshots.layout.size * snapshots.dtype.itemsize), 4 * size)
    firsts = np.cumsum([0, *snapshots.lengths])
    edges = [0]
    for case, _, stop in snapshots.block_ranges(part.nbytes):
        if (end := int(firsts[case]) + stop) - edges[-1] >= least:
            edges.append(end)
    if len(edges) > 1 and len(snapshots) - edges[-1] < least / 2:
        edges.pop()  # a short rest goes to the last group
    edges.append(len(snapshots))
    return list(itertools.pairwise(edges))


def fit_pod(pod: POD, data: Any, validation: Any, client: Any, device: str = "auto") -> POD:
    """Fit ``pod`` on the workers of ``client``; see :meth:`romae.POD.fit`."""
    started = time.perf_counter()
    snapshots = open_snapshots(data)
    if validation is not None:  # POD chooses nothing by it; wrong data are found all the same
        snapshots.layout.check_same(open_snapshots(validation).layout, "validation data")
    snapshots.require(2, f"fit {pod.name}")
    pod.check_size(snapshots)
    if pod.method not in ("auto", "randomized"):
        raise OptionError(
            f"method {pod.method!r} does not run on a cluster. Expected auto or randomized; type "
            f"POD(rank={pod.rank}) or leave client out."
        )
    target = pick_device(device)
    part = Part(snapshots, BLOCK_BYTES)
    wanted = (pod.rank if isinstance(pod.rank, int) else SPREAD) + OVERSAMPLE
    ranges = groups(part, wanted, GROUP_BYTES)
    layout = snapshots.layout
    root = np.sqrt(layout.quadrature).reshape(layout.channels, -1)
    with connected(client) as workers:
        cluster = Cluster(workers)
        found, scaling, sketched = look(cluster, part, ranges, pod)
        _check_changes(found, snapshots)
        energy = found.count * ((found.std / scaling.scale) ** 2 @ (root**2).sum(1))
        result = decompose_on(
            cluster,
            part,
            ranges,
            (len(snapshots), root.size),
            pod.rank,
            shift=scaling.mean.reshape(-1),
            factor=(root / scaling.scale[:, None]).reshape(-1),
            dtype=snapshots.dtype,
            total=float(energy),
            sketched=sketched,
        )
    modes, weights = result.modes, root.reshape(-1)
    np.divide(modes, weights, out=modes, where=weights > 0, casting="same_kind")
    modes[:, weights == 0] = 0
    pod.__dict__.pop("module", None)
    pod.layout, pod.scaling, pod.latent = layout, scaling, len(modes)
    pod.singular_values, pod.total, pod.excess = result.s, result.total, result.excess
    pod.module = linear_coder(layout, modes).to(target).eval().requires_grad_(False)
    pod.training = labels.describe(snapshots)
    pod.fit_seconds = time.perf_counter() - started
    return pod


def look(
    cluster: Cluster, part: Part, ranges: list[Range], pod: POD
) -> tuple[Survey, Scaling, torch.Tensor | None]:
    """Statistics of all snapshots, their scaling, and a sketch of the scaled ones: one pass."""
    snapshots = part.snapshots
    layout = snapshots.layout
    sizes = (layout.size // layout.channels,) * layout.channels
    sketch = sketch_for(sizes, pod.rank, len(snapshots))
    origin = part.flat(snapshots.read_raw(0, 1))[0]

    def work() -> tuple[Moments, list[torch.Tensor]]:
        shared = [cluster.share(part), cluster.share(origin), sketch]
        seen = cluster.each(_look, ranges, *shared)
        moments = [cluster.client.submit(_first, s, pure=False) for s in seen]
        rows = [cluster.client.submit(_second, s, pure=False) for s in seen]
        del seen
        found = cluster.tree(moments, _merged, shared[0]).result()
        return found, cluster.client.gather(rows)

    moments, rows = cluster.attempt(work)
    if moments.count != len(snapshots):
        raise ClusterError(
            f"the workers saw {moments.count} of {len(snapshots)} snapshots. Expected the same "
            "files and the same version of romae everywhere; compare `romae doctor` on both sides."
        )
    found = moments.survey(layout)
    scaling = Scaling.fit(found, pod.scale)
    if sketch is None:
        return found, scaling, None
    B = torch.cat(rows)
    for c, own in enumerate(sketch.ranges()):
        B[:, own] /= float(scaling.scale[c])
    return found, scaling, B


@contextmanager
def connected(client: Any) -> Iterator[Any]:
    """A client with a worker: as given, or one of a scheduler's address or file, then closed."""
    with ExitStack() as ours:
        if isinstance(client, str | os.PathLike):
            client = ours.enter_context(_open(os.fspath(client)))
        if not all(hasattr(client, name) for name in ("submit", "scatter", "wait_for_workers")):
            raise OptionError(
                f"client is {client!r}. Expected a distributed.Client, or the address or file of a "
                "scheduler; type client=distributed.Client()."
            )
        try:
            client.wait_for_workers(1, timeout=WAIT)
        except TimeoutError as error:
            raise ClusterError(
                f"the cluster had no worker for {WAIT} seconds. Start some: dask worker ADDRESS"
            ) from error
        yield client


def _open(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingDependencyError(
            f"client={scheduler!r} needs dask.distributed, which is not installed. "
            'Type: pip install "romae[cluster]"'
        ) from error
    try:
        if scheduler.endswith(".json"):
            return Client(scheduler_file=scheduler, timeout=CONNECT)
        return Client(scheduler, timeout=CONNECT)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"no scheduler answers at {scheduler!r} ({error}). Expected an address such as "
            "tcp://10.0.0.1:8786, or the file of `dask scheduler --scheduler-file NAME.json`."
        ) from error


# -- what workers run ----------------------------------------------------------------------


def _look(
    first: int, last: int, part: Part, origin: np.ndarray, sketch: Sketch | None
) -> tuple[Moments, torch.Tensor | None]:
    """Moments of rows ``first`` to ``last``, and theirs of the sketch, unscaled."""
    running, rows = Running(part.snapshots), []
    origin = origin.copy()  # what is sent to a worker cannot be written, which torch asks for
    root = np.sqrt(part.snapshots.layout.quadrature).reshape(-1)
    sketcher = None if sketch is None else Sketcher(sketch, origin, root)
    for _, case, start, values in part.raw(first, last):
        running.take(case, start, values)
        if sketcher is not None:
            rows.append(sketcher.rows(part.flat(values)))
    return running.moments, torch.cat(rows) if sketcher is not None else None


def _first(pair: tuple[Any, Any]) -> Any:
    return pair[0]


def _second(pair: tuple[Any, Any]) -> Any:
    return pair[1]


def _merged(one: Moments, other: Moments, part: Part) -> Moments:
    return one.merge(other, part.snapshots.layout)
