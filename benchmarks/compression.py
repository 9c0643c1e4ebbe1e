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

RESULTS = Path(__file__).parent / "results" / "compression.jsonl"
FOUR = ("cylinder", "ks", "decaying", "forced")
LEARNED = ("coded-pod", "equation", "stencil")
BOUNDS, ENDS = (1e-2, 1e-3, 1e-4), ("64", "whole")
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

    print(f"{os.cpu_count()} cores, numba {numba.__version__}, load {os.getloadavg()[0]:.1f}")
    auto("noise", 1e-3, 64)(load("noise"), np.ones(1))  # compiles
    for name in names:
        x = load(name)
        axes = (0, *range(2, x.ndim))
        eps = 1e-3 * (x.max(axis=axes).astype(np.float64) - x.min(axis=axes))
        start = time.perf_counter()
        _, decode = auto(name, 1e-3, 64, keep=True)(x, eps)
        taken = [("auto in", time.perf_counter() - start), ("auto out", fastest(decode))]
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


def show(found: list[dict]) -> None:
    """Markdown: a summary over SZ3, peers, Baler, then what each of our ways does."""
    summary(found)
    across(found, "Peers: ratio (largest error over bound, where below 0.9)", PEERS)
    baler(found)
    ways(found)
    across(found, "A network: ratio, its weights in the archive, or counted apart", NETWORKS)
    speeds(found)


PEERS = {
    "SZ3": "SZ3 ",
    "SPERR": "SPERR",
    "ZFP": "ZFP",
    "zlib": "zlib",
    "zstd": "zstd",
    "quantise + zlib": "quantise",
    "romae auto, 64": "romae auto 64",
}
NETWORKS = {
    "network in the archive, 64": "romae network 64",
    "network shared, 64": "romae network shared 64",
    "coded-pod, 64": "romae coded-pod 64",
    "romae auto, 64": "romae auto 64",
}


def ways(found: list[dict]) -> None:
    """A line for each of our single ways, a column for each data set, at 1e-3."""
    names = [f"{m}{q} {n}" for m in ("spline", *LEARNED) for q in ("", " quarter") for n in ENDS]
    print("\n### Ways of romae at 0.001: ratio\n")
    print(f"| way | {' | '.join(MAKERS)} |\n|{'---|' * (len(MAKERS) + 1)}")
    for way in names:
        these = [f for f in found if f["row"] == f"romae {way}" and f["rel"] == 1e-3]
        texts = [about([f for f in these if f["data"] == name]) for name in MAKERS]
        if any(t != "-" for t in texts):
            print(f"| {way} | {' | '.join(texts)} |")


def across(found: list[dict], title: str, columns: dict[str, str]) -> None:
    """A line for each data set and bound (standard ones); a column for each kind of row."""
    print(f"\n### {title}\n")
    lines = []
    for name, rel in cells(found):
        these = [f for f in found if (f["data"], f["rel"]) == (name, rel)]
        texts = [about([f for f in these if f["row"].startswith(c)]) for c in columns.values()]
        if rel in BOUNDS and texts[0] != "-":
            lines.append([name, f"{rel:g}", *texts])
    print(f"| data | bound | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 2)}")
    for line in lines:
        print(f"| {' | '.join(line)} |")


def about(rows: list[dict]) -> str:
    """Ratio of the best of ``rows``, and whether and how its bound was kept."""
    rows = [f for f in rows if "ratio" in f]
    if not rows:
        return "-"
    f = max(rows, key=lambda f: f["ratio"])
    digits = 1 if f["ratio"] >= 10 else 2
    kept = "" if f["held"] else " **missed**"
    conservative = f" ({f['worst']:.2f})" if 0 < f["worst"] < 0.9 else ""
    return f"{f['ratio']:.{digits}f}{conservative}{kept}"


def baler(found: list[dict]) -> None:
    """Baler at the largest error that it made; others at this as their bound."""
    print("\n### Baler, which has no bound, and others at the largest error that it made\n")
    print(
        "| data | Baler on | its largest error / range | ratio | latents alone | SZ3 | auto, 64 |"
    )
    print("|---|---|---|---|---|---|---|")
    for f in (f for f in found if f["row"].startswith("Baler")):
        these = [g for g in found if (g["data"], g["rel"]) == (f["data"], f["rel"])]
        others = [about([g for g in these if g["row"].startswith(s)]) for s in ("SZ3", "romae")]
        print(
            f"| {f['data']} | {f['row'][6:]} | {f['rel']:g} | {f['ratio']:.1f} | {f['shared']:.1f} "
            f"| {' | '.join(others)} |"
        )


def speeds(found: list[dict]) -> None:
    """In and out of the rows at 1e-3."""
    print("\n### MB/s of core time at 0.001, in / out\n")
    these = [f for f in found if f["rel"] == 1e-3 and "in" in f]
    names = [n for n in MAKERS if any(f["data"] == n for f in these)]
    rows = sorted({f["row"] for f in these if "quarter" not in f["row"]})
    print(f"| row | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for row in rows:
        by = {f["data"]: f"{f['in']:.0f} / {f['out']:.0f}" for f in these if f["row"] == row}
        print(f"| {row} | {' | '.join(by.get(n, '-') for n in names)} |")


def cells(found: list[dict]) -> list[tuple[str, float]]:
    """Data sets and bounds, in the order of the data and from coarse to fine."""
    every = {(f["data"], f["rel"]) for f in found}
    return sorted(every, key=lambda c: (list(MAKERS).index(c[0]), -c[1]))


def best(found: list[dict], start: str, end: str = "") -> float:
    """The largest ratio of the rows whose names begin and end so; 0 if there are none."""
    fit = (f for f in found if f["row"].startswith(start) and f["row"].endswith(end))
    return max((f.get("ratio", 0.0) for f in fit), default=0.0)


def summary(found: list[dict]) -> None:
    """Ratios and how many times the best SZ3's they are; geometric mean of :data:`FOUR`."""
    columns = (
        ("auto, 64", lambda these: best(these, "romae auto", "64")),
        ("auto, whole", lambda these: best(these, "romae auto", "whole")),
        (
            "first quarter, 64",
            lambda these: max(best(these, f"romae {m} quarter", "64") for m in LEARNED),
        ),
    )
    print("| data | bound | SZ3 |" + "".join(f" {name} | over SZ3 |" for name, _ in columns))
    print("|---|---|---|" + "---|---|" * len(columns))
    gains: dict[tuple[float, str], list[float]] = {}
    for name, rel in cells(found):
        if rel not in BOUNDS:  # Baler's
            continue
        these = [f for f in found if (f["data"], f["rel"]) == (name, rel)]
        reference = best(these, "SZ3")
        line = f"| {name} | {rel:g} | {reference:.1f} |"
        for column, ratio in ((c, r(these)) for c, r in columns):
            if not (ratio and reference):
                line += " - | - |"
                continue
            line += f" {ratio:.1f} | **{ratio / reference:.2f}** |"
            if name in FOUR:
                gains.setdefault((rel, column), []).append(ratio / reference)
        print(line)
    print()
    for (rel, column), ratios in sorted(gains.items(), reverse=True):
        if len(ratios) == len(FOUR):
            mean = float(np.exp(np.mean(np.log(ratios))))
            print(
                f"- geometric mean over SZ3 of {', '.join(FOUR)} at {rel:g}, {column}: {mean:.1f}"
            )


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
