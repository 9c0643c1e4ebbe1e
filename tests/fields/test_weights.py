"""Quadrature is exact where its rule says so."""

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from romae.errors import DataError, GridMismatchError, OptionError
from romae.fields import open_snapshots
from romae.fields.weights import axis_weights

STEPS = st.lists(st.floats(0.01, 10), min_size=1, max_size=30)


@given(STEPS, st.floats(-5, 5), st.floats(-5, 5), st.booleans())
@settings(max_examples=100, deadline=None)
def test_trapezoid_integrates_linear_functions_exactly(steps, a, b, decreasing):
    x = np.concatenate([[0.0], np.cumsum(steps)])
    length = x[-1]
    if decreasing:
        x = x[::-1]
    w = axis_weights(x, "x", {}, periodic=False)
    assert w.sum() == pytest.approx(length)
    exact = a * length + b * length**2 / 2
    assert w @ (a + b * x) == pytest.approx(exact, abs=1e-9 * (1 + length**2))


@given(st.integers(3, 40), st.data())
@settings(max_examples=60, deadline=None)
def test_periodic_even_grid_integrates_harmonics_exactly(n, data):
    k = data.draw(st.integers(1, n - 1))
    x = 2 * np.pi * np.arange(n) / n
    w = axis_weights(x, "x", {}, periodic=True)
    np.testing.assert_allclose(w, 2 * np.pi / n)
    assert w @ np.exp(1j * k * x) == pytest.approx(0, abs=1e-12)


@given(STEPS, st.floats(0.01, 10))
@settings(max_examples=60, deadline=None)
def test_periodic_stretched_grid_has_the_stated_length(steps, gap):
    x = np.concatenate([[0.0], np.cumsum(steps)])
    w = axis_weights(x, "x", {}, periodic=True, period=x[-1] + gap)
    assert w.sum() == pytest.approx(x[-1] + gap)
    assert (w > 0).all()


def test_period_of_a_stretched_grid_needs_no_uniform_shift():
    # moving the origin along the circle permutes the weights
    x, period = np.array([0.0, 0.1, 0.5, 0.6]), 1.0
    w = axis_weights(x, "x", {}, True, period)
    rolled = np.sort((x - 0.5) % period)
    np.testing.assert_allclose(axis_weights(rolled, "x", {}, True, period), np.roll(w, -2))


@pytest.mark.parametrize("lat", [np.linspace(-90, 90, 19), np.linspace(85, -85, 18)])
def test_latitude_weights_are_areas_of_the_sphere(lat):
    w = axis_weights(lat, "lat", {"units": "degrees_north"}, periodic=False)
    assert w.sum() == pytest.approx(2)  # the integral of cos over [-90°, 90°]
    assert w @ np.sin(np.deg2rad(lat)) ** 2 == pytest.approx(2 / 3, rel=0.02)


def field_on(coords: dict, dims=("y", "x"), shape=(4, 5), extra=None) -> xr.Dataset:
    data = np.random.default_rng(0).normal(size=(3, *shape))
    return xr.Dataset({"u": (("time", *dims), data), **(extra or {})}, coords=coords)


def test_weights_of_a_globe():
    lat, lon = np.arange(-87.5, 90, 5), np.arange(0, 360, 10.0)
    source = field_on(
        {
            "lat": ("lat", lat, {"units": "degrees_north"}),
            "lon": ("lon", lon, {"units": "degrees_east"}),
        },
        dims=("lat", "lon"),
        shape=(36, 36),
    )
    w = open_snapshots(source).layout.weights
    assert w.mean() == pytest.approx(1)
    np.testing.assert_allclose(
        w[:, 0] / w[17, 0], np.cos(np.deg2rad(lat)) / np.cos(np.deg2rad(2.5))
    )
    np.testing.assert_allclose(w, np.repeat(w[:, :1], 36, axis=1))


def test_cell_bounds_go_before_points():
    edges = np.array([0, 1, 3, 4, 8.0])
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    coords = {"y": ("y", [0.2, 2, 3.1, 5.0], {"bounds": "y_bnds"}), "x": np.arange(5.0)}
    source = field_on(coords, extra={"y_bnds": (("y", "nv"), bounds)})
    w = open_snapshots(source, variables=["u"]).layout.weights
    np.testing.assert_allclose(w[:, 2] / w[0, 2], np.diff(edges))


@pytest.mark.parametrize("edge", [0.0, np.nan])
def test_cell_bounds_without_any_size_are_refused(edge):
    coords = {"y": ("y", np.arange(4.0), {"bounds": "y_bnds"}), "x": np.arange(5.0)}
    source = field_on(coords, extra={"y_bnds": (("y", "nv"), np.full((4, 2), edge))})
    with pytest.raises(DataError, match="bounds of coordinate 'y' give no cell sizes"):
        open_snapshots(source, variables=["u"])


def test_curvilinear_areas():
    # polar coordinates: cells of area r dr dtheta
    r, theta = np.meshgrid(np.linspace(1, 2, 40), np.linspace(0, np.pi / 2, 60), indexing="ij")
    x, y = (("j", "i"), r * np.cos(theta)), (("i", "j"), (r * np.sin(theta)).T)
    w = open_snapshots(field_on({"x": x, "y": y}, ("j", "i"), (40, 60))).layout.weights
    np.testing.assert_allclose(w, r / r.mean(), rtol=2e-3)
    # a latitude-longitude grid given as 2-D coordinates, across the date line
    lat, lon = np.arange(-60, 61, 2.0), np.arange(150, 210, 2.0) % 360 - 360.0
    lat2, lon2 = np.meshgrid(lat, (lon + 180) % 360 - 180, indexing="ij")
    coords = {
        "nav_lat": (("j", "i"), lat2, {"units": "degrees_north"}),
        "nav_lon": (("j", "i"), lon2, {"units": "degrees_east"}),
    }
    w = open_snapshots(field_on(coords, ("j", "i"), lat2.shape)).layout.weights
    cosine = np.cos(np.deg2rad(lat2))
    np.testing.assert_allclose(w, cosine / cosine.mean(), rtol=2e-3)


@pytest.mark.parametrize("n", [2, 3, 8])
def test_values_in_cells_weigh_as_much_as_their_cells(n):
    """What the coordinates of centres cannot say: no cell is half a cell."""
    x = (np.arange(n) + 0.5) / n
    source = field_on({"x": ("x", x)}, ("x",), (n,))
    np.testing.assert_allclose(open_snapshots(source, weights="cells").layout.weights, 1)
    half = open_snapshots(source).layout.weights
    np.testing.assert_array_equal(half, open_snapshots(source, weights="trapezoid").layout.weights)
    assert half[0] < 1 or n == 2
    edges = np.array([0, 1, 3, 4.5, 6])  # each centre halfway: widths are known but at the ends
    stretched = field_on({"x": ("x", edges)}, ("x",), (5,))
    w = open_snapshots(stretched, weights="cells").layout.weights
    np.testing.assert_allclose(w / w[0], [1, 1.5, 1.75, 1.5, 1.5])


def test_given_weights_and_periods():
    area = xr.DataArray(np.arange(1.0, 6.0), dims="x", name="area")
    source = field_on({"x": np.arange(5.0), "y": [0, 1, 4, 9.0]}, extra={"area": area})
    for weights in ("area", area, np.broadcast_to(area.values, (4, 5))):
        w = open_snapshots(source, weights=weights).layout.weights
        np.testing.assert_allclose(w, np.broadcast_to(area / 3, (4, 5)))
    by_period = open_snapshots(source, periodic={"x": 8.0, "y": False}).layout
    assert by_period.periodic == (False, True)
    np.testing.assert_allclose(by_period.weights[0] / by_period.weights[0, 1], [2.5, 1, 1, 1, 2.5])
    assert open_snapshots(source, periodic="y").layout.periodic == (True, False)
    assert open_snapshots(source, periodic=[]).layout.periodic == (False, False)


@pytest.mark.parametrize(
    ("options", "error", "expected"),
    [
        ({"weights": "aera"}, OptionError, "'aera'.*'area'"),
        ({"weights": np.ones((5, 4))}, GridMismatchError, r"shape \(5, 4\); expected \(4, 5\)"),
        ({"weights": xr.DataArray(np.ones(3), dims="time")}, GridMismatchError, "time=3"),
        ({"weights": -np.ones((4, 5))}, DataError, r"-1.0 at index \(0, 0\)"),
        ({"periodic": "z"}, OptionError, "'z' is no space dimension"),
        ({"periodic": {"x": 3.0}}, DataError, "spans 4, more than its period 3"),
    ],
)
def test_wrong_weights(options, error, expected):
    source = field_on({"x": np.arange(5.0), "y": np.arange(4.0)}, extra={"area": ("x", np.ones(5))})
    with pytest.raises(error, match=expected):
        open_snapshots(source, **options)


def test_coordinate_that_folds_back():
    with pytest.raises(DataError, match=r"'x' is not strictly monotonic: 2.0 at index 1.*1.5"):
        open_snapshots(field_on({"x": [0, 2, 1.5, 3, 4]}))
