"""Killed after any block that was saved, every way goes on to the bits of a run that was not."""

import numpy as np
import pytest

from romae.linalg import decompose
from romae.linalg.rows import Checkpoint

T, N = 24, 90
EDGES = (5, 9, 10, 17)


class KilledError(Exception):
    pass


def blocks(X, reads):
    starts = [0, *EDGES]
    ends = [*EDGES, T]

    def read(first=0):
        for a, b in zip(starts, ends, strict=True):
            if a >= first:
                reads.append(a)
                yield a, X[a:b]

    return read


@pytest.mark.parametrize("method", ["covariance", "snapshots", "randomized"])
@pytest.mark.parametrize("wide", [True, False])
def test_after_any_block(method, wide, tmp_path, monkeypatch):
    monkeypatch.setattr("romae.linalg.rows.CHECKPOINT_SECONDS", 0)
    monkeypatch.setattr("romae.linalg.sketch.FEWEST", 1)  # so small a matrix has one, too
    rng = np.random.default_rng(0)
    X = rng.standard_normal((T, N if wide else 15)) * 0.8 ** np.arange(T)[:, None]
    panel = 11 * 8 * X.shape[1]  # of 11 rows: three of them
    options = {"panel_bytes": panel, "shift": X.mean(0), "total": X.var(0).sum() * T}
    write, left = Checkpoint.write, [0]

    def killing(self, state, arrays):
        write(self, state, arrays)
        left[0] -= 1
        if left[0] == 0:
            raise KilledError

    monkeypatch.setattr(Checkpoint, "write", killing)
    reads = []
    whole = decompose(blocks(X, reads), X.shape, 4, method, **options)
    every, kill, most = len(reads), 0, 0
    while True:
        kill += 1
        left[0] = kill
        try:
            decompose(blocks(X, []), X.shape, 4, method, checkpoint=tmp_path, **options)
            break  # it ends before so many blocks
        except KilledError:
            reads.clear()
        found = decompose(blocks(X, reads), X.shape, 4, method, checkpoint=tmp_path, **options)
        np.testing.assert_array_equal(found.s, whole.s)
        np.testing.assert_array_equal(found.modes, whole.modes)
        assert len(reads) <= every
        most = max(most, every - len(reads))
        assert not list(tmp_path.iterdir())
    assert kill > len(EDGES)
    assert most >= len(EDGES)  # the last ones have little left to read


def test_another_matrix_rank_or_method_begins_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("romae.linalg.rows.CHECKPOINT_SECONDS", 0)
    X = np.random.default_rng(0).standard_normal((T, N))

    def dying(first=0):
        yield from list(blocks(X, [])(first))[:2]
        raise KilledError

    options = {"panel_bytes": 1, "checkpoint": tmp_path}
    for changed in ({"rank": 3}, {"method": "covariance"}, {"identity": "other"}):
        arguments = {"rank": 4, "method": "snapshots", "identity": "one"} | options
        with pytest.raises(KilledError):
            decompose(dying, X.shape, **arguments)
        assert list(tmp_path.iterdir())
        reads = []
        decompose(blocks(X, reads), X.shape, **(arguments | changed))
        fresh = []
        decompose(blocks(X, fresh), X.shape, **(arguments | changed | {"checkpoint": None}))
        assert reads == fresh
