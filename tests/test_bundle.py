"""Bundles: strict JSON and plain arrays, whole or not at all, and clear words about damage."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from romae import DMD, POD, Persistence, ReducedModel, load
from romae.bundle import read_bundle, write_bundle
from romae.errors import BundleError, MissingFileError, PathExistsError
from romae.reducers import Coder, Reducer


def wave(T: int = 30, n: int = 12) -> xr.Dataset:
    t, x = 0.1 * np.arange(T), np.linspace(0, 6, n)
    u = np.sin(x - t[:, None]) + 0.2 * np.cos(2 * x - 3 * t[:, None])
    return xr.Dataset({"u": (("time", "x"), u, {"units": "m/s"})}, {"time": t, "x": x})


@pytest.fixture
def saved(tmp_path):
    return POD(2).fit(wave()).save(tmp_path / "pod.rom")


def edit(path, **changes):
    file = path / "romae.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def no_number(text):
    raise AssertionError(f"{text} is no JSON")


ARRAYS = {
    "f4": np.arange(6, dtype="f4").reshape(2, 3),
    "f8": np.array([np.pi, np.nan, -np.inf]),
    "scalar": np.array(2.5),
    "flags": np.array([True, False]),
    "i8": np.array([-(2**62), 3]),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "slice": np.arange(10.0)[::3],
    "empty": np.empty((0, 4)),
}


def test_arrays_and_documents_come_back_exactly(tmp_path):
    document = {"class": "POD", "a": [1, 2.5, None, "x"], "b": {"c": float("nan"), "d": [-np.inf]}}
    path = write_bundle(tmp_path / "x", {"": (document, ARRAYS), "part": ({"class": "y"}, {})})
    back, arrays = read_bundle(path)
    assert set(arrays) == set(ARRAYS)
    for name, values in ARRAYS.items():
        assert arrays[name].dtype == values.dtype
        assert arrays[name].shape == values.shape
        np.testing.assert_array_equal(arrays[name], values)
    assert np.isnan(back["b"].pop("c"))
    assert back["b"] == {"d": [-np.inf]}
    assert back["a"] == document["a"]
    assert read_bundle(path / "part")[1] == {}


def test_the_json_is_strict_whatever_the_data_hold(tmp_path):
    """A fill value of NaN, as xarray writes for every float, must not leak into the JSON."""
    data = wave()
    data.u.attrs["valid_max"] = float("inf")
    data.to_netcdf(tmp_path / "wave.nc", encoding={"u": {"_FillValue": np.nan}})
    pod = POD(2).fit(xr.open_dataset(tmp_path / "wave.nc"))
    path = pod.save(tmp_path / "pod.rom")
    json.loads((path / "romae.json").read_text(), parse_constant=no_number)
    opened = load(path)
    assert np.isnan(opened.layout.fields[0].encoding["_FillValue"])
    assert opened.layout.fields[0].attrs["valid_max"] == np.inf


def test_nothing_is_pickled(saved):
    for file in saved.rglob("*"):
        content = file.read_bytes()
        assert b"\x80\x04\x95" not in content  # how a pickle of protocol 4 begins
        assert not content.startswith(b"PK")  # a zip, as torch.save writes


def test_nothing_there(tmp_path):
    with pytest.raises(MissingFileError, match=r"no model at .*nowhere\.rom.*romae fit"):
        load(tmp_path / "nowhere.rom")


def test_not_a_bundle(tmp_path, saved):
    file = tmp_path / "wave.nc"
    file.write_bytes(b"CDF")
    (tmp_path / "folder").mkdir()
    for path in (file, tmp_path / "folder"):
        with pytest.raises(BundleError, match=r"no saved model: it has no romae\.json"):
            load(path)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"x"', "{}", '{"format": "new"}', '{"format": null}', "\xff\xfe"],
)
def test_a_damaged_document(saved, text):
    (saved / "romae.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"romae\.json is damaged.*Expected the JSON"):
        load(saved)


@pytest.mark.parametrize("how", ["missing", "truncated", "empty", "text"])
def test_damaged_tensors(saved, how):
    file = saved / "model.safetensors"
    whole = file.read_bytes()
    file.unlink()
    if how != "missing":
        file.write_bytes({"truncated": whole[:-9], "empty": b"", "text": b"x" * 100}[how])
    with pytest.raises(BundleError, match=r"model\.safetensors is missing or damaged"):
        load(saved)


PARTS = ["arguments", "layout", "scaling", "fitted"]


@pytest.mark.parametrize(
    ("part", "value"),
    [
        *[(part, None) for part in [*PARTS, "history", "training", "fit_seconds"]],
        *[(part, 3) for part in PARTS],
        *[(part, {"nonsense": 1}) for part in PARTS if part != "fitted"],
        ("fitted", {"latent": 3, "singular_values": [1.0]}),
    ],
)
def test_a_document_with_other_contents(saved, part, value):
    document = json.loads((saved / "romae.json").read_text())
    del document[part]
    if value is not None:
        document[part] = value
    (saved / "romae.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match=r"saved POD is not what this version"):
        load(saved)


def test_missing_tensors(saved):
    from safetensors.numpy import load_file, save_file

    arrays = load_file(saved / "model.safetensors")
    del arrays["module/modes"]
    save_file(arrays, saved / "model.safetensors")
    with pytest.raises(BundleError, match=r"saved POD is not what .*modes"):
        load(saved)


def test_a_newer_format(saved):
    edit(saved, format=99, versions={"romae": "7.1"})
    with pytest.raises(BundleError, match=r"format 99 .* up to 1.*7\.1.*pip install --upgrade"):
        load(saved)
    edit(saved, versions=None)
    with pytest.raises(BundleError, match="format 99"):
        load(saved)


@pytest.mark.parametrize("name", ["PODD", "Coder", "TrainConfig", "Reducer", "FitData", ""])
def test_an_unknown_class(saved, name):
    edit(saved, **{"class": name})
    with pytest.raises(BundleError, match=r"unknown class .*Expected one of: .*POD"):
        load(saved)


def test_no_class(saved):
    document = json.loads((saved / "romae.json").read_text())
    del document["class"]
    (saved / "romae.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="names no class"):
        load(saved)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("their.module:Mine", r"'their\.module', which is not imported.*`import their\.module`"),
        ("os:system", r"is no reducer and no dynamics"),
        ("json:JSONDecoder", r"is no reducer and no dynamics"),
        ("json:Missing", r"module 'json' has no class 'Missing'.*top of a module"),
    ],
)
def test_a_class_of_somebody_else(saved, label, says):
    edit(saved, **{"class": label})
    with pytest.raises(BundleError, match=says):
        load(saved)


def test_opening_imports_nothing(tmp_path, saved):
    """A bundle that names a module on the path does not run it."""
    (tmp_path / "evil.py").write_text("raise SystemExit('was run')")
    edit(saved, **{"class": "evil:Mine"})
    code = f"import romae\ntry:\n  romae.load({str(saved)!r})\nexcept ValueError as e:\n  print(e)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert "type `import evil` first" in done.stdout


def test_overwriting_is_asked_for(saved, tmp_path):
    dmd = Persistence().fit(POD(2).fit(wave()).encode(wave()))
    with pytest.raises(PathExistsError, match=r"exists already.*overwrite=True"):
        dmd.save(saved)
    assert type(load(saved)) is POD
    dmd.save(saved, overwrite=True)
    assert type(load(saved)) is Persistence
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    with pytest.raises(PathExistsError, match=r"holds 'thesis\.tex'"):
        dmd.save(tmp_path / "mine", overwrite=True)


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(TypeError):
        write_bundle(tmp_path / "x", {"": ({"class": object()}, {})})
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_one_of_its_parts(tmp_path):
    model = ReducedModel(POD(2), DMD()).fit(wave())
    path = model.save(tmp_path / "a.rom")
    shutil.rmtree(path / "dynamics")
    with pytest.raises(MissingFileError, match=r"no model at .*dynamics"):
        load(path)


def test_a_local_class_is_not_mistaken(tmp_path):
    """A class made inside a function cannot be found again, and the error says which it was."""

    class Local(Reducer):
        def __init__(self):
            super().__init__()
            self.latent = 1

        def _fit(self, data):
            return POD(1)._fit.__get__(self)(data)

        def _build(self) -> Coder:
            raise NotImplementedError

    document = {"class": f"{__name__}:{Local.__qualname__}"}
    path = write_bundle(tmp_path / "x", {"": (document, {})})
    with pytest.raises(BundleError, match=r"has no class .*Local'.*top of a module"):
        load(path)
