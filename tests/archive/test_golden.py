"""Archives written by earlier versions open to the bits that they had."""

import json

import pytest

import romae

from . import golden

EXPECTED = json.loads(golden.EXPECTED.read_text()) if golden.EXPECTED.exists() else {}


@pytest.mark.parametrize("name", golden.MAKERS)
def test_an_earlier_archive_opens_to_the_same_bits(name):
    path = golden.FOLDER / f"{name}.zip"
    assert romae.verify(path).ok
    assert romae.archive.Archive(path).facts["methods"] == EXPECTED[name]["methods"]
    assert golden.decoded(path) == EXPECTED[name]["variables"]


def test_every_method_without_weights_of_a_network_is_among_them():
    from romae.archive.choose import classes

    used = {m for about in EXPECTED.values() for m in about["methods"]}
    assert used == {*classes(), "exact"} - {"network"}


def test_what_is_there_is_not_overwritten(tmp_path, monkeypatch):
    monkeypatch.setattr(golden, "MAKERS", {"exact": golden.MAKERS["exact"]})
    assert golden.make(tmp_path) == ["exact"]
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert golden.make(tmp_path) == []
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
