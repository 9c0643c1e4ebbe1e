"""Ranks: together they see the batches of one process, bit for bit, and share the reading."""

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.errors import OptionError
from romae.feed import ResidentFeed, StreamFeed
from romae.feed.order import batch_sizes, generator, groups
from romae.fields import Scaling, Snapshots, decode, open_snapshots

SNAPSHOT = 6 * 4  # bytes of one


def numbered(T: int) -> Snapshots:
    values = np.arange(T, dtype="f4")[:, None, None] * np.ones((2, 3), "f4")
    return open_snapshots(xr.DataArray(values, dims=("time", "y", "x"), name="u"))


def feeds(kind: str, snapshots: Snapshots, world: int, **options):
    """The feeds of all ranks."""
    for rank in range(world):
        ranks = {"rank": rank, "world": world, **options}
        if kind == "resident":
            data = torch.from_numpy(snapshots.read(0, len(snapshots)))
            yield ResidentFeed(data, **ranks)
        else:
            yield StreamFeed(snapshots, None, block_bytes=5 * SNAPSHOT, mix=3, **ranks)


@pytest.mark.parametrize("kind", ["resident", "stream"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world", [1, 2, 3, 6])
@pytest.mark.parametrize("batch", [8, 10, 16])
def test_the_parts_are_the_batches_of_one_process(kind, shuffle, world, batch):
    snapshots, options = numbered(83), {"batch": batch, "shuffle": shuffle, "seed": 5}
    (alone,) = feeds(kind, snapshots, 1, **options)
    expected = list(alone.epoch(2))
    assert [len(x) for x in expected] == alone.sizes
    ranks = [list(f.epoch(2)) for f in feeds(kind, snapshots, world, **options)]
    assert {len(batches) for batches in ranks} == {alone.updates}
    for parts, whole in zip(zip(*ranks, strict=True), expected, strict=True):
        assert all(len(whole) // world <= len(p) <= -(-len(whole) // world) for p in parts)
        assert torch.equal(torch.cat(parts), whole)
    later = [list(f.epoch(2, skip=3)) for f in feeds(kind, snapshots, world, **options)]
    for batches, rest in zip(ranks, later, strict=True):
        assert all(map(torch.equal, batches[3:], rest))
        assert len(rest) == alone.updates - 3


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    mix=st.integers(1, 5),
    batch=st.integers(1, 20),
    seed=st.none() | st.integers(0, 3),
)
def test_groups_fill_every_row_of_every_batch_once(lengths, mix, batch, seed):
    ends = np.cumsum(lengths).tolist()
    ranges = [(0, b - n, b) for n, b in zip(lengths, ends, strict=True)]
    sizes = batch_sizes(ends[-1], batch, 1)
    random = None if seed is None else generator(seed, 0)
    rows, complete = [], 0
    for group in groups(ranges, mix, sizes, random):
        assert len(group.batch) == sum(b - a for _, a, b in group.ranges)
        rows += zip(group.batch.tolist(), group.row.tolist(), strict=True)
        filled = [b for b, n in enumerate(sizes) if sum(r[0] == b for r in rows) == n]
        assert filled[: group.last] == list(range(group.last))
        assert group.last >= complete
        complete = group.last
    assert sorted(rows) == [(b, r) for b, n in enumerate(sizes) for r in range(n)]
    assert complete == len(sizes)


def test_a_batch_takes_from_every_part_of_its_group():
    (group,) = groups([(0, 0, 80)], 1, [8] * 10, generator(0, 0))
    for b in range(10):
        where = np.flatnonzero(group.batch == b)
        assert (group.row[where] == np.arange(8)).all()  # rows in storage order
        assert (abs(where - np.arange(8) * 10 - 4.5) < 15).all()


def test_ranks_share_the_reading(tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=(256, 4, 4)).astype("f4")
    data = xr.DataArray(values, dims=("time", "y", "x"), name="u")
    data.to_netcdf(tmp_path / "a.nc", encoding={"u": {"zlib": True, "chunksizes": (4, 4, 4)}})
    snapshots, read = open_snapshots(tmp_path / "a.nc"), []
    whole = decode.Pipeline.undo

    def counted(self, *given):
        read[-1] += 1
        return whole(self, *given)

    monkeypatch.setattr(decode.Pipeline, "undo", counted)
    for rank in range(4):
        read.append(0)
        options = {"batch": 32, "rank": rank, "world": 4, "block_bytes": 32 * 64}
        assert sum(map(len, StreamFeed(snapshots, None, **options).epoch(0))) == 64
    assert sum(read) < 1.5 * 64  # of 64 chunks; each rank would read all if rows were scattered
    assert max(read) < 30


def test_a_batch_that_leaves_a_rank_without_rows():
    snapshots = numbered(10)
    scaling = Scaling(np.zeros(snapshots.shape[1:]), np.ones(1), "none")
    with pytest.raises(OptionError, match=r"batch of 3 snapshots for 4 ranks.*Expected at least 4"):
        StreamFeed(snapshots, scaling, batch=4, rank=0, world=4)
    with pytest.raises(OptionError, match=r"rank 2 of 2: expected 0 to 1"):
        ResidentFeed(torch.zeros(10, 2), batch=4, rank=2, world=2)


@pytest.mark.parametrize("kind", ["resident", "stream"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_batch_is_located_by_its_snapshots(kind, shuffle):
    (feed,) = feeds(kind, numbered(40), 1, batch=5, shuffle=shuffle, seed=3)
    for i, x in enumerate(feed.epoch(1)):
        held = sorted(int(v) for v in x[:, 0, 0, 0])
        text = feed.locate(1, i)
        if kind == "resident" and not shuffle:
            assert text == f"snapshots {held[0]} to {held[-1]}"
        else:
            assert text.endswith("snapshots " + ", ".join(map(str, held)))
