"""Joint fine-tuning: never worse by its own measure, and what it was given stays as it was."""

import numpy as np
import pytest
import torch
import xarray as xr

import romae
from romae import finetune
from romae.errors import DataError, OptionError
from romae.progress import silent


def burst(T=240, cases=0):
    """A travelling bump that no two modes hold, and noise that no law forecasts."""
    t, x = 0.1 * np.arange(T), np.linspace(0, 2 * np.pi, 32, endpoint=False)
    u = np.exp(2 * np.cos(x - t[:, None])) * (1 + 0.2 * cases)
    u += 0.3 * np.random.default_rng(0).standard_normal((T, 1)) * np.cos(5 * x)
    coords = {"time": ("time", t), "x": ("x", x, {"periodic": 1})}
    return xr.Dataset({"u": (("time", "x"), u)}, coords)


def model(**options):
    reducer = romae.PODAutoencoder(2, train=romae.TrainConfig(steps=150))
    return romae.ReducedModel(reducer, romae.GRU(16, context=4, unroll=6, updates=60, **options))


@pytest.fixture(scope="module")
def parts():
    snapshots = romae.open_snapshots(burst())
    return snapshots.split(0.7, 0.3)


@pytest.fixture(scope="module")
def apart(parts):
    with silent():
        return model().fit(*parts, device="cpu")


def tuned(apart, parts, steps, **options):
    config = romae.TrainConfig(steps=steps, **{"lr": 1e-3, "batch": 16, **options})
    with silent():
        return finetune.finetune(apart.reducer, apart.dynamics, *parts, config)


def test_fine_tuning_helps_and_neither_error_grows(apart, parts):
    reducer, dynamics, told = tuned(apart, parts, 200)
    assert told["kept"]
    for name in ("reconstruction", "rollout"):
        before, after = told[name]
        assert after < before
    assert told["reconstruction"][1] < told["pod"]
    # the same errors, by the front door: encode, forecast, decode
    valid = parts[1].to_dataset()
    z = reducer.encode(parts[1])
    mean = reducer.mean.u
    lost = float(((reducer.decode(z).u - valid.u) ** 2).sum() / ((valid.u - mean) ** 2).sum())
    assert np.sqrt(lost) == pytest.approx(told["reconstruction"][1], rel=0.1)
    starts = range(4, 60, 4)
    for member, errors in ((apart, 0), ((reducer, dynamics), 1)):
        r, d = (member.reducer, member.dynamics) if errors == 0 else member
        z = r.encode(parts[1])
        total = norm = 0.0
        for s in starts:
            truth = valid.u[s : s + 6]
            found = r.decode(d.forecast(z[s - 4 : s], 6)).u
            total += float(((found.values - truth.values) ** 2).sum())
            norm += float(((truth - mean) ** 2).sum())
        assert np.sqrt(total / norm) == pytest.approx(told["rollout"][errors], rel=0.2)


def test_what_was_given_stays_as_it_was(apart, parts):
    z = apart.encode(parts[1])
    forecast = apart.dynamics.forecast(z, 5)
    reducer, _, told = tuned(apart, parts, 100)
    assert told["kept"]
    xr.testing.assert_identical(apart.encode(parts[1]), z)
    xr.testing.assert_identical(apart.dynamics.forecast(z, 5), forecast)
    assert reducer is not apart.reducer
    assert not np.array_equal(reducer.encode(parts[1]), z)
    assert not any(p.requires_grad for p in reducer.module.parameters())
    assert reducer.identity != apart.reducer.identity


def test_a_training_that_finds_nothing_better_changes_nothing(apart, parts):
    reducer, dynamics, told = tuned(apart, parts, 25, lr=0.5)  # far too large a step
    assert not told["kept"]
    assert told["rollout"][0] == pytest.approx(told["rollout"][1], rel=1e-6)
    z = apart.encode(parts[1])
    np.testing.assert_array_equal(reducer.encode(parts[1]), z)
    np.testing.assert_array_equal(dynamics.forecast(z, 9), apart.dynamics.forecast(z, 9))
    assert reducer.identity == apart.reducer.identity


def test_fit_tunes_saves_and_opens(parts, tmp_path):
    with silent():
        rom = model().fit(*parts, device="cpu", finetune=50)
    assert set(rom.tuning) == {"kept", "reconstruction", "rollout", "pod", "history"}
    assert rom.horizon is not None
    opened = romae.load(rom.save(tmp_path / "m.rom"))
    assert opened.tuning == rom.tuning
    xr.testing.assert_identical(opened.forecast(parts[0], 5), rom.forecast(parts[0], 5))
    low, high = rom.dynamics.span.low, rom.dynamics.span.high
    zn = rom.dynamics.span.normalise(rom.encode(parts[0]).values)
    np.testing.assert_allclose([zn.min(0), zn.max(0)], [low, high], rtol=1e-5)


def test_cases_with_parameters():
    family = xr.concat([burst(60, c) for c in range(3)], "case")
    family = family.assign_coords(a=("case", [0, 1, 2]))
    with silent():
        rom = model().fit(family, family, device="cpu", finetune=30)
    assert rom.tuning["rollout"][1] <= rom.tuning["rollout"][0] * (1 + 1e-6)
    assert rom.forecast(family, 3).sizes["case"] == 3


def test_training_leaves_the_global_generator_alone(apart, parts):
    state = torch.get_rng_state()
    tuned(apart, parts, 5)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("reducer", "dynamics", "words"),
    [
        (romae.POD(2), romae.GRU(), "POD is no autoencoder"),
        (romae.SequenceAutoencoder(2), romae.GRU(), "no autoencoder of single snapshots"),
        (romae.PODAutoencoder(2), romae.DMD(), "DMD is not trained by gradients"),
        (romae.PODAutoencoder(2), "auto", "dynamics='auto'"),
    ],
)
def test_what_cannot_be_tuned_is_told_before_any_training(reducer, dynamics, words):
    with pytest.raises(OptionError, match=words):
        romae.ReducedModel(reducer, dynamics).fit(burst(), finetune=True)
    assert not hasattr(reducer, "layout")


@pytest.mark.parametrize("value", [-3, "yes", 2.5])
def test_what_finetune_takes(value):
    with pytest.raises(OptionError, match="Expected True, a number of updates"):
        model().fit(burst(), finetune=value)


def test_too_short_for_a_window(apart, parts):
    with pytest.raises(DataError, match="hold no window of 10"):
        tuned(apart, (parts[0], parts[1].isel(time=slice(0, 8))), 5)


@pytest.mark.slow
def test_a_convolutional_autoencoder_and_a_neural_ode_are_tuned_together(parts, tmp_path):
    """Weights on the grid and a law in continuous time: neither error grows, both are saved."""
    config = romae.TrainConfig(steps=30, batch=8)
    reducer = romae.ConvAutoencoder(2, patch=4, widths=[8], train=config)
    law = romae.NeuralODE(8, unroll=2, updates=10)
    with silent():
        rom = romae.ReducedModel(reducer, law).fit(
            *parts, device="cpu", finetune=romae.TrainConfig(steps=25, lr=1e-3, batch=4)
        )
    assert rom.tuning["kept"]
    for name in ("reconstruction", "rollout"):
        before, after = rom.tuning[name]
        assert after < before
    opened = romae.load(rom.save(tmp_path / "m.rom"))
    xr.testing.assert_identical(opened.forecast(parts[0], 5), rom.forecast(parts[0], 5))
    middle = rom.dynamics.forecast(rom.encode(parts[0]), times=[17.25, 17.3])
    assert np.isfinite(middle).all()


@pytest.mark.parametrize("dynamics", [romae.OperatorInference(), romae.EchoState(20)])
def test_regressions_are_refused_with_what_could_be_tuned(parts, dynamics):
    """Their coefficients solve a least-squares problem: they have no weights to go on from."""
    rom = romae.ReducedModel(romae.ConvAutoencoder(2), dynamics)
    with pytest.raises(OptionError, match=rf"{dynamics.name} is not trained.*NeuralODE; type"):
        rom.fit(*parts, finetune=True)
    assert getattr(rom.reducer, "module", None) is None  # before anything was fitted
