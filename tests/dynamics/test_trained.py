"""Models trained on their own rollouts: the start, the data, the loop, the compiled rollout."""

import sys

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.dynamics import GRU, LSTM, NeuralODE, Persistence, Transformer, loops
from romae.dynamics.linear_start import linear_map
from romae.dynamics.neural_ode import generator
from romae.dynamics.trained import DRIFT, NONE
from romae.dynamics.unrolled import EPOCH, TRUNCATE, RolloutError, curriculum, roll, windows
from romae.errors import ForecastError, MissingDependencyError, OptionError, TrainingError
from romae.nets.steps import RecurrentStep
from romae.progress import silent

PERIOD = 41
MAKE = {
    "gru": lambda **o: GRU(**({"hidden": 8, "context": 5, "updates": 10} | o)),
    "lstm": lambda **o: LSTM(**({"hidden": 8, "context": 5, "updates": 10} | o)),
    "transformer": lambda **o: Transformer(**({"hidden": 8, "context": 7, "updates": 10} | o)),
    "ode": lambda **o: NeuralODE(**({"hidden": 8, "updates": 10} | o)),
    "damped": lambda **o: NeuralODE(**({"hidden": 8, "updates": 10, "damping": 0.3} | o)),
}
every = pytest.mark.parametrize("kind", MAKE)


def latents(values, dt=0.5):
    time = ("time", dt * np.arange(len(values)))
    return xr.DataArray(values, dims=("time", "latent"), coords={"time": time})


def walk(steps, k, seed=0):
    """A bounded random motion about zero, of size one."""
    rng, z = np.random.default_rng(seed), np.zeros((steps, k))
    for n in range(1, steps):
        z[n] = 0.95 * z[n - 1] + 0.3 * rng.standard_normal(k)
    return z


def fit(model, sequences, **known):
    """The part of a fit below the driver, on normalised sequences."""
    model.history = []
    with silent():
        model._fit(sequences, **known)
    return model


@every
@pytest.mark.parametrize("outside", [False, True])
def test_the_compiled_rollout_is_the_network_that_was_trained(kind, outside):
    rng = np.random.default_rng(0)
    known = {"params": rng.normal(size=(2, 1)), "inputs": [rng.normal(size=(90, 2))] * 2}
    model = fit(MAKE[kind](), [walk(90, 3, n) for n in (1, 2)], **(known if outside else {}))
    C, rows = model.context, model.context - 1 + 25
    history = np.stack([walk(C + 1, 3, n)[1:] for n in range(4)])
    ahead = {"params": rng.normal(size=(4, 1)), "inputs": rng.normal(size=(4, C + 25, 2))}
    x = np.concatenate([np.repeat(ahead["params"][:, None], rows, 1), ahead["inputs"][:, :-1]], -1)
    found = model._rollout(history, 25, **(ahead if outside else {}))
    again = model._by_torch(history, x if outside else x[..., :0], 25)
    rounding = 2e-6 if kind in ("gru", "lstm") else 1e-12  # gates in float32
    np.testing.assert_allclose(found, again, rtol=1e-9, atol=rounding)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40))
def test_activations_in_vector_registers(values):
    a = np.array([*values, 0.0, np.nan])
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-a)), np.tanh(a)
    for dtype, bits, (sigmoid, tanh), near in (
        (np.float64, np.int64, (loops._sigmoid, loops._tanh), 1e-14),
        (np.float32, np.int32, (loops._sigmoid32, loops._tanh32), 3e-7),
    ):
        for function, wanted in zip((sigmoid, tanh), expected, strict=True):
            found = a.astype(dtype)
            function(found, np.empty(len(a), bits))
            np.testing.assert_allclose(found, wanted, rtol=0, atol=near)


@every
def test_a_start_has_the_same_forecast_alone_and_in_company(kind):
    model = fit(MAKE[kind](), [walk(90, 3)])
    history = np.stack([walk(model.context, 3, n) + n for n in range(5)])
    alone = np.concatenate([model._rollout(h[None], 30) for h in history])
    np.testing.assert_array_equal(model._rollout(history, 30), alone)


@every
def test_training_starts_at_the_best_linear_map(kind):
    if kind == "damped":
        pytest.skip("starts at decay to the mean")
    rng = np.random.default_rng(3)
    A = 0.9 * np.linalg.qr(rng.normal(size=(3, 3)))[0]
    A = A @ np.diag([1, 1, np.sign(np.linalg.det(A))])  # a rotation: the flow of an equation
    A = A @ A
    z = [rng.normal(size=(40, 3)) for _ in range(3)]
    for case in z:
        for n in range(39):
            case[n + 1] = A @ case[n] + 0.1
    model = fit(MAKE[kind](learning_rate=1e-12, updates=1), z)
    C = model.context
    found = model._rollout(z[0][None, :C], 10)[0]
    # float32 weights; Runge-Kutta steps of the equation
    np.testing.assert_allclose(found, z[0][C : C + 10], atol=1e-2 if kind == "ode" else 1e-5)


@every
def test_inputs_and_parameters_reach_the_step_they_act_on(kind):
    if kind == "damped":
        pytest.skip("starts at decay to the mean")
    rng = np.random.default_rng(5)
    u, p = [rng.normal(size=(60, 1)) for _ in range(4)], rng.normal(size=(4, 1))
    z = [np.zeros((60, 1)) for _ in range(4)]
    for case, force, mu in zip(z, u, p, strict=True):
        for n in range(59):
            case[n + 1] = 0.8 * case[n] + 0.5 * force[n] + 0.2 * mu
    model = fit(MAKE[kind](learning_rate=1e-12, updates=1), z, params=p, inputs=u)
    C = model.context
    found = model._rollout(
        np.stack([case[:C] for case in z]), 20, params=p, inputs=np.stack(u)[:, : C + 20]
    )
    truth = np.stack([case[C : C + 20] for case in z])
    np.testing.assert_allclose(found, truth, atol=1e-3)
    shifted = np.stack(u)[:, 1 : C + 21]
    other = model._rollout(np.stack([case[:C] for case in z]), 20, params=p, inputs=shifted)
    assert np.abs(other - truth).max() > 0.1


@every
def test_the_weights_kept_are_the_best_on_the_held_out_tail_and_not_worse_than_linear(kind):
    z = [walk(400, 2)]
    model = fit(MAKE[kind](updates=150, learning_rate=0.02), z)
    _, judges = feeds(z, model)
    drift = model._drift(z, [np.empty((400, 0))])
    objective = RolloutError(2, model.context, model.unroll, 0.0, drift)
    net = model._network(model.linear, model.bias).float().eval()
    net.load_state_dict({n: torch.from_numpy(getattr(model, n)) for n in net.state_dict()})
    with torch.no_grad():
        kept = float(objective(net, next(iter(judges.epoch(0))), 1.0))
    errors = [row["validation"] for row in model.history]
    assert [row["step"] for row in model.history] == [50, 100, 150][: len(errors)]
    assert kept == pytest.approx(min([model.history[0]["linear"], *errors]), rel=1e-6)


def feeds(z, model):
    none = [np.empty((len(case), 0)) for case in z]
    return windows(
        z, none, context=model.context, unroll=model.unroll, batch=16, seed=0,
        device=torch.device("cpu"),
    )  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(7, 80), min_size=1, max_size=4), st.integers(1, 6), st.integers(1, 20))
def test_windows_stay_within_a_case_and_before_its_tail(lengths, context, unroll):
    z = [c * 1000 + np.arange(n, dtype=float)[:, None] for c, n in enumerate(lengths)]
    train, judge = feeds(z, GRU(context=context, unroll=unroll))
    for feed in (train, judge):
        for batch in feed.epoch(0):
            rows, seen = batch[..., 0], batch[..., 1].bool()
            assert seen[:, : context + 1].all()  # at least one state to forecast
            case = rows // 1000
            assert (case == case[:, :1]).all()
            inside = rows[:, 1:][seen[:, 1:]] - rows[:, :-1][seen[:, 1:]]
            assert (inside == 1).all()
    judged = torch.cat([b[..., context:, 0][b[..., context:, 1].bool()] for b in judge.epoch(0)])
    learned = torch.cat([b[..., 0].reshape(-1) for n in range(3) for b in train.epoch(n)])
    for c, n in enumerate(lengths):
        if n - max(unroll, round(0.15 * n)) >= context + unroll:  # long enough to spare a tail
            ours, theirs = judged[judged // 1000 == c], learned[learned // 1000 == c]
            if len(ours) and len(theirs):
                assert ours.min() > theirs.max()


def test_batches_are_drawn_by_the_number_of_the_epoch_alone():
    feed = feeds([walk(200, 2)], GRU())[0]
    first, again, other = (list(feed.epoch(n)) for n in (3, 3, 4))
    assert len(first) == EPOCH
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert all(torch.equal(a, b) for a, b in zip(first[7:], feed.epoch(3, skip=7), strict=True))


def test_the_rollout_grows_from_one_step_to_what_was_asked():
    for unroll in (1, 5, 8, 24):
        lengths = [curriculum(p, unroll) for p in np.linspace(0, 1, 201)]
        assert (lengths[0], lengths[-1]) == (1, unroll)
        assert lengths == sorted(lengths)
        assert lengths[100:] == [unroll] * 101
    assert {curriculum(p / 100, 8) for p in range(100)} == {1, 2, 4, 8}


def test_gradients_reach_back_a_limited_number_of_steps():
    net = RecurrentStep(torch.eye(2) * 0.9, torch.zeros(2), 4, 3)
    z = torch.randn(3, 60, 2, requires_grad=True)
    found = roll(net, z, torch.zeros(3, 60, 0), 2, TRUNCATE + 5, 0.0)
    near = torch.autograd.grad(found[:, TRUNCATE - 1].sum(), z, retain_graph=True)[0]
    assert bool((near[:, :2] != 0).any())
    assert not bool(torch.autograd.grad(found[:, -1].sum(), z)[0].any())


def test_noise_is_for_training_only():
    net = RecurrentStep(torch.eye(2), torch.zeros(2), 4, 3)
    batch = torch.cat([torch.zeros(8, 20, 2), torch.ones(8, 20, 1)], -1)
    objective = RolloutError(2, 4, 8, noise=0.1)
    with torch.no_grad():
        assert float(objective(net.eval(), batch, 1.0)) < 1e-12  # standing still is exact
        # each step is fed noise of its own: after n steps n of them have gathered
        noisy = np.mean([float(objective(net.train(), batch, 1.0)) for _ in range(300)])
    assert noisy == pytest.approx(0.1**2 * np.mean(np.arange(1, 9)), rel=0.2)


def test_a_loss_that_is_not_finite_names_the_update():
    with pytest.raises(TrainingError, match=r"GRU: .*update \d+.*learning_rate="):
        fit(GRU(4, context=3, learning_rate=1e38, updates=300), [1e15 * walk(90, 2)])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(0, 2))
def test_the_generator_integrates_to_the_step(seed, k, m):
    from scipy.linalg import expm

    rng = np.random.default_rng(seed)
    rate = np.zeros((k + m + 1, k + m + 1))
    rate[:k] = 0.4 * rng.normal(size=(k, k + m + 1))
    step = expm(rate)
    if np.linalg.cond(np.linalg.eig(step)[1]) > 1e6:
        return
    A, b = generator(step[:k, :-1], step[:k, -1])
    np.testing.assert_allclose(A, rate[:k, :-1], atol=1e-6)
    np.testing.assert_allclose(b, rate[:k, -1], atol=1e-6)


@pytest.mark.parametrize("values", [[-0.5, 0.9], [0.0, 0.5], [1e-9, 1.0]])
def test_steps_of_no_equation_still_give_a_start(values):
    A, b = generator(np.diag(values), np.zeros(2))
    assert np.isfinite(A).all()
    assert np.isfinite(b).all()
    assert np.exp(np.linalg.eigvals(A).real.max()) == pytest.approx(max(values), rel=1e-6)


def test_least_squares_ignore_what_never_changes_and_hold_growth():
    z = walk(100, 3)
    z[:, 1] = 0.0
    A, _ = linear_map([z], [np.empty((100, 0))])
    assert np.isfinite(A).all()
    grown = 1.05 ** np.arange(50)[:, None]
    A, _ = linear_map([grown - grown.mean()], [np.empty((50, 0))])
    assert float(A[0, 0]) == pytest.approx(1.0)


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_the_linear_start_keeps_a_cycle_for_250_periods_in_spite_of_noise(noise, seed, make_cycle):
    """Least squares in one step see noise as decay: a fifth was left of 1 % of noise."""
    z = make_cycle(411, latent=6).values
    z = (z - z.mean(axis=0)) / z.std(axis=0)
    seen = z + noise * np.random.default_rng(seed).standard_normal(z.shape)
    A, b = linear_map([seen], [np.empty((len(z), 0))])
    late, state = [], z[-1]
    for _ in range(250 * PERIOD):
        state = A @ state + b
        late.append(state)
    np.testing.assert_allclose(np.std(late[-10 * PERIOD :], axis=0), 1, atol=0.05)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 1.5), st.floats(0.5, 3), st.integers(1, 3))
def test_an_oscillation_that_dies_out_is_not_held(angle, efolds, cases):
    """What the data lose is the law: e-foldings of the amplitude over all data stay."""
    n = np.arange(300)
    size = np.exp(-efolds * n / len(n))
    z = np.stack([size * np.cos(angle * n), size * np.sin(angle * n)], axis=1)
    A, _ = linear_map([z] * cases, [np.empty((len(n), 0))] * cases)
    expected = np.exp(-efolds / len(n))
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(A)), expected, rtol=1e-9)


def test_a_driven_oscillation_is_not_held():
    rng = np.random.default_rng(0)
    turn = 0.999 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    u, z = rng.normal(size=(400, 1)), np.zeros((400, 2))
    for n in range(399):
        z[n + 1] = turn @ z[n] + 0.1 * u[n]
    A, _ = linear_map([z], [u])
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(A[:, :2])), 0.999, rtol=1e-9)


def test_a_damped_equation_comes_back_from_anywhere():
    angle = 0.15 * np.arange(300)[:, None]
    z = 1.4 * np.cos(angle + np.array([0, np.pi / 2]))
    model = fit(NeuralODE(32, damping=0.3, updates=300), [z])
    far = 100 * np.random.default_rng(0).normal(size=(20, 1, 2))
    settled = model._rollout(far, 200)[:, -1]
    assert (np.abs(settled).max(axis=1) < 10).all()
    assert (np.abs(settled).max(axis=1) > 0.2).all()  # on a cycle, not at rest
    np.testing.assert_array_equal(model.linear, np.float32(-0.3) * np.eye(2))


def test_a_solver_that_stalls_says_what_to_do():
    model = fit(NeuralODE(4, updates=1, method="dopri5"), [walk(60, 2)])
    model.linear = np.diag([-1e7, 1.0]).astype(np.float32)
    with pytest.raises(ForecastError, match=r"dopri5 stalled.*method='rk4'"):
        model._rollout(np.ones((1, 1, 2)), 2)


def test_the_adaptive_solver_agrees_with_many_small_steps():
    model = fit(NeuralODE(8, updates=20, method="dopri5"), [walk(60, 2)])
    history = walk(5, 2)[1:, None]
    found = model._rollout(history, 10)
    model.method, model.substeps = "rk4", np.array([64.0])
    np.testing.assert_allclose(found, model._rollout(history, 10), atol=1e-5)


def test_without_torchdiffeq_the_error_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'romae\[dynamics\]'"):
        fit(NeuralODE(4, updates=1), [walk(60, 2)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GRU(noise=-1), "noise of at least 0"),
        (lambda: LSTM(updates=0), "updates is 0"),
        (lambda: Transformer(10), "multiple of 4.*type 8"),
        (lambda: NeuralODE(damping=0), "positive number"),
        (lambda: NeuralODE(method="dopri"), "dopri5"),
        (lambda: GRU(learning_rate=0), "positive learning rate"),
        (lambda: GRU(seed=-1), "seed is -1"),
    ],
)
def test_arguments_that_cannot_be(make, message):
    with pytest.raises(OptionError, match=message):
        make()


@pytest.mark.parametrize("parts", [1, 3])
def test_the_start_of_a_neural_ode_undoes_the_damping_of_its_solver(parts):
    """RK4 loses y^6 / 144 of an oscillation of frequency y in a step: half of it in 10 000."""
    turn = lambda y: np.array([[np.cos(y), -np.sin(y)], [np.sin(y), np.cos(y)]])  # noqa: E731
    M = np.kron(np.diag([1.0, 0]), turn(0.46)) + np.kron(np.diag([0, 1.0]), 0.9 * turn(0.2))
    A = generator(M, np.array([0.1, 0, 0.2, 0]), parts)[0]
    h = A / parts
    one = np.eye(4) + h @ (np.eye(4) + h / 2 @ (np.eye(4) + h / 3 @ (np.eye(4) + h / 4)))
    step = np.linalg.matrix_power(one, parts)
    np.testing.assert_allclose(step, M, atol=1e-9)
    exact = generator(M, np.array([0.1, 0, 0.2, 0]))[0]
    np.testing.assert_allclose(A, exact, atol=2e-3)
    lost = np.abs(np.linalg.eigvals(np.linalg.matrix_power(step, 10_000))).max()
    assert lost == pytest.approx(1, abs=1e-6)


PLANE = [(GRU, 2), (LSTM, 2), (Transformer, 2), (NeuralODE, 2)]


def on(*cycles):
    """The fixture ``on_cycle`` for models and numbers of latents."""
    ids = [f"{model.__name__}-{latent}" for model, latent in cycles]
    return pytest.mark.parametrize("on_cycle", cycles, indirect=True, ids=ids)


@pytest.fixture(scope="module")
def on_cycle(request, make_cycle):
    """A model that has seen ten periods, and the cycle, which goes on."""
    model, latent = request.param
    z = make_cycle(450 + 20 * PERIOD, latent=latent)
    with silent():
        return model(updates=500).fit(z[:400]), z


@pytest.mark.slow
@on(*PLANE, (GRU, 6), (NeuralODE, 6))
def test_ten_periods_of_a_limit_cycle(on_cycle):
    model, z = on_cycle
    truth = z[450 : 450 + 10 * PERIOD]
    spread = np.sqrt(truth.var("time").sum())
    found = model.forecast(z[:450], len(truth))
    error = np.sqrt(((found - truth) ** 2).sum("latent")) / spread
    still = Persistence().fit(z[:400]).forecast(z[:450], len(truth))
    assert float(error.max()) < 0.1
    assert float(np.sqrt(((still - truth) ** 2).sum("latent")).mean() / spread) > 0.5


@pytest.mark.slow
@on(*PLANE, (NeuralODE, 6))
def test_after_250_periods_the_forecast_is_still_on_the_cycle(on_cycle):
    model, z = on_cycle
    late = model.forecast(z[:450], 10_000)[-10 * PERIOD :]
    np.testing.assert_allclose(late.std("time"), z[: 10 * PERIOD].std("time"), rtol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("model", [GRU, LSTM, Transformer])
def test_a_noisy_cycle_keeps_its_size_for_250_periods(model, seed, make_cycle):
    """What is learned at 1 % of noise may drift: it is judged by long rollouts too."""
    z = make_cycle(450, latent=6)
    noise = z.values.std(axis=0) * np.random.default_rng(seed).standard_normal(z.shape)
    seen = z.copy(data=z.values + 0.01 * noise)
    with silent():
        fitted = model(16, updates=100, seed=seed).fit(seen[:400])
    late = fitted.forecast(seen, 250 * PERIOD)[-10 * PERIOD :]
    np.testing.assert_allclose(late.std("time"), z[: 10 * PERIOD].std("time"), rtol=0.05)


@pytest.mark.parametrize("gain", [0.99, 1.0, 1.01])
def test_drift_is_the_size_that_long_rollouts_lose_or_gain(gain):
    n = np.arange(400)
    z = np.stack([np.cos(2 * np.pi * n / 40), np.sin(2 * np.pi * n / 40)], axis=1)
    z /= z.std(axis=0)
    model = GRU(4, context=3)
    drift = model._drift([z], [np.empty((400, 0))])
    turn = np.array(
        [[np.cos(np.pi / 20), -np.sin(np.pi / 20)], [np.sin(np.pi / 20), np.cos(np.pi / 20)]]
    )
    net = model._network(gain * turn, np.zeros(2))
    assert drift(net) == pytest.approx(0.0 if gain == 1 else DRIFT * (1 - NONE), abs=1e-4)
    model_of_a_driven_law = model._drift([z], [n[:, None]])
    assert model_of_a_driven_law is None  # the drive to come is not known
    assert model._drift([z * np.exp(-n / 200)[:, None]], [np.empty((400, 0))]) is None


@pytest.mark.slow
def test_a_parameter_moves_the_frequency():
    """Oscillators of one form and many frequencies: unseen ones need the parameter."""
    n = np.arange(120)
    omega = np.array([0.12, 0.15, 0.18, 0.21, 0.24, 0.165])

    def case(w):
        return latents(np.stack([np.cos(w * n), np.sin(w * n) + 0.2 * np.sin(2 * w * n)], 1))

    family = xr.concat([case(w) for w in omega[:5]], "case")
    unseen = case(omega[5])
    with silent():
        model = NeuralODE(32, updates=800).fit(family, params={"omega": omega[:5]})
    found = model.forecast(unseen[:40], 60, params={"omega": omega[5]})
    error = float(np.sqrt(((found - unseen[40:100]) ** 2).mean()))
    other = model.forecast(unseen[:40], 60, params={"omega": 0.24})
    assert error < 0.2
    assert float(np.sqrt(((other - unseen[40:100]) ** 2).mean())) > 2 * error
