"""A layout survives JSON exactly, labels arrays as the source was, and tells grids apart."""

import json

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from romae.errors import GridMismatchError
from romae.fields import Layout, open_snapshots

COORDINATES = st.sampled_from(
    ["f4", "f8", ">f4", "i2", "i8", "u1", "M8[ns]", "M8[s]", "m8[ms]", "U5", "S4", "O", "?"]
)
ATTRS = st.dictionaries(
    st.sampled_from(["units", "long_name", "flags", "range", "scale"]),
    st.one_of(
        st.text(max_size=5),
        st.integers(-5, 5).map(np.int16),
        st.floats(width=32, allow_nan=False).map(np.float32),
        hnp.arrays("f4", 3, elements=st.floats(-9, 9, width=32)),
        st.lists(st.integers(0, 9), min_size=1, max_size=3),
    ),
)


def make_coordinate(dtype: str, n: int, data) -> np.ndarray:
    values = data.draw(st.lists(st.integers(0, 99), min_size=n, max_size=n, unique=True))
    if dtype in ("U5", "S4", "O"):
        return np.array([f"s{v}" for v in values], dtype="U5").astype(dtype)
    if dtype == "?":
        return np.array(values) % 2 == 0
    return np.sort(np.array(values)).astype(dtype)


def roundtrip(layout: Layout) -> Layout:
    state, arrays = layout.to_state()
    return Layout.from_state(json.loads(json.dumps(state)), arrays)


@given(data=st.data(), dtype=COORDINATES, attrs=ATTRS)
@settings(max_examples=60, deadline=None)
def test_state_roundtrip(data, dtype, attrs):
    n = data.draw(st.integers(2, 6))
    u = xr.Variable(("time", "x"), np.zeros((3, n), "f4"), attrs)
    extra = xr.Variable(("x",), make_coordinate(dtype, n, data), attrs)
    mask = data.draw(hnp.arrays(bool, n))
    mask[0] = True
    source = xr.Dataset({"u": u}, {"label": extra, "level": 3.5}, attrs=attrs)
    layout = open_snapshots(source, mask=xr.DataArray(mask, dims="x"), periodic=["x"]).layout
    back = roundtrip(layout)
    assert back.fields == layout.fields
    assert (back.time, back.space, back.shape, back.case) == ("time", ("x",), (n,), None)
    assert (back.periodic, back.attrs) == (layout.periodic, layout.attrs)
    xr.testing.assert_identical(back.coords, layout.coords)
    for name in layout.coords.variables:
        assert back.coords[name].dtype == layout.coords[name].dtype
    np.testing.assert_array_equal(back.valid, layout.valid)
    np.testing.assert_array_equal(back.weights, layout.weights)
    layout.check_same(back)


@pytest.mark.parametrize("order", [("time", "y", "x"), ("x", "time", "y"), ("y", "x", "time")])
def test_labels_as_the_source(tmp_path, small, order):
    source = small.expand_dims(level=[7.0]).transpose(*order, "level")
    source["u"][{"x": 1, "y": 2}] = np.nan
    source["u"].encoding = {"_FillValue": np.float32(1e20), "dtype": np.dtype("f4")}
    source = source.assign_coords(lon2=(("y", "x"), np.ones((5, 6)), {"units": "1"}), run=3)
    opened = open_snapshots(source, space=["y", "x"])
    assert opened.shape == (24, 3, 5, 6)
    layout = roundtrip(opened.layout)
    back = layout.to_dataset(opened.read(0, 24), opened.times())
    xr.testing.assert_identical(back, source)
    assert back["u"].dims == source["u"].dims
    assert back["u"].dtype == np.float32
    back.to_netcdf(tmp_path / "b.nc")
    with xr.open_dataset(tmp_path / "b.nc") as again:
        xr.testing.assert_allclose(again, source)
        assert again["u"].encoding["_FillValue"] == np.float32(1e20)
        assert "_FillValue" not in again["x"].encoding


def test_dates_keep_their_encoding(tmp_path, make_flow):
    source = make_flow(6)
    times = xr.date_range("2001-03-01", periods=6, freq="6h")
    source = source.assign_coords(time=times)
    encoding = {"units": "hours since 2001-01-01", "calendar": "standard", "dtype": "f8"}
    source.to_netcdf(tmp_path / "a.nc", encoding={"time": encoding})
    opened = open_snapshots(tmp_path / "a.nc")
    assert opened.dt == 6 * 3600
    opened.layout.to_dataset(opened.read(0, 6), opened.times()).to_netcdf(tmp_path / "b.nc")
    with xr.open_dataset(tmp_path / "b.nc") as back:
        assert back.time.encoding["units"] == "hours since 2001-01-01"
        np.testing.assert_array_equal(back.time.values, times.values)


def test_time_coordinate_named_otherwise(tmp_path, small):
    source = small.rename_dims(time="Time").rename_vars(time="XTIME").drop_indexes("XTIME")
    source["XTIME"].attrs["standard_name"] = "time"
    opened = open_snapshots(source)
    assert opened.layout.time == "Time"
    assert opened.times().name == "XTIME"
    back = opened.layout.to_dataset(opened.read(0, 24), opened.times())
    xr.testing.assert_identical(back, source)


def test_integers_come_back_floating(small):
    counts = (10 * small[["u"]]).astype("i2")
    opened = open_snapshots(counts)
    assert opened.dtype == np.float32
    assert opened.layout.to_dataset(opened.read(0, 2))["u"].dtype == np.float32
    assert open_snapshots(counts.astype("i4")).dtype == np.float64


def differing(small: xr.Dataset):
    yield "fields u, v; expected", small[["u", "v"]]
    yield "x=5 points; expected y=5 x x=6", small.isel(x=slice(5))
    yield r"lies on \(y, lon\)", small.rename(x="lon")
    yield "'cm/s'; expected 'm/s'", small.assign(v=small.v.assign_attrs(units="cm/s"))
    yield "'x' is 0.25 at index 1; expected 0.166", small.assign_coords(x=np.arange(6) / 4)
    yield "u is masked at index", small.assign(u=small.u.where(small.x > 0))


@pytest.mark.parametrize("i", range(6))
def test_check_same_names_the_first_difference(small, i):
    expected, other = list(differing(small))[i]
    layout = open_snapshots(small).layout
    with pytest.raises(GridMismatchError, match=expected):
        layout.check_same(open_snapshots(other).layout, "new.nc")
    rounded = small.assign_coords(y=small.y.astype("f4"), x=small.x.astype("f4"))
    layout.check_same(open_snapshots(rounded).layout)


def test_wrong_shape_to_label(small):
    layout = open_snapshots(small).layout
    with pytest.raises(GridMismatchError, match=r"\(4, 3, 6, 5\).*\('T', 3, 5, 6\)"):
        layout.to_dataset(np.zeros((4, 3, 6, 5)))


def test_quadrature_is_zero_where_masked(small):
    small["p"][:, 1] = np.nan
    layout = open_snapshots(small).layout
    assert layout.weights.mean() == pytest.approx(1)
    np.testing.assert_array_equal(layout.quadrature[2, 1], 0)
    np.testing.assert_array_equal(layout.quadrature[0], layout.weights)
    assert layout.size == 90
    assert layout.fields[0].units == "m/s"
