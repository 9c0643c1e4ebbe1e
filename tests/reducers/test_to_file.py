"""decode(z, to=...): the bits of the fields in memory, and a bounded amount of it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from romae.errors import OptionError, PathExistsError
from romae.fields import open_snapshots
from romae.model import ReducedModel
from romae.reducers import POD, ConvAutoencoder, TrainConfig


@pytest.fixture
def few(monkeypatch):
    """Batches of 7 snapshots and less."""
    for name in ("BATCH_BYTES", "PRODUCT_BYTES"):
        monkeypatch.setattr(f"romae.reducers.decoding.{name}", 4 * 7 * 12)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_the_file_holds_what_memory_would_write(flow, few, suffix, tmp_path):
    fitted = POD(3).fit(flow)
    z = fitted.encode(flow)
    back = fitted.decode(z, to=tmp_path / f"back{suffix}")
    kept = fitted.decode(z)
    if suffix == ".nc":
        kept.to_netcdf(tmp_path / "kept.nc")
        kept = xr.open_dataset(tmp_path / "kept.nc", decode_timedelta=False)
        for name in kept.variables:
            for key in ("dtype", "_FillValue", "units", "calendar", "contiguous", "chunksizes"):
                a, b = (d[name].encoding.get(key) for d in (kept, back))
                assert a == b or (a != a and b != b), (name, key)
    xr.testing.assert_identical(back.load(), kept.load())
    assert os.listdir(tmp_path).count(f"back{suffix}") == 1


def test_batches_of_networks_are_cut_alike(flows, few, tmp_path):
    data = flows["plane"]()
    fitted = ConvAutoencoder(2, widths=(4, 6), head=8, train=TrainConfig(steps=4)).fit(data)
    z = fitted.encode(data)
    back = fitted.decode(z, to=tmp_path / "back.nc")
    kept = fitted.decode(z)
    for name in kept.data_vars:
        np.testing.assert_array_equal(back[name].values, kept[name].values)


def test_cases_of_different_length(flows, few, tmp_path, make_waves):
    data = open_snapshots(flows["family"]())
    fitted = POD(3).fit(data)
    z = fitted.encode(data)
    z[1, 20:] = np.nan
    back = fitted.decode(z, to=tmp_path / "back.zarr")
    xr.testing.assert_identical(back.load(), fitted.decode(z))
    assert np.isnan(back.u[1, 20:]).all()
    assert not np.isnan(back.u[1, :20]).any()


def test_forecasts_too(flows, few, tmp_path):
    from romae.dynamics import DMD

    data = flows["line"]()
    model = ReducedModel(POD(4), DMD()).fit(data)
    back = model.forecast(data, 40, to=tmp_path / "f.nc")
    kept = model.forecast(data, 40)
    xr.testing.assert_identical(back.load(), kept)


def test_nothing_is_lost_by_a_wrong_name(flows, tmp_path):
    data = flows["line"]()
    fitted = POD(2).fit(data)
    z = fitted.encode(data)
    with pytest.raises(OptionError, match=r"'back.csv' ends in '.csv'.*\.nc or \.zarr"):
        fitted.decode(z, to="back.csv")
    fitted.decode(z, to=tmp_path / "back.nc").close()
    for name in ("back.nc", "back.zarr"):
        (tmp_path / "back.zarr").mkdir(exist_ok=True)
        with pytest.raises(PathExistsError, match=r"overwrite=True"):
            fitted.decode(z, to=tmp_path / name)
    fitted.decode(z, to=tmp_path / "back.nc", overwrite=True).close()


def test_an_error_while_decoding_leaves_nothing(flows, few, tmp_path, monkeypatch):
    data = flows["line"]()
    fitted = POD(2).fit(data)
    z, count = fitted.encode(data), iter(range(9))
    monkeypatch.setattr(fitted, "decode_tensor", lambda z: 1 / 0 if next(count) > 1 else z)
    with pytest.raises((ZeroDivisionError, ValueError)):
        fitted.decode(z, to=tmp_path / "back.nc")
    assert not os.listdir(tmp_path)


CAPPED = """
import resource, sys
from pathlib import Path
import numpy as np, xarray as xr
import romae
from romae.progress import silent

def data_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(s for s in lines if s.startswith("VmData")).split()[1])

folder, cap = Path(sys.argv[1]), int(sys.argv[2]) << 20
with silent():
    small = xr.open_dataset(folder / "large.nc").isel(time=slice(0, 24)).load()
    pod = romae.POD(3).fit(small, device="cpu")
    pod.decode(pod.encode(small), to=folder / "small.nc").close()
    romae.compare(pod, small + 1e-3, rates="skip", pod_curve=False)
    grown = data_bytes() + cap
    resource.setrlimit(resource.RLIMIT_DATA, (grown, grown))
    z = pod.encode(folder / "large.nc")
    back = pod.decode(z, to=folder / "back.nc")
    zarr = pod.decode(z, to=folder / "back.zarr")
    found = romae.compare(pod, folder / "large.nc", rates="skip", pod_curve=False)
    sizes = [back.u.nbytes, zarr.u.nbytes]
    try:
        pod.decode(z)
    except MemoryError:
        print(min(sizes), float(found.error.sel(field="all")[0]))
"""


def write_large(path: Path, T: int, n: int) -> None:
    import netCDF4

    rng = np.random.default_rng(0)
    shapes = rng.standard_normal((3, n), dtype=np.float32)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", T)
        file.createDimension("x", n)
        file.createVariable("time", "f8", ("time",))[:] = np.arange(T)
        u = file.createVariable("u", "f4", ("time", "x"), chunksizes=(8, n))
        for a in range(0, T, 64):
            t = np.arange(a, min(a + 64, T))[:, None]
            u[a : a + 64] = np.cos(0.1 * t * [1, 2, 3]).astype("f4") @ shapes


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts everything on Linux only")
def test_files_larger_than_memory(tmp_path):
    """A file of 320 MiB is encoded, decoded and compared by a process that may grow by 240 MiB."""
    write_large(tmp_path / "large.nc", 1280, 1 << 16)
    done = subprocess.run(
        [sys.executable, "-c", CAPPED, str(tmp_path), "240"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    nbytes, error = map(float, done.stdout.split())
    assert nbytes == 320 << 20
    assert error < 1e-3
