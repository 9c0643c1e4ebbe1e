"""The driver: labels that come back, rollouts that blow up, latents that cannot be used."""

import re

import numpy as np
import pytest
import xarray as xr

from romae.dynamics import DMD, Dynamics, Persistence
from romae.errors import BundleError, DataError, ForecastError, OptionError


class Growing(Dynamics):
    """Doubles at every step, to Inf and NaN: what a bad model does."""

    def _fit(self, sequences):
        pass

    def _rollout(self, history, steps):
        with np.errstate(all="ignore"):
            z = (history[:, -1:] + 1) * 2.0 ** np.arange(1, steps + 1)[:, None] ** 2
            return np.where(np.isinf(z), np.nan, z)


@pytest.fixture
def growing(cycle):
    return Growing().fit(cycle[:400])


def test_labels_of_the_history_come_back(cycle):
    history = cycle[:400].assign_coords(
        latent=["a0", "a1"], Re=100.0, phase=("time", np.zeros(400))
    )
    history.attrs["source"] = "wake"
    result = Persistence().fit(history).forecast(history, 3)
    assert result.name == "z"
    assert result.attrs == {"source": "wake"}
    assert set(result.coords) == {"time", "latent", "Re"}  # nothing is known of phase later on
    assert list(result.latent.values) == ["a0", "a1"]
    np.testing.assert_allclose(result.time, [40.0, 40.1, 40.2], rtol=1e-14)


def test_case_coordinates_come_back(cycle):
    cases = xr.concat([cycle[:50], cycle[:50]], "case").assign_coords(Re=("case", [80.0, 100.0]))
    result = Persistence().fit(cases).forecast(cases.transpose("latent", "time", "case"), 2)
    assert result.sizes == {"case": 2, "time": 2, "latent": 2}
    assert list(result.Re.values) == [80.0, 100.0]


def test_a_blowup_is_clipped_named_and_dated(growing, cycle):
    with pytest.warns(UserWarning, match=r"Growing: the rollout left.*step 2 of 60.*held"):
        result = growing.forecast(cycle[:400], 60)
    assert np.isfinite(result).all()
    assert result.attrs["left_training_range_at"] == pytest.approx(float(result.time[1]))
    span = cycle[:400].max("time") - cycle[:400].min("time")
    assert bool((result <= cycle[:400].max("time") + span * (1 + 1e-12)).all())
    assert bool((result[-1] >= cycle[:400].max("time") + span * 0.99).any())


def test_a_blowup_is_raised_or_cut_when_asked(growing, cycle):
    with pytest.raises(ForecastError, match=r"step 2 of 60.*on_blowup='clip'"):
        growing.forecast(cycle[:400], 60, on_blowup="raise")
    with pytest.warns(UserWarning, match="NaN from there on"):
        result = growing.forecast(cycle[:400], 60, on_blowup="nan")
    assert np.isfinite(result[:1]).all()
    assert np.isnan(result[1:]).all()


@pytest.mark.parametrize("on_blowup", ["clip", "nan", "stop", "ignore"])
def test_a_history_outside_the_training_range_is_what_is_named(cycle, on_blowup):
    model, history = Persistence().fit(cycle[:400]), cycle[:400].copy()
    history[-1, 1] = -80.0
    low, high = float(cycle[:400, 1].min()), float(cycle[:400, 1].max())
    text = f"latent 1 of the history is -80, in training it went from {low:.4g} to {high:.4g}"
    if on_blowup == "stop":
        with pytest.raises(ForecastError, match=re.escape(text)):
            model.forecast(history, 5, on_blowup=on_blowup)
        return
    with pytest.warns(UserWarning, match=rf"the history itself lies outside.*{re.escape(text)}"):
        model.forecast(history, 5, on_blowup=on_blowup)
    with pytest.raises(ForecastError, match=r"history itself.*units and the last snapshots"):
        model.forecast(history, 5, on_blowup="raise")
    history[-1, 1], history[-2, 1] = cycle[399, 1], -80.0  # which persistence does not look at
    model.forecast(history, 5, on_blowup="raise")


def test_a_blowup_in_one_case_leaves_the_others(cycle):
    class Half(Growing):
        def _rollout(self, history, steps):
            still = np.repeat(history[:, -1:], steps, axis=1)
            return np.where(still[..., :1] < 0, still, super()._rollout(history, steps))

    low, high = cycle[:21], cycle[20:41].assign_coords(time=cycle.time[:21])
    model = Half().fit([cycle[:400]])
    with pytest.warns(UserWarning, match="NaN from there on"):
        result = model.forecast(xr.concat([low, high], "case"), 20, on_blowup="nan")
    assert np.isfinite(result[0]).all()
    assert np.isnan(result[1, -1]).all()


def test_the_date_of_a_blowup_can_be_written_to_a_file(growing, cycle, tmp_path):
    dates = cycle[:400].assign_coords(time=np.datetime64("2000-01-01", "ns") + np.arange(400) * 60)
    model = Growing().fit(dates)
    with pytest.warns(UserWarning, match="left"):
        result = model.forecast(dates, 10)
    assert result.attrs["left_training_range_at"].startswith("2000-01-01T")
    result.to_netcdf(tmp_path / "z.nc")


def test_too_short_a_history(cycle):
    model = DMD(6).fit(cycle)
    with pytest.raises(DataError, match=r"history has 5 steps, DMD starts from 6\. Give at least"):
        model.forecast(cycle[:5], 3)
    with pytest.raises(DataError, match=r"5 steps\. DMD with context 6 needs at least 7"):
        DMD(6).fit(cycle[:5])
    with pytest.raises(DataError, match=r"case 1: 5 steps"):
        DMD(6).fit(xr.concat([cycle[:50], cycle[:5]], "case", join="outer"))


def test_latents_of_another_size(cycle, make_cycle):
    with pytest.raises(DataError, match=r"history has 3 latents, Persistence was fitted on 2"):
        Persistence().fit(cycle).forecast(make_cycle(50, latent=3), 3)
    with pytest.raises(DataError, match="cases have 2, 3 latents"):
        Persistence().fit([cycle, make_cycle(50, latent=3)])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_none(cycle, bad):
    z = cycle.copy()
    z[17, 1] = bad
    with pytest.raises(DataError, match=r"training latents: NaN or Inf.*index 17 of 600"):
        Persistence().fit(z)
    with pytest.raises(DataError, match="history: NaN or Inf"):
        Persistence().fit(cycle).forecast(z, 3)


def test_a_history_of_nan_only(cycle):
    with pytest.raises(DataError, match="all 600 times are NaN"):
        Persistence().fit(cycle * np.nan)


def test_uneven_and_differing_time_steps(cycle):
    gap = cycle.isel(time=np.r_[0:100, 110:200])
    with pytest.raises(DataError, match=r"uneven time steps.*9\.9 and 11.*cuts at gaps"):
        Persistence().fit(gap)
    with pytest.raises(DataError, match=r"item 1: time step 0\.2 s.*fitted with 0\.1 s"):
        Persistence().fit([cycle, cycle[::2]])
    with pytest.raises(DataError, match=r"history: time step 0\.3 s.*thins a finer axis"):
        Persistence().fit(cycle).forecast(cycle[::3], 3)
    model = DMD(4).fit(cycle)  # a gap before the context is nobody's business
    xr.testing.assert_identical(model.forecast(gap, 3), model.forecast(cycle[:200], 3))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda z: z.values, "is a ndarray. Expected numbers in an xarray.DataArray"),
        (lambda z: z.rename(latent="mode"), r"has dims \('time', 'mode'\)"),
        (lambda z: z.drop_vars("time"), r"no coordinate 'time'.*assign_coords"),
        (lambda z: z.astype(str), "has dtype <U"),
        (lambda z: [], "holds no case"),
        (lambda z: [z, 3], "item 1 is a int"),
        (lambda z: z[:1], "1 steps. Persistence with context 1 needs at least 2"),
    ],
)
def test_what_are_no_latents(cycle, broken, message):
    with pytest.raises(DataError, match=message):
        Persistence().fit(broken(cycle))


@pytest.mark.parametrize("steps", [0, -3, 2.5, "45 D", True])
def test_steps_are_a_whole_number(cycle, steps):
    with pytest.raises(OptionError, match=r"Expected a whole number of at least 1"):
        Persistence().fit(cycle).forecast(cycle, steps)


def test_an_unknown_blowup_option_names_the_nearest(cycle):
    with pytest.raises(OptionError, match="Did you mean 'clip'"):
        Persistence().fit(cycle).forecast(cycle, 3, on_blowup="clamp")


def test_histories_that_end_at_different_times(cycle):
    model = Persistence().fit(cycle)
    with pytest.raises(DataError, match=r"end at different times \(4\.9, 9\.9\)"):
        model.forecast(xr.concat([cycle[:50], cycle[:100]], "case", join="outer"), 3)
    with pytest.raises(DataError, match="history is a list of 2"):
        model.forecast([cycle, cycle], 3)


def test_a_fit_that_fails_leaves_no_half_fitted_model(cycle):
    class Failing(Growing):
        def _fit(self, sequences):
            raise DataError("no")

    model = Failing()
    with pytest.raises(DataError):
        model.fit(cycle)
    with pytest.raises(RuntimeError, match="has not been fitted"):
        model.forecast(cycle, 3)


def test_a_bundle_that_lacks_an_array(cycle):
    document, arrays = DMD().fit(cycle).to_bundle()
    del arrays["modes"]
    with pytest.raises(BundleError, match="saved DMD lacks or has too much of 'modes'"):
        DMD.from_bundle((document, arrays))


def test_a_third_partys_class_is_saved_with_its_module(growing):
    assert growing.to_bundle()[0]["class"].endswith("test_driver:Growing")


def test_a_blowup_can_end_the_forecast_or_be_let_go(growing, cycle):
    with pytest.warns(UserWarning, match=r"step 2 of 60.*ends before it"):
        result = growing.forecast(cycle[:400], 60, on_blowup="stop")
    assert result.sizes["time"] == 1
    assert result.attrs["left_training_range_at"] == pytest.approx(40.1)
    with pytest.warns(UserWarning, match="it is let go"):
        result = growing.forecast(cycle[:400], 60, on_blowup="ignore")
    assert float(np.abs(result).max()) > 1e100
    assert bool(np.isnan(result[-1]).all())  # after it was no number any more
    assert bool(np.isfinite(result[:20]).all())


def test_latents_of_another_reducer(cycle):
    ours, theirs = cycle.assign_attrs(reducer="POD 12"), cycle.assign_attrs(reducer="POD 34")
    model = Persistence().fit(ours)
    with pytest.raises(
        DataError, match=r"reducer POD 34, Persistence was fitted on those of POD 12"
    ):
        model.forecast(theirs, 3)
    model.forecast(cycle, 3)  # nothing is known of these
    assert Persistence.from_bundle(model.to_bundle()).reducer == "POD 12"


def test_arrays_that_every_model_saves_keep_their_names():
    with pytest.raises(
        OptionError, match=r"Bad\.fitted has 'scale'.*mean, scale, low, high.*scales"
    ):

        class Bad(Growing):
            fitted = ("weights", "scale")
