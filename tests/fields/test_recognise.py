"""A history opened on the layout of its model is the history opened without one."""

import numpy as np
import pytest
import xarray as xr

from romae.errors import RomaeError
from romae.fields import open_like, open_snapshots

T, X = 0.5 * np.arange(6), np.linspace(0, 1, 5)


def data(masked: bool = False) -> xr.Dataset:
    rng = np.random.default_rng(0)
    fields = {n: (("time", "x"), rng.normal(size=(6, 5)), {"units": "m"}) for n in "ab"}
    coords = {"time": ("time", T, {"units": "s", "step": np.float32(0.5)}), "x": X, "level": 3.0}
    found = xr.Dataset(fields, coords)
    return found.where(found.x > 0.1).assign_coords(found.coords) if masked else found


SAME = {
    "plain": data,
    "masked": lambda: data(masked=True),
    "one time": lambda: data().isel(time=slice(1)),
    "time last": lambda: data().transpose("x", "time"),
    "dates": lambda: data().assign_coords(time=np.datetime64("2001-01-01", "ns") + np.arange(6)),
    "a step of another name": lambda: data().rename(time="t"),
}
OTHER = {
    "another grid": lambda: data().assign_coords(x=X + 0.01),
    "fewer points": lambda: data().isel(x=slice(3)),
    "no coordinate": lambda: data().drop_vars("x"),
    "another level": lambda: data().assign_coords(level=4.0),
    "a coordinate more": lambda: data().assign_coords(y=("x", X)),
    "other units": lambda: data().assign(b=data().b.assign_attrs(units="km")),
    "another type": lambda: data().astype("f4"),
    "another order of dimensions": lambda: data().transpose("x", "time"),
    "another order of fields": lambda: data()[["b", "a"]],
    "a field less": lambda: data()[["a"]],
    "a field more": lambda: data().assign(c=data().a),
    "two cases": lambda: xr.concat([data(), data()], "case"),
    "a mask": lambda: data(masked=True),
    "nothing but NaN": lambda: data() * np.nan,
    "times that go back": lambda: data().isel(time=slice(None, None, -1)),
    "numbered times": lambda: data().drop_vars("time"),
    "no time": lambda: data().isel(time=slice(0)),
    "an array": lambda: data().a,
    "a list": lambda: [data()],
    "a number": lambda: 3,
}


@pytest.mark.parametrize("make", SAME.values(), ids=SAME)
def test_what_is_recognised_reads_the_same(make):
    source = make()
    plain = open_snapshots(source)
    found = open_like(source, plain.layout)
    assert found.layout is plain.layout
    assert found.source == plain.source
    assert found.lengths == plain.lengths
    assert found.fingerprint == plain.fingerprint
    xr.testing.assert_identical(found.times(), plain.times())
    assert found.times().attrs == plain.times().attrs
    assert found.times().encoding == plain.times().encoding
    assert [b.values.tobytes() for b in found.blocks(99)] == [
        b.values.tobytes() for b in plain.blocks(99)
    ]


@pytest.mark.parametrize("make", OTHER.values(), ids=OTHER)
def test_anything_else_is_opened_as_without_a_layout(make):
    layout, wrong = open_snapshots(data()).layout, ""
    try:
        plain = open_snapshots(make())
    except RomaeError as error:
        wrong = str(error)
    if wrong:
        with pytest.raises(RomaeError) as raised:
            open_like(make(), layout)
        assert str(raised.value) == wrong
        return
    found = open_like(make(), layout)
    assert found.layout is not layout
    assert found.fingerprint == plain.fingerprint


def test_a_mask_that_differs_is_not_taken_for_that_of_the_model():
    layout = open_snapshots(data(masked=True)).layout
    assert open_like(data(masked=True), layout).layout is layout
    assert open_like(data(), layout).layout is not layout
    assert open_like(data(), None).layout is not None


def test_snapshots_that_are_open_stay_what_they_are():
    opened = open_snapshots(data())
    assert open_like(opened, opened.layout) is opened
