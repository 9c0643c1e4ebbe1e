"""Fields decoded into the memory of earlier ones are the fields decoded into new memory."""

import numpy as np
import pytest
import xarray as xr

import romae
from romae.errors import OptionError
from romae.fields import Snapshots

X, T = np.linspace(0, 1, 30), np.arange(80.0)
FORMS = {
    "plain": lambda d: d,
    "masked": lambda d: d.where(d.x > 0.2),
    "double": lambda d: d.assign(b=d.b.astype("f8")),
    "time last": lambda d: d.transpose("x", "time"),
    "one level": lambda d: d.expand_dims(z=[5.0]).transpose("time", "z", "x"),
    "cases": lambda d: xr.concat([d, 2 * d], "case"),
    "cases of another name": lambda d: xr.concat([d, 2 * d], "run"),
}


def wave(form: str = "plain") -> xr.Dataset:
    phase = 2 * np.pi * (X - 0.05 * T[:, None])
    fields = {"a": np.sin(phase), "b": np.cos(phase) + 0.1 * np.sin(2 * phase)}
    data = {n: (("time", "x"), v.astype("f4"), {"units": "1"}) for n, v in fields.items()}
    return FORMS[form](xr.Dataset(data, coords={"time": T, "x": X}))


def opened(form: str) -> Snapshots:
    return romae.open_snapshots(wave(form), case="run" if "another" in form else None)


@pytest.mark.parametrize("form", FORMS)
def test_fields_in_old_memory_are_those_in_new_memory(form):
    model = romae.POD(3).fit(opened(form))
    z = model.encode(opened(form))
    old = model.decode(0 * z)
    memory = {n: v.values for n, v in old.items()}
    found = model.decode(z, out=old)
    xr.testing.assert_identical(found, model.decode(z))
    for name, values in memory.items():
        assert np.shares_memory(values, found[name].values)


def test_each_forecast_of_a_cycle_takes_the_memory_of_the_one_before():
    data = wave()
    model = romae.ReducedModel(romae.POD(3), romae.DMD(3)).fit(data)
    new = old = model.forecast(data, 40)
    memory = old.a.values
    for _ in range(2):  # the history lies in the memory that is written over
        new = model.forecast(new.copy(deep=True), 40)
        old = model.forecast(old, 40, out=old)
        xr.testing.assert_identical(old, new)
    assert np.shares_memory(memory, old.a.values)


def fitting() -> xr.Dataset:
    zeros = {n: (("time", "x"), np.zeros((80, 30), "f4")) for n in "ab"}
    return xr.Dataset(zeros)


def every_second() -> xr.Dataset:
    return xr.concat([fitting(), fitting()], "time").isel(time=slice(None, None, 2))


def read_only() -> xr.Dataset:
    out = fitting()
    out.b.values.flags.writeable = False
    return out


def shared() -> xr.Dataset:
    out = fitting()
    return out.assign(b=out.a)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fitting().isel(time=slice(9)), r"'a': float32 of shape \(9, 30\).*\(80, 30\)"),
        (lambda: fitting().astype("f8"), r"'a': float64 .* Expected float32"),
        (lambda: fitting().drop_vars("b"), r"'b': nothing"),
        (lambda: fitting().rename(x="y"), r"'a': nothing"),
        (lambda: fitting().chunk(), r"'a': Array"),
        (lambda: fitting().to_dataarray(), r"'a': nothing"),
        (every_second, r"'a': read-only, or no array of its own"),
        (read_only, r"'b': read-only"),
        (shared, r"'b' in the memory of another field"),
    ],
)
def test_memory_that_does_not_fit_is_refused_and_left_alone(make, message):
    model = romae.POD(3).fit(wave())
    out = make()
    before = out.copy(deep=True)
    with pytest.raises(OptionError, match=message + r"(.|\n)*leave out= out"):
        model.decode(model.encode(wave()), out=out)
    xr.testing.assert_identical(out, before)


def test_a_file_and_an_ensemble_have_no_memory_to_reuse(tmp_path):
    model = romae.ReducedModel(romae.POD(3), romae.DMD(3)).fit(wave())
    with pytest.raises(OptionError, match="out was given with to="):
        model.forecast(wave(), 80, out=fitting(), to=tmp_path / "u.nc")
    with pytest.raises(OptionError, match="an ensemble of 2"):
        model.forecast(wave(), 80, out=fitting(), ensemble=2)
