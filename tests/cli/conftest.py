import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from romae.cli import main


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Run ``romae`` with the given words in a fresh folder; the click Result."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, status: int = 0) -> Result:
        result = CliRunner(catch_exceptions=False).invoke(main, [str(w) for w in words])
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture
def call_json(call):
    """As ``call`` with ``--json``; standard output has to be one JSON object and no more."""
    return lambda *words, status=0: json.loads(call(*words, "--json", status=status).stdout)


@pytest.fixture(scope="session")
def chaos(tmp_path_factory) -> Path:
    """Kuramoto-Sivashinsky, tiny: 280 snapshots of 64 points."""
    from romae.cases import make_case

    path = tmp_path_factory.mktemp("data") / "chaos.nc"
    return make_case("kuramoto-sivashinsky", "tiny", path, progress=False)
