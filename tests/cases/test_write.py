"""One case to one CF netCDF file: whole, labelled, the same bits every time."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from romae.cases import Case, axis, write_case
from romae.errors import DataError, OptionError, RomaeError


@dataclass(frozen=True)
class Toy(Case):
    """Two fields u = t + x + mu, v = -u on 40 times, 6 x 5 points, 2 trajectories."""

    bad: str = ""  # what goes wrong
    seed: int = 7

    name: ClassVar = "toy"
    title: ClassVar = "Toy"
    source: ClassVar = "none"
    variables: ClassVar = {
        "u": {"units": "m s-1", "standard_name": "eastward_wind"},
        "v": {"units": "m s-1"},
    }

    def coords(self):
        y, x = np.arange(6.0), np.linspace(0, 1, 5)
        return {"y": axis(y, "height", units="m"), "x": axis(x, "position", units="m", periodic=1)}

    def times(self):
        return axis(0.5 * np.arange(40), "time", units="s")

    def parameters(self):
        return {"mu": axis([0.0, 100.0], "offset", units="m s-1")}

    def mask(self):
        mask = np.ones((6, 5), bool)
        mask[2:4, 1] = False
        return mask

    def trajectories(self):
        for mu in (0.0, 100.0):
            yield self.blocks(mu)

    def blocks(self, mu):
        for start in range(0, 40 if self.bad != "short" else 30, 15):
            t = self.times().values[start : start + 15]
            u = t[:, None, None] + self.coords()["x"].values + np.zeros((6, 1)) + mu
            if self.bad == "nan" and start and mu:
                u[3] = np.inf
            u = u if self.bad != "shape" else u[:, :, :3]
            yield np.stack([u, -u], 1).astype(np.float32)


@pytest.fixture
def toy(tmp_path):
    path = write_case(Toy(), tmp_path / "toy.nc", progress=False)
    with xr.open_dataset(path) as data:
        yield data.load()


def test_values_and_dimensions(toy):
    assert toy.u.dims == ("case", "time", "y", "x")
    assert toy.u.dtype == np.float32
    u = (toy.mu + toy.time + toy.x + 0 * toy.y).transpose(*toy.u.dims)
    valid = xr.DataArray(Toy().mask(), dims=("y", "x"))
    np.testing.assert_allclose(toy.u, u.where(valid), rtol=1e-6)
    np.testing.assert_array_equal(toy.v, -toy.u)
    assert int(toy.u.isnull().sum()) == 2 * 2 * 40


def test_parameters_are_coordinates(toy):
    assert set(toy.data_vars) == {"u", "v"}
    assert {"mu", "case"} <= set(toy.u.coords)


def test_labels(toy):
    assert toy.u.attrs == {"units": "m s-1", "standard_name": "eastward_wind"}
    assert toy.x.attrs["periodic"] == 1
    assert "periodic" not in toy.y.attrs
    assert toy.time.attrs["standard_name"] == "time"
    assert [toy[d].attrs["axis"] for d in ("time", "y", "x")] == ["T", "Y", "X"]
    assert toy.mu.attrs == {"long_name": "offset", "units": "m s-1"}
    assert toy.attrs["Conventions"].startswith("CF-")
    assert toy.attrs["seed"] == 7
    assert set(toy.attrs) >= {"title", "source", "romae_version", "parameter_bad"}


def test_found_by_cf_conventions(toy):
    import cf_xarray  # noqa: F401

    assert toy.cf.axes == {"T": ["time"], "Y": ["y"], "X": ["x"]}


def test_storage_chunks_are_whole_snapshots(tmp_path):
    path = write_case(Toy(), tmp_path / "toy.nc", progress=False)
    with xr.open_dataset(path) as data:
        assert data.u.encoding["chunksizes"] == (1, 40, 6, 5)
        assert not data.u.encoding["zlib"]


def test_zlib_keeps_the_values(tmp_path, toy):
    path = write_case(Toy(), tmp_path / "z.nc", progress=False, compression="zlib")
    with xr.open_dataset(path) as data:
        assert data.u.encoding["zlib"]
        xr.testing.assert_identical(data.load(), toy)


def test_same_case_same_file(tmp_path):
    a, b = (write_case(Toy(), tmp_path / f"{n}.nc", progress=False).read_bytes() for n in "ab")
    assert a == b


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("nan", "trajectory 1.*snapshot 18 of 40"),
        ("shape", "block of shape"),
        ("short", "30 snapshots, expected 40"),
    ],
)
def test_bad_solver_leaves_nothing(tmp_path, bad, says):
    with pytest.raises(DataError, match=says):
        write_case(Toy(bad=bad), tmp_path / "toy.nc", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_existing_file_is_kept(tmp_path):
    path = tmp_path / "toy.nc"
    path.write_text("mine")
    with pytest.raises(RomaeError, match="exists"):
        write_case(Toy(), path, progress=False)
    assert path.read_text() == "mine"
    write_case(Toy(), path, progress=False, overwrite=True)
    with xr.open_dataset(path) as data:
        assert data.attrs["case"] == "toy"


def test_unknown_compression_names_the_choices(tmp_path):
    with pytest.raises(OptionError, match="none, zlib"):
        write_case(Toy(), tmp_path / "toy.nc", compression="zip")  # type: ignore[arg-type]
