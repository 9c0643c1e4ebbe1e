"""Time, space and fields are found, or the message says what to type."""

import subprocess
import sys

import cftime
import numpy as np
import pytest
import xarray as xr

from romae.errors import DataError, GridMismatchError, OptionError
from romae.fields import open_snapshots


@pytest.mark.parametrize("name", ["t", "Time", "tau", "step"])
def test_time_by_name_attribute_or_date(small, name):
    source = small.rename(time=name)
    if name == "tau":
        source["tau"].attrs["standard_name"] = "time"
    if name == "step":
        source = source.assign_coords(step=xr.date_range("2000-01-01", periods=24, freq="h"))
    assert open_snapshots(source).layout.time == name
    assert open_snapshots(small.rename(time="n"), time="n").layout.time == "n"


@pytest.mark.parametrize(
    ("values", "dt"),
    [
        (np.arange(24), 1.0),
        (np.arange(24, dtype="f4") * np.float32(0.1) + np.float32(100), 0.1),
        (np.arange(24) ** 2.0, None),
        (np.datetime64("2001-01-01") + np.arange(24) * np.timedelta64(3, "h"), 10800.0),
        (np.arange(24) * np.timedelta64(250, "ms"), 0.25),
        (np.array([cftime.DatetimeNoLeap(2001, 2, 10 + i) for i in range(19)]), 86400.0),
        (np.array([np.datetime64(f"2001-{m:02d}-01") for m in range(1, 13)]), None),
    ],
)
def test_time_step(small, values, dt):
    values = values if values.dtype.kind != "M" else values.astype("M8[ns]")
    values = values if values.dtype.kind != "m" else values.astype("m8[ns]")
    source = small.isel(time=slice(len(values))).assign_coords(time=values)
    opened = open_snapshots(source)
    assert opened.dt == (None if dt is None else pytest.approx(dt, rel=1e-4))
    np.testing.assert_array_equal(opened.times().values, values)
    assert len(repr(opened).splitlines()) == 5
    assert opened.isel(time=0).dt is None


def test_one_two_and_three_dimensions():
    for n in (1, 2, 3):
        dims = ("x", "y", "z")[:n]
        source = xr.Dataset({"u": (("time", *dims), np.zeros((3, *range(2, 2 + n))))})
        layout = open_snapshots(source).layout
        assert (layout.space, layout.shape) == (dims, tuple(range(2, 2 + n)))
    four = xr.Dataset({"u": (("time", "m", "z", "y", "x"), np.zeros((2,) * 5))})
    with pytest.raises(DataError, match=r"no variable.*\(m, z, y, x\)|4 space dimensions"):
        open_snapshots(four)
    assert open_snapshots(four, case="m").cases == 2


def test_default_fields_share_the_largest_grid(small):
    more = small.assign(
        surface=("time", np.zeros(24)),
        depth=(("y", "x"), np.ones((5, 6))),
        column=(("time", "x"), np.zeros((24, 6))),
        name=(("time", "y", "x"), np.full((24, 5, 6), "a")),
    )
    opened = open_snapshots(more)
    assert opened.layout.names == ("u", "v", "p")
    assert set(opened.skipped) == {"surface", "depth", "column", "name"}
    assert open_snapshots(more, variables="column").shape == (24, 1, 6)
    assert open_snapshots(more, space="x").layout.names == ("column",)
    assert open_snapshots(more, variables=["p", "u"]).layout.names == ("p", "u")


def cases_of_wrong_use(small):
    other = small.assign(w=(("time", "z", "x"), np.zeros((24, 3, 6))))
    yield {"variables": ["U"]}, small, OptionError, "unknown variable 'U'.*Expected one of: u, v, p"
    yield {"variables": ["press"]}, small.rename(p="pres"), OptionError, "Did you mean 'pres'"
    yield {"variables": []}, small, OptionError, "at least one"
    yield {"variables": ["u", "w"]}, other, GridMismatchError, "'w' lies on .z, x.*variables=.'u'"
    yield {"time": "tim"}, small, OptionError, "'tim'.*Did you mean 'time'"
    yield {"space": ["y", "lon"]}, small, OptionError, "unknown space dimension 'lon'"
    yield {"variables": ["u"], "space": ["x"]}, small, GridMismatchError, "further dimension 'y'"
    yield {}, small.rename(time="n").drop_vars("n"), DataError, "no time dimension.*n=24"
    yield (
        {"variables": ["k"]},
        small.assign(k=("x", np.ones(6))),
        DataError,
        "time dimension 'time'",
    )
    yield {"variables": ["z"]}, small.assign(z=small.u * 1j), DataError, "complex64"
    yield {"cases": "files"}, small, OptionError, "unknown cases 'files'"


@pytest.mark.parametrize("i", range(11))
def test_wrong_use(small, i):
    options, source, error, expected = list(cases_of_wrong_use(small))[i]
    with pytest.raises(error, match=expected):
        open_snapshots(source, **options)


def test_other_sources(small):
    opened = open_snapshots(small)
    assert open_snapshots(opened) is opened
    with pytest.raises(OptionError, match="open already"):
        open_snapshots(opened, variables=["u"])
    with pytest.raises(OptionError, match="cannot open ndarray"):
        open_snapshots(np.zeros((3, 4)))
    with pytest.raises(OptionError, match="empty list"):
        open_snapshots([])
    with pytest.raises(OptionError, match="only paths, or only Datasets"):
        open_snapshots([small, "a.nc"])


SCRIPT = """
import sys
for name in ("cf_xarray", "netCDF4", "h5netcdf", "dask", "dask.array", "zarr", "torch", "scipy"):
    sys.modules[name] = None
import numpy as np, xarray as xr
import romae.fields as fields
u = np.random.default_rng(0).normal(size=(9, 4, 5))
source = xr.Dataset({"u": (("step", "j", "i"), u)}, {"step": np.arange(9.0)})
opened = fields.open_snapshots(source, time="step", space=["j", "i"])
fields.Scaling.fit(opened).forward(opened.read(0, 9))
opened.layout.to_dataset(opened.read(0, 9), opened.times())
assert len(opened.split(0.5, 0.5)[0]) == 4
assert opened.fingerprint
found = fields.open_snapshots(source.rename(step="time"))
assert found.layout.time == "time"
try:
    fields.open_snapshots(sys.argv[1])
except fields.opening.OptionError.__mro__[1] as error:
    assert type(error).__name__ == "MissingDependencyError", error
    assert "pip install netCDF4" in str(error)
else:
    raise SystemExit("opened without a library")
assert fields.open_snapshots(sys.argv[1], layout={}, variables=["u", "v"]).shape == (24, 2, 5, 6)
"""


def test_works_without_optional_libraries(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc")
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path / "a.nc")],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


def test_import_is_light():
    heavy = "torch netCDF4 zarr dask cf_xarray matplotlib h5py"
    code = f"import sys, romae.fields; print([m for m in {heavy.split()} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
