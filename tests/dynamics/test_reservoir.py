"""Echo states and polynomial maps: exact cases, the search, forecasts of cycles and of chaos."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.bundle import read_bundle
from romae.dynamics import Climatology, EchoState, Persistence, PolynomialMap
from romae.dynamics.echo import Reservoir, _tanh
from romae.dynamics.pieces import horizons
from romae.dynamics.recycled import Normal, Windows, refine
from romae.dynamics.reservoir import BOUNDS
from romae.dynamics.span import Span
from romae.errors import DataError, OptionError
from romae.progress import silent

PERIOD = 41
GIVEN = {"radius": 0.5, "input_scale": 0.3, "leak": 1.0, "noise": 1e-3, "ridge": 1e-6}


def latents(values, dt=0.5):
    time = ("time", dt * np.arange(len(values)))
    return xr.DataArray(values, dims=("time", "latent"), coords={"time": time})


def relative_error(forecast, truth):
    """Error at each step over the standard deviation of the truth, (steps,)."""
    spread = np.sqrt(truth.var("time").sum()).item()
    return np.sqrt(((forecast.values - truth.values) ** 2).sum(axis=-1)) / spread


def lorenz(steps, dt=0.05, start=(1.0, 1.0, 20.0)):
    """Lorenz 63, Runge-Kutta steps of dt / 10, on the attractor."""

    def rate(s):
        x, y, z = s
        return np.array([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])

    s, h, out = np.array(start), dt / 10, []
    for n in range(steps + 200):
        for _ in range(10):
            a = rate(s)
            b = rate(s + h / 2 * a)
            c = rate(s + h / 2 * b)
            s = s + h / 6 * (a + 2 * b + 2 * c + rate(s + h * c))
        if n >= 200:
            out.append(s)
    return np.array(out)


# parts


def test_tanh_is_tanh():
    x = np.linspace(-20, 20, 4001)
    np.testing.assert_allclose([_tanh(v) for v in x], np.tanh(x), atol=3e-7)


@pytest.mark.parametrize("units", [20, 700])  # the whole spectrum, Arnoldi
def test_the_reservoir_is_sparse_with_unit_spectral_radius(units):
    drawn = Reservoir.draw(units, 4, seed=1)
    W = np.zeros((units, units))
    np.put_along_axis(W, drawn.indices.astype(int), drawn.data, axis=1)
    assert np.abs(np.linalg.eigvals(W)).max() == pytest.approx(1, rel=1e-7)
    assert ((W != 0).sum(axis=1) == 3).all()
    assert np.abs(drawn.W_in).max() <= 1


@pytest.mark.parametrize("alike", [True, False])
def test_normal_equations_are_ridge_regression(alike):
    rng = np.random.default_rng(0)
    F, Y = rng.normal(size=(50, 6)) * 10.0 ** np.arange(-3, 3), rng.normal(size=(50, 2))
    normal = Normal(6, 2, alike=alike)
    normal.add(F[:20], Y[:20])
    normal.add(F[20:], Y[20:])
    size = np.sum(F**2, axis=0) if alike else np.full(6, np.sum(F**2) / 6)
    for betas in [(1e-3,), (1e-5, 1e-3, 1e-1)]:  # Cholesky, eigenvalues
        for beta, w in zip(betas, normal.solve(betas), strict=True):
            system = np.concatenate([F, np.diag(np.sqrt(beta * size))])
            by_hand = np.linalg.lstsq(system, np.pad(Y, ((0, 6), (0, 0))), rcond=None)[0]
            np.testing.assert_allclose(w, by_hand, rtol=1e-6)


def test_the_horizon_counts_steps_until_the_error_is_too_large():
    assert list(horizons(np.array([[0, 0.5, 0], [0.5, 0, 0], [0.1, 0.2, 0.3]]))) == [1, 0, 3]


def test_windows_weigh_latents_by_energy():
    z = np.random.default_rng(0).normal(size=(100, 2))
    windows = Windows.spread([z], np.array([3.0, 1e-3]), context=2, count=5, steps=10)
    small, large = windows.truth.copy(), windows.truth.copy()
    small[..., 1] += 1  # one standard deviation of the small latent
    large[..., 0] += 1
    assert windows.errors(small).max() < 1e-3
    np.testing.assert_allclose(windows.errors(large), 1, rtol=1e-6)
    assert windows.score(small)[0] > windows.score(large)[0]


def test_windows_lie_inside_their_cases_with_what_belongs_to_them():
    z = [np.full((n, 1), c) + np.arange(n)[:, None] / 1000 for c, n in enumerate([40, 5, 60])]
    u = [10 * v for v in z]
    windows = Windows.spread(
        z, np.ones(1), context=4, count=9, steps=6, params=np.array([[0.0], [1], [2]]), inputs=u
    )
    both = np.concatenate([windows.history, windows.truth], axis=1)
    np.testing.assert_allclose(np.diff(both, axis=1), 1e-3)
    np.testing.assert_array_equal(np.floor(both[:, 0]), windows.params)
    np.testing.assert_allclose(windows.inputs, 10 * both)
    assert set(windows.params.ravel()) == {0, 2}  # the second case is too short
    longer = windows.known(7)["inputs"]
    np.testing.assert_array_equal(longer[:, 10:], windows.inputs[:, :7])


def test_shaken_windows_start_beside_the_data():
    z = np.random.default_rng(0).normal(size=(200, 2))
    windows = Windows.spread([z], np.ones(2), context=3, count=9, steps=10)
    off = windows.shaken(3).history - windows.history[[0, 4, 8]]
    assert 0.01 < off.std() < 0.03
    assert windows.shaken(3).steps == 10


def test_the_search_finds_a_maximum():
    peak = np.array([0.3, 0.7])
    points, scores = refine(lambda x: -np.sum((x - peak) ** 2), 2, first=8, then=12, seed=0)
    assert len(points) == 20
    assert ((points >= 0) & (points <= 1)).all()
    assert scores.max() > -0.003 > scores[:8].max()
    again = refine(lambda x: -np.sum((x - peak) ** 2), 2, first=8, then=12, seed=0)[0]
    np.testing.assert_array_equal(points, again)


# echo state


@pytest.mark.parametrize("readout", ["linear", "quadratic"])
def test_the_echo_state_is_the_network_of_its_formula(cycle, readout):
    """States, least squares and closed loop by hand, with what is noised and what is known."""
    model = EchoState(30, context=8, readout=readout, **{**GIVEN, "noise": 0.0})
    z = np.asarray(cycle[:300])
    u, mu = np.sin(np.arange(340))[:, None], np.array([0.7])
    model.span, model.history = Span.measure(z), []
    zn = model.span.normalise(z)
    model._fit([zn], params=mu[None], inputs=[u[:300]])
    drawn = Reservoir.draw(30, 5, 0)
    W = np.zeros((30, 30))
    np.put_along_axis(W, drawn.indices.astype(int), 0.5 * drawn.data, axis=1)
    even = np.arange(30) % 2 == 0

    def step(r, state, known):
        r = np.tanh(0.3 * np.concatenate([state, mu, known, [1]]) @ drawn.W_in + W @ r)
        seen = np.where(even, r**2, r) if readout == "quadratic" else r
        return r, np.concatenate([seen, state, [1]])

    r, rows = np.zeros(30), []
    for n in range(299):
        r, phi = step(r, zn[n], u[n])
        rows.append(phi)
    phi = np.stack(rows)[7:]
    system = np.concatenate([phi, np.sqrt(1e-6 * np.sum(phi**2) / 33) * np.eye(33)])
    target = np.concatenate([np.diff(zn[7:], axis=0), np.zeros((33, 2))])
    W_out = np.linalg.lstsq(system, target, rcond=None)[0]
    np.testing.assert_allclose(phi @ model.W_out, phi @ W_out, atol=1e-5)

    r, out = np.zeros(30), list(zn[290:298])
    for n in range(7 + 20):
        r, phi = step(r, out[n], u[290 + n])
        if n >= 7:
            out.append(out[n] + phi @ model.W_out)
    found = model._rollout(zn[None, 290:298], 20, params=mu[None], inputs=u[None, 290:318])
    np.testing.assert_allclose(found[0], out[8:], atol=1e-4)


def test_the_leak_slows_the_reservoir(cycle):
    quick = EchoState(30, context=8, **GIVEN).fit(cycle[:300])
    slow = EchoState(30, context=8, **{**GIVEN, "leak": 0.3}).fit(cycle[:300])
    assert not np.allclose(quick.W_out, slow.W_out)
    assert slow.chosen[2] == 0.3


def test_the_search_is_told_ranked_and_inside_its_bounds(cycle):
    with silent():
        model = EchoState(40, context=8, radius=0.5).fit(cycle[:300])
    final = model.history[18:]
    scores = [row["score"] for row in final]
    assert scores == sorted(scores, reverse=True)
    assert all(row["radius"] == 0.5 for row in model.history)
    for name in ("input_scale", "leak", "noise"):
        low, high = BOUNDS[name]
        values = [row[name] for row in model.history]
        assert low <= min(values) < max(values) <= high
    names = ("radius", "input_scale", "leak", "noise", "ridge")
    assert tuple(model.chosen) in [tuple(row[n] for n in names) for row in final]


def test_an_echo_state_with_everything_given_searches_nothing(cycle):
    model = EchoState(40, context=8, **GIVEN).fit(cycle[:300])
    assert len(model.history) == 1
    assert tuple(model.chosen) == tuple(GIVEN.values())


@pytest.mark.parametrize("latent", [2, 6])
def test_ten_periods_of_a_limit_cycle_by_echo_state(make_cycle, latent):
    _ten_periods(EchoState(300), make_cycle(450 + 10 * PERIOD, latent=latent), 0.02)


def test_after_250_periods_the_forecast_is_still_on_the_cycle(cycle):
    with silent():
        z = EchoState(200).fit(cycle[:400]).forecast(cycle[:450], 10_000)[-10 * PERIOD :]
    np.testing.assert_allclose(z.std("time"), cycle[: 10 * PERIOD - 1].std("time"), rtol=0.05)


# polynomial map


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_a_polynomial_law_is_recovered(seed, degree):
    """Henon-like maps of their own degree: forecasts agree while rounding has not grown."""
    rng = np.random.default_rng(seed)
    A, b = rng.uniform(-0.5, 0.5, (2, 2)), rng.uniform(-0.1, 0.1, 2)

    def step(z):
        return A @ z + b * z[0] ** degree

    cases = []
    for start in rng.uniform(-1, 1, (40, 2)):
        z = [start]
        for _ in range(9):
            z.append(step(z[-1]))
        cases.append(latents(np.array(z)))
    model = PolynomialMap(degree, ridge=1e-14, noise=0.0).fit(cases)
    start = np.array([0.5, -0.5])
    truth = [start]
    for _ in range(6):
        truth.append(step(truth[-1]))
    found = model.forecast(latents(np.array([start])), 6)
    np.testing.assert_allclose(found, truth[1:], atol=1e-6)


def test_a_polynomial_law_with_parameters_inputs_and_delays_is_recovered():
    rng = np.random.default_rng(0)
    mu, cases, forcing = rng.uniform(-1, 1, (6, 1)), [], []
    for m in mu[:, 0]:
        u = rng.uniform(-1, 1, 80)
        z = [0.1, 0.2]
        for n in range(1, 79):
            z.append(0.5 * z[n] - 0.3 * z[n - 1] * m + 0.2 * u[n] * z[n] + 0.1 * u[n])
        cases.append(np.array(z)[:, None])
        forcing.append(u[:, None])
    model = PolynomialMap(2, ridge=1e-14, noise=0.0, context=2)
    model.span = Span.measure(np.concatenate(cases))
    zn = [model.span.normalise(z) for z in cases]
    model._fit(zn, params=mu, inputs=forcing)
    history = np.stack([z[10:12] for z in zn])
    known = np.stack([u[10:42] for u in forcing])
    found = model._rollout(history, 30, params=mu, inputs=known)
    np.testing.assert_allclose(found, np.stack([z[12:42] for z in zn]), atol=1e-6)


def test_the_polynomial_search_is_told_and_ranked(cycle):
    with silent():
        model = PolynomialMap().fit(cycle[:400])
    assert {row["degree"] for row in model.history} == {1, 2, 3, 4, 5, 6}
    scores = [row["score"] for row in model.history]
    assert scores == sorted(scores, reverse=True)
    names = ("degree", "ridge", "noise")
    assert tuple(model.chosen) in [tuple(row[n] for n in names) for row in model.history]


def test_many_latents_get_a_low_degree(make_cycle):
    with silent():
        model = PolynomialMap(noise=0.0).fit(make_cycle(300, latent=6))
    assert max(row["degree"] for row in model.history) == 4  # 210 monomials; degree 5 has 462


@pytest.mark.parametrize("latent", [2, 6])
def test_ten_periods_of_a_limit_cycle_by_polynomial_map(make_cycle, latent):
    _ten_periods(PolynomialMap(), make_cycle(450 + 10 * PERIOD, latent=latent), 0.02)


# latents of falling size, loops that are held


def _swamped(steps, small=6, size=1e-3):
    """A limit cycle of two latents, and ``small`` more that are noise of a thousandth of it."""
    t = 2 * np.pi * np.arange(steps) / PERIOD
    cycle = np.stack([np.cos(t), np.sin(t)], axis=1) * (1 + 0.2 * np.cos(2 * t))[:, None]
    noise = size * np.random.default_rng(0).standard_normal((steps, small))
    return latents(np.concatenate([cycle, noise], axis=1))


def test_under_a_common_scale_small_latents_do_not_drown_large_ones():
    z = _swamped(400)
    train, history, truth = z[:200], z[:220], z[220 : 220 + 2 * PERIOD]
    own, common = (
        PolynomialMap(3, ridge=1e-6, noise=0.0, scale=scale).fit(train)
        for scale in ("own", "common")
    )
    with pytest.warns(UserWarning, match="left three times the range"):
        lost = relative_error(own.forecast(history, len(truth)), truth)
    found = relative_error(common.forecast(history, len(truth)), truth)
    assert found.max() < 0.05 < 0.5 < lost.max()


def test_a_common_scale_is_the_ridge_regression_of_its_formula():
    z = _swamped(60, small=1, size=0.1)
    model = PolynomialMap(2, ridge=1e-3, noise=0.0, scale="common").fit(z)
    sd = z.values.std(axis=0)
    zn = (z.values - z.values.mean(axis=0)) / sd.max()
    x, pairs = zn[:-1] / 2, [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    phi = np.stack([np.ones(59), *x.T, *(x[:, i] * x[:, j] for i, j in pairs)], axis=1)
    D = np.r_[1e-3 * (phi[:, :4] ** 2).sum(axis=0), np.full(6, 59.0)]
    W = np.linalg.solve(phi.T @ phi + 1e-3 * np.diag(D), phi.T @ np.diff(zn, axis=0))
    np.testing.assert_allclose(model.W, W, rtol=1e-6, atol=1e-9)
    ahead = (model.forecast(z[:30], 1).values[0] - z.values.mean(axis=0)) / sd.max()
    np.testing.assert_allclose(ahead, zn[29] + phi[29] @ W, atol=1e-9)


def test_a_common_scale_counts_relative_sizes_alone(make_cycle):
    z = make_cycle(300)
    one = PolynomialMap(2, ridge=1e-6, noise=1e-3, scale="common").fit(z)
    other = PolynomialMap(2, ridge=1e-6, noise=1e-3, scale="common").fit(4 * z)
    np.testing.assert_array_equal(other.forecast(4 * z, 40), 4 * one.forecast(z, 40))
    bent = PolynomialMap(2, ridge=1e-6, noise=1e-3, scale="common").fit(z * [1.0, 0.25])
    assert not np.allclose(bent.forecast(z * [1.0, 0.25], 40) / [1.0, 0.25], one.forecast(z, 40))


def test_a_common_scale_is_saved(tmp_path):
    z = _swamped(100)
    model = PolynomialMap(2, ridge=1e-3, noise=0.0, scale="common", bounded=True).fit(z)
    model.save(tmp_path / "map")
    opened = PolynomialMap.from_bundle(read_bundle(tmp_path / "map"))
    xr.testing.assert_identical(opened.forecast(z, 40), model.forecast(z, 40))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["own", "common"]))
def test_a_bounded_loop_never_leaves_the_range_of_training(seed, scale):
    """Random quadratic fits, from starts three times outside; free loops of the same go off."""
    rng = np.random.default_rng(seed)
    z = latents(rng.standard_normal((30, 3)) * [1.0, 0.1, 5.0])
    start = latents(3 * rng.standard_normal((1, 3)) * [1.0, 0.1, 5.0])
    model = PolynomialMap(2, ridge=1e-9, noise=0.0, scale=scale, bounded=True).fit(z)
    ahead = model.forecast(start, 200, on_blowup="raise").values
    rounding = 1e-12 * np.abs(z.values).max()
    assert (ahead <= z.values.max(axis=0) + rounding).all()
    assert (ahead >= z.values.min(axis=0) - rounding).all()


def test_a_bounded_loop_that_stays_inside_is_the_free_one(make_cycle):
    z = make_cycle(400)
    free, held = (PolynomialMap(3, ridge=1e-9, noise=1e-3, bounded=b).fit(z) for b in (False, True))
    inside = 0.9 * (z[:50] - z.mean("time")) + z.mean("time")
    np.testing.assert_array_equal(free.forecast(inside, 5), held.forecast(inside, 5))


# chaos


@pytest.mark.parametrize("make", [lambda: PolynomialMap(), lambda: EchoState(300, context=8)])
def test_lorenz_is_followed_for_lyapunov_times_from_unseen_starts(make):
    z = latents(lorenz(4000), 0.05)
    with silent():
        model = make().fit(z[:3000])
    starts = range(3100, 3900, 40)
    horizon = []
    for n in starts:
        error = relative_error(model.forecast(z[:n], 100), z[n : n + 100])
        horizon.append(horizons(error[None])[0])
    assert np.mean(horizon) * 0.05 * 0.906 > 2.5  # Lyapunov times


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
        (lambda: EchoState(leak=0), "0 < leak <= 1"),
        (lambda: EchoState(units=0), "at least 1"),
        (lambda: EchoState(noise=-1.0), "at least 0"),
        (lambda: EchoState(readout="cubic"), "linear, quadratic"),
        (lambda: PolynomialMap(0), "degree and context of at least 1"),
        (lambda: PolynomialMap(ridge=-1.0), "ridge and noise of at least 0"),
        (lambda: PolynomialMap(scale="shared"), "own, common"),
    ],
)
def test_arguments_that_cannot_be(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_a_degree_with_too_many_monomials_says_so(make_cycle):
    with pytest.raises(OptionError, match=r"degree=12\): 18564 monomials of 6 variables"):
        PolynomialMap(12).fit(make_cycle(100, latent=6))


def test_short_cases_get_a_shorter_warm_up(make_cycle):
    """Forty steps are fewer than two contexts of 32: a quarter is taken, and it forecasts."""
    cases = [make_cycle(40, start=n) for n in (0, 9, 17, 30)]
    model = EchoState(60, **GIVEN)
    model.fit(cases)
    assert model.context == 10
    whole = make_cycle(80, start=5)
    found = model.forecast(whole[:12], 10)
    spread = np.sqrt(whole.var("time").sum())
    assert float(np.sqrt(((found - whole[12:22]) ** 2).sum("latent")).max() / spread) < 0.3
    model.fit([make_cycle(200)])  # the same model, on more: what was asked for
    assert model.context == 32
    assert EchoState(20, context=6, **GIVEN).fit(make_cycle(40)).context == 6
    with pytest.raises(DataError, match="9 steps"):
        EchoState(20, **GIVEN).fit([make_cycle(9)])
