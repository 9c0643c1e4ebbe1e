"""The report directory: one page that fetches nothing, files beside it, all or nothing."""

import json
import re
from html.parser import HTMLParser

import pytest
import xarray as xr

from romae.errors import PathExistsError
from romae.report import collect_provenance, write_report
from romae.report import sections as sections_module

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags and refuses wrong nesting."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def report(plane, tmp_path_factory):
    directory = tmp_path_factory.mktemp("out") / "report"
    # A study writes its report from what an earlier step left in files.
    plane.comparison.to_netcdf(directory.with_suffix(".nc"), engine="netcdf4")
    page = write_report(
        directory,
        comparison=xr.load_dataset(directory.with_suffix(".nc"), engine="netcdf4"),
        models=plane.models,
        test=plane.test,
        forecasts=plane.forecasts,
        provenance={"config": {"reducer": {"rank": 4}}, "wall_time": "12 s"},
        title="Waves & <masks>",
    )
    return page


@pytest.fixture(scope="module")
def page(report):
    return Page(report.read_text(encoding="utf-8"))


def test_nothing_is_fetched(report, page):
    for tag, attrs in page.tags:
        for key in ("src", "href", "srcset", "data", "action"):
            value = attrs.get(key) or ""
            assert value.startswith(("data:", "#")) or not value, (tag, key, value[:80])
    assert page.all("script") == []
    assert page.all("link") == []
    text = re.sub(r"data:image/svg\+xml;base64,[A-Za-z0-9+/=]*", "", report.read_text())
    assert "url(" not in text
    assert "@import" not in text


def test_images_are_embedded_and_described(page):
    images = page.all("img")
    assert len(images) == 10
    for image in images:
        assert image["src"].startswith("data:image/svg+xml;base64,")
        assert len(image["alt"]) > 15


def test_sections_and_links_agree(page):
    ids = [s["id"] for s in page.all("section") if "id" in s]
    assert ids == [
        "errors", "pod", "fields", "latents", "training", "forecasts", "table", "provenance",
    ]  # fmt: skip
    assert [a["href"] for a in page.all("a")] == [f"#{i}" for i in ids]


def test_everything_is_escaped(page):
    text = "".join(page.words)
    assert "Waves & <masks>" in text
    assert "T <deg>" in text


def test_says_what_it_is_made_of(page, plane):
    text = "".join(page.words)
    for expected in (
        "PODAutoencoder with 2 numbers", "POD k=4", "persistence", "climatology", "DMD",
        plane.test.fingerprint, "12 s", '"rank": 4', "torch", "python",
    ):  # fmt: skip
        assert expected in text, expected


def test_light_and_dark(report):
    assert "prefers-color-scheme: dark" in report.read_text()


def test_files_beside_it(report, plane):
    folder = report.parent
    names = {p.name for p in (folder / "figures").iterdir()}
    assert {"error-curve.svg", "error-curve.png", "fields-u.png", "modes-T__deg_.svg"} <= names
    assert len(names) == 20
    assert sorted(p.name for p in (folder / "data").iterdir()) == [
        "comparison.csv", "comparison.json", "comparison.nc",
        "forecasts.csv", "forecasts.json", "forecasts.nc", "provenance.json",
    ]  # fmt: skip
    with xr.open_dataset(folder / "data" / "comparison.nc") as stored:
        xr.testing.assert_equal(stored.load(), plane.comparison)
    origin = json.loads((folder / "data" / "provenance.json").read_text())
    assert origin["config"] == {"reducer": {"rank": 4}}
    assert origin["verdict"]


@pytest.mark.slow
def test_missing_parts_are_left_out(plane, tmp_path):
    dense = plane.comparison.isel(model=plane.comparison["family"].values == "PODAutoencoder")
    path = write_report(tmp_path / "r", comparison=dense, models=plane.rom, test=plane.test)
    page = Page(path.read_text())
    ids = [s["id"] for s in page.all("section") if "id" in s]
    assert ids == ["errors", "fields", "latents", "training", "table", "provenance"]


@pytest.mark.slow
def test_pod_alone(plane, tmp_path):
    only = plane.comparison.isel(model=plane.comparison["family"].values == "POD")
    path = write_report(tmp_path / "r", comparison=only, models=plane.pod, test=plane.test)
    ids = [s["id"] for s in Page(path.read_text()).all("section") if "id" in s]
    assert ids == ["errors", "pod", "fields", "latents", "table", "provenance"]


def test_replaces_only_a_report_and_only_when_told(report, plane, tmp_path):
    parts = {"comparison": plane.comparison, "models": plane.models, "test": plane.test}
    with pytest.raises(PathExistsError):
        write_report(report.parent, **parts)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(PathExistsError, match=r"thesis\.tex"):
        write_report(tmp_path / "mine", **parts, overwrite=True)


def test_a_failure_leaves_nothing(plane, tmp_path, monkeypatch):
    def broken(self):
        raise RuntimeError("no ink")

    monkeypatch.setattr(sections_module.Sections, "_errors", broken)
    with pytest.raises(RuntimeError, match="no ink"):
        write_report(
            tmp_path / "r", comparison=plane.comparison, models=plane.models, test=plane.test
        )
    assert list(tmp_path.iterdir()) == []


def test_provenance():
    found = collect_provenance({"a": 1}, seconds=3.21, device="cpu")
    assert found["wall_time"] == "3.2 s"
    assert found["config"] == {"a": 1}
    assert {"romae", "torch", "numpy", "python"} <= set(found["versions"])
    assert re.fullmatch(r"[0-9a-f]{40}\+?", found.get("romae_commit", "0" * 40))
    json.dumps(found)


def test_no_commit_outside_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "working_directory_commit" not in collect_provenance()
