"""Bytes at the same pointwise bound: romae against SZ3, SPERR, ZFP and lossless coders.

    python benchmarks/compression.py                       # all data, bounds 1e-2 ... 1e-4
    python benchmarks/compression.py ks shallow --bounds 1e-3
    python benchmarks/compression.py --missing             # only rows not measured yet
    python benchmarks/compression.py --table               # print what has been measured
    python benchmarks/compression.py --speed               # MB/s by the clock; an idle machine

Every row of one data set and bound comes from one run. A ratio is float32 bytes over *all* bytes:
chunks with their headers, weights, modes, and for `auto` every file of the archive. The bound is
relative to the range of each field; it is checked here, on the decoded float32 of every value
(`worst`: largest error over bound; `held`: at most 1). Peers that are not installed are named so.

Each row records `code`, a digest of romae/archive/*.py, and `date`.
Rows: `whole` codes a trajectory as one chunk, `64` has a key frame every 64 snapshots, `quarter`
learns on the first quarter of the snapshots and codes the unseen rest (ratio on the rest).
Speeds are MB of float32 per second of core time (all threads; other jobs do not count), learning
not included except for `auto`; `wall` has seconds by the clock.
"""

import argparse
import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from compression_data import MAKERS, PERIODIC, load
from compression_tables import BOUNDS, LEARNED, show

RESULTS = Path(__file__).parent / "results" / "compression.jsonl"
TRAJECTORIES = {"shallow": 4}
NETWORK, LATENTS = ("cylinder",), 8  # data with rows by an autoencoder, and its size
Coded = tuple[int, Callable[[], np.ndarray]]  # bytes, and how to decode
Coder = Callable[[np.ndarray, np.ndarray], Coded]


def numcodecs_beside_zfpy() -> None:
    """numcodecs 0.16 cannot read the version 1.0.1.post0 of zfpy: read it without the suffix."""
    original = importlib.metadata.version
    importlib.metadata.version = lambda name: original(name).split(".post")[0]


def per_field(x: np.ndarray, eps: np.ndarray, coder: Callable, block: int | None = None) -> Coded:
    """Fields and blocks of snapshots one by one by ``coder(array, eps) -> (bytes, decode)``."""
    parts, size = [], 0
    for c in range(x.shape[1]):
        for i in range(0, len(x), block or len(x)):
            n, decode = coder(np.ascontiguousarray(x[i : i + (block or len(x)), c]), float(eps[c]))
            size += n
            parts.append((i, c, decode))

    def decoded() -> np.ndarray:
        out = np.empty_like(x)
        for i, c, decode in parts:
            out[i : i + (block or len(x)), c] = decode()
        return out

    return size, decoded


def sz3(algorithm: str, block: int | None) -> Coder:
    import pysz

    def one(x: np.ndarray, eps: float) -> Coded:
        config = pysz.szConfig()
        config.errorBoundMode, config.absErrorBound = pysz.szErrorBoundMode.ABS, eps
        config.cmprAlgo = getattr(pysz.szAlgorithm, algorithm)
        data, _ = pysz.sz.compress(x, config)
        return data.nbytes, lambda: pysz.sz.decompress(data, x.dtype, x.shape)[0]

    return lambda x, eps: per_field(x, eps, one, block)


def zfp() -> Coder:
    import zfpy

    def one(x: np.ndarray, eps: float) -> Coded:
        data = zfpy.compress_numpy(x, tolerance=eps)
        return len(data), lambda: zfpy.decompress_numpy(data)

    return lambda x, eps: per_field(x, eps, one)


def sperr() -> Coder:
    import h5py
    import hdf5plugin

    def one(x: np.ndarray, eps: float) -> Coded:
        stored = io.BytesIO()
        with h5py.File(stored, "w") as file:
            filters = hdf5plugin.Sperr(absolute=eps, swap=True)
            data = file.create_dataset("x", data=x, chunks=x.shape, **filters)
            file.flush()
            size = data.id.get_storage_size()

        def decoded() -> np.ndarray:  # from a file opened anew: the other has the source cached
            with h5py.File(stored, "r") as file:
                return file["x"][...]

        return size, decoded

    return lambda x, eps: per_field(x, eps, one)


def lossless(compress: Callable, decompress: Callable) -> Coder:
    def code(x: np.ndarray, eps: np.ndarray) -> Coded:
        data = compress(x.tobytes())
        return len(data), lambda: np.frombuffer(decompress(data), x.dtype).reshape(x.shape)

    return code


def zstd() -> Coder:
    from numcodecs.zstd import Zstd

    codec = Zstd(level=9)
    return lossless(codec.encode, codec.decode)


def quantised(x: np.ndarray, eps: np.ndarray) -> Coded:
    """Rounding to 2 eps, then zlib."""
    step = 2 * eps.reshape(-1, *(1,) * (x.ndim - 2)) * (1 - 1e-3)
    data = zlib.compress(np.rint(x / step).astype(np.int32).tobytes())

    def decoded() -> np.ndarray:
        q = np.frombuffer(zlib.decompress(data), np.int32).reshape(x.shape)
        return (q * step).astype(x.dtype)

    return len(data), decoded


def chunks(count: int, trajectories: int, length: int | None) -> Iterator[slice]:
    """Slices of at most ``length`` snapshots within trajectories."""
    each = -(-count // trajectories)
    for start in range(0, count, each):
        stop = min(start + each, count)
        for i in range(start, stop, length or each):
            yield slice(i, min(i + (length or each), stop))


def by_method(method: object, trajectories: int, length: int | None, folder: str = "") -> Coder:
    """romae's chunks by one method, its side information counted; ``folder`` has a shared model."""
    from romae.archive.chunk import decode_chunk, encode_chunk

    def code(x: np.ndarray, eps: np.ndarray) -> Coded:
        where = list(chunks(len(x), trajectories, length))
        data = [encode_chunk(x[s], eps, [method]) for s in where]
        size = sum(len(d) + 4 for d in data) + len(method.to_bytes())

        def decoded() -> np.ndarray:
            known = {method.name: type(method).from_bytes(method.to_bytes())}
            known[method.name].settle(folder)
            parts = [np.stack(decode_chunk(d, known), axis=1) for d in data]
            return np.concatenate(parts)

        return size, decoded

    return code


def code_digest() -> str:
    """Of the sources that code and decode."""
    import romae.archive

    sources = sorted(Path(romae.archive.__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:12]


class Learned:
    """Methods fitted to ``x`` when one of them is first asked for."""

    def __init__(self, name: str, x: np.ndarray, eps: np.ndarray) -> None:
        self.given, self.methods = (name, x, eps), None

    def coder(self, method: str, trajectories: int, length: int | None) -> Coder | None:
        """None where the method does not apply to this data."""
        if self.methods is None:
            self.methods = learned(*self.given)
        found = self.methods.get(method)
        return found and by_method(found, trajectories, length)


def learned(name: str, x: np.ndarray, eps: np.ndarray) -> dict[str, object]:
    """Methods fitted to ``x``."""
    from romae.archive.coded_pod_fit import fit_pod
    from romae.archive.equation_fit import fit_equation
    from romae.archive.stencil_fit import fit_stencil

    periodic = (name in PERIODIC,) * (x.ndim - 2)
    runs = [x[s].astype(np.float64) for s in chunks(len(x), TRAJECTORIES.get(name, 1), 64)]
    few = runs[:: max(1, len(runs) // 12)]
    found = {}
    for fit in (
        lambda: fit_pod(lambda: runs, eps),
        lambda: fit_equation(few, eps, periodic),
        lambda: fit_stencil(few, eps, periodic),
    ):
        start = time.perf_counter()
        method = fit()
        if method is not None:
            found[method.name] = method
            print(f"# {method.name}: learned in {time.perf_counter() - start:.1f} s", flush=True)
    return found


@functools.cache
def autoencoder(name: str, folder: str) -> str:
    """Path of a `PODAutoencoder` fitted to the data ``name``, saved in ``folder``."""
    import romae

    start = time.perf_counter()
    model = romae.PODAutoencoder(LATENTS, train=romae.TrainConfig(steps=3000, seed=0))
    model.fit(romae.open_snapshots(dataset(name, load(name))))
    print(f"# autoencoder: {time.perf_counter() - start:.1f} s", flush=True)
    model.save(path := os.path.join(folder, "model.rom"))
    return path


def network(name: str, shared: bool, folder: str) -> Coder:
    """An autoencoder's decode as predictor, its weights in the archive or beside it."""
    import romae
    from romae.archive.network_fit import fit_network
    from romae.archive.parent import Parent

    def code(x: np.ndarray, eps: np.ndarray) -> Coded:
        model = romae.load(path := autoencoder(name, folder))
        runs = [x[s].astype(np.float64) for s in chunks(len(x), 1, 64)]
        parent = Parent.of(model, path, Path(folder)) if shared else None
        method = fit_network(model, runs, eps, 1.0, parent)
        if parent:
            print(f"# the shared model has {parent.nbytes} bytes", flush=True)
        return by_method(method, 1, 64, folder)(x, eps)

    return code


def dataset(name: str, x: np.ndarray):  # type: ignore[no-untyped-def]
    """An xarray Dataset whose periodic axes say so."""
    import xarray as xr

    axes, cases = ("z", "y", "x")[5 - x.ndim :], TRAJECTORIES.get(name, 1)
    attrs = {"periodic": 1} if name in PERIODIC else {}
    coords = {d: (d, np.arange(float(n)), attrs) for d, n in zip(axes, x.shape[2:], strict=True)}
    y = x.reshape(cases, -1, *x.shape[1:])
    coords["time"] = ("time", np.arange(float(y.shape[1])))
    fields = {
        f"f{c}": (("case", "time", *axes), y[:, :, c])
        if cases > 1
        else (("time", *axes), y[0, :, c])
        for c in range(x.shape[1])
    }
    return xr.Dataset(fields, coords)


def auto(name: str, rel: float, length: int | None, keep: bool = False) -> Coder:
    """`romae.compress(..., model="auto")`, all files counted; ``keep``: decode more than once."""
    import xarray as xr

    import romae.archive
    from romae.xarray_backend import RomaeBackendEntrypoint

    def code(x: np.ndarray, eps: np.ndarray) -> Coded:
        folder = tempfile.mkdtemp()
        path = os.path.join(folder, "x.romae")
        romae.compress(dataset(name, x), path, rel=rel, chunk=length or len(x))
        size = sum(f.stat().st_size for f in Path(path).rglob("*") if f.is_file())

        def decoded() -> np.ndarray:
            with xr.open_dataset(path, engine=RomaeBackendEntrypoint) as opened:
                fields = [opened[f"f{c}"].values for c in range(x.shape[1])]
            if not keep:
                shutil.rmtree(folder)
            return np.stack([f.reshape(len(x), *x.shape[2:]) for f in fields], axis=1)

        return size, decoded

    return code


def measure(row: str, x: np.ndarray, eps: np.ndarray, make: Callable[[], Coder]) -> dict:
    """One row of the table: ratio, largest error over bound, speeds."""
    try:
        code = make()
    except ImportError as error:
        return {"row": row, "note": f"not installed: {error.name}"}
    if code is None:
        return {"row": row, "note": "does not apply"}
    clock, start = time.perf_counter(), time.process_time()
    try:
        size, decode = code(x, eps)
    except Exception as error:  # a peer that fails is a result; ours are tested elsewhere
        if row.startswith("romae"):
            raise
        return {"row": row, "note": f"failed: {error}"}
    middle, clocked = time.process_time(), time.perf_counter()
    y = decode()
    end, last = time.process_time(), time.perf_counter()
    bound = eps.reshape(-1, *(1,) * (x.ndim - 2))
    worst = float(np.max(np.abs(y.astype(np.float64) - x.astype(np.float64)) / bound))
    return {
        "row": row,
        "ratio": x.nbytes / size,
        "bytes": size,
        "worst": worst,
        "held": worst <= 1.0,
        "in": x.nbytes / 1e6 / (middle - start),
        "out": x.nbytes / 1e6 / (end - middle),
        "wall": [clocked - clock, last - clocked],
    }


def speed(names: list[str]) -> None:
    """MB/s by the clock on all cores, at 1e-3: `auto` in and out, open-loop ways and SZ3 out.

    Whole archives are written once and read three times, the fastest counts. Chunks of a single way
    are decoded on as many threads as there are cores; SZ3, which runs on one, is given the same
    threads, one block of 64 snapshots of one field each.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numba

    from romae.archive import reading
    from romae.archive.chunk import decode_chunk, encode_chunk
    from romae.archive.coded_pod_fit import fit_pod
    from romae.archive.spline import Spline

    pool = ThreadPoolExecutor(os.cpu_count())

    def fastest(work: Callable[[], object]) -> float:
        taken = []
        for _ in range(3):
            start = time.perf_counter()
            work()
            taken.append(time.perf_counter() - start)
        return min(taken)

    def ways(name: str, x: np.ndarray, eps: np.ndarray) -> Iterator[tuple[str, float]]:
        runs = [x[s] for s in chunks(len(x), TRAJECTORIES.get(name, 1), 64)]
        found = [Spline()]
        if name == "cylinder":
            found.append(fit_pod(lambda: [r.astype(np.float64) for r in runs], eps))
        for method in found:
            known = {method.name: method}
            data = list(pool.map(lambda r, m=method: encode_chunk(r, eps, [m]), runs))
            decode_chunk(data[0], known)
            yield (
                f"{method.name} out",
                fastest(
                    lambda d=data, k=known: list(pool.map(lambda one: decode_chunk(one, k), d))
                ),
            )
        blocks = [(r[:, c], eps[c : c + 1]) for r in runs for c in range(x.shape[1])]
        for algorithm in ("INTERP", "INTERP_LORENZO"):
            with contextlib.suppress(ImportError):
                code = sz3(algorithm, None)
                parts = [code(b[:, None], e)[1] for b, e in blocks]
                yield (
                    f"SZ3 {algorithm} out",
                    fastest(lambda p=parts: list(pool.map(lambda decode: decode(), p))),
                )

    def cold(decode: Callable) -> None:
        reading._CACHE._chunks.clear()  # or the second reading would be of memory
        reading._CACHE.held = 0
        decode()

    print(f"{os.cpu_count()} cores, numba {numba.__version__}, load {os.getloadavg()[0]:.1f}")
    auto("noise", 1e-3, 64)(load("noise"), np.ones(1))  # compiles
    for name in names:
        x = load(name)
        axes = (0, *range(2, x.ndim))
        eps = 1e-3 * (x.max(axis=axes).astype(np.float64) - x.min(axis=axes))
        start = time.perf_counter()
        _, decode = auto(name, 1e-3, 64, keep=True)(x, eps)
        wrote = time.perf_counter() - start
        taken = [("auto in", wrote), ("auto out", fastest(lambda d=decode: cold(d)))]
        for what, seconds in (*taken, *ways(name, x, eps)):
            print(f"{name:10} {what:24} {x.nbytes / 1e6 / seconds:8.1f} MB/s", flush=True)


def rows(name: str, rel: float, wanted: tuple[str, ...], known: set[tuple]) -> Iterator[dict]:
    """The rows of one data set and bound whose names begin with one of ``wanted``."""
    for row, x, eps, make in planned(name, rel):
        if row.startswith(wanted) and (name, rel, row) not in known:
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            yield {**measure(row, x, eps, make), "code": code_digest(), "date": now}


def planned(name: str, rel: float) -> Iterator[tuple[str, np.ndarray, np.ndarray, Callable]]:
    """Name, data, bounds and coder of every row."""
    from romae.archive.spline import Spline

    x = load(name)
    axes = (0, *range(2, x.ndim))
    eps = rel * (x.max(axis=axes).astype(np.float64) - x.min(axis=axes))
    cases = TRAJECTORIES.get(name, 1)
    for algorithm in ("INTERP_LORENZO", "INTERP", "LORENZO_REG"):
        for block in (None, 64):
            row = f"SZ3 {algorithm} {block or 'whole'}"
            yield row, x, eps, lambda a=algorithm, b=block: sz3(a, b)
    yield "SPERR", x, eps, sperr
    yield "ZFP", x, eps, zfp
    yield "zlib", x, eps, lambda: lossless(lambda b: zlib.compress(b), zlib.decompress)
    yield "zstd", x, eps, zstd
    yield "quantise + zlib", x, eps, lambda: quantised
    for length in (None, 64):
        row = f"romae auto {length or 'whole'}"
        yield row, x, eps, lambda n=length: auto(name, rel, n)
    for length in (None, 64):
        row = f"romae spline {length or 'whole'}"
        yield row, x, eps, lambda n=length: by_method(Spline(), cases, n)
    if name in NETWORK:
        folder = tempfile.mkdtemp()
        for shared in (False, True):
            row = f"romae network{' shared' if shared else ''} 64"
            yield row, x, eps, lambda s=shared: network(name, s, folder)
    quarter = len(x) // 4
    for part, y, k in (("", x, cases), ("quarter ", x[quarter:], max(1, cases - 1))):
        known = Learned(name, x[:quarter] if part else x, eps)
        for method in LEARNED:
            for length in (None, 64):
                row = f"romae {method} {part}{length or 'whole'}"
                yield row, y, eps, lambda m=method, n=length, c=k, w=known: w.coder(m, c, n)


def read() -> list[dict]:
    """What has been measured, the newest of each row."""
    if not RESULTS.exists():
        return []
    lines = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return list({(f["data"], f["rel"], f["row"]): f for f in lines}.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="*", default=list(MAKERS), help=", ".join(MAKERS))
    parser.add_argument("--bounds", nargs="*", type=float, default=list(BOUNDS))
    parser.add_argument("--table", action="store_true", help="print what has been measured")
    parser.add_argument("--speed", action="store_true", help="MB/s by the clock at 1e-3")
    parser.add_argument("--rows", nargs="*", default=[""], help="only rows that begin so")
    parser.add_argument("--missing", action="store_true", help="only rows not measured yet")
    given = parser.parse_args()
    if given.table:
        show(read())
        return
    numcodecs_beside_zfpy()
    if given.speed:
        speed(given.data)
        return
    RESULTS.parent.mkdir(exist_ok=True)
    found: list[dict] = []
    known = {(f["data"], f["rel"], f["row"]) for f in read() if given.missing}
    for name in given.data:
        for rel in given.bounds:
            for result in rows(name, rel, tuple(given.rows), known):
                found.append({"data": name, "rel": rel, **result})
                with RESULTS.open("a") as file:
                    file.write(json.dumps(found[-1]) + "\n")
                print(json.dumps(found[-1]), flush=True)
    with contextlib.suppress(BrokenPipeError):
        show(found)


if __name__ == "__main__":
    main()
