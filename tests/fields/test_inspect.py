"""romae info: what is seen, and what is wrong, without raising."""

import numpy as np
import pytest
import xarray as xr

from romae.errors import OptionError
from romae.fields import inspect_source


def texts(findings, level):
    return " | ".join(f"{f.topic}: {f.text}" for f in findings if f.level == level)


def test_sound_data_have_no_warnings(tmp_path, small):
    small.to_netcdf(tmp_path / "a.nc")
    findings = inspect_source(tmp_path / "a.nc")
    assert texts(findings, "warning") == ""
    assert texts(findings, "error") == ""
    notes = texts(findings, "note")
    for expected in (
        "24 snapshots",
        "u (u!) [m/s], float32",
        "x=6 (periodic)",
        "stretched",
        "step 0.25 s",
    ):
        assert expected in notes
    assert len(inspect_source(small, scan="open")) < len(findings)


def test_doubts_are_warnings(small):
    lon = ("lon", np.arange(6) * 60.0, {"units": "degrees_east"})
    doubtful = small.rename(x="lon").assign_coords(lon=lon).drop_vars("time")
    doubtful["p"] = doubtful["p"].isel(time=0).expand_dims(time=24).transpose("time", "y", "lon")
    doubtful["extra"] = ("time", np.zeros(24))
    found = inspect_source(doubtful)
    warnings = texts(found, "warning")
    for expected in ("no time coordinate", "periodic='lon'", "p does not change"):
        assert expected in warnings
    assert "extra has space dimensions" in texts(found, "note")
    assert "without units" in texts(inspect_source(small.drop_attrs()), "warning")
    assert "one snapshot" in texts(inspect_source(small.isel(time=[0])), "warning")
    uneven = small.assign_coords(time=np.arange(24.0) ** 2)
    assert "uneven" in texts(inspect_source(uneven), "warning")


def test_errors_are_findings(tmp_path, small):
    assert "no file" in texts(inspect_source(tmp_path / "a.nc"), "error")
    small["u"][5, 0, 0] = np.nan
    found = inspect_source(small)
    assert "'u' is NaN at 1 of 30" in texts(found, "error")
    assert "24 snapshots" in texts(found, "note")
    assert texts(inspect_source(small, scan="open"), "error") == ""
    with pytest.raises(OptionError, match="varables"):
        inspect_source(small, varables=["u"])


def test_large_chunks_are_named():
    u = xr.Variable(("time", "x"), np.zeros((10, 4), "f4"))
    u.encoding["preferred_chunks"] = {"time": 10**8, "x": 4}
    warnings = texts(inspect_source(xr.Dataset({"u": u}, {"time": np.arange(10)})), "warning")
    assert "Rechunk" in warnings
