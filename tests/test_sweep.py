"""sweep(): the elbow and its spread, runs kept and resumed, failures, wrong use."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import romae
from romae.compare.elbow import block_of, curve, elbow, redrawn
from romae.errors import OptionError, RomaeError
from romae.progress import silent
from romae.study import sweep
from romae.study.ledger import Ledger
from romae.study.sweeping import collect, make_plan, sentences

QUICK = {"pod-ae": {"train": {"steps": 3, "lr": 1e-6}, "modes": 6, "hidden": [8]}}


@pytest.fixture(scope="module")
def waves():
    """Two travelling waves: four modes, and a little noise."""
    t, x = np.arange(80) * 0.13, np.linspace(0, 2 * np.pi, 24, endpoint=False)
    phase = x[None] - t[:, None]
    noise = 1e-3 * np.random.default_rng(0).standard_normal((80, 24))
    u = np.cos(phase) + 0.4 * np.sin(2 * phase) + noise
    return xr.Dataset({"u": (("time", "x"), u.astype("float32"))}, {"time": t, "x": x})


def swept(waves, folder, **options):
    options = {"kinds": ("pod", "pod-ae"), "latent": (2, 4, 6), "seeds": 2, **options}
    with silent():
        return sweep(waves, folder=folder, device="cpu", **{"options": QUICK, **options})


@pytest.fixture(scope="module")
def whole(waves, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    return folder, swept(waves, folder)


def test_errors_are_those_of_compare(waves, whole):
    folder, found = whole
    *_, test = romae.open_snapshots(waves).split(0.7, 0.15, 0.15)
    for label, kind, seed in (("pod-6", "pod", 0), ("pod-ae-s1-4", "pod-ae", 1)):
        model = romae.load(folder / "models" / f"{label}.rom")
        one = romae.compare(model, test, rates="skip")
        for k, error in zip(one["latent"].values, one["error"].sel(field="all"), strict=True):
            if k in found["latent"]:
                mine = found["error"].sel(kind=kind, latent=k, seed=seed)
                assert float(mine) == pytest.approx(float(error), rel=1e-5)


def test_what_is_found_and_said(whole):
    folder, found = whole
    assert found["elbow"].sel(kind="pod") == 4  # four modes hold the waves
    assert found["elbow_share"].sel(kind="pod", latent=4) == 1
    assert found["elbow_lower"].sel(kind="pod") == found["elbow_upper"].sel(kind="pod") == 4
    np.testing.assert_allclose(found["elbow_share"].sum("latent"), 1, rtol=1e-9)
    assert (found["error_lower"] <= found["error_upper"]).all()
    assert np.isnan(found["error"].sel(kind="pod", seed=1)).all()  # nothing random in POD
    assert (np.diff(found["nbytes"].sel(kind="pod")) > 0).all()
    said = found.attrs["verdict"]
    assert "POD (pod): elbow at k = 4" in said
    assert "is undecided at k = 2, 4, 6" in said  # which starts as POD, and is not trained here
    for name in ("sweep.nc", "sweep.csv", "sweep.png", "sweep.svg"):
        assert (folder / name).stat().st_size > 0
    assert romae.load(folder / "models" / "pod-ae-s0-2.rom").latent == 2


def test_a_killed_sweep_goes_on_to_the_same_table(waves, whole, tmp_path, monkeypatch):
    perform, seen = Ledger.perform, []

    def dying(self, step):
        seen.append(step.name)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return perform(self, step)

    monkeypatch.setattr(Ledger, "perform", dying)
    with pytest.raises(KeyboardInterrupt):
        swept(waves, tmp_path)
    first, seen = seen, []
    monkeypatch.setattr(
        Ledger, "perform", lambda s, step: seen.append(step.name) or perform(s, step)
    )
    again = swept(waves, tmp_path)
    assert not set(first[:4]) & set(seen)  # two whole runs were kept
    xr.testing.assert_identical(again.drop_vars("fit_seconds"), whole[1].drop_vars("fit_seconds"))


def test_more_sizes_do_only_the_new_ones(waves, tmp_path, monkeypatch):
    swept(waves, tmp_path, kinds=["pod-ae"], latent=[1, 2], seeds=1)
    done, fit = [], romae.PODAutoencoder.fit
    monkeypatch.setattr(
        romae.PODAutoencoder, "fit",
        lambda self, *a, **k: done.append(self.latent) or fit(self, *a, **k),
    )  # fmt: skip
    swept(waves, tmp_path, kinds=["pod-ae"], latent=[1, 2, 3], seeds=1)
    assert done == [3]
    swept(waves * 2, tmp_path, kinds=["pod-ae"], latent=[1], seeds=1)
    assert done == [3, 1]  # other data: the old runs do not count


def test_a_failed_run_stops_no_other(waves, tmp_path, monkeypatch):
    fit = romae.PODAutoencoder.fit

    def failing(self, *args, **options):
        if self.latent == 1:
            raise RomaeError("out of luck")
        return fit(self, *args, **options)

    monkeypatch.setattr(romae.PODAutoencoder, "fit", failing)
    with pytest.raises(RomaeError, match=r"1 of 3 runs failed, the first pod-ae-s0-1: out of luck"):
        swept(waves, tmp_path, latent=[1, 2], seeds=1)
    assert (tmp_path / "scores" / "pod-ae-s0-2.nc").exists()


@pytest.mark.slow
def test_side_by_side_and_by_index_are_the_same(waves, whole, tmp_path):
    beside = swept(waves, tmp_path / "beside", jobs=2, latent=(2,), seeds=1)
    plan = make_plan(waves, ("pod", "pod-ae"), latent=(2,), seeds=1, folder=tmp_path / "index",
                     options=QUICK, split=(0.7, 0.15, 0.15), split_by="time",
                     device="cpu")  # fmt: skip
    with pytest.raises(RomaeError, match="2 of 2 runs are not finished"):
        collect(plan)
    with silent():
        for label in plan.runs:
            plan.perform(label)
    xr.testing.assert_allclose(beside.drop_vars("fit_seconds"),
                               collect(plan).drop_vars("fit_seconds"))  # fmt: skip


def test_wrong_use_is_found_before_the_first_run(waves, tmp_path):
    for wrong, match in (
        ({"latent": (1, 70), "options": {}}, "determine at most"),
        ({"latent": (0,)}, "latent is 0"),
        ({"kinds": ("pod-aee",)}, "pod-ae"),
        ({"kinds": ("pod",)}, "which is not swept"),
        ({"jobs": 0}, "jobs is 0"),
        ({"seeds": 0}, "seeds is 0"),
    ):
        with pytest.raises(OptionError, match=match):
            swept(waves, tmp_path / "none", **wrong)
    assert not (tmp_path / "none" / "models").exists()


def test_elbow():
    assert elbow(np.array([1.0, 0.1, 0.06, 0.051])) == 1
    assert elbow(np.array([1.0, 0.1, 0.06, 0.049])) == 2
    assert elbow(np.array([0.8, 0.4, 0.19, 0.09])) == 3  # still falling
    assert elbow(np.array([0.1, 5.0, 0.2])) == 0
    assert elbow(np.array([[1.0, 0.1], [0.1, 0.09]])).tolist() == [1, 0]
    # Falls slowly all along: the first size that halves the error of the mean is no elbow.
    assert elbow(np.array([0.66, 0.55, 0.44, 0.34])) == 3
    assert elbow(np.array([0.99, 0.97])) == 1
    assert elbow(0.8 ** np.arange(1, 30)) == 28
    assert elbow(np.array([0.1, 0.0, 0.0])) == 1


@given(
    error=st.lists(st.floats(1e-6, 1.2), min_size=1, max_size=8).map(np.array),
    gain=st.floats(1.1, 10),
)
def test_an_elbow_has_a_fall_before_it_and_none_after(error, gain):
    n = int(elbow(error, gain))
    if n < len(error) - 1:
        before, after = -np.log(error[n]), np.log(error[n] / error[n:].min())
        assert before >= np.log(gain) * (1 - 1e-9)
        assert after <= np.log(gain) * (1 + 1e-9)
        assert after / (len(error) - 1 - n) <= before / (n + 1) / 2 * (1 + 1e-9)


def test_redrawn_sweeps_scatter_about_the_sweep_and_less_with_more_data():
    rng = np.random.default_rng(1)
    truth = np.ones((400, 1))
    for seeds, spread in ((1, 0.0), (8, 0.02)):
        scale = np.exp(spread * rng.standard_normal((seeds, 1, 1)))
        energies = scale * rng.exponential(0.01, (seeds, 400, 1))
        found = redrawn([energies], truth, block_of([400]), [[0]])[:, 0]
        middle = np.median(curve(energies, truth, [[0]]))
        assert np.median(found) == pytest.approx(middle, rel=0.03)
        assert 0 < found.std() < 0.1 * middle
    same = redrawn([np.ones((3, 400, 1))], truth, block_of([400]), [[0]])
    np.testing.assert_allclose(same, 1.0)


def test_blocks_stay_inside_cases():
    blocks = block_of([7, 3, 5], 6)
    assert blocks.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 4, 4, 5, 5]
    assert len(set(block_of([1] * 30))) == 30
    assert set(block_of([3])) == {0, 1, 2}


def test_where_pod_wins():
    share = xr.DataArray([[0.0, 0.5, 1.0], [1.0, 0.5, 0.0]], dims=("kind", "latent"))
    result = xr.Dataset(
        {"best_share": share, "elbow": ("kind", [0, 2]), "elbow_lower": ("kind", [3, 1]),
         "elbow_upper": ("kind", [3, 2]), "elbow_share": share, "error_median": share},
        {"kind": ["pod", "conv"], "latent": [1, 2, 4], "family": ("kind", ["POD", "Conv"])},
    )  # fmt: skip
    said = sentences(result)
    assert said[0] == "POD (pod): no elbow up to k = 4, which leaves 100 % error."
    assert said[1].endswith("50 % of redrawn sweeps have it there, nine in ten from 1 to 2.")
    assert said[2] == "POD wins at k = 4, loses at k = 1, is undecided at k = 2."


def test_command(waves, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from romae.cli import main

    monkeypatch.chdir(tmp_path)
    waves.to_netcdf("waves.nc")

    def call(*words, status=0):
        done = CliRunner(catch_exceptions=False).invoke(
            main, ["sweep", "waves.nc", "--kinds", "pod", "--latent", "1,2,4,6", "-o", "out",
                   "--device", "cpu", *words]
        )  # fmt: skip
        assert done.exit_code == status, done.output
        return done

    listed = json.loads(call("--list", "--json").stdout)
    assert listed["runs"] == [{"index": 0, "run": "pod-6", "done": False}]
    assert "Expected 0 to 0" in call("--index", "7", status=2).output
    call("--index", "0")
    assert json.loads(call("--list", "--json").stdout)["runs"][0]["done"]
    rows = json.loads(call("--json").stdout)["rows"]
    assert [r["latent"] for r in rows if r["elbow"]] == [4]
    assert "three fractions" in call("--split", "0.5,0.5", status=2).output
