"""Ensembles: scores against their definitions, and what a calibrated ensemble shows."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.compare import calibration, compare_ensembles
from romae.compare.calibration import crps, ranks, unevenness, variance
from romae.dynamics import DMD
from romae.errors import DataError, OptionError
from romae.fields import open_snapshots
from romae.model import ReducedModel
from romae.reducers import POD
from romae.report.figures import ensemble_calibration


def ensemble(members=12, times=30, points=400, width=1.0, seed=0):
    """Members and truth from one normal law, the members ``width`` times as wide."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((times, points))
    truth = centre + rng.standard_normal((times, points))
    found = centre + width * rng.standard_normal((members, times, points))
    coords = {"time": ("time", 0.5 * np.arange(times), {"units": "s"})}
    return (
        xr.DataArray(found, dims=("member", "time", "x"), coords=coords, name="u"),
        xr.DataArray(truth, dims=("time", "x"), coords=coords, name="u", attrs={"units": "m"}),
    )


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=9),
    st.floats(-5, 5),
    st.floats(-3, 3),
    st.floats(0.1, 4),
)
def test_crps_is_its_definition(values, truth, shift, scale):
    x, M = np.array(values), len(values)
    pairs = np.abs(x[:, None] - x).sum() / (2 * M * (M - 1))
    found = float(crps(x, np.array(truth)))
    assert found == pytest.approx(np.abs(x - truth).mean() - pairs, abs=1e-9)
    assert float(crps(x[::-1], np.array(truth))) == pytest.approx(found, abs=1e-9)
    moved = float(crps(scale * x + shift, np.array(scale * truth + shift)))
    assert moved == pytest.approx(scale * found, abs=1e-8)


def test_crps_of_one_forecast_is_its_absolute_error():
    rng = np.random.default_rng(1)
    forecast, truth = rng.standard_normal((2, 50))
    np.testing.assert_allclose(crps(forecast[None], truth), np.abs(forecast - truth))
    same = np.repeat(forecast[None], 7, axis=0)  # so is that of members that agree
    np.testing.assert_allclose(crps(same, truth), np.abs(forecast - truth))


def test_fair_crps_does_not_depend_on_the_number_of_members():
    """E CRPS of N(0, 1) at N(0, 1) is 1/sqrt(pi), with 2 members as with 50."""
    for members in (2, 5, 50):
        x, y = np.random.default_rng(members).standard_normal((2, members, 40_000))
        assert crps(x, y[0]).mean() == pytest.approx(1 / np.sqrt(np.pi), rel=0.03)


def test_sharper_and_wider_ensembles_score_worse():
    scores = {w: float(calibration(*ensemble(width=w))["crps"].mean()) for w in (0.3, 1.0, 3.0)}
    assert scores[1.0] < scores[0.3]
    assert scores[1.0] < scores[3.0]


@pytest.mark.parametrize("members", [2, 5, 30])
def test_calibrated_ensemble_has_ratio_one_and_even_ranks(members):
    found = calibration(*ensemble(members))
    np.testing.assert_allclose(found["ratio"].mean(), 1, rtol=0.03)
    assert unevenness(found["ranks"].values[0]) < 0.03
    assert int(found["ranks"].sum()) == 30 * 400


def test_overconfident_ensemble_shows_it():
    found = calibration(*ensemble(width=0.4))
    assert float(found["ratio"].mean()) < 0.6
    counts = found["ranks"].values[0]
    assert counts[0] > 2 * counts[6]
    assert counts[-1] > 2 * counts[6]
    wide = calibration(*ensemble(width=3))
    assert float(wide["ratio"].mean()) > 1.3
    assert wide["ranks"].values[0][6] > 2 * wide["ranks"].values[0][0]


def test_variance_is_that_of_the_error_of_the_mean():
    x = np.random.default_rng(0).standard_normal((4, 100_000))
    truth = np.random.default_rng(1).standard_normal(100_000)
    assert variance(x).mean() == pytest.approx(((x.mean(0) - truth) ** 2).mean(), rel=0.02)


def test_ties_are_spread_evenly():
    counts = np.bincount(ranks(np.zeros((4, 5000)), np.zeros(5000)), minlength=5)
    assert unevenness(counts) < 0.03


def test_masked_points_and_weights_do_not_count():
    members, truth = ensemble(points=40)
    masked = truth.where(truth["x"] < 20)
    wild = members.where(members["x"] < 20, 1e9)
    expected = calibration(members.isel(x=slice(20)), truth.isel(x=slice(20)))
    xr.testing.assert_allclose(calibration(wild, masked), expected)
    weights = xr.DataArray(np.arange(40) < 20, dims="x").astype(float)
    xr.testing.assert_allclose(calibration(wild, truth, weights=weights), expected)


def test_datasets_give_a_row_per_variable_and_units():
    members, truth = ensemble(points=30)
    found = calibration(
        members.to_dataset(name="u").assign(v=2 * members), truth.to_dataset().assign(v=2 * truth)
    )
    assert found["field"].values.tolist() == ["u", "v"]
    np.testing.assert_allclose(found["crps"].sel(field="v"), 2 * found["crps"].sel(field="u"))
    np.testing.assert_allclose(found["time"], truth["time"])


def test_wrong_use():
    members, truth = ensemble(points=5)
    with pytest.raises(DataError, match="Expected 'member' among them"):
        calibration(truth, truth)
    with pytest.raises(DataError, match="one member"):
        calibration(members.isel(member=[0]), truth)
    with pytest.raises(DataError, match="not on the same axes"):
        calibration(members, truth.isel(time=slice(3, None)))
    with pytest.raises(DataError, match="the same variables"):
        calibration(members.to_dataset(name="w"), truth.to_dataset())


@pytest.fixture(scope="module")
def of_models(make_flow):
    flow = open_snapshots(make_flow(140))
    train, test = flow.isel(time=slice(0, 80)), flow.isel(time=slice(80, 140))
    model = ReducedModel(POD(4), DMD()).fit(train, device="cpu")
    found = compare_ensembles({"dmd": model}, test, 6, [10, 30], members=5)
    return model, test, found


def test_ensembles_of_models_are_scored_as_calibration_does(of_models):
    """From one start, against the public path; weights and the obstacle count alike."""
    model, test, _ = of_models
    found = compare_ensembles(model, test, 6, [10], members=5).isel(model=0)
    forecast = model.forecast(test.isel(time=slice(0, 10)), 6, ensemble=5)
    truth = test.isel(time=slice(10, 16)).to_dataset()
    weights = xr.DataArray(test.layout.weights, dims=test.layout.space)
    one = calibration(forecast.assign_coords(time=truth["time"]), truth, weights=weights)
    for name in ("crps", "spread", "skill"):
        np.testing.assert_allclose(found[name], one[name], rtol=1e-3)


def test_ensembles_over_starts(of_models):
    *_, found = of_models
    assert found["crps"].dims == ("model", "field", "lead")
    assert int(found["ranks"].sum("rank").isel(model=0, field=0)) == 2 * 6 * 16
    assert (found["spread"] > 0).all()
    np.testing.assert_allclose(found["lead_time"], 0.1 * np.arange(1, 7))
    ensemble_calibration(found.isel(model=0), field="v").draw_without_rendering()


def test_an_ensemble_needs_members(of_models):
    model, test, _ = of_models
    with pytest.raises(OptionError, match="at least 2"):
        compare_ensembles(model, test, 3, [10], members=1)


def test_figure():
    figure = ensemble_calibration(calibration(*ensemble(width=0.8)))
    figure.draw_without_rendering()
    assert "0.8" in figure.axes[0].get_title()
