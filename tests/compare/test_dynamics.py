"""compare_dynamics(): ranking, ties, failures, intervals, and dynamics chosen by it."""

import importlib

import numpy as np
import pytest
import xarray as xr

import romae
from romae.compare import compare_dynamics, compare_forecasts, forecast_table, write_comparison
from romae.compare.bootstrap import block_length, draw, interval
from romae.compare.ranking import rank_models, sentences
from romae.compare.rollouts import codes_of, histories_of, roll
from romae.dynamics import DMD, GRU, Dynamics, Persistence
from romae.errors import DataError, OptionError
from romae.fields import open_snapshots
from romae.model import ReducedModel
from romae.reducers import POD
from romae.report.dynamics import write_dynamics_report
from romae.report.figures import dynamics_ranking

STEPS = 8


class Broken(Dynamics):
    """Cannot be fitted."""

    def _fit(self, sequences):
        raise ValueError("nothing fits")

    def _rollout(self, history, steps):
        raise AssertionError


class Explosive(Persistence):
    """Triples every step."""

    def _rollout(self, history, steps):
        return (history[:, -1:] + 1) * 3.0 ** np.arange(1, steps + 1)[None, :, None]


class Late(Persistence):
    """Fits, and cannot forecast."""

    def _rollout(self, history, steps):
        raise RuntimeError("no solution found")


@pytest.fixture(scope="module")
def parts(make_flow):
    flow = open_snapshots(make_flow(140))
    return flow.split(0.5, 0.25, 0.25)


@pytest.fixture(scope="module")
def reducer(parts):
    return POD(4).fit(parts[0], device="cpu")


@pytest.fixture(scope="module")
def found(reducer, parts):
    models = {"delays": DMD(delays=3), "broken": Broken(), "wild": Explosive(), "late": Late()}
    return compare_dynamics(reducer, *parts[:2], models, steps=STEPS, starts=12)


def test_rows_are_in_order_of_rank_failures_after_them(found):
    names = found["model"].values.tolist()
    assert set(names[:2]) == {"delays", "DMD"}
    assert {"Persistence", "Climatology"} <= set(names)
    assert set(names[-3:-1]) == {"broken", "late"}
    assert names[-1] == "POD, reconstruction"
    rank = found["rank"].values[:-1]
    assert rank.tolist() == list(range(1, len(names)))


def test_failures_say_why_and_have_no_numbers(found):
    assert found["failure"].sel(model="broken").item() == "ValueError: nothing fits"
    assert found["failure"].sel(model="late").item() == "RuntimeError: no solution found"
    for name in ("broken", "late"):
        assert found["error"].sel(model=name).isnull().all()
        assert np.isnan(float(found["valid_time_mean"].sel(model=name)))
    assert "ValueError: nothing fits" in found.attrs["verdict"]


def test_numbers_are_those_of_compare_forecasts(found, reducer, parts):
    model = ReducedModel(reducer, DMD(delays=3)).fit(parts[0])
    starts = list(zip(found["start_case"].values, found["start_index"].values, strict=True))
    other = compare_forecasts({"delays": model}, parts[1], STEPS, starts)
    np.testing.assert_allclose(
        found["error"].sel(model="delays"), other["error"].sel(model="delays"), rtol=1e-5
    )
    assert float(found["left_range"].sel(model="wild")) == 1
    assert float(found["nbytes"].sel(model="delays")) == model.dynamics.nbytes


def test_costs_are_there(found):
    alive = found.isel(model=found["failure"].values == "").isel(model=slice(0, -1))
    for name in ("fit_seconds", "step_seconds", "batch_step_seconds", "nbytes"):
        assert (alive[name] > 0).all(), name


def test_rank_does_not_depend_on_the_order_of_the_models(found, reducer, parts):
    models = {"late": Late(), "wild": Explosive(), "delays": DMD(delays=3)}
    other = compare_dynamics(reducer, *parts[:2], models, steps=STEPS, starts=12)
    names = [n for n in found["model"].values if n in other["model"].values]
    assert other["model"].values.tolist() == names


def test_words_name_winner_tie_and_baseline(found):
    winner, twin = found["model"].values[:2]
    text = found.attrs["verdict"]
    assert text.startswith(f"{winner} wins: it stays valid to the end")
    assert f"{twin} cannot be told from {winner}" in text  # two exact models
    assert int(found["tied"].sel(model=twin)) == 1
    assert int(found["tied"].sel(model="Persistence")) == 0
    assert "DMD would do as well" in text or "DMD wins and costs next to nothing" in text


def test_persistence_wins_where_nothing_moves_predictably(make_flow):
    """A random walk: no model can beat standing still, and the words say so."""
    flow = make_flow(120)
    walk = np.cumsum(np.random.default_rng(0).standard_normal(120))
    flow = flow.isel(time=0, drop=True) * (1 + 0.05 * xr.DataArray(walk, dims="time"))
    flow = flow.transpose("time", ...).assign_coords(time=make_flow(120)["time"])
    train, validation = open_snapshots(flow).split(0.5, 0.5)
    result = compare_dynamics(
        POD(1).fit(train), train, validation, {"wild": Explosive()}, steps=5, starts=20,
        threshold=0.2,
    )  # fmt: skip
    assert "costs next to nothing" in result.attrs["verdict"]
    assert result["model"].values[0] in ("Persistence", "DMD")


def test_budget_leaves_out_what_comes_late(reducer, parts):
    found = compare_dynamics(reducer, *parts[:2], [GRU(updates=5)], steps=4, starts=3, budget=0.0)
    assert "budget of 0 s" in found["failure"].sel(model="GRU").item()
    assert found["failure"].sel(model="DMD").item() == ""


def test_a_history_that_does_not_fit_fails_alone(reducer, parts):
    found = compare_dynamics(reducer, *parts[:2], {"long": DMD(delays=30)}, steps=STEPS, starts=3)
    assert "do not fit into 35" in found["failure"].sel(model="long").item()
    assert found["failure"].sel(model="DMD").item() == ""


def test_latents_rank_as_fields_do(reducer, parts):
    models = {"wild": Explosive()}
    one, two = (
        compare_dynamics(reducer, *parts[:2], models, steps=STEPS, starts=8, measure=measure)
        for measure in ("fields", "latents")
    )
    assert two["model"].values.tolist() == one["model"].values[:-1].tolist()
    assert two["field"].values[-1] == "all"


def test_batched_rollouts_are_those_one_by_one(reducer, parts):
    train, test, _ = parts
    codes = codes_of(reducer, test)
    model = ReducedModel(reducer, DMD(delays=3)).fit(train).dynamics
    starts = [(0, 5), (0, 11), (0, 17)]
    histories = histories_of(model, codes, starts)
    together = roll(model, histories, STEPS, test).z
    for i in range(3):
        alone = roll(model, histories[i : i + 1], STEPS, test).z[0]
        np.testing.assert_allclose(together[i], alone, rtol=1e-9, atol=1e-12)


def test_table_files_figure_and_page(found, tmp_path):
    frame = forecast_table(found)
    assert frame["failure"]["broken"] == "ValueError: nothing fits"
    paths = write_comparison(found, tmp_path, name="dynamics")
    back = xr.load_dataset(paths[2], engine="netcdf4")
    np.testing.assert_array_equal(back["failure"].values, found["failure"].values)
    dynamics_ranking(found).draw_without_rendering()
    page = write_dynamics_report(tmp_path / "report", found).read_text()
    assert "cannot be told from" in page
    assert "ValueError: nothing fits" in page


def test_wrong_use(reducer, parts):
    train, validation, _ = parts
    with pytest.raises(DataError, match="fitted to these very snapshots"):
        compare_dynamics(reducer, train, train, ["dmd"])
    with pytest.raises(OptionError, match=r"unknown dynamics 'dmb'.*dmd"):
        compare_dynamics(reducer, train, validation, ["dmb"])
    with pytest.raises(OptionError, match="cannot compare a int as dynamics"):
        compare_dynamics(reducer, train, validation, [3])
    with pytest.raises(OptionError, match="no start leaves room"):
        compare_dynamics(reducer, train, validation, ["dmd"], steps=500)
    with pytest.raises(OptionError, match="auto"):
        ReducedModel(reducer, "automatic")


# The interval


def test_blocks_are_as_long_as_rollouts_overlap():
    starts = [(0, 2 * i) for i in range(40)]
    assert block_length(starts, 1) == 1
    assert block_length(starts, 6) == 6
    assert block_length(starts, 1000) == 10  # four blocks at least
    assert block_length([(i, 3) for i in range(9)], 50) == 1  # one start a case


def test_interval_covers():
    """95 % intervals of overlapping sums hold the true mean in nearly as many experiments."""
    rng = np.random.default_rng(0)
    starts, steps = [(0, i) for i in range(200)], 10
    drawn = draw(starts, steps, draws=400)
    hits = plain = 0
    for _ in range(200):
        noise = rng.standard_normal(209)
        x = np.convolve(noise, np.ones(steps), mode="valid")  # what overlapping windows share
        low, high = interval(x, drawn)
        hits += low <= 0 <= high
        low, high = interval(x, draw([(i, 0) for i in range(200)], 1, draws=400))
        plain += low <= 0 <= high
    assert 0.82 <= hits / 200 <= 0.99
    assert plain / 200 < 0.75  # drawing single starts promises too much


def test_ranking_prefers_longer_then_more_accurate():
    valid = np.array([[2.0, 2], [3, 3], [3, 3], [np.nan, np.nan]])
    errors = np.ones((4, 2, 5)) * np.array([0.1, 0.3, 0.2, np.nan])[:, None, None]
    ranking = rank_models(valid, errors, [(0, 0), (0, 9)], 5)
    assert ranking.rank.tolist() == [3, 2, 1, 4]
    assert ranking.tied.tolist() == [False, False, True, False]


def test_one_reason_is_told_once_and_days_as_days():
    nothing = np.full((2, 2), np.nan)
    none = rank_models(nothing, np.full((2, 2, 5), np.nan), [(0, 0), (0, 9)], 5)
    told = {"horizon": 8.64e5, "unit": "s", "threshold": 0.4, "starts": 2}
    (text,) = sentences(["A", "B"], [True, False], none, ["too short.", "too short."], **told)
    assert text == "No model could be fitted. Not compared: A and B: too short."
    some = rank_models(
        np.array([[8.64e5] * 2, [2 * 86400.0] * 2]), np.full((2, 2, 5), 0.1), [(0, 0), (0, 9)], 5
    )
    first, second, *_ = sentences(["A", "B"], [False, True], some, ["", ""], **told)
    assert "stays valid to the end (10 days)" in first
    assert "B, is valid for 2 days" in second


# dynamics = "auto"


@pytest.mark.parametrize("winner", [0, 1])
def test_the_winner_is_ahead_in_valid_time_even_with_the_larger_error(winner):
    """Where valid times decide, what is behind is behind by a positive time, and is not tied."""
    starts = [(0, 10 * i) for i in range(30)]
    own = 20.0 + np.random.default_rng(0).normal(0, 2.0, len(starts))
    valid = np.stack([own, own])
    valid[1 - winner] -= 5.0  # at every start: paired, although the spread is as large
    errors = np.full((2, len(starts), 8), 0.1)
    errors[winner] = 0.3
    ranking = rank_models(valid, errors, starts, 8)
    assert ranking.rank[winner] == 1
    assert ranking.tied[winner]
    assert not ranking.tied[1 - winner]
    assert ranking.behind_low[1 - winner] == pytest.approx(5.0)
    assert ranking.behind_high[1 - winner] == pytest.approx(5.0)


def test_auto_takes_the_winner_and_keeps_the_table(parts, reducer, tmp_path, monkeypatch):
    few = {n: romae.kinds.DYNAMICS[n] for n in ("persistence", "climatology", "dmd", "opinf")}
    module = importlib.import_module("romae.compare.candidates")
    monkeypatch.setattr(module, "DYNAMICS", few)
    model = ReducedModel(reducer, "auto").fit(parts[0], validation=parts[1])
    best = model.choice[0]
    assert best["rank"] == 1
    assert best["model"] == model.dynamics.name
    assert {"Persistence", "Climatology", "DMD"} <= {row["model"] for row in model.choice}
    back = romae.load(model.save(tmp_path / "auto.rom"))
    assert back.choice == model.choice
    xr.testing.assert_identical(
        back.forecast_latents(parts[1], 5), model.forecast_latents(parts[1], 5)
    )
    alone = ReducedModel(POD(4), "auto").fit(parts[0], device="cpu")  # holds a fifth back
    assert alone.choice
    assert alone.reducer.training["snapshots"] == 56


def test_a_model_of_too_many_features_is_left_out_with_the_reason(parts, monkeypatch):
    """Only where no model was named, and never without a row."""
    module = importlib.import_module("romae.compare.candidates")

    few = {"sindy": "SINDy", "opinf": "OperatorInference"}
    monkeypatch.setattr(module, "DYNAMICS", {**few, **{n.lower(): n for n in module.BASELINES}})
    wide = POD(11).fit(parts[0], device="cpu")
    found = compare_dynamics(wide, parts[0], parts[1], steps=STEPS, starts=4, measure="latents")
    why = found.failure.sel(model="SINDy").item()
    assert why.startswith("left out: 364 features of 11 latents, more than 300; name it")
    assert why in found.attrs["verdict"]
    assert not found.failure.sel(model="OperatorInference").item()
    monkeypatch.setattr(module, "_attempt", lambda entry, *known: "was tried")
    named = compare_dynamics(
        wide, parts[0], parts[1], {"SINDy": romae.SINDy()}, steps=STEPS, starts=4,
        measure="latents",
    )  # fmt: skip
    assert named.failure.sel(model="SINDy").item() == "was tried"


@pytest.mark.parametrize("phases", [0, 1])
def test_many_latents_get_the_map_for_chaos_where_the_search_ends_at_the_linear_one(phases):
    """From 62 states on degree None tries degree 1 only; past 98 the map must be named."""
    module = importlib.import_module("romae.compare.candidates")
    label = "PolynomialMap(degree=2, scale='common', bounded=True)"
    label = f"Equivariant({label})" if phases else label
    for states, rows, tried, left in (
        (61, 3000, False, False), (62, 3000, True, False), (62, 2015, False, False),
        (98, 9000, True, False), (99, 9000, True, True),
    ):  # fmt: skip
        alone = romae.PolynomialMap()._degrees(states, rows)
        made = module.candidates(None, 0, "cpu", phases, states + phases, rows)
        assert (list(made)[-1] == label) is tried
        assert (alone == [1]) is (tried or rows == 2015)
        entries = [module.Entry(n, "model", None, d) for n, d in made.items()]
        module.leave_out(entries, states + phases, phases)
        failure = {e.name: e.failure for e in entries}.get(label, "")
        assert failure.startswith("left out: 5050 features of 99 latents") is left
        assert bool(failure) is left
    assert label not in module.candidates(["polynomial"], 0, "cpu", phases, 80, 9000)
