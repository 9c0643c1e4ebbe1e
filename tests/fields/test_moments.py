"""Statistics of parts add up to those of the whole."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from romae.errors import DataError
from romae.fields import open_snapshots, survey
from romae.fields.moments import Running


def flow(seed=0):
    rng = np.random.default_rng(seed)
    values = 1e3 + rng.standard_normal((30, 3, 4)) * [1, 2, 3, 4]
    values[:, 1, 2] = np.nan
    dims = ("time", "y", "x")
    data = {"u": (dims, values), "one": (dims, np.ones((30, 3, 4)))}
    coords = {"time": np.arange(30.0), "y": [0.0, 1, 3], "x": [0.0, 1, 4, 5]}
    return open_snapshots(xr.Dataset(data, coords))


@settings(max_examples=20, deadline=None)
@given(cuts=st.sets(st.integers(1, 29), max_size=4), seed=st.integers(0, 3))
def test_parts_add_up(cuts, seed):
    snapshots = flow(seed)
    whole, merged = survey(snapshots), None
    for a, b in itertools.pairwise([0, *sorted(cuts), 30]):
        part = Running(snapshots)
        part.take(0, a, snapshots.read_raw(a, b))
        merged = part.moments if merged is None else merged.merge(part.moments, snapshots.layout)
    found = merged.survey(snapshots.layout)
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-13)
    np.testing.assert_allclose(found.std, whole.std, rtol=1e-10)
    np.testing.assert_array_equal(found.minimum, whole.minimum)
    np.testing.assert_array_equal(found.maximum, whole.maximum)
    assert (found.count, found.constant) == (30, ("one",))


def test_bad_values_are_named_by_any_part():
    snapshots = flow()
    block = snapshots.read_raw(20, 30)
    block[3, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="time 23"):
        Running(snapshots).take(0, 20, block)
