"""compare_forecasts() against exact dynamics, the public path and hand-made baselines."""

import numpy as np
import pytest
import xarray as xr

from romae import metrics
from romae.compare import compare_forecasts, forecast_table, write_comparison
from romae.dynamics import DMD, Persistence
from romae.errors import DataError, OptionError
from romae.fields import open_snapshots
from romae.model import ReducedModel
from romae.reducers import POD

STEPS = 8


@pytest.fixture(scope="module")
def rotating(train):
    """Four modes that turn: DMD forecasts them exactly, but for the noise."""
    return ReducedModel(POD(4), DMD()).fit(train, device="cpu")


@pytest.fixture(scope="module")
def found(rotating, test_set, train):
    still = ReducedModel(rotating.reducer, Persistence()).fit(train)
    return compare_forecasts({"dmd": rotating, "still": still}, test_set, STEPS, 6, train=train)


def errors(guess, truth, model, snapshots):
    """NRMSE of all fields per lead, by the definition, for arrays (S, C, *space)."""
    layout = snapshots.layout
    sums = metrics.FluctuationSums(layout.quadrature, np.asarray(model.reducer.scaling.mean))
    sums.add(snapshots.read(0, len(snapshots)).astype(float))
    groups = metrics.unit_groups([f.units for f in layout.fields])
    return metrics.nrmse(metrics.energy(guess - truth, layout.quadrature), sums.energy, groups)


def test_rows(found):
    assert found["model"].values.tolist() == [
        "dmd", "still", "POD k=4 + DMD", "persistence", "climatology", "POD k=4, reconstruction",
    ]  # fmt: skip
    assert found["error"].dims == ("model", "start", "lead", "field")
    np.testing.assert_allclose(found["lead_time"], 0.1 * np.arange(1, STEPS + 1))
    assert found["lead_time"].attrs["units"] == "s"


def test_equals_the_public_path(found, rotating, test_set):
    for i in (0, 3, 5):
        start = int(found["start_index"][i])
        forecast = rotating.forecast(test_set.isel(time=slice(0, start)), STEPS)
        names = test_set.layout.names
        guess = np.stack([forecast[n].values for n in names], axis=1)
        truth = test_set.read(start, start + STEPS)
        expected = errors(guess, truth, rotating, test_set)
        np.testing.assert_allclose(found["error"].sel(model="dmd")[i], expected, rtol=1e-4)


def test_baselines_are_what_they_say(found, rotating, test_set):
    start = int(found["start_index"][2])
    truth = test_set.read(start, start + STEPS)
    last = test_set.read(start - 1, start)
    expected = errors(last, truth, rotating, test_set)
    np.testing.assert_allclose(found["error"].sel(model="persistence")[2], expected, rtol=1e-9)
    mean = np.asarray(rotating.reducer.scaling.mean)[None]
    expected = errors(mean, truth, rotating, test_set)
    np.testing.assert_allclose(found["error"].sel(model="climatology")[2], expected, rtol=1e-9)


def test_given_dmd_and_own_dmd_agree(found):
    np.testing.assert_allclose(
        found["error"].sel(model="dmd"), found["error"].sel(model="POD k=4 + DMD"), rtol=1e-5
    )


def test_order_of_the_models(found):
    """Exact dynamics beat standing still; none beats the reconstruction by much."""
    last = found["error_median"].sel(field="all", lead=STEPS)
    assert float(last.sel(model="dmd")) < 0.2 * float(last.sel(model="persistence"))
    floor = found["error_median"].sel(field="all", model="POD k=4, reconstruction")
    assert (found["error_median"].sel(field="all", model="dmd") > 0.9 * floor).all()
    assert float(found["valid_to_the_end"].sel(model="dmd")) == 1
    assert float(found["valid_time_median"].sel(model="dmd")) == pytest.approx(STEPS * 0.1)
    assert float(found["valid_time_median"].sel(model="persistence")) < STEPS * 0.1


def test_latent_persistence_differs_from_persistence_by_the_reconstruction(found):
    """Standing still in the latents also loses what the reducer loses."""
    still = found["error_median"].sel(model="still", field="all", lead=1)
    field = found["error_median"].sel(model="persistence", field="all", lead=1)
    assert float(still) == pytest.approx(float(field), rel=0.2)
    assert float(still) != float(field)


def test_starts_can_be_chosen(rotating, test_set):
    chosen = compare_forecasts(rotating, test_set, 3, [5, (0, 20)])
    assert chosen["start_index"].values.tolist() == [5, 20]
    even = compare_forecasts(rotating, test_set, 3, 4)
    assert even["start_index"].values.tolist() == [1, 10, 18, 27]
    every = compare_forecasts(rotating, test_set, 28, 1000)  # only so many fit
    assert every["start_index"].values.tolist() == [1, 2]


def test_quartiles_and_median(found):
    one = found["error"].sel(model="dmd", field="all")
    np.testing.assert_allclose(
        found["error_median"].sel(model="dmd", field="all"), np.median(one, axis=0)
    )
    assert (found["error_lower"] <= found["error_upper"]).all()


def test_blow_up_is_counted_and_quiet(train, test_set):
    class Explosive(Persistence):
        """Doubles every step."""

        def _rollout(self, history, steps):
            return (history[:, -1:] + 1) * 3.0 ** np.arange(1, steps + 1)[:, None]

    wild = ReducedModel(POD(2), Explosive()).fit(train, device="cpu")
    found = compare_forecasts(wild, test_set, STEPS, 4)
    row = found.isel(model=0)
    assert float(row["left_range"]) == 1
    assert float(row["valid_time_upper"]) < STEPS * 0.1
    assert float(found["left_range"].sel(model="climatology")) == 0


def test_dates_and_several_cases(make_flow):
    dates = np.datetime64("2026-01-01") + np.arange(60) * np.timedelta64(1, "h")
    pieces = [make_flow(60, 9 * i, seed=i).assign_coords(time=dates) for i in range(3)]
    snapshots = open_snapshots(xr.concat(pieces, xr.Variable("case", [10, 20, 30])))
    model = ReducedModel(POD(4), DMD()).fit(snapshots.isel(case=[0, 1]), device="cpu")
    found = compare_forecasts(model, snapshots.isel(case=[2]), 5, 3)
    assert found["lead_time"].values.tolist() == [3600 * n for n in range(1, 6)]
    assert found["lead_time"].attrs["units"] == "s"
    assert found["start_time"].values[0].startswith("2026-01-01T00")
    two = compare_forecasts(model, snapshots, 5, [(0, 4), (2, 9)])
    assert two["start_case"].values.tolist() == [0, 2]
    np.testing.assert_allclose(
        two["error"][:, 1],
        compare_forecasts(model, snapshots.isel(case=[2]), 5, [9])["error"][:, 0] * np.ones(1),
        rtol=0.2,  # the fluctuation is that of other snapshots
    )


def test_wrong_use(rotating, pod, test_set, train, make_flow):
    with pytest.raises(OptionError, match="has no dynamics"):
        compare_forecasts(pod, test_set, 3)
    with pytest.raises(OptionError, match=r"no start leaves room.*30 snapshots"):
        compare_forecasts(rotating, test_set, 30)
    with pytest.raises(OptionError, match=r"start .0, 29. leaves no room"):
        compare_forecasts(rotating, test_set, 3, [29])
    with pytest.raises(OptionError, match="steps is 0"):
        compare_forecasts(rotating, test_set, 0)
    with pytest.raises(OptionError, match="starts is 0"):
        compare_forecasts(rotating, test_set, 3, 0)
    with pytest.raises(DataError, match="fitted to these very snapshots"):
        compare_forecasts(rotating, train, 3)
    uneven = open_snapshots(make_flow().isel(time=[50, 51, 53, 54, 55, 60, 61]))
    with pytest.raises(DataError, match="not evenly spaced"):
        compare_forecasts(rotating, uneven, 2)


def test_table_and_files(found, tmp_path):
    rows = forecast_table(found)
    assert rows.loc["dmd", "valid_to_the_end"] == 1
    assert rows.attrs["units"]["valid_time_median"] == "s"
    assert found.romae.table().equals(rows)
    write_comparison(found, tmp_path, name="forecasts")
    with xr.open_dataset(tmp_path / "forecasts.nc") as stored:
        xr.testing.assert_equal(stored.load(), found)
