"""Passes summed on a cluster: the modes of the exact way, the same bits for any workers."""

import itertools
from concurrent.futures import CancelledError, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.errors import ClusterError
from romae.linalg import decompose
from romae.linalg.distributed import Cluster, decompose_on


class Workers:
    """What is used of a ``distributed.Client``, on threads of this process."""

    def __init__(self, threads=1):
        self.pool, self.log = ThreadPoolExecutor(threads), []

    def scatter(self, value, *, broadcast, hash):
        self.log.append("scatter")
        return value

    def submit(self, task, *arguments, pure):
        self.log.append(task.__name__)

        def work():
            ready = [a.result() if hasattr(a, "result") else a for a in arguments]
            return task(*ready)

        return self.pool.submit(work)

    def gather(self, futures):
        return [f.result() for f in futures]


class Read:
    def __init__(self, X, block=7):
        self.X, self.block = X, block

    def __call__(self, first, last):
        for a in range(first, last, self.block):
            yield a, self.X[a : min(a + self.block, last)].copy()


def matrix(shape, decay, seed=0):
    rng = np.random.default_rng(seed)
    r = min(shape)
    V, _ = np.linalg.qr(rng.standard_normal((shape[0], r)))
    U, _ = np.linalg.qr(rng.standard_normal((shape[1], r)))
    mean = 3 * rng.standard_normal(shape[1])
    return ((V * decay ** np.arange(r)) @ U.T * 100 + mean).astype("f4")


def on(client, X, rank, edges=(50, 90, 120), **options):
    edges = [0, *edges, len(X)]
    shift = X.mean(0, dtype=float)
    factor = np.linspace(0.5, 2, X.shape[1])
    factor[3:6] = 0
    total = float(np.sum(((X - shift) * factor) ** 2))
    ranges = list(itertools.pairwise(edges))
    keywords = {"shift": shift, "factor": factor, "dtype": X.dtype, "total": total} | options
    return decompose_on(Cluster(client), Read(X), ranges, X.shape, rank, **keywords)


def exact(X, rank):
    shift, factor = X.mean(0, dtype=float), np.linspace(0.5, 2, X.shape[1])
    factor[3:6] = 0
    return decompose(
        lambda: iter([(0, X)]), X.shape, rank, "svd", shift=shift, factor=factor, dtype=X.dtype
    )


@pytest.mark.parametrize("shape", [(150, 400), (300, 120)])
@pytest.mark.parametrize("rank", [5, 0.999])
def test_modes_are_those_of_the_exact_way(shape, rank):
    X = matrix(shape, 0.7)
    found, expected = on(Workers(), X, rank), exact(X, rank)
    np.testing.assert_allclose(found.s, expected.s[: len(found.s)], rtol=1e-4)
    assert len(found.modes) == len(expected.modes)
    np.testing.assert_allclose(found.modes[:4], expected.modes[:4], atol=2e-3)
    assert found.total == pytest.approx(expected.total, rel=1e-5)


def test_left_vectors_of_a_sketch_give_the_modes_in_one_pass():
    X = matrix((150, 400), 0.9)
    shift, factor = X.mean(0, dtype=float), np.linspace(0.5, 2, 400)
    factor[3:6] = 0
    sketched = torch.from_numpy((X - shift) * factor).float()  # the best there is
    client = Workers()
    found, expected = on(client, X, 5, sketched=sketched), exact(X, 5)
    assert client.log.count("_project") == 4
    assert "_multiply" not in client.log
    np.testing.assert_allclose(found.s, expected.s[:5], rtol=1e-5)
    np.testing.assert_allclose(found.modes, expected.modes, atol=1e-4)


@settings(max_examples=8, deadline=None)
@given(threads=st.integers(1, 4))
def test_the_same_bits_for_any_number_of_workers(threads):
    X = matrix((150, 200), 0.9)
    one, many = on(Workers(1), X, 6), on(Workers(threads), X, 6)
    np.testing.assert_array_equal(one.modes, many.modes)
    np.testing.assert_array_equal(one.s, many.s)


@settings(max_examples=10, deadline=None)
@given(edges=st.sets(st.integers(1, 149), max_size=5))
def test_the_cut_into_groups_changes_rounding_only(edges):
    X = matrix((150, 200), 0.7)
    some, whole = on(Workers(), X, 5, edges=sorted(edges)), on(Workers(), X, 5, edges=())
    np.testing.assert_allclose(some.s, whole.s, rtol=1e-5)
    np.testing.assert_allclose(some.modes, whole.modes, atol=1e-4)


def test_what_was_lost_is_computed_again():
    class Lossy(Workers):
        lost = 0

        def submit(self, task, *arguments, pure):
            future = super().submit(task, *arguments, pure=pure)
            if self.lost < 2 and task.__name__ == "_multiply":
                self.lost += 1
                future = self.pool.submit(self._raise)
            return future

        def _raise(self):
            raise CancelledError("the data it needs was lost")

    X = matrix((80, 60), 0.7)
    np.testing.assert_array_equal(
        on(Lossy(), X, 4, edges=(40,)).modes, on(Workers(), X, 4, edges=(40,)).modes
    )


def test_workers_that_keep_dying():
    class KilledWorker(Exception):  # noqa: N818  as distributed spells it
        pass

    def fails(error):
        def work():
            raise error

        return work

    with pytest.raises(ClusterError, match="--nthreads 1"):
        Cluster(Workers()).attempt(fails(KilledWorker("task")))
    with pytest.raises(ClusterError, match="3 times"):
        Cluster(Workers()).attempt(fails(CancelledError()))
    with pytest.raises(ZeroDivisionError):  # an error of the task is that error
        Cluster(Workers()).attempt(lambda: 1 / 0)


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_the_tree_adds_each_part_once_in_order(count):
    client = Workers()
    cluster = Cluster(client)
    parts = cluster.each(lambda a, b: [a], [(i, i + 1) for i in range(count)])
    assert cluster.tree(parts, lambda a, b: a + b).result() == list(range(count))
    assert len(client.log) == 2 * count - 1
