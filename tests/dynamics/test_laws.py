"""Laws of every model of the latents, over all of them."""

import inspect
import json

import numpy as np
import pytest
import torch
import xarray as xr

import romae.dynamics
from romae.dynamics import (
    DMD,
    GRU,
    LSTM,
    Climatology,
    Dynamics,
    EchoState,
    Ensemble,
    Equivariant,
    Koopman,
    LatentGP,
    NeuralODE,
    OperatorInference,
    Persistence,
    PolynomialMap,
    SINDy,
    Transformer,
)
from romae.errors import NotFittedError
from romae.progress import silent

# no search: it weighs latents by their energy, so it depends on their relative scale
ECHO = {"radius": 0.5, "input_scale": 0.3, "leak": 1.0, "noise": 1e-3, "ridge": 1e-6}
QUICK = {
    "persistence": Persistence,
    "climatology": Climatology,
    "dmd": DMD,
    "dmd-delays": lambda **o: DMD(4, **o),
    "dmd-optimised": lambda **o: DMD(4, method="optimised", **o),
    "dmd-bagged": lambda **o: DMD(4, method="bagged", growth="neutral", **o),
    "opinf": OperatorInference,
    "opinf-cubic": lambda **o: OperatorInference("cubic", time="continuous", **o),
    "sindy": SINDy,
    "koopman": Koopman,
    "koopman-waves": lambda **o: Koopman(1, waves=8, **o),
    "gru": lambda **o: GRU(12, context=8, unroll=10, updates=20, **o),
    "lstm": lambda **o: LSTM(12, context=8, updates=20, **o),
    "transformer": lambda **o: Transformer(8, context=9, updates=60, **o),
    "ode": lambda **o: NeuralODE(16, updates=20, **o),
    "ode-damped": lambda **o: NeuralODE(16, damping=0.5, updates=20, **o),
    "ensemble": lambda **o: Ensemble(EchoState(60, context=16, **ECHO), 3, **o),
    "bagged": lambda **o: Ensemble("DMD", 4, how="bagging", **o),
    "polynomial": lambda **o: PolynomialMap(3, ridge=1e-9, noise=1e-3, **o),
    "polynomial-bounded": lambda **o: PolynomialMap(3, ridge=1e-9, noise=0.0, bounded=True, **o),
    "polynomial-delays": lambda **o: PolynomialMap(2, context=3, ridge=1e-6, noise=0.0, **o),
    "echo": lambda **o: EchoState(60, context=16, **ECHO, **o),
}
# One takes a family of cases, the other circles: see test_regression.py, test_equivariant.py.
ELSEWHERE = {LatentGP, Equivariant}
every = pytest.mark.parametrize("kind", QUICK)
seeded = pytest.mark.parametrize("kind", ["gru", "lstm", "transformer", "ode", "echo"])
_cache = {}


@pytest.fixture
def fitted(make_cycle):
    def fit(kind):
        if kind not in _cache:
            with silent():
                _cache[kind] = QUICK[kind]().fit(make_cycle(400))
        return _cache[kind]

    return fit


def _subclasses(cls):
    return {cls}.union(*(_subclasses(c) for c in cls.__subclasses__()))


def test_every_class_is_tested_here():
    own = {c for c in _subclasses(Dynamics) if c.__module__.startswith("romae.")}
    own = {c for c in own if not inspect.isabstract(c) and not c.__name__.startswith("_")}
    assert {type(make()) for make in QUICK.values()} | ELSEWHERE == own
    assert {c.__name__ for c in own} | {"Dynamics"} == set(romae.dynamics.__all__)


@every
def test_fewer_steps_are_the_beginning_of_more(fitted, cycle, kind):
    model, start = fitted(kind), cycle[:450]
    xr.testing.assert_identical(model.forecast(start, 7), model.forecast(start, 100)[:7])


@every
def test_only_the_last_context_steps_matter(fitted, cycle, kind):
    model = fitted(kind)
    short = model.forecast(cycle[450 - model.context : 450], 50)
    xr.testing.assert_identical(model.forecast(cycle[:450], 50), short)


# The recurrent models carry a state that a window of context steps only approximates.
@pytest.mark.parametrize(
    "kind",
    ["persistence", "climatology", "dmd", "dmd-delays", "transformer", "ode", "ode-damped"],
)
@pytest.mark.parametrize("first", [4, 1, 30])
def test_k_steps_equal_k_times_one_step(fitted, cycle, kind, first):
    model, start = fitted(kind), cycle[:450]
    if model.context > first:
        pytest.skip("the forecast does not fill the window")
    begin = model.forecast(start, first)
    rest = model.forecast(xr.concat([start, begin], "time"), 40 - first)
    np.testing.assert_allclose(rest, model.forecast(start, 40)[first:], rtol=1e-9)


@every
def test_fit_is_deterministic_and_leaves_the_global_generators_alone(fitted, cycle, kind):
    expected = fitted(kind).forecast(cycle[:450], 30)
    with torch.random.fork_rng(devices=[]), silent():
        torch.manual_seed(12345)  # a state that no fit would leave behind
        theirs, ours = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        again = QUICK[kind]().fit(cycle[:400])
        assert torch.equal(torch.get_rng_state(), theirs)
        assert np.array_equal(np.random.get_state()[1], ours)  # noqa: NPY002
    xr.testing.assert_identical(again.forecast(cycle[:450], 30), expected)


@seeded
def test_another_seed_gives_another_model(make_cycle, kind):
    z = make_cycle(450, latent=3)  # which no linear map follows: a trained one keeps no start
    with silent():
        one, other = (QUICK[kind](seed=n).fit(z[:400]).forecast(z, 30) for n in (0, 1))
    assert not one.equals(other)


@every
def test_saved_and_opened_models_forecast_bit_for_bit_the_same(fitted, cycle, tmp_path, kind):
    from romae.bundle import read_bundle

    model = fitted(kind)
    model.save(tmp_path / "model")
    opened = type(model).from_bundle(read_bundle(tmp_path / "model"))
    xr.testing.assert_identical(opened.forecast(cycle[:450], 60), model.forecast(cycle[:450], 60))
    assert opened.arguments == model.arguments
    assert (opened.dt, opened.latent, opened.nbytes) == (model.dt, 2, model.nbytes)
    assert (opened.history, opened.fit_seconds) == (model.history, model.fit_seconds)


@every
def test_arguments_and_scalars_are_json_and_nbytes_counts_arrays(fitted, kind):
    document, arrays = fitted(kind).to_bundle()
    assert json.loads(json.dumps(document)) == document
    assert not any(np.iscomplexobj(a) for a in arrays.values())
    assert fitted(kind).nbytes == sum(a.nbytes for a in arrays.values()) >= 4 * 2 * 8


@every
def test_a_power_of_two_in_the_latents_changes_nothing_else(fitted, cycle, kind):
    scale = np.array([4.0, 0.125])  # exact in binary: any difference is a missing division
    with silent():
        model = QUICK[kind]().fit(cycle[:400] * scale)
    expected = fitted(kind).forecast(cycle[:450], 40) * scale
    np.testing.assert_allclose(model.forecast(cycle[:450] * scale, 40), expected, rtol=1e-12)


@every
def test_an_offset_of_the_latents_is_an_offset_of_the_forecast(fitted, cycle, kind):
    offset = np.array([-20.0, 100.0])
    with silent():
        model = QUICK[kind]().fit(cycle[:400] + offset)
    moved = model.forecast(cycle[:450] + offset, 40) - offset
    np.testing.assert_allclose(moved, fitted(kind).forecast(cycle[:450], 40), atol=2e-3)


@every
def test_ten_thousand_steps_stay_in_the_training_range(fitted, cycle, kind):
    result = fitted(kind).forecast(cycle[:450], 10_000)  # would warn when it left
    assert np.isfinite(result).all()
    assert "left_training_range_at" not in result.attrs


@every
def test_cases_are_kept_apart(fitted, make_cycle, kind):
    """One case alone and the same case among others: one forecast."""
    cases = [make_cycle(60, start=s) for s in (0, 11, 23)]
    both = fitted(kind).forecast(xr.concat(cases, "case"), 25)
    assert both.dims == ("case", "time", "latent")
    for i, case in enumerate(cases):
        alone = fitted(kind).forecast(case, 25)
        np.testing.assert_allclose(both[i], alone, rtol=1e-9, atol=1e-9)  # rounding of sums


@every
def test_padded_cases_and_a_list_of_cases_teach_the_same(make_cycle, kind):
    cases = [make_cycle(120), make_cycle(80, start=9)]
    padded = xr.concat(cases, "case", join="outer")  # rows of NaN at the end
    assert bool(padded.isnull().any())
    with silent():
        one, two = QUICK[kind]().fit(cases), QUICK[kind]().fit(padded)
    history = make_cycle(60, start=5)
    xr.testing.assert_identical(one.forecast(history, 20), two.forecast(history, 20))


@every
@pytest.mark.parametrize("value", [0.0, 0.1, -3e9])
def test_a_latent_that_never_changes_stays(make_cycle, kind, value):
    z = make_cycle(80)
    z[:, 1] = value
    with silent():
        result = QUICK[kind]().fit(z).forecast(z, 50)
    np.testing.assert_allclose(result[:, 1], value, rtol=1e-12)
    assert bool((result[:, 0] != z[-1, 0]).any()) or kind == "persistence"


@every
def test_latents_of_float32_come_back_as_float32(fitted, cycle, kind):
    result = fitted(kind).forecast(cycle[:450].astype(np.float32), 5)
    assert result.dtype == np.float32


@every
def test_an_unfitted_model_says_so(cycle, kind):
    with pytest.raises(NotFittedError, match=r"not been fitted.*\.fit\(latents\)"):
        QUICK[kind]().forecast(cycle, 5)
    with pytest.raises(NotFittedError):
        _ = QUICK[kind]().nbytes
