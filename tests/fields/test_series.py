"""Series over time beside the snapshots: each part of the data has those of its own cases."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from romae.errors import DataError, MissingFileError, UnreadableFileError
from romae.fields import open_snapshots
from romae.fields.series import open_series, split_series


def wind(cases=None, steps=4, time="time"):
    dims = (time,) if cases is None else ("case", time)
    shape = (steps,) if cases is None else (cases, steps)
    values = np.arange(np.prod(shape), dtype=float).reshape(shape)
    return xr.Dataset({"wind": (dims, values)}, {time: 0.5 * np.arange(steps)})


@given(
    st.integers(3, 30),
    st.lists(st.floats(0.2, 0.4), min_size=2, max_size=2),
    st.integers(0, 2),
)
@settings(max_examples=25, deadline=None)
def test_parts_by_case_are_those_of_the_snapshots(cases, fractions, gap):
    u = np.broadcast_to(np.arange(cases, dtype=float)[:, None, None], (cases, 4, 2))
    data = open_snapshots(xr.Dataset({"u": (("case", "time", "x"), u)}))
    inputs = wind(cases)
    try:
        parts = data.split(*fractions, by="case", gap=gap)
    except DataError:
        with pytest.raises(DataError, match="empty"):
            split_series(inputs, cases, fractions, "case", gap)
        return
    found = split_series(inputs, cases, fractions, "case", gap)
    for part, own in zip(parts, found, strict=True):
        first = part.read(0, 1).flat[0]
        assert own.sizes["case"] == part.cases
        np.testing.assert_array_equal(own.wind[0], inputs.wind[int(first)])


@pytest.mark.parametrize("inputs", [None, wind(), "wind.nc", wind(5)], ids=["no", "one", "path", 5])
def test_parts_in_time_and_series_of_all_cases_stay_whole(inputs):
    assert all(part is inputs for part in split_series(inputs, 5, (0.5, 0.3, 0.2), "time"))
    if not isinstance(inputs, xr.Dataset) or "case" not in inputs.dims:
        assert all(part is inputs for part in split_series(inputs, 5, (0.5, 0.5), "case"))


@pytest.mark.parametrize("by", ["time", "case"])
def test_another_number_of_cases_is_refused(by):
    with pytest.raises(DataError, match="inputs have 4 cases, the data 5"):
        split_series(wind(4), 5, (0.5, 0.5), by)


@pytest.mark.parametrize("cases", [None, 3])
def test_a_file_is_read_whatever_it_calls_time(tmp_path, cases):
    wind(cases, time="t").to_netcdf(tmp_path / "wind.nc")
    found = open_series(tmp_path / "wind.nc", "t")
    xr.testing.assert_identical(found, wind(cases).transpose(*found.wind.dims))
    with pytest.raises(DataError, match=r"inputs: .* Expected variables over 'time'"):
        open_series(tmp_path / "wind.nc")


def test_files_that_are_no_series_say_so(tmp_path):
    with pytest.raises(MissingFileError, match="forcing: no data file"):
        open_series(tmp_path / "none.nc", where="forcing")
    (tmp_path / "text.nc").write_text("wind 3")
    with pytest.raises(UnreadableFileError, match=r"forcing: .* cannot be read"):
        open_series(tmp_path / "text.nc", where="forcing")
    wrong = {
        "station": wind().expand_dims(station=2),
        "bare": wind().drop_vars("time"),
        "empty": wind()[[]],
    }
    for name, data in wrong.items():
        data.to_netcdf(tmp_path / f"{name}.nc")
        with pytest.raises(DataError, match="at most a dimension 'case' beside"):
            open_series(tmp_path / f"{name}.nc")
