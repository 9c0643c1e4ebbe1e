"""The four commands of archives: what they print, refuse and return."""

import json
import re

import pytest
import xarray as xr
from click.testing import CliRunner

from romae.cli import main


@pytest.fixture
def call(tmp_path, monkeypatch, source):
    """Run ``romae`` in the folder of the source ``waves.nc``; the click Result."""
    monkeypatch.chdir(tmp_path)

    def run(*words, status=0):
        result = CliRunner(catch_exceptions=False).invoke(main, list(map(str, words)))
        assert result.exit_code == status, result.output
        return result

    return run


def test_compress_verify_pack_decompress(call, tmp_path):
    text = call("compress", "waves.nc", "-o", "w.romae", "--rel", "1e-3").stdout
    assert "times smaller" in text
    assert "of bound" in text
    assert "sound" in call("verify", "w.romae", "--against", "waves.nc").stdout
    call("pack", "w.romae", "-o", "w.romae.zip")
    assert json.loads(call("verify", "w.romae.zip", "--json").stdout)["ok"]
    call("decompress", "w.romae.zip", "-o", "back.nc")
    xr.testing.assert_identical(
        xr.open_dataset(tmp_path / "back.nc").load(), xr.open_dataset(tmp_path / "w.romae").load()
    )


def test_json_says_what_the_table_says(call):
    words = ("compress", "waves.nc", "-o", "w.romae", "--abs", "u=0.01,p=5", "--model", "none")
    found = json.loads(call(*words, "--json").stdout)
    assert found["finished"]
    assert found["bytes"]["total"] * found["ratio"] == pytest.approx(
        found["source"]["bytes"], rel=1e-3
    )
    for name, eps in (("u", 0.01), ("p", 5)):
        assert 0 < found["variables"][name]["max_error"] <= eps == found["variables"][name]["bound"]


def test_parts_by_hand(call):
    words = ("compress", "waves.nc", "-o", "w.romae", "--nrmse", "1e-3", "--chunk", "8")
    assert "5 chunks are left" in call(*words, "--part", "plan").stdout
    assert "2 chunks are left" in call(*words, "--part", "0/2").stdout
    assert "times smaller" in call(*words, "--part", "1/2").stdout


def test_verify_fails_with_status_one(call, tmp_path):
    call("compress", "waves.nc", "-o", "w.romae", "--rel", "1e-3", "--chunk", "8")
    chunk = tmp_path / "w.romae" / "coded" / "0" / "c.1.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    text = call("verify", "w.romae", status=1).stdout
    assert "NOT SOUND" in text
    assert "chunk 1, snapshots 8 to 15" in text
    found = json.loads(call("verify", "w.romae", "--json", status=1).stdout)
    assert not found["ok"]
    assert found["damaged"][0]["chunk"] == 1


def test_a_saved_model_predicts_and_may_stay_outside(call, tmp_path):
    call("fit", "pod", "waves.nc", "-o", "pod.rom", "--latent", "3")
    words = ("compress", "waves.nc", "--rel", "1e-2", "--model", "pod.rom")
    call(*words, "-o", "own.romae")
    call(*words, "-o", "w.romae", "--no-embed")
    assert "sound" in call("verify", "w.romae", "--against", "waves.nc").stdout
    assert "embed" in call(*words[:4], "-o", "x.romae", "--no-embed", status=2).stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--rel", "0"], "above 0"),
        (["--rel", "many"], "--rel 1e-3 or --rel u=1e-3,p=5"),
        (["--abs", "u=1,q=2"], "'q' is no field"),
        ([], "exactly one of --abs (in the field's unit), --rel (share"),
        (["--rel", "1"], "type --rel 1e-3; for a bound in the field's own unit, --abs 1"),
        (["--abs", "u=1"], "leave it out with --variables u"),
        (["--rel", "1e-3", "--append", "--overwrite"], "--append and --overwrite exclude"),
        (["--rel", "1e-3", "--chunk", "8", "--time", "day"], "unknown time dimension 'day'"),
        (["--rel", "1e-3", "--part", "half"], "--part 0/4"),
        (["--rel", "1e-3", "--model", "wake.rom"], "no model at 'wake.rom'"),
    ],
)
def test_wrong_use_is_said_in_one_line(call, words, expected):
    result = call("compress", "waves.nc", "-o", "w.romae", *words, status=2)
    assert result.stderr.startswith("error: ")
    assert expected in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_help_names_every_option_once(call):
    text = call("compress", "--help").stdout
    for option in ("--rel", "--abs", "--nrmse", "--model", "--chunk", "--part", "--overwrite"):
        assert text.count(f"\n  {option}") == 1


def test_verify_takes_the_options_that_compress_took(call, tmp_path):
    """A source in a group is found by the same --group."""
    xr.open_dataset(tmp_path / "waves.nc").to_netcdf(tmp_path / "g.nc", group="run one/fine")
    group = ("--group", "run one/fine")
    call("compress", "g.nc", "-o", "g.romae", "--rel", "1e-3", "--model", "none", *group)
    call("verify", "g.romae", "--against", "g.nc", status=2)
    found = call("verify", "g.romae", "--against", "g.nc", *group)
    assert "sound" in found.stdout
    assert "worst error" in found.stdout


def test_errors_speak_of_options_and_never_of_python(call):
    words = ("compress", "waves.nc", "-o", "w.romae")
    call(*words, "--rel", "1e-3", "--chunk", "8")
    for more in (
        ("--rel", "1e-3"),
        ("--rel", "1e-2", "--append"),
        ("--rel", "1e-3", "--chunk", "4", "--append"),
        ("--rel", "1e-3", "--variables", "u", "--append"),
        ("--rel", "nan"),
        ("--rel", "1e-3", "--no-embed"),
    ):
        text = call(*words, *more, status=2).stderr
        assert "--" in text
        assert not re.search(r"\b(rel|abs|chunk|overwrite|append|embed|variables)=", text), text


def test_info_says_what_an_archive_holds(call):
    call("compress", "waves.nc", "-o", "w.romae", "--rel", "u=1e-3,p=1e-2", "--model", "none")
    text = call("info", "w.romae").stdout
    for words in ("times smaller", "spline 1 chunk, 40 snapshots each", "of bound", "grid "):
        assert words in text
    assert "MB/s" not in text
    found = json.loads(call("info", "w.romae", "--json").stdout)
    assert found["archives"][0]["variables"]["p"]["bound"] == 1e-2
    assert found["archives"][0]["ratio"] > 1
    assert "archives" not in json.loads(call("info", "waves.nc", "--json").stdout)


def test_an_archive_larger_than_its_source_says_so(call, tmp_path):
    xr.open_dataset(tmp_path / "waves.nc").isel(time=[0]).to_netcdf(tmp_path / "one.nc")
    text = call("compress", "one.nc", "-o", "one.romae", "--rel", "1e-3", "--model", "none").stdout
    assert "times larger" in text
    assert "1 chunk, 1 snapshot each" in text
