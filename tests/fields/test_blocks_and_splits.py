"""Blocks cover all snapshots once and end with storage chunks; splits are contiguous."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from romae.errors import DataError, OptionError
from romae.fields import Snapshots, open_snapshots


def ramp(lengths: list[int], chunk: int) -> Snapshots:
    """Files of some lengths whose value at time t is t, stored by ``chunk`` snapshots."""
    parts, start = [], 0
    for n in lengths:
        t = np.arange(start, start + n)
        u = xr.Variable(("time", "x"), np.repeat(t[:, None], 3, axis=1).astype("f4"))
        u.encoding["preferred_chunks"] = {"time": chunk, "x": 3}
        parts.append(xr.Dataset({"u": u}, {"time": t}))
        start += n
    return open_snapshots(parts)


LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=5)


@given(LENGTHS, st.integers(1, 7), st.integers(1, 30), st.integers(1, 4), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_blocks_cover_all_once_in_order(lengths, chunk, limit, step, skip):
    whole = ramp(lengths, chunk)
    total = sum(lengths)
    part = whole.isel(time=slice(min(skip, total - 1), None, step))
    nbytes = limit * whole.layout.size * 4
    blocks = list(part.blocks(nbytes))
    seen = np.concatenate([b.values[:, 0, 0] for b in blocks])
    np.testing.assert_array_equal(seen, np.arange(total)[min(skip, total - 1) :: step])
    assert [b.start for b in blocks[1:]] == [b.stop for b in blocks[:-1]]
    assert max(len(b.values) for b in blocks) <= limit


@given(LENGTHS, st.integers(1, 7), st.integers(7, 30))
@settings(max_examples=40, deadline=None)
def test_blocks_end_where_chunks_end(lengths, chunk, limit):
    whole = ramp(lengths, chunk)
    edges, offset = set(), 0
    for n in lengths:
        edges |= {offset + k for k in range(0, n, chunk)} | {offset + n}
        offset += n
    ranges = whole.block_ranges(limit * whole.layout.size * 4)
    assert {b for _, _, b in ranges} <= edges
    # gathered: no two neighbours would have fitted together
    for (_, a, _), (_, _, b) in itertools.pairwise(ranges):
        assert b - a > limit


@given(LENGTHS, st.data())
@settings(max_examples=40, deadline=None)
def test_read_equals_numpy_slicing(lengths, data):
    whole = ramp(lengths, 4)
    total = sum(lengths)
    a = data.draw(st.integers(0, total))
    b = data.draw(st.integers(a, total))
    np.testing.assert_array_equal(whole.read(a, b)[:, 0, 1], np.arange(a, b))


@given(st.integers(6, 200), st.integers(0, 2), st.data())
@settings(max_examples=40, deadline=None)
def test_split_is_contiguous_without_overlap(n, gap, data):
    cuts = data.draw(st.lists(st.floats(0.05, 1), min_size=1, max_size=4))
    fractions = [c / sum(cuts) for c in cuts]
    whole = ramp([n], 4)
    try:
        parts = whole.split(*fractions, gap=gap)
    except DataError:  # a part of less than half a snapshot
        assert min(round(n * f) for f in fractions) <= gap + 1
        return
    times = [p.times().values for p in parts]
    for part, t in zip(parts, times, strict=True):
        np.testing.assert_array_equal(np.diff(t), 1)
        np.testing.assert_array_equal(part.read(0, len(part))[:, 0, 0], t)
    for before, after in itertools.pairwise(times):
        assert after[0] - before[-1] == 1 + gap
    assert times[0][0] == 0
    assert times[-1][-1] == n - 1


def test_strided_parts_share_the_file(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc")
    opened = open_snapshots(tmp_path / "a.nc")
    values = opened.read(0, 24)
    even, odd = opened.isel(time=slice(0, None, 2)), opened.isel(time=slice(1, None, 2))
    np.testing.assert_array_equal(even.read(0, 12), values[::2])
    np.testing.assert_array_equal(odd.isel(time=slice(2, 8, 3)).read(0, 2), values[5:17:6])
    np.testing.assert_array_equal(opened.isel(time=slice(0, None, 11)).read(0, 3), values[::11])
    np.testing.assert_array_equal(opened.isel(time=-1).read(0, 1), values[-1:])
    assert even.dt == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("fractions", "options", "expected"),
    [
        ((0.7, 0.7), {}, "sum to 1.4"),
        ((), {}, "none"),
        ((-0.5, 0.5), {}, "positive"),
        ((0.5, 0.5), {"by": "shuffle"}, "'time' or 'case'"),
        ((0.5, 0.5), {"gap": -1}, "gap"),
    ],
)
def test_wrong_splits(small, fractions, options, expected):
    with pytest.raises(OptionError, match=expected):
        open_snapshots(small).split(*fractions, **options)


def test_empty_parts_and_ranges(small):
    opened = open_snapshots(small)
    with pytest.raises(DataError, match=r"0\.001 empty"):
        opened.split(0.999, 0.001)
    with pytest.raises(DataError, match="selects nothing"):
        opened.isel(time=slice(30, 40))
    with pytest.raises(OptionError, match="has 24"):
        opened.read(20, 25)
    with pytest.raises(OptionError, match="forward"):
        opened.isel(time=slice(None, None, -1))
    with pytest.raises(DataError, match="1 snapshot; fit needs at least 2"):
        opened.isel(time=3).require(2, "fit")
    opened.require(24, "fit")
