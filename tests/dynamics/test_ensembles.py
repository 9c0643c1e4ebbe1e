"""Ensembles: perturbed starts, members that differ, and the mean that is the forecast."""

import numpy as np
import pytest
import xarray as xr

from romae import DMD, GRU, EchoState, Ensemble, Persistence, Perturbed
from romae.errors import DataError, OptionError
from romae.progress import silent


@pytest.fixture
def noisy(make_cycle):
    z = make_cycle(500)
    return z + 0.05 * np.random.default_rng(0).normal(size=z.shape)


def test_perturbed_starts_spread_as_the_one_step_error(noisy):
    model = Persistence().fit(noisy[:400])
    found = model.forecast(noisy[:400], 3, ensemble=2000)
    assert found.dims == ("member", "time", "latent")
    spread = found.std("member")[0] / model.span.scale
    np.testing.assert_allclose(spread, model.step_error, rtol=0.06)
    steps = np.diff(model.span.normalise(noisy[:400].values), axis=0)
    np.testing.assert_allclose(model.step_error, np.sqrt((steps**2).mean(0)), rtol=0.05)


def test_the_seed_draws_and_the_amplitude_scales(noisy):
    model = DMD(2).fit(noisy[:400])
    one = model.forecast(noisy[:400], 5, ensemble=4, seed=1)
    xr.testing.assert_identical(one, model.forecast(noisy[:400], 5, ensemble=4, seed=1))
    assert not one.equals(model.forecast(noisy[:400], 5, ensemble=4, seed=2))
    still = model.forecast(noisy[:400], 5, ensemble=Perturbed(3, amplitude=0))
    for member in still:
        np.testing.assert_allclose(member, model.forecast(noisy[:400], 5), rtol=1e-10)
    centre = model.forecast(noisy[:400], 5)
    wide = model.forecast(noisy[:400], 5, ensemble=Perturbed(4, 2.0), seed=1)
    np.testing.assert_allclose(wide - centre, 2 * (one - centre), atol=1e-9)  # the model is linear


def test_members_are_continued_one_by_one(noisy):
    model = DMD().fit(noisy[:400])
    whole = model.forecast(noisy[:400], 8, ensemble=3)
    rest = model.forecast(whole[:, :5], 3)
    np.testing.assert_allclose(rest, whole[:, 5:], rtol=1e-8)
    with pytest.raises(OptionError, match=r"3 members\. Expected one of them"):
        model.forecast(whole, 3, ensemble=5)


def test_the_mean_of_the_members_is_the_forecast(noisy):
    with silent():
        model = Ensemble(EchoState(40, context=8, radius=0.5, input_scale=0.3), 3).fit(noisy[:400])
    members = model.forecast(noisy[:400], 10, ensemble=Perturbed(3, 0))
    assert float(members.std("member").min()) > 0
    np.testing.assert_allclose(members.mean("member"), model.forecast(noisy[:400], 10), rtol=1e-9)
    seeds = [m.arguments["seed"] for m in model.models]
    assert seeds == [0, 1, 2]
    one_more = model.forecast(noisy[:400], 10, ensemble=Perturbed(4, 0))
    np.testing.assert_allclose(one_more[3], members[0], rtol=1e-9)  # the models in turn


@pytest.mark.parametrize("cases", [1, 9])
def test_bagging_gives_members_that_differ(make_cycle, noisy, cases):
    data = noisy[:400] if cases == 1 else [noisy[40 * i : 40 * i + 40] for i in range(cases)]
    model = Ensemble(DMD(2), 4, how="bagging").fit(data)
    assert float(model.forecast(noisy[:400], 10, ensemble=Perturbed(4, 0)).std("member").min()) > 0
    other = Ensemble(DMD(2), 4, how="bagging", seed=1).fit(data)
    assert not other.forecast(noisy[:400], 5).equals(model.forecast(noisy[:400], 5))


def test_what_makes_no_ensemble(noisy):
    class Idle(Persistence):
        def __init__(self, seed=0):
            self.seed = seed

    with pytest.raises(OptionError, match=r"Persistence draws no numbers.*how='bagging'"):
        Ensemble(Persistence())
    with pytest.raises(OptionError, match=r"DMD draws no numbers"):
        Ensemble(DMD())
    with pytest.raises(OptionError, match=r"came out all the same"):
        Ensemble(Idle()).fit(noisy)
    with pytest.raises(OptionError, match=r"unknown dynamics 'EchoStat'.*Did you mean 'EchoState'"):
        Ensemble("EchoStat")
    with pytest.raises(OptionError, match="members is 1"):
        Ensemble(members=1)
    with pytest.raises(OptionError, match="ensemble is 0"):
        DMD().fit(noisy).forecast(noisy, 3, ensemble=0)
    with pytest.raises(OptionError, match="amplitude is -1"):
        Perturbed(3, -1)
    with pytest.raises(DataError, match="bagging draws blocks of 14 steps"):
        Ensemble(DMD(6), how="bagging").fit(noisy[:20])


def test_members_that_keep_their_start_are_told(make_cycle):
    with pytest.warns(UserWarning, match=r"forecast alike.*how='bagging'"):
        Ensemble(GRU(hidden=4, updates=2), 2).fit(make_cycle(300))
