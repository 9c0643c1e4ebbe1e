"""What an archive promises of its contents: the bound, the labels, the bytes it counts."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import romae
from romae.archive import Archive
from romae.archive.chunk_reading import ChunkFacts, FieldFacts
from romae.archive.finish import Summary, read_manifest, seal_manifest
from romae.errors import ArchiveError, DataError, MissingFileError, OptionError, PathExistsError


def worst(a, b):
    """Largest |a - b| of finite values; what is not finite has to agree."""
    finite = np.isfinite(a)
    assert np.array_equal(a[~finite], b[~finite], equal_nan=True)
    gap = np.abs(a[finite].astype("f8") - b[finite].astype("f8"))
    return float(gap.max(initial=0.0))


@pytest.mark.parametrize("kind", ["abs", "rel", "nrmse"])
def test_the_bound_is_kept_and_the_error_recorded_is_the_error_measured(tmp_path, make_waves, kind):
    data = make_waves(p="f8")
    asked = {"u": 1e-3, "p": 2e-3}
    report = romae.compress(data, tmp_path / "a.romae", chunk=16, **{kind: asked})
    back = xr.open_dataset(tmp_path / "a.romae").load()
    for name, about in report.manifest["variables"].items():
        x, y = data[name].values, back[name].values
        assert y.dtype == x.dtype
        target = asked[name] * (1 if kind == "abs" else float(x.max()) - float(x.min()))
        error = np.abs(y.astype("f8") - x.astype("f8"))
        rms = np.sqrt(np.mean(error**2))
        assert (rms if kind == "nrmse" else error.max()) <= target * (1 + 1e-12)
        assert about["target"] == pytest.approx(target)
        assert about["max_error"] == error.max() <= about["eps"]
        assert about["rms_error"] == pytest.approx(rms, rel=1e-9)
        if kind == "nrmse":
            for part in np.split(error, [16, 32]):
                assert np.sqrt(np.mean(part**2)) <= target * (1 + 1e-12)


def test_the_ratio_counts_every_byte(tmp_path, make_waves, files):
    report = romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3)
    total = sum(map(len, files(tmp_path / "a.romae").values()))
    assert report.nbytes == total == report.manifest["bytes"]["total"]
    parts = report.manifest["bytes"]
    assert parts["chunks"] + parts["side"] + parts["other"] == total
    assert report.ratio == pytest.approx(make_waves().u.nbytes * 2 / total, abs=1e-4)


@pytest.mark.parametrize("points", [0, 10_000])
def test_small_labels_are_one_file_and_large_ones_a_folder(tmp_path, make_waves, files, points):
    data = make_waves()
    data["area"] = ("cell", np.random.default_rng(0).uniform(size=points))
    romae.compress(data, tmp_path / "a.romae", rel=1e-3)
    names = {n for n in files(tmp_path / "a.romae") if n.startswith("labels")}
    assert (names == {"labels.bin"}) == (points == 0)
    assert ("labels/area/c/0" in names) == (points > 0)
    back = xr.open_dataset(tmp_path / "a.romae")
    xr.testing.assert_identical(back.drop_vars(["u", "p"]), data.drop_vars(["u", "p"]))


@pytest.mark.parametrize(
    ("snapshots", "points", "expected"),
    [(40, 16, 40), (5000, 16, 5000), (40_000, 16, 16_384), (200, 2**14, 64), (70, 2**19, 32)],
)
def test_the_default_chunk_has_a_mebibyte_or_64_snapshots(snapshots, points, expected):
    """Of float32; never above 64 MiB, nor longer than the data."""
    from romae.archive.plan import chunk_length

    u = np.broadcast_to(np.float32(1.0), (snapshots, points))
    found = romae.open_snapshots(xr.Dataset({"u": (("time", "x"), u)}))
    assert chunk_length(found, None) == expected
    assert chunk_length(found, 7) == 7


DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "uint8", "uint16", "int64"]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_array_comes_back_within_its_bound(tmp_path_factory, data):
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    shape = data.draw(hnp.array_shapes(min_dims=2, max_dims=4, max_side=5))
    shape = (*shape[:1], *(max(2, n) for n in shape[1:]))
    if dtype.kind == "f":
        elements = st.floats(width=dtype.itemsize * 8, allow_subnormal=True)
    else:
        info = np.iinfo(dtype)
        elements = st.integers(int(info.min), int(info.max))
    x = data.draw(hnp.arrays(dtype, shape, elements=elements))
    if dtype.kind == "f":
        x[0] = np.where(np.isnan(x[0]), 0, x[0])  # a field that is never there is refused
    eps = data.draw(st.sampled_from([1e-30, 1e-6, 0.3, 1.0, 1e20]))
    dims = ("time", "a", "b", "c")[: x.ndim]
    path = tmp_path_factory.mktemp("any") / "x.romae"
    romae.compress(xr.Dataset({"u": (dims, x)}), path, abs=eps, chunk=2)
    back = xr.open_dataset(path).u.values
    assert back.dtype == x.dtype
    assert back.shape == x.shape
    with np.errstate(over="ignore", invalid="ignore"):
        assert worst(x, back) <= eps
    assert romae.verify(path, against=xr.Dataset({"u": (dims, x)})).ok


def test_special_values_come_back_exactly(tmp_path, make_waves):
    data = make_waves()
    u = data.u.values
    u[:, 1, 2] = np.nan  # a mask
    u[5, 3, 3], u[6, 3, 3], u[7, 3, 3] = np.nan, np.inf, -np.inf
    u[8, 3, 3] = 1e-42
    data["still"] = xr.full_like(data.u, 7.0)
    romae.compress(data, tmp_path / "a.romae", rel=1e-2)
    back = xr.open_dataset(tmp_path / "a.romae").load()
    assert worst(u, back.u.values) <= 1e-2 * np.ptp(u[np.isfinite(u)])
    assert np.array_equal(back.still, data.still)


def test_a_bound_below_the_rounding_of_the_data_stores_exactly_and_says_so(tmp_path, make_waves):
    data = make_waves()
    report = romae.compress(data, tmp_path / "a.romae", abs={"u": 0.01, "p": 1e-9})
    back = xr.open_dataset(tmp_path / "a.romae").load()
    assert np.array_equal(back.p, data.p)
    assert not np.array_equal(back.u, data.u)
    assert "p: stored exactly" in str(report)


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ({}, "none given"),
        ({"abs": 1.0, "rel": 0.1}, "abs=1.0, rel=0.1 given"),
        ({"rel": 0}, "above 0"),
        ({"rel": -1e-3}, "above 0"),
        ({"abs": float("nan")}, "finite"),
        ({"abs": "small"}, "is no bound"),
        ({"abs": {"u": 1.0}}, "no bound for 'p'"),
        ({"abs": {"u": 1.0, "P": 2.0}}, "'P' is no field"),
        ({"abs": {"u": 1.0, "p": 0.0}}, "abs=0.0 for 'p'"),
    ],
)
def test_a_wrong_bound_is_refused_before_anything_is_written(tmp_path, make_waves, bound, words):
    with pytest.raises(OptionError, match=words):
        romae.compress(make_waves(), tmp_path / "a.romae", **bound)
    assert not list(tmp_path.iterdir())


def test_a_path_that_exists_is_refused_and_replaced_only_when_told(tmp_path, make_waves):
    path, other = tmp_path / "a.romae", tmp_path / "model.rom"
    romae.compress(make_waves(), path, rel=1e-3)
    with pytest.raises(PathExistsError, match="overwrite=True"):
        romae.compress(make_waves(seed=1), path, rel=1e-3)
    romae.compress(make_waves(seed=1), path, rel=1e-3, overwrite=True)
    assert romae.verify(path, against=make_waves(seed=1)).ok
    romae.POD(rank=2).fit(make_waves()).save(other)
    with pytest.raises(PathExistsError, match="saved model"):
        romae.compress(make_waves(), other, rel=1e-3, overwrite=True)


@pytest.mark.parametrize("bound", [0.5, 5.0])
@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_integers_beyond_floats_keep_their_bound(tmp_path, dtype, bound):
    top = int(np.iinfo(dtype).max)
    n = np.array([[0, 2**60 + 1, top, top - 1, 2**53 + 1, 7]] * 5, dtype)
    n[:, 0] += np.arange(5, dtype=dtype)
    data = xr.Dataset({"n": (("time", "x"), n), "u": (("time", "x"), n.astype("f4"))})
    romae.compress(data, tmp_path / "a.romae", abs={"n": bound, "u": 1e6}, chunk=2)
    back = xr.open_dataset(tmp_path / "a.romae").n.values
    assert back.dtype == n.dtype
    apart = [abs(int(a) - int(b)) for a, b in zip(back.ravel(), n.ravel(), strict=True)]
    assert max(apart) <= bound
    assert romae.verify(tmp_path / "a.romae", against=data).ok


def test_empty_data_are_refused(tmp_path):
    with pytest.raises(DataError, match="no snapshot"):
        romae.compress(xr.Dataset({"u": (("time", "x"), np.zeros((0, 3)))}), tmp_path / "a", abs=1)


def test_an_archive_of_a_newer_version_is_refused(tmp_path, make_waves):
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3)
    manifest = tmp_path / "a.romae" / "romae.json"
    document = read_manifest(manifest.read_bytes(), "a.romae")
    manifest.write_bytes(seal_manifest(document | {"version": 99, "made": {"romae": "9.0"}}))
    for opened in (Archive, xr.open_dataset, romae.verify):
        with pytest.raises(ArchiveError, match="version 99, written by romae"):
            opened(tmp_path / "a.romae")


def test_nothing_there_and_something_else_there_are_told_apart(tmp_path):
    with pytest.raises(MissingFileError, match="no archive"):
        Archive(tmp_path / "none.romae")
    (tmp_path / "half.romae.partial").mkdir()
    with pytest.raises(MissingFileError, match="not finished"):
        Archive(tmp_path / "half.romae")
    (tmp_path / "other.romae").mkdir()
    with pytest.raises(ArchiveError, match="no romae archive"):
        Archive(tmp_path / "other.romae")


def test_reading_any_range_is_a_part_of_reading_all(tmp_path, make_waves):
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3, chunk=7)
    archive = Archive(tmp_path / "a.romae")
    u, p = archive.read(0, 40)
    for start, stop in ((0, 1), (6, 8), (13, 35), (39, 40), (5, 5)):
        a, b = archive.read(start, stop)
        assert np.array_equal(a, u[start:stop])
        assert np.array_equal(b, p[start:stop])
    with pytest.raises(OptionError, match="40"):
        archive.read(3, 41)


def test_packing_gives_one_file_with_the_same_values_and_always_the_same_bytes(
    tmp_path, make_waves
):
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3)
    for name in ("one.romae", "two.romae.zip"):
        romae.pack(tmp_path / "a.romae", tmp_path / name)
    one, two = tmp_path / "one.romae", tmp_path / "two.romae.zip"
    assert one.read_bytes() == two.read_bytes()
    folder = xr.open_dataset(tmp_path / "a.romae").load()
    assert xr.open_dataset(one).identical(folder)
    assert romae.verify(two, against=make_waves()).ok
    with pytest.raises(OptionError, match="one file already"):
        romae.pack(one, tmp_path / "three.romae")


@pytest.mark.parametrize("name", ["back.nc", "back.zarr"])
def test_decompressing_gives_what_opening_gives_each_chunk_decoded_once(
    tmp_path, make_waves, monkeypatch, name
):
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3, chunk=16)
    decoded = []
    decode = Archive.decode
    monkeypatch.setattr(Archive, "decode", lambda self, i: decoded.append(i) or decode(self, i))
    romae.decompress(tmp_path / "a.romae", tmp_path / name)
    assert sorted(decoded) == [(0, 0), (0, 1), (0, 2)]
    options = {} if name.endswith("nc") else {"engine": "zarr", "consolidated": False}
    back = xr.open_dataset(tmp_path / name, **options)
    xr.testing.assert_identical(back.load(), xr.open_dataset(tmp_path / "a.romae").load())
    with pytest.raises(PathExistsError):
        romae.decompress(tmp_path / "a.romae", tmp_path / name)


def test_the_manifest_is_json_that_names_every_file(tmp_path, make_waves, files):
    romae.compress(make_waves(), tmp_path / "a.romae", rel=1e-3, chunk=16)
    found = files(tmp_path / "a.romae")
    manifest = json.loads(found["romae.json"])
    chunks = {n for n in found if n.startswith("coded/0/c.")}
    assert set(manifest["files"]) | chunks | {"romae.json"} == set(found)
    assert len(chunks) == 3


def test_the_summary_holds_the_worst_of_all_chunks_in_any_order():
    def chunk(error):
        field = FieldFacts(np.dtype("f4"), True, 1.0, error, error**2, 2)
        return ChunkFacts("spline", (4, 1, 3), (field,))

    facts = {"variables": {"u": {"special": 0}}, "lengths": [12], "shape": [3]}
    for errors in ((0.1, 0.9, 0.2), (0.9, 0.1, 0.2), (0.2, 0.1, 0.9)):
        summary = Summary(facts)
        for error in errors:
            summary.add(chunk(error), b"")
        found = summary.errors(facts)["u"]
        assert found["max_error"] == 0.9
        assert found["rms_error"] == pytest.approx(np.sqrt((0.01 + 0.81 + 0.04) / 36))
        assert found["stored_exactly"] == 6
