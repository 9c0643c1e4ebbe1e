"""Every folder in datasets/: a strict dataset.toml, a whole card, reproducible data."""

import re
import tomllib

import numpy as np
import pytest
import xarray as xr

from romae.cases import case_card, case_info, get_case, list_cases, make_case
from romae.errors import OptionError
from romae.share import share_path

CASES = ["burgers", "cylinder", "kolmogorov", "kuramoto-sivashinsky", "pulse", "shallow-water"]
QUICK = ["burgers", "kuramoto-sivashinsky", "pulse"]  # tiny in well under a second
SECTIONS = [
    "Description",
    "Equations",
    "Domain, boundary and initial conditions",
    "Parameters",
    "Grid and times",
    "Variables",
    "Sizes",
    "How it was made",
    "Splits",
    "Reference figures",
    "What is interesting, what is hard",
    "Licence and citation",
]

each_case = pytest.mark.parametrize("name", list_cases())
each_made = pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in list_cases()],
)


def test_all_cases_are_listed():
    assert list_cases() == CASES


@each_case
def test_dataset_toml(name):
    info = case_info(name)
    assert info.name == name
    assert list(info.sizes) == ["tiny", "demo", "full"]
    splits = info.splits
    if splits.by == "stride":
        assert splits.stride >= 2
    else:
        assert splits.train + splits.valid + splits.test == pytest.approx(1, abs=1e-8)
        for size in info.sizes:
            case = get_case(name, size)
            n = case.cases if splits.by == "case" else case.shape[0]
            edges = [round(n * f) for f in (splits.train, splits.train + splits.valid)]
            assert 0 < edges[0] < edges[1] < n, size  # no part is empty
    for size, stated in info.sizes.items():
        data = get_case(name, size).nbytes
        assert data < stated.bytes < 1.1 * data + 100_000, size


@each_case
def test_card_has_every_section_in_order(name):
    card = case_card(name)
    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == SECTIONS
    for section in re.split(r"^## .+$", card, flags=re.MULTILINE)[1:]:
        assert section.strip()
    for attrs in get_case(name, "tiny").variables:
        assert f"`{attrs}`" in card


@each_case
def test_thumbnail_is_small(name):
    picture = share_path("datasets") / name / "thumbnail.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 60_000


@each_case
def test_card_and_toml_agree_on_the_grid(name):
    """The table of sizes states T and the points of each size."""
    for size in case_info(name).sizes:
        case = get_case(name, size)
        row = re.search(rf"^\| `{size}` \|.*$", case_card(name), re.MULTILINE)
        assert row, f"no row for {size} in the table of sizes"
        numbers = [int(n.replace(" ", "")) for n in re.findall(r"\d[\d ]*", row[0])]
        for expected in (case.shape[0], *case.shape[2:]):
            assert expected in numbers, (size, expected, row[0])


@each_made
def test_tiny_file_is_reproducible_and_as_described(name, tmp_path):
    first, second = (
        make_case(name, "tiny", tmp_path / f"{i}.nc", progress=False) for i in range(2)
    )
    assert first.read_bytes() == second.read_bytes()
    case, stated = get_case(name, "tiny"), case_info(name).sizes["tiny"]
    assert first.stat().st_size == pytest.approx(stated.bytes, rel=0.05)
    with xr.open_dataset(first) as data:
        lead = ("case", "time") if case.parameters() else ("time",)
        for field in case.variables:
            assert data[field].dims == (*lead, *case.coords())
            assert data[field].shape[-len(case.shape) + 1 :] == (case.shape[0], *case.shape[2:])
            values = data[field].values
            valid = np.isfinite(values)
            assert (valid == valid.reshape(-1, *case.shape[2:])[0]).all()  # mask is fixed
            assert np.nanstd(values) > 0
            assert data[field].attrs["units"]
            assert data[field].attrs["long_name"]
        assert (np.diff(data.time) > 0).all()
        assert data.attrs["size"] == "tiny"


def test_seed_matters(tmp_path):
    u = []
    for seed in (0, 1):
        path = tmp_path / f"{seed}.nc"
        make_case("kuramoto-sivashinsky", "tiny", path, progress=False, seed=seed)
        with xr.open_dataset(path) as data:
            assert data.attrs["seed"] == seed
            assert data.attrs["size"] == "tiny, changed"
            u.append(data.u.values)
    assert np.abs(u[0] - u[1]).mean() > 0.5


def test_default_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(make_case("burgers", "tiny", progress=False)) == "burgers-tiny.nc"
    assert (tmp_path / "burgers-tiny.nc").is_file()


@pytest.mark.parametrize(
    ("name", "size", "changes", "says"),
    [
        ("burger", "tiny", {}, "unknown case 'burger'.*Did you mean 'burgers'"),
        ("burgers", "small", {}, "unknown size of burgers 'small'.*tiny, demo, full"),
        ("burgers", "tiny", {"pionts": 3}, "'pionts'.*'points'"),
        ("burgers", "tiny", {"points": "many"}, "points"),
    ],
)
def test_wrong_names(name, size, changes, says, tmp_path):
    with pytest.raises(OptionError, match=says):
        make_case(name, size, tmp_path / "x.nc", progress=False, **changes)
    assert list(tmp_path.iterdir()) == []


def test_output_must_be_netcdf(tmp_path):
    with pytest.raises(OptionError, match=r"\.nc"):
        make_case("burgers", "tiny", tmp_path / "x.zarr", progress=False)


def test_no_data_and_no_package_in_the_shared_folders():
    """A package named datasets would shadow the Hugging Face one."""
    names = {path.name for path in share_path("datasets").rglob("*") if path.is_file()}
    assert names <= {"README.md", "dataset.toml", "thumbnail.png"}


def test_toml_files_are_plain():
    for path in share_path("datasets").glob("*/dataset.toml"):
        assert tomllib.loads(path.read_text("utf-8"))["name"] == path.parent.name
