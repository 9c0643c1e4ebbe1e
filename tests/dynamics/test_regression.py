"""Models found by regression: exact problems, laws of their parts, wrong input."""

import sys
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.dynamics import DMD, Koopman, LatentGP, OperatorInference, SINDy
from romae.dynamics.laws import Library, derivative, roll
from romae.dynamics.perturbed import Perturbed
from romae.dynamics.shrunk import FIXED, Spectra, leave_one_out
from romae.dynamics.thresholded import RIDGES, _ridge, folded, search, stlsq
from romae.errors import DataError, MissingDependencyError, OptionError


def latents(values, dt=0.5, **attrs):
    time = ("time", dt * np.arange(len(values)), attrs)
    return xr.DataArray(np.asarray(values), dims=("time", "latent"), coords={"time": time})


def rk4(f, z, dt, steps, parts=10):
    """States (steps, k) from ``z`` on, made without any code under test."""
    out, h = [np.array(z, dtype=float)], dt / parts
    for _ in range(steps - 1):
        z = out[-1]
        for _ in range(parts):
            a = f(z)
            b = f(z + h / 2 * a)
            c = f(z + h / 2 * b)
            z = z + h / 6 * (a + 2 * b + 2 * c + f(z + h * c))
        out.append(z)
    return np.array(out)


def lorenz(z):
    x, y, w = z
    return np.array([10 * (y - x), x * (28 - w) - y, x * y - 8 / 3 * w])


@pytest.fixture(scope="module")
def butterfly():
    """Lorenz 1963, 3000 steps of 0.01 on the attractor."""
    z = rk4(lorenz, [1.0, 1.0, 25.0], 0.01, 3300)[300:]
    return latents(z, 0.01, units="s")


def family(values, steps=120):
    """Decaying oscillators, one for each of ``values``: the parameter sets frequency and centre."""
    t = np.arange(steps)
    cases = []
    for mu in values:
        envelope, angle = np.exp(-0.002 * t), (0.1 + 0.08 * mu) * t
        cases.append(
            np.stack([2 * envelope * np.cos(angle) + mu, envelope * np.sin(angle)], axis=1)
        )
    return xr.DataArray(
        np.stack(cases),
        dims=("case", "time", "latent"),
        coords={"time": 0.5 * t, "mu": ("case", np.asarray(values))},
    )


TRAINED = np.linspace(0, 1, 7)


@pytest.fixture(scope="module")
def interpolated():
    return LatentGP("linear").fit(family(TRAINED))


# parts


@settings(max_examples=20, deadline=None)
@given(st.integers(7, 20), st.integers(0, 10**6))
def test_the_derivative_is_exact_for_polynomials_of_degree_six(steps, seed):
    p = np.polynomial.Polynomial(np.random.default_rng(seed).normal(size=7), domain=[0, steps])
    t = np.arange(steps)
    found = derivative(p(t)[:, None])[:, 0]
    np.testing.assert_allclose(found, p.deriv()(t), atol=1e-9 * np.abs(p(t)).max())


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2), st.integers(0, 10**6))
def test_the_library_is_that_of_pysindy(k, degree, waves, seed):
    from pysindy import FourierLibrary, PolynomialLibrary

    z = np.random.default_rng(seed).normal(size=(9, k))
    theirs = [PolynomialLibrary(degree=degree).fit_transform(z)]
    if waves:
        theirs.append(FourierLibrary(n_frequencies=waves).fit_transform(z))
    library = Library(k, degree, waves)
    ours = library(z)
    assert ours.shape == (9, len(library))
    n = theirs[0].shape[1]
    np.testing.assert_allclose(ours[:, :n], theirs[0], rtol=1e-12)
    if waves:  # the same functions, in another order
        for column in np.asarray(theirs[1]).T:
            assert np.abs(ours[:, n:] - column[:, None]).max(axis=0).min() < 1e-12


@pytest.mark.parametrize("parts", [0, 3])
def test_compiled_loops_do_what_the_formula_says(parts):
    rng = np.random.default_rng(0)
    library = Library(3, 2, 1)
    C = 0.02 * rng.normal(size=(2, len(library), 3))
    B, u = rng.normal(size=(2, 3)), 0.1 * rng.normal(size=(2, 6, 2))
    z = rng.normal(size=(2, 3))
    found = roll(library, C, z, 5, parts=parts, B=B, inputs=u)
    for r in range(2):
        state = z[r]

        def rate(x, now, r=r):
            return library(x) @ C[r] + now @ B

        for t in range(5):
            if not parts:
                state = rate(state, u[r, t])
            for i in range(parts):
                at = [(1 - s) * u[r, t] + s * u[r, t + 1] for s in (np.arange(3) / 2 + i) / parts]
                h = 1 / parts
                a = rate(state, at[0])
                b = rate(state + h / 2 * a, at[1])
                c = rate(state + h / 2 * b, at[1])
                d = rate(state + h * c, at[2])
                state = state + h / 6 * (a + 2 * b + 2 * c + d)
            np.testing.assert_allclose(found[r, t], state, rtol=1e-12)


# DMD


def noisy_oscillator(noise, steps=400, start=0):
    n = start + np.arange(steps)
    z = np.stack([np.cos(0.15 * n), 2 * np.sin(0.15 * n) + 4], axis=1)
    return latents(z + noise * np.random.default_rng(start).normal(size=z.shape), units="s")


def lasting(model):
    """The mode of largest size that is not the mean."""
    table = model.spectrum()
    return table.isel(mode=table.frequency > 0).isel(mode=0)


@pytest.mark.parametrize("method", ["exact", "optimised", "bagged"])
def test_dmd_recovers_an_oscillator_to_rounding(method):
    table = lasting(DMD(2, method=method).fit(noisy_oscillator(0.0)))
    assert float(table.frequency) == pytest.approx(0.15 / (2 * np.pi * 0.5), rel=1e-9)
    assert float(table.period) == pytest.approx(2 * np.pi * 0.5 / 0.15, rel=1e-9)
    assert float(table.growth) == pytest.approx(0, abs=1e-9)
    assert table.frequency.attrs["units"] == "1/(s)"
    # the part of this pair in latents of variance one: both of them
    assert float(table["size"]) == pytest.approx(np.sqrt(2), rel=0.02)


def test_optimised_dmd_is_not_damped_by_noise_where_exact_dmd_is():
    z, truth = noisy_oscillator(0.3), 0.15 / (2 * np.pi * 0.5)
    exact, optimised = (lasting(DMD(4, method=method).fit(z)) for method in ("exact", "optimised"))
    assert float(exact.growth) < -0.02
    assert abs(float(optimised.growth)) < 2e-4
    assert float(optimised.frequency) == pytest.approx(truth, rel=1e-3)
    later = noisy_oscillator(0.0, start=2000)
    model = DMD(8, rank=3, method="optimised", growth="neutral").fit(z)
    forecast = model.forecast(noisy_oscillator(0.0, 400), 1700)[-100:]
    assert float(abs(forecast - later[:100].values).max()) < 0.25
    assert set(np.round(np.abs(model.eigenvalues), 12)) == {1.0}


def test_bagged_dmd_knows_how_well_it_knows_the_frequency():
    truth = 0.15 / (2 * np.pi * 0.5)
    spread = []
    for noise in (0.05, 0.5):
        table = lasting(DMD(4, rank=3, method="bagged").fit(noisy_oscillator(noise)))
        error = abs(float(table.frequency) - truth)
        assert error < 5 * float(table.frequency_std)
        spread.append(float(table.frequency_std))
    assert spread[1] > 3 * spread[0] > 0


def test_members_of_bagged_dmd_have_frequencies_of_their_own():
    z = noisy_oscillator(0.5)
    many = Perturbed(12, amplitude=0.0)
    bagged = (
        DMD(4, rank=3, method="bagged", growth="neutral").fit(z).forecast(z, 1000, ensemble=many)
    )
    alike = DMD(4, rank=3, method="optimised").fit(z).forecast(z, 1000, ensemble=many)
    assert np.isfinite(bagged).all()
    assert bool((alike == alike[0]).all())
    spread = bagged.std("member").mean("latent")
    assert float(spread[-200:].mean()) > 2 * float(spread[:200].mean()) > 0


def test_optimised_dmd_takes_cases_of_different_length_and_amplitude():
    n = np.arange(500)
    z = np.stack([np.cos(0.15 * n), 2 * np.sin(0.15 * n)], axis=1)
    cases = [latents(z[:300]), latents(0.2 * z[37:237]), latents(3 * z[5:130])]
    model = DMD(3, method="optimised").fit(cases)
    forecast = model.forecast(latents(z[:300]), 200)
    np.testing.assert_allclose(forecast, z[300:], atol=1e-8)


def test_neutral_growth_drops_what_decays_and_free_growth_grows():
    n = np.arange(200)
    z = latents(np.stack([np.cos(0.3 * n) + 0.9**n, np.sin(0.3 * n)], axis=1))
    assert len(DMD(2, growth="neutral").fit(z).eigenvalues) == 3
    assert len(DMD(2).fit(z).eigenvalues) == 4
    growing = latents(np.stack([1.01**n * np.cos(0.3 * n), 1.01**n * np.sin(0.3 * n)], axis=1))
    free = DMD(growth="free").fit(growing)
    assert np.abs(free.eigenvalues).max() == pytest.approx(1.01, rel=1e-9)
    truth = 1.01**220 * np.cos(0.3 * 220)
    assert float(free.forecast(growing, 21)[-1, 0]) == pytest.approx(truth, rel=1e-9)
    assert np.abs(DMD().fit(growing).eigenvalues).max() <= 1 + 1e-15


def test_a_spectrum_over_dates_counts_in_seconds():
    z = noisy_oscillator(0.0)
    days = np.datetime64("2001-01-01") + np.arange(400) * np.timedelta64(1, "h")
    table = lasting(DMD(2).fit(z.assign_coords(time=days)))
    assert float(table.period) == pytest.approx(3600 * 2 * np.pi / 0.15, rel=1e-9)
    assert table.period.attrs["units"] == "s"


# operator inference


def henon(steps, start=(0.1, 0.1), a=1.4, b=0.3):
    z = [np.array(start)]
    for _ in range(steps - 1):
        x, y = z[-1]
        z.append(np.array([1 - a * x**2 + y, b * x]))
    return np.array(z)


def test_operator_inference_recovers_a_quadratic_map_to_rounding():
    z = henon(400)[50:]
    model = OperatorInference().fit(latents(z))
    assert model.history[0]["horizon"] > model.history[-1]["horizon"]
    # chaos doubles errors in 1.7 steps: 20 steps of a law known to rounding
    forecast = model.forecast(latents(z[:100]), 20)
    np.testing.assert_allclose(forecast, z[100:120], atol=1e-9)
    plain = OperatorInference(ridge=0, ridge_products=0).fit(latents(z))
    s, m = plain.span.scale, plain.span.mean
    # columns of z_i z_j with i <= j: 1, x, y, xx, xy, yy; back in the units of the latents
    assert plain.operators[3, 0] * s[0] / s[0] ** 2 == pytest.approx(-1.4, rel=1e-10)
    assert plain.operators[1, 1] * s[1] / s[0] == pytest.approx(0.3, rel=1e-10)
    assert plain.operators[1, 0] == pytest.approx(-2 * 1.4 * m[0], rel=1e-10)
    assert np.abs(plain.operators[[4, 5]]).max() < 1e-11


def test_operator_inference_follows_lorenz_and_keeps_its_statistics(butterfly):
    model = OperatorInference(time="continuous").fit(butterfly[:2000])
    forecast = model.forecast(butterfly[:2100], 900)
    error = np.sqrt(((forecast - butterfly[2100:]) ** 2).sum("latent"))
    assert float(error[:500].max()) < 1.0  # five time units, 4.5 Lyapunov times; radius is 25
    long = model.forecast(butterfly[:2100], 20_000)  # would warn when it left the range
    np.testing.assert_allclose(long.std("time"), butterfly.std("time"), rtol=0.1)


def test_operator_inference_finds_parameters_affinely():
    def cases(values):
        z = np.stack([henon(60, (0.1, 0.05 * i), a=a)[10:] for i, a in enumerate(values)])
        return xr.DataArray(
            z,
            dims=("case", "time", "latent"),
            coords={"time": np.arange(50.0), "a": ("case", np.array(values))},
        )

    model = OperatorInference().fit(cases([0.9, 1.0, 1.1, 1.2]))
    unseen = cases([1.05])
    forecast = model.forecast(unseen[:, :20], 10)
    np.testing.assert_allclose(forecast, unseen[:, 20:30], atol=1e-8)
    blind = OperatorInference().fit(cases([0.9, 1.0, 1.1, 1.2]).drop_vars("a"))
    assert float(abs(blind.forecast(unseen[:, :20], 10) - unseen[:, 20:30]).max()) > 1e-3
    with pytest.warns(UserWarning, match="trained on 0.9 to 1.2"):
        beyond = model.forecast(unseen[:, :20], 10, params={"a": 1.25})
    assert "a = 1.25" in beyond.attrs["outside_training_range"]


def test_operator_inference_takes_inputs_held_over_a_step():
    rng = np.random.default_rng(0)
    A, B = np.array([[0.95, 0.2], [-0.2, 0.95]]), np.array([[0.1, 0.0], [0.3, -0.2]])
    u = rng.choice([-1.0, 1.0], size=(300, 2))
    z = [np.array([1.0, 0.0])]
    for n in range(299):
        z.append(A @ z[-1] + B @ u[n])
    data = latents(z)
    forcing = xr.DataArray(u, dims=("time", "input"), coords={"time": data.time})
    model = OperatorInference("linear").fit(data[:200], inputs=forcing)
    forecast = model.forecast(data[:200], 100, inputs=forcing)
    np.testing.assert_allclose(forecast, data[200:], atol=1e-9)
    with pytest.raises(DataError, match="inputs are missing"):
        model.forecast(data[:200], 101, inputs=forcing)


def test_operator_inference_takes_inputs_that_run_on():
    t = 0.05 * np.arange(800)
    force = lambda s: np.sin(0.7 * s) + 0.5 * np.sin(2.3 * s + 1)  # noqa: E731
    # time as a third state, which runs along
    law = lambda x: np.array([x[1], -x[0] - 0.3 * x[1] + force(x[2]), 1.0])  # noqa: E731
    z = latents(rk4(law, [1.0, 0.0, 0.0], 0.05, 800)[:, :2], 0.05)
    forcing = xr.DataArray(force(t), dims="time", coords={"time": t})
    model = OperatorInference("linear", time="continuous").fit(z[:500], inputs=forcing)
    forecast = model.forecast(z[:500], 300, inputs=forcing)
    assert float(abs(forecast - z[500:]).max()) < 2e-3  # straight lines between two steps


def test_regularisation_is_chosen_so_that_rollouts_stay(cycle):
    """The pair with the smallest error over hundreds of steps leaves the range over thousands."""
    chosen = OperatorInference("cubic").fit(cycle[:400])
    first = chosen.history[0]
    assert list(chosen.chosen) != [first["ridge"], first["ridge_products"]]
    forced = OperatorInference(
        "cubic", ridge=first["ridge"], ridge_products=first["ridge_products"]
    ).fit(cycle[:400])
    with pytest.warns(UserWarning, match="left three times the range"):
        forced.forecast(cycle[:450], 10_000)
    forecast = chosen.forecast(cycle[:450], 20_000)  # would warn
    np.testing.assert_allclose(forecast[-410:].std("time"), cycle[:410].std("time"), rtol=0.25)


def test_a_singular_regression_says_so_and_regularisation_solves_it():
    n = np.arange(60)
    line = latents(np.stack([np.cos(0.3 * n), 2 * np.sin(0.3 * n)], axis=1))  # its squares depend
    with pytest.raises(DataError, match=r"singular regression for 6 features.*ridge=None"):
        OperatorInference(ridge=0, ridge_products=0).fit(line)
    with pytest.raises(DataError, match="4 snapshots give a singular"):
        OperatorInference(ridge=0, ridge_products=0).fit(latents(henon(5)))
    assert np.isfinite(OperatorInference().fit(line).forecast(line, 50)).all()


# SINDy


def test_sindy_recovers_lorenz(butterfly):
    model = SINDy(2, origin="zero").fit(butterfly)
    assert np.count_nonzero(model.coefficients) == 7
    law = model.equations(3)
    assert law == [
        "z0' = -10 z0 + 10 z1",
        "z1' = 28 z0 - 1 z1 - 1 z0 z2",
        "z2' = -2.67 z2 + 1 z0 z1",
    ]
    scale, unit = model.span.scale, 0.01
    beta = model.coefficients[3, 2] / unit
    assert beta == pytest.approx(-8 / 3, rel=1e-5)
    xz = model.coefficients[6, 1] / unit * scale[1] / (scale[0] * scale[2])
    assert xz == pytest.approx(-1, rel=1e-5)


def test_sindy_finds_the_same_law_about_the_mean(butterfly):
    moved = butterfly + np.array([100.0, -3.0, 7.0])
    law = SINDy(2).fit(moved).equations(3)
    assert law[0].startswith("z0 counts from 9") or law[0].startswith("z0 counts from 1")
    assert law[3].endswith("- 10 z0 + 10 z1")
    assert law[4].endswith("- 1 z0 z2")


def test_sindy_finds_a_sine_and_a_map():
    pendulum = rk4(lambda z: np.array([z[1], -np.sin(z[0])]), [2.0, 0.0], 0.1, 600)
    model = SINDy(1, frequencies=1, origin="zero").fit(latents(pendulum, 0.1))
    truth = pendulum[400:600]
    forecast = model.forecast(latents(pendulum[:400], 0.1), 200)
    assert float(abs(forecast - truth).max()) < 0.1
    z = henon(500)[50:]
    step = SINDy(2, time="discrete", origin="zero").fit(latents(z))
    assert step.equations(3) == [
        "z0+ = z0 + 1 - 1 z0 + 1 z1 - 1.4 z0^2",
        "z1+ = z1 + 0.3 z0 - 1 z1",
    ]


def test_a_saved_law_prints_the_same_without_pysindy(butterfly, tmp_path, monkeypatch):
    from romae.bundle import read_bundle

    model = SINDy(2).fit(butterfly[:800])
    model.save(tmp_path / "law")
    monkeypatch.setitem(sys.modules, "pysindy", None)
    opened = SINDy.from_bundle(read_bundle(tmp_path / "law"))
    assert opened.equations() == model.equations()
    xr.testing.assert_identical(
        opened.forecast(butterfly[:800], 50), model.forecast(butterfly[:800], 50)
    )
    with pytest.raises(MissingDependencyError, match=r"pip install 'romae\[dynamics\]'"):
        SINDy().fit(butterfly[:800])


def test_a_threshold_that_leaves_nothing_says_so(cycle):
    with pytest.raises(DataError, match=r"every one of 10 terms falls below the threshold 50"):
        SINDy(threshold=50.0).fit(cycle)


# Koopman


def test_koopman_recovers_the_eigenvalues_of_a_linear_system():
    A = np.array([[-0.02, 0.3], [-0.3, -0.02]])
    rng = np.random.default_rng(0)
    cases = [
        latents(rk4(lambda z: A @ z, start, 1.0, 60) + 1e-5 * rng.normal(size=(60, 2)), 1.0)
        for start in rng.normal(size=(8, 2))
    ]
    rates = Koopman(1, degree=1).fit(cases).rates
    for value in (0.0, -0.02 + 0.3j, -0.02 - 0.3j):
        assert np.abs(rates - value).min() < 1e-4
    # products of eigenfunctions are eigenfunctions, and rates add up
    rates = Koopman(1, degree=2).fit(cases).rates
    for value in (-0.04 + 0.6j, -0.04):
        assert np.abs(rates - value).min() < 1e-3


def test_koopman_is_exact_where_a_dictionary_closes_a_nonlinear_law():
    """x' = a x, y' = b (y - x^2): 1, x, y, x^2 evolve linearly (Brunton et al. 2016)."""
    a, b = -0.03, -0.2
    starts = np.random.default_rng(1).uniform(-1, 1, size=(12, 2))
    run = lambda z: rk4(lambda s: np.array([a * s[0], b * (s[1] - s[0] ** 2)]), z, 1.0, 40)  # noqa: E731
    cases = [run(z) for z in starts]
    model = Koopman(1, degree=2, noise=1e-9).fit([latents(z, 1.0) for z in cases])
    for value in (0, a, b, 2 * a):
        assert np.abs(model.rates - value).min() < 1e-6
    truth = run([0.7, -0.4])
    forecast = model.forecast(latents(truth[:5], 1.0), 35)
    np.testing.assert_allclose(forecast, truth[5:], atol=1e-5)
    linear = DMD().fit([latents(z, 1.0) for z in cases]).forecast(latents(truth[:5], 1.0), 35)
    assert float(abs(linear - truth[5:]).max()) > 1e-2


def test_koopman_between_two_steps_is_the_solution():
    n = np.arange(0, 200, 0.25)
    z = np.stack([np.cos(0.3 * n), np.sin(0.3 * n) ** 2], axis=1)
    model = Koopman(2, degree=2).fit(latents(z[::4], 1.0))
    start = model.span.normalise(z[396:401:4][None])  # up to n = 100
    found = model.span.restore(model._at(start, 0.25 * np.arange(1, 200))[0])
    np.testing.assert_allclose(found, z[401:600], atol=1e-6)


@pytest.mark.parametrize("growth", ["stable", "neutral", "free"])
def test_koopman_holds_growth_as_asked(growth):
    n = np.arange(150)
    wave = np.stack([np.cos(0.3 * n), np.sin(0.3 * n)], axis=1)
    z = latents(1.01 ** n[:, None] * wave)
    rates = Koopman(1, degree=1, growth=growth).fit(z).rates
    expected = {"stable": 0.0, "neutral": 0.0, "free": np.log(1.01)}[growth]
    assert rates.real.max() == pytest.approx(expected, abs=1e-9)


# LatentGP: laws (those of test_laws.py, for a family of cases), and what it is for


def test_latent_gp_interpolates_the_frequency(interpolated):
    for mu in (0.07, 0.41, 0.93):
        truth = family([mu], 300)
        forecast = interpolated.forecast(truth[:, :2], 298)
        assert float(abs(forecast - truth[:, 2:]).max()) < 1e-3


def test_latent_gp_saves_repeats_and_keeps_cases_apart(interpolated, tmp_path):
    from romae.bundle import read_bundle

    unseen = family([0.2, 0.5])
    expected = interpolated.forecast(unseen[:, :5], 80)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    again = LatentGP("linear").fit(family(TRAINED))
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    xr.testing.assert_identical(again.forecast(unseen[:, :5], 80), expected)
    xr.testing.assert_identical(
        interpolated.forecast(unseen[:, :5], 8), expected.isel(time=slice(8))
    )
    for i in range(2):
        alone = interpolated.forecast(unseen[i : i + 1, :5], 80)
        np.testing.assert_allclose(alone[0], expected[i], rtol=1e-9, atol=1e-9)
    interpolated.save(tmp_path / "gp")
    opened = LatentGP.from_bundle(read_bundle(tmp_path / "gp"))
    xr.testing.assert_identical(opened.forecast(unseen[:, :5], 80), expected)
    scaled = LatentGP("linear").fit(family(TRAINED) * 4)
    np.testing.assert_allclose(scaled.forecast(4 * unseen[:, :5], 80), 4 * expected, rtol=1e-6)


def test_the_posterior_is_that_of_scikit_learn(interpolated):
    from sklearn.gaussian_process import GaussianProcessRegressor, kernels

    m, at = interpolated, np.array([[-0.8], [0.1], [2.5]])
    ours = m.posterior(at)
    for i in range(len(m.size)):
        kernel = kernels.ConstantKernel(m.signal[i]) * kernels.RBF(m.lengths[i])
        kernel += kernels.WhiteKernel(m.noise[i])
        gp = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0)
        mean, std = gp.fit(m.centres, m.scores[:, i]).predict(at, return_std=True)
        np.testing.assert_allclose(ours[0][:, i], mean, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(ours[1][:, i], m.inflation * std, rtol=1e-3, atol=1e-6)


def test_leaving_one_out_in_closed_form_is_leaving_one_out():
    rng = np.random.default_rng(0)
    mu, y = rng.normal(size=(6, 2)), rng.normal(size=6)
    weights = leave_one_out(mu)
    for i in range(6):
        rest = np.arange(6) != i
        K = np.exp(-0.5 * ((mu[:, None] - mu) ** 2).sum(-1)) + 1e3
        left = K[i, rest] @ np.linalg.solve(K[np.ix_(rest, rest)] + FIXED * np.eye(5), y[rest])
        assert weights[i] @ y == pytest.approx(left, abs=1e-8)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-2)  # a law they share stays


def skill_and_spread(model, mu):
    """Error of the mean of 30 members with laws of their own, and their standard deviation."""
    truth = family([mu])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that mu lies outside is tested below
        members = model.forecast(truth[:, :2], 100, ensemble=Perturbed(30, amplitude=0.0))
    assert members.dims == ("member", "case", "time", "latent")
    error = members.mean("member") - truth[:, 2:102]
    return [float(np.sqrt((error**2).mean())), float(np.sqrt(members.var("member").mean()))]


def test_the_spread_of_an_ensemble_is_the_error_and_grows_outside_the_training_range(interpolated):
    noise = 0.003 * np.random.default_rng(0).normal(size=family(TRAINED).shape)
    noisy = LatentGP("linear").fit(family(TRAINED) + noise)
    skill, spread = skill_and_spread(noisy, 0.45)
    assert 0.4 < spread / skill < 2.5
    assert skill_and_spread(noisy, 1.6)[1] > 5 * spread
    skill, spread = skill_and_spread(interpolated, 1.2)
    assert 0.3 < spread / skill < 3
    with pytest.warns(UserWarning, match=r"mu = 1.6 \(trained on 0 to 1\)"):
        noisy.forecast(family([1.6])[:, :2], 10)


def test_latent_gp_without_parameters_says_so(cycle):
    with pytest.raises(DataError, match=r"got none.*OperatorInference"):
        LatentGP().fit([cycle[:200], cycle[200:400], cycle[400:]])
    with pytest.raises(DataError, match="2 different parameters in 3 cases"):
        LatentGP().fit([cycle[:99]] * 3, params={"Re": [1.0, 2.0, 2.0]})


# wrong input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DMD(method="exactly"), "exact, optimised, bagged"),
        (lambda: DMD(growth="none"), "stable, neutral, free"),
        (lambda: OperatorInference("quartic"), "linear, quadratic, cubic"),
        (lambda: OperatorInference(ridge=-1.0), "at least 0, or None"),
        (lambda: SINDy(0), "degree of at least 1"),
        (lambda: SINDy(origin="centre"), "mean, zero"),
        (lambda: Koopman(0), "delays, degree and rank of at least 1"),
        (lambda: Koopman(growth="all"), "stable, neutral, free"),
        (lambda: LatentGP("cubical"), "linear, quadratic, cubic"),
        (lambda: LatentGP(ridge=-1.0), "at least 0"),
    ],
)
def test_arguments_that_cannot_be(make, message):
    with pytest.raises(OptionError, match=message):
        make()


@pytest.mark.parametrize(
    ("model", "library", "data"),
    [
        (DMD(4, method="optimised"), "pydmd", "cycle"),
        (SINDy(), "pysindy", "cycle"),
        (LatentGP(), "sklearn.gaussian_process", "family"),
    ],
)
def test_a_missing_library_says_what_to_install(monkeypatch, cycle, model, library, data):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'romae\[dynamics\]'"):
        model.fit(cycle if data == "cycle" else family(TRAINED))


def test_normal_equations_decomposed_once_give_the_laws_of_every_ridge():
    rng = np.random.default_rng(0)
    systems = [(rng.normal(size=(T, 6)), rng.normal(size=(T, 2))) for T in (20, 30, 55)]
    spectra = Spectra.of(systems)
    for common, ridge in ((1e-10, 1e-8), (1e-2, 1.0), (1e-4, np.inf)):
        G = np.mean([D.T @ D / len(D) for D, _ in systems], axis=0) + common * np.eye(6)
        C = np.linalg.solve(G, np.mean([D.T @ R / len(D) for D, R in systems], axis=0))
        found = spectra.laws(common, ridge)
        for (D, R), law in zip(systems, found, strict=True):
            own = np.linalg.solve(
                D.T @ D / len(D) + min(ridge, 1e300) * np.eye(6), D.T @ (R - D @ C) / len(D)
            )
            np.testing.assert_allclose(law, C if np.isinf(ridge) else C + own, atol=1e-9)


def test_terms_that_the_data_do_not_excite_stay_out_of_every_law():
    rng = np.random.default_rng(0)
    systems = [(rng.normal(size=(30, 4)), rng.normal(size=(30, 2))) for _ in range(3)]
    dull = [(np.insert(D, 2, 0.0, axis=1), R) for D, R in systems]
    for common, ridge in ((0.0, 0.0), (1e-3, 1e-2)):
        found = Spectra.of(dull).laws(common, ridge)
        np.testing.assert_allclose(found[:, 2], 0, atol=1e-12)
        expected = Spectra.of(systems).laws(common, ridge)
        np.testing.assert_allclose(np.delete(found, 2, axis=1), expected, atol=1e-10)


def test_a_latent_at_rest_has_no_law_and_spoils_no_other():
    rng = np.random.default_rng(0)
    D = rng.normal(size=(50, 6))
    R = np.column_stack([D @ [1.0, 0, 0, -2, 0, 0], np.zeros(50)])
    ((_, _, law),) = search(D, R, [(0.1, RIDGES[0])])
    np.testing.assert_allclose(law[:, 0], [1, 0, 0, -2, 0, 0], atol=1e-12)
    assert not law[:, 1].any()
    np.testing.assert_allclose(stlsq(D, R, 0.1, RIDGES[0]), law, atol=1e-10)


def test_features_that_depend_on_each_other_have_a_law_too():
    """A normal matrix that is singular to rounding, and a ridge too small to help."""
    rng = np.random.default_rng(0)
    D = rng.normal(size=(50, 3))
    D = np.column_stack([D, D[:, 0], D.sum(axis=1)])
    R = D[:, :2] @ np.array([[1.0, 0.5], [2.0, -1]])
    np.testing.assert_allclose(_ridge(np.ones((2, 2)), np.ones(2), 0.0), [0.5, 0.5])
    for threshold in (0.0, 0.05):
        ((_, _, law),) = search(D, R, [(threshold, RIDGES[0])])
        np.testing.assert_allclose(D @ law, R, atol=1e-6)


def test_rows_of_a_tall_regression_are_folded_and_the_sparse_law_stays():
    rng = np.random.default_rng(1)
    D = rng.normal(size=(400, 8))
    X = np.where(rng.random((8, 2)) < 0.4, rng.normal(size=(8, 2)), 0.0)
    R = D @ X + 0.01 * rng.normal(size=(400, 2))
    tried = [(t, r) for r in (1e-10, 1e-2) for t in (0.0, 0.05, 0.2, 9.0, 10.0)]
    found = search(*folded(D, R), tried)
    direct = [(t, law) for t, r in tried if (law := stlsq(D, R, t, r)) is not None]
    assert len(found) == len(direct) == 6
    for (t, _, law), (other, own) in zip(found, direct, strict=True):
        assert t == other
        np.testing.assert_allclose(law, own, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 25), st.sampled_from(RIDGES))
def test_the_search_finds_the_laws_of_pysindy(seed, terms, ridge):
    rng = np.random.default_rng(seed)
    D = rng.normal(size=(60, terms)) @ (np.eye(terms) + 0.5 * rng.normal(size=(terms, terms)))
    X = np.where(rng.random((terms, 3)) < 0.5, rng.normal(size=(terms, 3)), 0.0)
    R = D @ X + 0.1 * rng.normal(size=(60, 3))
    D, R = folded(D, R)
    found = search(D, R, [(t, ridge) for t in (0.0, 0.01, 0.03, 0.1)])
    assert found  # without a threshold there is always a law
    for threshold, alpha, law in found:
        own = stlsq(D, R, threshold, alpha)
        np.testing.assert_array_equal(law != 0, own != 0)
        np.testing.assert_allclose(law, own, rtol=1e-6, atol=1e-8 * np.abs(own).max())


def test_a_loop_beyond_the_limit_is_given_up_and_the_others_are_as_they_were():
    library = Library(1, 2)
    C = np.array([[0.0], [0.0], [1.0]])  # z -> z^2
    start = np.array([[0.5], [1.5], [1.0]])
    free, held = (roll(library, C, start, 6, limit=limit) for limit in (np.inf, 20.0))
    np.testing.assert_array_equal(held[[0, 2]], free[[0, 2]])
    gone = np.abs(free[1]) > 20
    assert gone.any()
    assert not gone[0]
    np.testing.assert_array_equal(np.isnan(held[1]), gone)
    np.testing.assert_array_equal(held[1][~gone], free[1][~gone])
