"""Small flows of every kind a reducer meets, with known modes."""

import cftime
import numpy as np
import pytest
import xarray as xr

from romae.progress import silent

TIMES = 30


@pytest.fixture(autouse=True)
def quiet():
    with silent():
        yield


def waves(shape: tuple[int, ...], times: int, cases: int = 0, start: int = 0) -> np.ndarray:
    """Travelling waves with harmonics, (times, *shape): a curve that POD needs many modes for."""
    t = 0.2 * (start + np.arange(times)).reshape(-1, *[1] * len(shape))
    grid = np.meshgrid(*[2 * np.pi * np.arange(n) / n for n in shape], indexing="ij")
    phase = sum((i + 1) * x for i, x in enumerate(grid)) - t * (1 + 0.3 * cases)
    return np.cos(phase) + 0.4 * np.cos(2 * phase + 1) + 0.1 * np.cos(3 * phase) + 0.05 * cases


def axis(n: int, name: str, *, periodic: bool = False, stretched: bool = False):
    x = np.linspace(0, 1, n, endpoint=not periodic)
    attrs = {"units": "m", "long_name": name} | ({"periodic": 1} if periodic else {})
    return (name, x**1.5 if stretched else x, attrs)


def line() -> xr.Dataset:
    """1-D, periodic, a prime number of points, float32."""
    u = waves((17,), TIMES).astype("f4")
    data = {"u": (("time", "x"), u, {"units": "m/s", "long_name": "velocity"})}
    time = ("time", 5 + 0.1 * np.arange(TIMES), {"units": "s"})
    return xr.Dataset(data, {"time": time, "x": axis(17, "x", periodic=True)})


def plane() -> xr.Dataset:
    """2-D, odd sizes, stretched, an obstacle, three fields of two magnitudes; source names."""
    u, p = waves((9, 11), TIMES), 1e5 + 40 * waves((9, 11), TIMES, start=7)
    u[:, 3:5, 4:6] = p[:, 3:5, 4:6] = np.nan
    dims = ("t", "lev", "x")
    data = {
        "u": (dims, u.astype("f4"), {"units": "m/s", "standard_name": "x_wind"}),
        "v": (dims, (0.1 * u[::-1]).astype("f4"), {"units": "m/s"}),
        "p": (dims, p, {"units": "Pa"}),
    }
    time = ("t", np.datetime64("2001-02-03", "ns") + np.arange(TIMES) * np.timedelta64(90, "m"))
    coords = {"t": time, "lev": axis(9, "lev", stretched=True), "x": axis(11, "x", periodic=True)}
    return xr.Dataset(data, coords, attrs={"title": "an obstacle"})


def box() -> xr.Dataset:
    """3-D, mixed sizes, on a calendar without leap days."""
    s = waves((4, 5, 7), TIMES)
    time = [cftime.DatetimeNoLeap(2000, 2, 1 + i // 2, 12 * (i % 2)) for i in range(TIMES)]
    coords = {"time": time, "z": axis(4, "z"), "y": axis(5, "y"), "x": axis(7, "x", periodic=True)}
    return xr.Dataset({"s": (("time", "z", "y", "x"), s, {"units": "K"})}, coords)


def family() -> xr.Dataset:
    """Three trajectories of different speed, with their parameter."""
    u = np.stack([waves((12,), TIMES, cases=i) for i in range(3)]).astype("f4")
    coords = {"time": 0.5 * np.arange(TIMES), "x": axis(12, "x"), "Re": ("case", [80.0, 90, 100])}
    return xr.Dataset({"u": (("case", "time", "x"), u)}, coords)


def whole() -> xr.Dataset:
    """Integers, as counts or packed data are."""
    u = np.round(100 * waves((12,), TIMES)).astype("i2")
    return xr.Dataset({"n": (("time", "x"), u, {"units": "1"})}, {"time": np.arange(TIMES) * 1.0})


FLOWS = {f.__name__: f for f in (line, plane, box, family, whole)}


@pytest.fixture(params=FLOWS)
def flow(request) -> xr.Dataset:
    return FLOWS[request.param]()


@pytest.fixture
def make_waves():
    return waves


@pytest.fixture
def flows():
    return FLOWS


@pytest.fixture(scope="module")
def flow_makers():
    return FLOWS
