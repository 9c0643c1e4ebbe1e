"""Archives that every later version must open to the same bits: ``golden/NAME.zip``.

``python tests/archive/golden.py make`` writes those that are not there, and ``expected.json`` with
the sha256 of every decoded field. What is there is never overwritten: an archive that a later
version cannot open is that version's fault. Each one is coded by the method of its name.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import xarray as xr

import romae
from romae.archive import choose
from romae.archive.coded_pod_fit import fit_pod
from romae.archive.equation_fit import fit_equation
from romae.archive.method import Method
from romae.archive.spline import Spline
from romae.archive.stencil_fit import fit_stencil
from romae.cases.kuramoto_sivashinsky import KuramotoSivashinsky

FOLDER = Path(__file__).with_name("golden")
EXPECTED = FOLDER / "expected.json"
Made = tuple[xr.Dataset, dict[str, float], Method, int]  # data, abs bounds, method, chunk


def _dataset(case: bool = False, **fields: np.ndarray) -> xr.Dataset:
    dims = ["time", "y", "x"][: next(iter(fields.values())).ndim - case]
    dims = dims if len(dims) != 2 else ["time", "x"]
    names = ["case", *dims] if case else dims
    sizes = dict(zip(names, next(iter(fields.values())).shape, strict=True))
    times = ("time", 0.5 * np.arange(sizes["time"]), {"units": "s"})
    return xr.Dataset({n: (names, v) for n, v in fields.items()}, {"time": times})


def _runs(data: xr.Dataset) -> list[np.ndarray]:
    return [np.stack([v.values.astype(np.float64) for v in data.values()], axis=1)]


def _spline() -> Made:
    """float32 and float64, two cases, chunks of 8 and a rest, NaN and infinities, misses."""
    rng = np.random.default_rng(0)
    c, t, y, x = np.meshgrid(*(np.arange(n) for n in (2, 21, 6, 7)), indexing="ij")
    u = np.sin(0.2 * t - 0.7 * x + c) + 0.3 * np.cos(0.1 * t + y)
    p = 1e5 + 50 * u + rng.normal(size=u.shape)
    u[:, :, :2, 3] = np.nan
    u[1, 5, 5, 5] = -np.inf
    return _dataset(True, u=u.astype("f4"), p=p), {"u": 1e-3, "p": 0.5}, Spline(), 8


def _integers() -> Made:
    t, y, x = np.meshgrid(*(np.arange(n) for n in (16, 8, 9)), indexing="ij")
    level = 3000 * np.sin(0.1 * t + 0.4 * x) + 500 * np.cos(0.3 * y)
    fields = {"level": level.astype("i2"), "count": np.abs(level).astype("u4")}
    return _dataset(**fields), {"level": 3.0, "count": 10.0}, Spline(), 16


def _exact() -> Made:
    """Bounds below what the types resolve."""
    rng = np.random.default_rng(1)
    u = rng.normal(size=(9, 5, 6))
    u[:, 0, 0] = np.nan
    u[3, 1, 1] = np.inf
    fields = {"u": u.astype("f4"), "w": u * 1e-310, "n": rng.integers(-99, 99, u.shape, "i8")}
    return _dataset(**fields), {"u": 1e-12, "w": 5e-324, "n": 0.1}, Spline(), 4


def _pod() -> Made:
    t = 0.21 * np.arange(40)[:, None, None]
    y, x = np.linspace(-2, 2, 12)[:, None], np.linspace(0, 9, 16)
    u = np.tanh(x - 3) * np.exp(-(y**2)) + np.exp(-(y**2)) * y * np.cos(x - t)
    v = 0.1 * x + np.exp(-(y**2) / 2) * np.sin(x - t)
    data = _dataset(u=u.astype("f4"), v=v)
    bounds = {"u": 1e-3, "v": 1e-3}
    return data, bounds, _fitted(fit_pod(lambda: _runs(data), _eps(bounds))), 20


def _equation() -> Made:
    case = KuramotoSivashinsky(length=40.0, points=96, every=1, discard=100.0, snapshots=60)
    u = np.concatenate(list(next(case.trajectories())))[:, 0]
    data, bounds = _dataset(u=u.astype("f4")), {"u": 2e-3}
    return data, bounds, _fitted(fit_equation(_runs(data), _eps(bounds), (True,))), 30


def _stencil() -> Made:
    t, y, x = np.meshgrid(np.arange(24), *(2 * np.pi * np.arange(n) / n for n in (16, 16)))
    t, y, x = (a.transpose(1, 0, 2) for a in (t, y, x))
    h = 1 + 0.2 * np.sin(x - 0.3 * t) * np.cos(2 * y + 0.1 * t)
    q = 0.1 * np.cos(x - 0.3 * t)
    data, bounds = _dataset(h=h.astype("f4"), q=q.astype("f4")), {"h": 1e-4, "q": 1e-4}
    return data, bounds, _fitted(fit_stencil(_runs(data), _eps(bounds), (True, True))), 24


MAKERS: dict[str, Callable[[], Made]] = {
    "spline": _spline,
    "integers": _integers,
    "exact": _exact,
    "pod": _pod,
    "equation": _equation,
    "stencil": _stencil,
}


def _eps(bounds: dict[str, float]) -> np.ndarray:
    return np.array(list(bounds.values()))


def _fitted(method: Method | None) -> Method:
    if method is None:
        raise RuntimeError("the method does not apply to its data")
    return method


def decoded(path: Path) -> dict[str, dict[str, object]]:
    """Type, shape and sha256 of the bytes of every field and label."""
    with xr.open_dataset(path, engine="romae", decode_times=False) as data:
        return {str(n): _digest(v.values) for n, v in sorted(data.variables.items())}


def _digest(values: np.ndarray) -> dict[str, object]:
    little = np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<")))
    sha = hashlib.sha256(little.tobytes()).hexdigest()
    return {"dtype": little.dtype.str, "shape": list(values.shape), "sha256": sha}


def make(folder: Path = FOLDER) -> list[str]:
    """Write the archives that are not there; their names."""
    folder.mkdir(exist_ok=True)
    expected = folder / EXPECTED.name
    known = json.loads(expected.read_text()) if expected.exists() else {}
    made = []
    for name, maker in MAKERS.items():
        path = folder / f"{name}.zip"
        if path.exists() or name in known:
            print(f"{path} is there and stays")
            continue
        data, bounds, method, chunk = maker()
        with tempfile.TemporaryDirectory() as scratch:
            whole = Path(scratch, f"{name}.romae")
            with mock.patch.object(choose, "candidates", return_value=[method]):
                report = romae.compress(data, whole, abs=bounds, model=method, chunk=chunk)
            if not romae.verify(whole, against=data).ok or report.manifest is None:
                raise RuntimeError(f"{name}: the archive is not sound")
            romae.pack(whole, path)
        known[name] = {"methods": report.manifest["methods"], "variables": decoded(path)}
        expected.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
        made.append(name)
        print(f"{path}: {path.stat().st_size} bytes, {report.manifest['methods']}")
    return made


if __name__ == "__main__":
    if sys.argv[1:] != ["make"]:
        sys.exit("usage: python tests/archive/golden.py make")
    make()
