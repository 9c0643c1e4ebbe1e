"""What each model can do: exact cases, and forecasts over many periods."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.dynamics import DMD, Climatology, Persistence
from romae.dynamics.rates import powers, real_product, rolled
from romae.errors import OptionError
from romae.progress import silent

PERIOD = 41


def latents(values):
    time = ("time", 0.5 * np.arange(len(values)))
    return xr.DataArray(values, dims=("time", "latent"), coords={"time": time})


def relative_error(forecast, truth):
    """Error at each step over the standard deviation of the truth, (steps,)."""
    assert forecast.time.equals(truth.time.drop_attrs())  # else xarray joins what is left
    spread = np.sqrt(truth.var("time").sum())
    return np.sqrt(((forecast - truth) ** 2).sum("latent")) / spread


def test_persistence_and_climatology(cycle):
    assert bool((Persistence().fit(cycle).forecast(cycle[:90], 9) == cycle[89].values).all())
    mean = Climatology().fit(cycle[:400]).forecast(cycle[:90], 9)
    np.testing.assert_allclose(mean, np.tile(cycle[:400].mean("time"), (9, 1)), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_dmd_recovers_a_stable_linear_system_about_any_fixed_point(seed, k):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(k, k))
    A *= rng.uniform(0.8, 0.999) / np.abs(np.linalg.eigvals(A)).max()
    centre = rng.normal(size=k) * 3
    starts = rng.normal(size=(k + 3, k))  # cases from several starts excite every direction
    cases = [
        np.stack([centre + np.linalg.matrix_power(A, n) @ z for n in range(12)]) for z in starts
    ]
    model = DMD().fit([latents(z) for z in cases])
    z = starts.mean(axis=0)  # inside the training data, and so is what follows
    truth = [centre + np.linalg.matrix_power(A, n) @ z for n in range(1, 12)]
    forecast = model.forecast(latents(np.stack([z + centre])), 11)
    # directions that the data excite below float32 rounding are cut
    np.testing.assert_allclose(forecast, truth, atol=1e-3 * np.abs(z).max())


def test_dmd_eigenvalues_are_those_of_the_system():
    angle, n = 2 * np.pi / PERIOD, np.arange(300)
    z = np.stack([np.cos(angle * n), 0.99**n * np.sin(3 * angle * n)], axis=1)
    found = DMD(4).fit(latents(z)).eigenvalues
    truth = [np.exp(1j * angle), 0.99 * np.exp(3j * angle), 1.0]
    for value in truth:
        assert np.abs(found - value).min() < 1e-6


def test_dmd_holds_growing_modes_on_the_unit_circle():
    n = np.arange(100)
    z = 1.05**n * np.cos(0.3 * n)
    model = DMD(2).fit(latents(z[:, None]))
    assert np.abs(model.eigenvalues).max() <= 1
    assert np.abs(np.angle(model.eigenvalues)).max() == pytest.approx(0.3, rel=1e-6)
    assert np.isfinite(model.forecast(latents(z[:, None]), 10_000)).all()


def test_dmd_with_delays_is_exact_on_a_cycle_with_harmonics(cycle):
    error = relative_error(DMD(4).fit(cycle[:400]).forecast(cycle[:450], 150), cycle[450:])
    assert float(error.max()) < 1e-6
    assert (
        float(relative_error(DMD().fit(cycle[:400]).forecast(cycle[:450], 150), cycle[450:]).max())
        > 0.1
    )


def test_the_rank_of_dmd_cuts_directions(make_cycle):
    z = make_cycle(400, latent=6)
    assert len(DMD(2, rank=5).fit(z).eigenvalues) == 5
    assert len(DMD(1).fit(z).eigenvalues) == 7  # six latents and the constant


def test_ten_periods_of_a_limit_cycle_by_dmd(make_cycle):
    _ten_periods(DMD(4), make_cycle(450 + 10 * PERIOD, latent=6), 1e-4)


def _ten_periods(model, z, bound):
    """Below ``bound`` at every step over ten periods, where the baselines lie above 1."""
    train, history, truth = z[:400], z[:450], z[450:]
    with silent():
        error = relative_error(model.fit(train).forecast(history, len(truth)), truth)
    assert float(error.max()) < bound
    for baseline in (Persistence(), Climatology()):
        theirs = relative_error(baseline.fit(train).forecast(history, len(truth)), truth)
        assert float(error.max()) < bound < 0.5 < float(theirs.mean())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DMD(0), "delays of at least 1"),
        (lambda: DMD(rank=0), "rank of at least 1 or None"),
    ],
)
def test_arguments_that_cannot_be(make, message):
    with pytest.raises(OptionError, match=message):
        make()


@settings(deadline=None)
@given(
    size=st.floats(0, 1),
    angle=st.floats(-3.1, 3.1),
    times=st.lists(st.one_of(st.integers(0, 5000), st.floats(0, 5000)), min_size=1, max_size=9),
)
def test_powers_are_powers_each_by_itself(size, angle, times):
    values, t = np.array([size * np.exp(1j * angle), 1.0, 0.0]), np.array(times, dtype=float)
    found = powers(values, t)
    direct = np.array([[complex(v) ** x if v else float(x == 0) for v in values] for x in t])
    np.testing.assert_allclose(found, direct, rtol=1e-11, atol=1e-12)
    alone = np.concatenate([powers(values, t[n : n + 1]) for n in range(len(t))])
    np.testing.assert_array_equal(found, alone)


@settings(deadline=None)
@given(n=st.integers(1, 200), r=st.integers(1, 20), k=st.integers(1, 9))
def test_rows_of_a_real_product_do_not_depend_on_how_many_there_are(n, r, k):
    rng = np.random.default_rng(n)
    a, b = (rng.normal(size=(*shape, 2)) @ [1, 1j] for shape in ((n, r), (r, k)))
    found = real_product(a, b)
    np.testing.assert_allclose(found, (a @ b).real, atol=1e-12)
    np.testing.assert_array_equal(found[: n // 2 + 1], real_product(a[: n // 2 + 1], b))


@settings(deadline=None)
@given(first=st.integers(0, 200), n=st.integers(1, 200), r=st.integers(1, 9), k=st.integers(1, 5))
def test_rolling_is_powers_times_modes_each_time_by_itself(first, n, r, k):
    rng = np.random.default_rng(n)
    values = rng.uniform(0, 1, r) * np.exp(1j * rng.uniform(-3, 3, r))
    values[0] = 0.0
    modes = rng.normal(size=(r, k, 2)) @ [1, 1j]
    found = rolled(values, modes, first, n)
    t = np.arange(first, first + n)
    np.testing.assert_allclose(found, (powers(values, t) @ modes).real, rtol=0, atol=1e-12)
    later = rolled(values, modes, first + n // 2, n)  # begins elsewhere, ends elsewhere
    np.testing.assert_array_equal(found[n // 2 :], later[: n - n // 2])


def test_a_dmd_with_other_modes_forecasts_with_them(cycle):
    model = DMD(2).fit(cycle[:400])
    before = model.forecast(cycle[:450], 9)
    model.eigenvalues = np.exp(1j * np.angle(model.eigenvalues) * 1.1)
    assert not np.allclose(model.forecast(cycle[:450], 9), before, atol=1e-3)
    fresh = DMD(2).fit(cycle[:400])
    fresh.eigenvalues = model.eigenvalues
    xr.testing.assert_identical(fresh.forecast(cycle[:450], 9), model.forecast(cycle[:450], 9))
