"""dynamics = "auto" in a study, and the ranking on the command line."""

import json

import pytest
from click.testing import CliRunner

import romae
from romae.cli import main
from romae.errors import OptionError
from romae.study import run_study


def test_study_chooses_keeps_the_ranking_and_shows_it(forecast_study):
    run = forecast_study.run
    model = romae.load(run / "dynamics/pod-4+auto.rom")
    table = json.loads((run / "dynamics/pod-4+auto.choice/dynamics.json").read_text())
    names = [row["model"] for row in table["models"] if row["kind"] != "reconstruction"]
    assert names == [row["model"] for row in model.choice]
    assert model.dynamics.name == names[0]
    page = (run / "report/index.html").read_text()
    assert "Choice of dynamics, pod-4+auto" in page
    assert f"{names[0]} wins" in page
    again = run_study(forecast_study.folder / "waves.toml", run)
    assert not any(step["done"] for step in again.data["steps"])


def test_wrong_options_of_the_choice_are_found_before_any_work(forecast_study, tmp_path):
    for bad, text in (
        ('models = ["opimf"]', "opinf"),
        ("start = 6", "starts"),
    ):
        study = forecast_study.text.replace('models = ["opinf"], starts = 6', bad)
        (tmp_path / "bad.toml").write_text(study)
        with pytest.raises(OptionError, match=text):
            run_study(tmp_path / "bad.toml", tmp_path / "bad")
    assert not (tmp_path / "bad" / "models").exists()


@pytest.mark.slow
def test_forecast_compare_prints_a_table_and_writes_a_page(forecast_study, tmp_path):
    waves = str(forecast_study.folder / "waves.nc")
    train = romae.open_snapshots(waves).split(0.5, 0.25, 0.25)[0]
    romae.POD(4).fit(train).save(tmp_path / "pod.rom")
    call = ["forecast", str(tmp_path / "pod.rom"), waves, "--compare", "--steps",
            "8", "--starts", "5", "--kinds", "koopman"]  # fmt: skip
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 2
    assert "--split 0.7,0.15,0.15" in result.output
    call += ["--split", "0.5,0.25,0.25", "-o", str(tmp_path / "choice")]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 0, result.output
    assert "Koopman" in result.output
    assert " wins: it " in result.output
    assert (tmp_path / "choice/index.html").exists()
    assert (tmp_path / "choice/figures/dynamics.png").exists()
    result = CliRunner().invoke(main, [*call, "--overwrite", "--json", "--quiet"])
    found = json.loads(result.stdout)
    assert {row["model"] for row in found["models"]} == {
        "Koopman", "DMD", "Persistence", "Climatology",
    }  # fmt: skip
