"""dynamics = "auto" in a study, and the ranking on the command line."""

import json

import pytest
from click.testing import CliRunner

import romae
from romae.cases import make_case
from romae.cli import main
from romae.errors import OptionError
from romae.study import run_study

STUDY = """
[data]
files = "wake.nc"
split = [0.5, 0.25, 0.25]
[[reducers]]
kind = "pod"
latent = 4
[[dynamics]]
kind = "auto"
options = { models = ["opinf"], starts = 6, steps = 10 }
[forecast]
steps = 10
starts = 5
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("auto")
    make_case("cylinder", "tiny", folder / "wake.nc", snapshots=120)
    (folder / "auto.toml").write_text(STUDY)
    return folder


@pytest.mark.slow
def test_study_chooses_keeps_the_ranking_and_shows_it(folder):
    outcome = run_study(folder / "auto.toml", folder / "run")
    model = romae.load(folder / "run/dynamics/pod-4+auto.rom")
    table = json.loads((folder / "run/dynamics/pod-4+auto.choice/dynamics.json").read_text())
    names = [row["model"] for row in table["models"] if row["kind"] != "reconstruction"]
    assert names == [row["model"] for row in model.choice]
    assert model.dynamics.name == names[0]
    page = outcome.data["report"].read_text()
    assert "Choice of dynamics, pod-4+auto" in page
    assert f"{names[0]} wins" in page
    again = run_study(folder / "auto.toml", folder / "run")
    assert not any(step["done"] for step in again.data["steps"])


def test_wrong_options_of_the_choice_are_found_before_any_work(folder):
    for bad, text in (
        ('models = ["opimf"]', "opinf"),
        ("start = 6", "starts"),
    ):
        study = STUDY.replace('models = ["opinf"], starts = 6', bad)
        (folder / "bad.toml").write_text(study)
        with pytest.raises(OptionError, match=text):
            run_study(folder / "bad.toml", folder / "bad")
    assert not (folder / "bad" / "models").exists()


@pytest.mark.slow
def test_forecast_compare_prints_a_table_and_writes_a_page(folder):
    train = romae.open_snapshots(folder / "wake.nc").split(0.5, 0.25, 0.25)[0]
    romae.POD(4).fit(train).save(folder / "pod.rom", overwrite=True)
    call = ["forecast", str(folder / "pod.rom"), str(folder / "wake.nc"), "--compare", "--steps",
            "8", "--starts", "5", "--kinds", "koopman"]  # fmt: skip
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 2
    assert "--split 0.7,0.15,0.15" in result.output
    call += ["--split", "0.5,0.25,0.25", "-o", str(folder / "choice")]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    assert "Koopman" in result.output
    assert " wins: it " in result.output
    assert (folder / "choice/index.html").exists()
    assert (folder / "choice/figures/dynamics.png").exists()
    result = CliRunner().invoke(main, [*call, "--overwrite", "--json", "--quiet"])
    found = json.loads(result.stdout)
    assert {row["model"] for row in found["models"]} == {
        "Koopman", "DMD", "Persistence", "Climatology",
    }  # fmt: skip
