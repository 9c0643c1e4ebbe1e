"""The randomized way on a cluster: each pass is a sum over groups of rows, added in a fixed tree.

    rows 0 ... T   ->  groups of consecutive rows, cut the same whatever the workers
    each group     ->  its Pass (:func:`.products.project`, :func:`.products.multiply`): one task
    p0 + p1, p2 + p3, ...  ->  ...  ->  one Pass: the pairs are fixed, so the sum does not depend on
                                        which worker was fast

Every task reads its rows itself, so that nothing but factors and sums travels. A task whose worker
died runs again elsewhere; where the shared factors died with it, the pass is made again.

``client`` is a ``distributed.Client``; this module imports no cluster library.

Memory of a worker, for each of its threads: two blocks of rows, and of sums (l, n) in float32 one
while a group is read, three while two are added; the factors once. Of the client: the sums and
the modes.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from romae.errors import ClusterError
from romae.linalg.exact import count
from romae.linalg.operands import State, Times
from romae.linalg.pod import Decomposition, signed
from romae.linalg.products import Affine, Block, Pass, Save, multiply, project
from romae.linalg.randomized import randomized
from romae.linalg.rows import Rows

ATTEMPTS = 3  # at a pass whose shared factors were lost
Result = TypeVar("Result")
Range = tuple[int, int]


class Read(Protocol):
    """Rows ``first`` to ``last`` of X by blocks, (row, (b, n)); sent to the workers."""

    def __call__(self, first: int, last: int) -> Iterator[Block]: ...


class Cluster:
    """Tasks on the workers of ``client``, and what they share."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def share(self, value: Any) -> Any:
        """``value`` on every worker: pass the result to tasks in its place."""
        return self.client.scatter(value, broadcast=True, hash=False)

    def each(self, task: Callable[..., Any], ranges: Sequence[Range], *shared: Any) -> list[Any]:
        """Futures of ``task(first, last, *shared)``."""
        return [self.client.submit(task, a, b, *shared, pure=False) for a, b in ranges]

    def tree(self, parts: Sequence[Any], add: Callable[..., Any], *shared: Any) -> Any:
        """Future of the sum of futures by ``add(one, next, *shared)``, neighbours in pairs."""
        level = list(parts)
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            odd = level[-1:] if len(level) % 2 else []
            level = [self.client.submit(add, a, b, *shared, pure=False) for a, b in pairs] + odd
        return level[0]

    def attempt(self, work: Callable[[], Result]) -> Result:
        """``work()``, again where what the workers shared was lost with one of them.

        Raises :class:`ClusterError` when that goes on, or tasks kill the workers they run on.
        """
        from concurrent.futures import CancelledError

        for _ in range(ATTEMPTS):
            try:
                return work()
            except CancelledError:
                continue
            except Exception as error:
                if type(error).__name__ != "KilledWorker":
                    raise
                raise ClusterError(
                    f"a task lost every worker it ran on: {error}. Most often their memory was too "
                    "small; start fewer threads per worker (--nthreads 1), or give workers more "
                    "memory."
                ) from error
        raise ClusterError(
            f"the workers were lost {ATTEMPTS} times during one pass over the data. Look at their "
            "logs, then start them again with more memory or time."
        )


class Remote(Times):
    """Y whose blocks of rows are summed on a cluster."""

    def __init__(self, cluster: Cluster, read: Read, ranges: Sequence[Range], rows: Rows) -> None:
        super().__init__(rows, "cpu")
        self.cluster, self.read, self.ranges = cluster, read, ranges

    def project(
        self, V: Tensor, energy: bool, save: Save | None = None, state: State | None = None
    ) -> Pass:
        """D = V Y of ``V`` (l, T)."""
        return self._sum(_project, V, energy)

    def multiply(
        self,
        P: Tensor,
        power: bool,
        energy: bool,
        save: Save | None = None,
        state: State | None = None,
    ) -> Pass:
        """C = Y P^T of ``P`` (l, n): C^T C, and D = C^T Y for a ``power``."""
        return self._sum(_multiply, P * self.affine.factor.to(P.dtype), power, energy)

    def _sum(self, task: Callable[..., Pass], factor: Tensor, *options: Any) -> Pass:
        def work() -> Pass:
            share = self.cluster.share
            shared = [share(self.read), share(factor), share(self.affine)]
            parts = self.cluster.each(task, self.ranges, *shared, *options)
            return self.cluster.tree(parts, _add).result()

        return self.cluster.attempt(work).complete(self.affine)


def decompose_on(
    cluster: Cluster,
    read: Read,
    ranges: Sequence[Range],
    shape: tuple[int, int],
    rank: int | float,
    *,
    shift: np.ndarray,
    factor: np.ndarray,
    dtype: np.dtype | type,
    total: float,
    sketched: Tensor | None = None,
) -> Decomposition:
    """Leading modes of Y = (X - shift) factor, as :func:`.pod.decompose` by ``randomized``.

    ``ranges`` are groups of rows that cover 0 ... T, each a task of every pass. ``sketched`` is a
    sketch of Y (T, m), where one was made.
    """
    rows = Rows(lambda first=0: read(first, shape[0]), shape, shift, factor, dtype, total)
    A = Remote(cluster, read, ranges, rows)
    found = randomized(A, rank, total=total, sketched=sketched)
    modes = signed(found.modes[: count(found.s, None)])
    return Decomposition(modes, found.s, "randomized", found.total, found.excess)


# -- what workers run ----------------------------------------------------------------------


def _project(first: int, last: int, read: Read, V: Tensor, affine: Affine, energy: bool) -> Pass:
    own = V[:, first:last].contiguous()
    blocks = ((row - first, X) for row, X in read(first, last))
    return project(blocks, own, affine, energy=energy)


def _multiply(
    first: int, last: int, read: Read, P: Tensor, affine: Affine, power: bool, energy: bool
) -> Pass:
    return multiply(read(first, last), P, affine, power=power, energy=energy)


def _add(one: Pass, other: Pass) -> Pass:
    """Sums of both, in new arrays: a worker may hold ``one`` for a task that runs again."""
    with torch.no_grad():
        own = Pass(one.D.clone(), one.G.clone(), one.sums.clone(), one.total)
        return own.merge(other)
