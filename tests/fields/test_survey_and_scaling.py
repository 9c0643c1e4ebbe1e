"""Streaming statistics equal numpy on any cut; scaling goes back to the last bit."""

import json
import re

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from romae.errors import DataError, GridMismatchError, OptionError
from romae.fields import Scaling, open_snapshots, survey


@given(st.integers(0, 99), st.integers(1, 40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_survey_equals_numpy_on_any_cut(seed, per_block, masked):
    rng = np.random.default_rng(seed)
    n, nx = int(rng.integers(2, 40)), 7
    x = 1e4 + rng.normal(size=(n, 2, nx)) * [[[1.0], [30.0]]]
    grid = np.sort(rng.uniform(size=nx))
    if masked:
        x[:, 1, 2:4] = np.nan
    source = xr.Dataset(
        {name: (("time", "x"), x[:, c]) for c, name in enumerate("ab")}, {"x": grid}
    )
    opened = open_snapshots(source)
    found = survey(opened, nbytes=per_block * opened.layout.size * 8)
    mean = x.mean(axis=0)
    np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
    square = np.nanmean((x - mean) ** 2, axis=0) if not masked else ((x - mean) ** 2).mean(axis=0)
    w = opened.layout.quadrature
    std = np.sqrt(np.nansum(w * square, axis=1) / w.sum(axis=1))
    np.testing.assert_allclose(found.std, std, rtol=1e-9)
    np.testing.assert_array_equal(found.minimum, np.nanmin(x, axis=(0, 2)))
    np.testing.assert_array_equal(found.maximum, np.nanmax(x, axis=(0, 2)))
    assert found.count == n
    assert found.constant == ()


def test_survey_over_cases_counts_every_snapshot(make_flow):
    runs = xr.concat([make_flow(7, seed=i) for i in range(3)], dim="case")
    found = survey(open_snapshots(runs))
    np.testing.assert_allclose(found.mean[0], runs.u.mean(("case", "time")), rtol=1e-6)
    assert found.count == 21


# The stated limit: below 2^-26 |mean| a float32 value has bits that float64 cannot keep.
NUMBERS = st.floats(-1e6, 1e6, width=32).filter(lambda v: v == 0 or abs(v) > 1e-2)


@given(
    x=hnp.arrays("f4", (4, 2, 3), elements=NUMBERS),
    mean=hnp.arrays("f8", (2, 3), elements=st.floats(-1e5, 1e5)),
    scale=hnp.arrays("f8", 2, elements=st.floats(1e-6, 1e6)),
)
@settings(max_examples=200, deadline=None)
def test_scaling_roundtrip_is_exact_for_float32(x, mean, scale):
    x = np.where(x == 0, np.float32(1), x)
    back = Scaling(mean, scale).inverse(Scaling(mean, scale).forward(x)).astype("f4")
    np.testing.assert_array_equal(back, x)


@given(x=hnp.arrays("f4", (3, 1, 4), elements=st.floats(width=32, min_value=-1, max_value=1)))
@settings(max_examples=100, deadline=None)
def test_scaling_error_near_zero_is_a_rounding_of_the_mean(x):
    s = Scaling(np.full((1, 4), 123.4), np.array([0.7]))
    assert np.abs(s.inverse(s.forward(x)) - x).max() <= 2.0**-50 * 123.4


def test_scaled_fluctuation_has_unit_rms(small):
    small["p"][:, 0, 0] = np.nan
    opened = open_snapshots(small)
    w = opened.layout.quadrature
    x = opened.read(0, 24)

    def rms(kind):
        z = Scaling.fit(opened, kind).forward(x)
        assert np.abs(z.mean(axis=0)).max() < (1e-8 if kind == "none" else 1e-9)
        return np.sqrt((w * z**2).sum(axis=(0, 2, 3)) / (24 * w.sum(axis=(1, 2))))

    np.testing.assert_allclose(rms("field"), 1)
    found = survey(opened)
    u, v, p = rms("units")
    assert p == pytest.approx(1)
    assert u**2 + v**2 == pytest.approx(1)
    assert u / v == pytest.approx(found.std[0] / found.std[1])
    np.testing.assert_allclose(rms("none"), found.std)


def test_constant_fields_get_scale_one(small):
    small["v"] = (small["v"] * 0 + small.y).assign_attrs(units="m/s")
    found = survey(open_snapshots(small))
    assert found.constant == ("v",)
    for kind in ("units", "field"):
        scaling = Scaling.fit(found, kind)
        assert scaling.scale[1] == 1
        assert scaling.scale[0] == pytest.approx(found.std[0])


def test_masked_points_are_zero_scaled_and_nan_back(small):
    small["u"][:, 2, 3] = np.nan
    opened = open_snapshots(small)
    scaling = Scaling.fit(opened)
    state, arrays = scaling.to_state()
    scaling = Scaling.from_state(json.loads(json.dumps(state)), arrays)
    z = scaling.forward(opened.read(0, 4))
    assert np.isfinite(z).all()
    assert (z[:, 0, 2, 3] == 0).all()
    np.testing.assert_array_equal(scaling.inverse(z).astype("f4"), opened.read(0, 4))


def test_wrong_scaling(small):
    with pytest.raises(OptionError, match=r"'unit'.*'units'"):
        Scaling.fit(open_snapshots(small), "unit")
    with pytest.raises(GridMismatchError, match=r"\(2, 3, 6, 5\)"):
        Scaling.fit(open_snapshots(small)).forward(np.zeros((2, 3, 6, 5)))


@pytest.mark.parametrize("files", [False, True])
@pytest.mark.parametrize("skip", [0, 6])
def test_nan_in_a_part_is_told_and_repaired_as_counted_in_the_file(tmp_path, files, skip):
    """What is proposed, typed as it is, leaves the data without the NaN, whatever part was read."""
    values = np.random.default_rng(0).normal(size=(12, 5))
    values[9, 2] = np.nan
    ds = xr.Dataset({"u": (("time", "x"), values)}, {"time": 0.5 * np.arange(12), "x": range(5)})
    if files:
        names = [tmp_path / f"{i}.nc" for i in range(3)]
        for i, name in enumerate(names):
            ds.isel(time=slice(4 * i, 4 * i + 4)).to_netcdf(name, engine="scipy")
        snapshots = open_snapshots(names)
    else:
        snapshots = open_snapshots(ds)
    with pytest.raises(DataError, match=r"time 4\.5 \(index (9|1)\)") as error:
        survey(snapshots.isel(time=slice(skip, None)))
    typed = re.search(
        r"for example (\S*snapshots\.isel\(.*?\)\)|ds\.sel\(.*?\)\))", str(error.value)
    )
    assert typed is not None, str(error.value)
    good = open_snapshots(eval(typed[1], {"ds": ds, "snapshots": snapshots}))
    assert len(good) == 9
    survey(good)
