"""Shapes and phases apart: what a shift of the domain does to a forecast, and what it must not."""

import importlib

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import romae
from romae.bundle import read_bundle
from romae.dynamics import (
    DMD,
    Dynamics,
    EchoState,
    Ensemble,
    Equivariant,
    OperatorInference,
    Persistence,
    PolynomialMap,
)
from romae.errors import DataError, OptionError
from romae.progress import silent

ECHO = {"radius": 0.5, "input_scale": 0.3, "leak": 1.0, "noise": 1e-3, "ridge": 1e-6}
KINDS = {
    "polynomial": lambda: PolynomialMap(2, ridge=1e-9, noise=0.0),
    "delays": lambda: DMD(4),
    "echo": lambda: EchoState(60, context=16, **ECHO),
    "ensemble": lambda: Ensemble("DMD", 3, how="bagging"),
}


def travelling(steps, phase=0.0, start=0, dt=0.1):
    """A shape on a limit cycle that moves to and fro with its first number, by 0.3 rad in all."""
    angle = 2 * np.pi * (start + np.arange(steps)) / 41
    shape = np.stack([np.cos(angle), 2 * np.sin(angle)], axis=1)
    d = 0.02 * np.cos(angle)
    phi = phase + np.cumsum(d) - d[0]
    z = np.column_stack([np.cos(phi), np.sin(phi), shape])
    time = dt * (start + np.arange(steps))
    return xr.DataArray(z, dims=("time", "latent"), coords={"time": time}, attrs={"phases": 1})


def turned(z, angle, pair=0):
    c, s = np.cos(angle), np.sin(angle)
    values = z.values.copy()
    x, y = z.values[..., 2 * pair], z.values[..., 2 * pair + 1]
    values[..., 2 * pair], values[..., 2 * pair + 1] = c * x - s * y, s * x + c * y
    return z.copy(data=values)


@pytest.fixture(scope="module")
def fitted():
    with silent():
        return {kind: Equivariant(make()).fit(travelling(300)) for kind, make in KINDS.items()}


@settings(max_examples=20, deadline=None)
@given(angle=st.floats(-20, 20), kind=st.sampled_from(sorted(KINDS)), steps=st.integers(1, 60))
def test_the_forecast_of_a_shifted_history_is_the_shifted_forecast(fitted, angle, kind, steps):
    history = travelling(320)
    there = fitted[kind].forecast(turned(history, angle), steps)
    here = fitted[kind].forecast(history, steps)
    np.testing.assert_allclose(there, turned(here, angle), atol=1e-9)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_learned_at_one_place_holds_at_every_other(fitted, kind):
    history, truth = travelling(320, 2.5), travelling(402, 2.5)[320:]
    error = np.abs(fitted[kind].forecast(history, 82) - truth).max()
    assert error < (0.02 if kind == "echo" else 1e-4)


def test_a_model_without_it_does_not_know_other_places():
    with pytest.warns(UserWarning, match="lies outside three times the range"):
        bare = DMD(4).fit(travelling(300)).forecast(travelling(320, 2.5), 82)
    assert np.abs(bare - travelling(402, 2.5)[320:]).max() > 0.1


def test_phases_pass_the_cut_and_go_round():
    """A steady drift: 0.7 rad a step, many times round, two axes in opposite directions."""
    phi = 0.7 * np.arange(500)
    z = np.column_stack([np.cos(phi), np.sin(phi), np.cos(phi), -np.sin(phi), np.cos(3 * phi)])
    z = xr.DataArray(z, dims=("time", "latent"), coords={"time": np.arange(500.0)})
    found = Equivariant(DMD(3), phases=2).fit(z[:300]).forecast(z[:320], 180)
    np.testing.assert_allclose(found, z[320:], atol=1e-6)


def test_a_flow_that_is_all_phase():
    phi = 0.3 * np.arange(60)
    z = xr.DataArray(
        np.column_stack([np.cos(phi), np.sin(phi)]),
        dims=("time", "latent"),
        coords={"time": np.arange(60.0)},
    )
    found = Equivariant(Persistence(), phases=1).fit(z[:40]).forecast(z[:45], 15)
    np.testing.assert_allclose(found, z[45:], atol=1e-9)


def test_the_rounding_of_a_phase_at_rest_stays_rounding():
    z = travelling(300)
    phi = 1 + 1e-7 * np.random.default_rng(0).standard_normal(300)
    z[:, 0], z[:, 1] = np.cos(phi), np.sin(phi)
    ahead = Equivariant(PolynomialMap(2, ridge=1e-9, noise=0.0)).fit(z).forecast(z, 400)
    assert np.abs(ahead[:, 0] - np.cos(1)).max() < 1e-4


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_saved_and_opened_models_forecast_bit_for_bit_the_same(fitted, tmp_path, kind):
    model = fitted[kind]
    model.save(tmp_path / "model")
    opened = Equivariant.from_bundle(read_bundle(tmp_path / "model"))
    history = travelling(320)
    xr.testing.assert_identical(opened.forecast(history, 60), model.forecast(history, 60))
    assert opened.arguments == model.arguments
    assert repr(opened) == repr(model)
    assert model.nbytes > model.model.nbytes


def test_a_context_that_the_model_shortens(tmp_path):
    """An echo state of short cases synchronises on a quarter of them."""
    z = [travelling(40, start=n) for n in range(6)]
    model = Equivariant(EchoState(20, context=32, **ECHO)).fit(z)
    assert model.context == model.model.context + 1 < 33
    model.save(tmp_path / "model")
    opened = Equivariant.from_bundle(read_bundle(tmp_path / "model"))
    xr.testing.assert_identical(opened.forecast(z[0][:20], 9), model.forecast(z[0][:20], 9))


def test_members_differ_and_start_near(fitted):
    history, truth = travelling(320), travelling(322)[320:]
    members = fitted["delays"].forecast(history, 2, ensemble=5)
    assert members.sizes == {"member": 5, "time": 2, "latent": 4}
    assert (members.std("member") > 0).all()
    assert np.abs(members - truth).max() < 0.05
    there = fitted["delays"].forecast(turned(history, 1.0), 2, ensemble=5)
    assert np.abs(turned(members.mean("member"), 1.0) - there.mean("member")).max() < 0.05


def test_models_inside_and_outside_of_an_ensemble(fitted):
    history = travelling(320)
    inside = fitted["ensemble"]
    spread = inside.forecast(history, 30, ensemble=romae.Perturbed(3, 0)).std("member")
    assert float(spread.max()) > 0
    outside = Ensemble(Equivariant(DMD(4), phases=1), 2, how="bagging").fit(travelling(300))
    error = np.abs(outside.forecast(history, 30) - travelling(350)[320:]).max()
    assert error < 1e-3


def test_inputs_act_on_their_own_step():
    """The shape follows a forcing, the phase the shape: exact for a linear law."""
    rng = np.random.default_rng(0)
    u = rng.standard_normal(400)
    y = np.zeros(400)
    for n in range(399):
        y[n + 1] = 0.8 * y[n] + u[n]
    phi = np.concatenate([[0], np.cumsum(0.1 * y[:-1])])
    time = np.arange(400.0)
    z = xr.DataArray(
        np.column_stack([np.cos(phi), np.sin(phi), y]),
        dims=("time", "latent"),
        coords={"time": time},
    )
    forcing = xr.DataArray(u, dims="time", coords={"time": time}, name="u")
    model = Equivariant(OperatorInference("linear"), phases=1).fit(z[:300], inputs=forcing[:300])
    found = model.forecast(z[:320], 60, inputs=forcing)
    np.testing.assert_allclose(found, z[320:380], atol=1e-5)


class Runaway(Dynamics):
    """Increments that grow tenfold a step, forwards or back; shapes that stay."""

    way = 1.0

    def _fit(self, sequences, **known):
        pass

    def _rollout(self, history, steps, **known):
        out = np.repeat(history[:, -1:], steps, axis=1)
        out[..., 0] = self.way * 10.0 ** np.arange(steps)
        return out


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_an_increment_that_runs_away_is_told(way, monkeypatch):
    monkeypatch.setattr(Runaway, "way", way)
    model = Equivariant(Runaway()).fit(travelling(100))
    with pytest.warns(UserWarning, match="left three times the range"):
        found = model.forecast(travelling(100), 5)
    assert found.attrs["left_training_range_at"] == pytest.approx(10.0 + 0.1)
    assert np.isfinite(found).all()


def test_latents_without_phases_and_with_too_few_numbers():
    with pytest.raises(DataError, match="no attribute 'phases'"):
        Equivariant("DMD").fit(travelling(50).drop_attrs())
    with pytest.raises(DataError, match="3 phases and 4 latents"):
        Equivariant("DMD", phases=3).fit(travelling(50))
    with pytest.raises(OptionError, match="at least 1"):
        Equivariant("DMD", phases=0)
    with pytest.raises(DataError, match="at least 6"):
        Equivariant(DMD(4)).fit(travelling(5))


def wave_train():
    """Snapshots of a wave train that moves and breathes."""
    t, x = 0.1 * np.arange(200), np.arange(32)
    q = 2 * np.pi / 32 * (x - 3 * t[:, None])
    u = np.sin(q) + (0.3 + 0.1 * np.cos(t[:, None])) * np.cos(2 * q)
    x = ("x", x / 32, {"periodic": 1})
    return xr.Dataset({"u": (("time", "x"), u)}, coords={"time": t, "x": x})


def test_comparisons_know_the_phases_of_aligned_latents():
    data = wave_train()
    train, test = data.isel(time=slice(150)), data.isel(time=slice(150, None))
    for reducer, known in ((romae.Aligned(romae.POD(2), "x"), True), (romae.POD(4), False)):
        model = Equivariant(DMD(3))
        ranked = romae.compare_dynamics(
            reducer.fit(train), train, test, models={"apart": model}, steps=20, starts=3
        )
        found = ranked.sel(model="apart")
        assert bool(np.isfinite(found.error_mean)) == known, str(found.failure.item())


def test_fields_that_start_elsewhere(tmp_path):
    data = wave_train()
    reducer = romae.Aligned(romae.POD(2), axes="x")
    model = romae.ReducedModel(reducer, Equivariant(DMD(3))).fit(data.isel(time=slice(160)))
    assert reducer.encode(data).attrs["phases"] == 1
    history = data.isel(time=slice(170))
    found = model.forecast(history, 30)
    assert float(np.abs(found.u - data.u[170:]).max()) < 0.02
    there = model.forecast(history.roll(x=5), 30)
    np.testing.assert_allclose(there.u, found.u.roll(x=5), atol=1e-4)
    model.save(tmp_path / "model.rom")
    xr.testing.assert_identical(romae.load(tmp_path / "model.rom").forecast(history, 30), found)


def test_a_choice_without_names_tries_the_linear_map_too(monkeypatch):
    """Only where latents have phases; the names in the table say what is inside."""
    module = importlib.import_module("romae.compare.candidates")
    few = ("persistence", "climatology", "dmd", "equivariant")
    few = {n: romae.kinds.DYNAMICS[n] for n in few}
    monkeypatch.setattr(module, "DYNAMICS", few)
    data = wave_train()
    train, test = data.isel(time=slice(150)), data.isel(time=slice(150, None))
    around = {"Equivariant(PolynomialMap)", "Equivariant(DMD(delays=2))"}
    for reducer in (romae.Aligned(romae.POD(2), "x"), romae.POD(4)):
        ranked = romae.compare_dynamics(
            reducer.fit(train), train, test, steps=20, starts=3, measure="latents"
        )
        tried = {n for n in ranked.model.values if str(n).startswith("Equivariant")}
        assert tried == (around if isinstance(reducer, romae.Aligned) else set())
        assert not any(ranked.failure.values)
    made = module.candidates([Equivariant(DMD(2)), Equivariant(DMD(2), phases=1)], 0, "cpu")
    name = "Equivariant(DMD(delays=2)"
    assert list(made)[-2:] == [f"{name})", f"{name}, phases=1)"]
