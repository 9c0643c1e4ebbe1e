"""One chunk: n snapshots of C fields to bytes, every value within its bound.

    |x'_i - x_i| <= eps_c    for every value i of field c, compared in the stored dtype.

Methods (:mod:`romae.archive.method`) see finite float64 and a slightly smaller bound,

    eps' = eps (1 - 1e-4) - ulp(max |x|) / 2          (floating point; ulp of the stored dtype)
    eps' = (floor(eps) + 1/2) (1 - 1e-4)              (integers: rounding to whole numbers is free)

so that the cast to the stored dtype stays inside. What they decode to is compared with the
source, value by value; values outside, and all values that are not finite, are stored by their
bits. A field with eps = 0, or eps' <= 0, or more than 2^45 steps of 2 eps' across, goes to the
lossless coder.

    chunk  := b"rmc" version n C rank sizes method {field}*C payload {mask misses}*(lossy fields)
    field  := dtype lossy eps eps' max-error sum-of-squares misses
"""

from collections.abc import Iterator, Sequence

import numpy as np

from romae.archive import scattered
from romae.archive.chunk_reading import DTYPES, MAGIC, VERSION, decode_chunk
from romae.archive.exact import encode_exact, unsigned
from romae.archive.method import Method, UnsuitableError
from romae.archive.pieces import Writer
from romae.archive.rounding import cast, errors, guarded
from romae.errors import ArchiveError

NEARLY_NOISE = 0.4  # bytes over the fields' own, from which lossless may be as small
CLEARLY = 0.5  # of the fewest bytes on a sample: nobody expects a method to come below


def filled(x: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """x (n, *space) float64 with the value of the frame before, else the mean, where not finite."""
    x = x.astype(np.float64)
    if finite.all():
        return x
    mean = float(np.mean(x[finite] / 2)) * 2 if finite.any() else 0.0
    x[~finite] = np.nan
    last = np.full(x[0].size, mean)
    for frame in x.reshape(len(x), -1):
        np.copyto(frame, last, where=np.isnan(frame))
        last = frame
    return x


def encode_chunk(
    x: np.ndarray | Sequence[np.ndarray],
    eps: Sequence[float] | np.ndarray,
    methods: Sequence[Method],
    dtypes: Sequence[np.dtype | str | type] | None = None,
) -> bytes:
    """Bytes of a chunk, of the method that needs fewest.

    ``x``: (n, C, *space), or C arrays (n, *space) in their own dtypes (needed for integers beyond
    2^53). ``eps``: (C,) absolute bounds, 0 = exact. ``dtypes``: stored dtypes; ``x`` is cast to
    them first, default its own. ``methods`` that raise :class:`UnsuitableError`, or whose bytes do
    not decode to what they said, are passed over; with none left all fields are stored exactly.
    Those with the smallest ``floor`` come first, and those that would have to come far below theirs
    to win are not tried.
    """
    fields, finite, inner = _prepared(x, eps, dtypes)
    methods = sorted(methods, key=lambda m: m.floor)
    tried = sorted(_tries(fields, eps, inner, finite, methods), key=lambda one: len(one[0]))
    raw = sum(f.nbytes for f in fields)
    exact = b""
    if not tried or len(tried[0][0]) > NEARLY_NOISE * raw:
        exact = _written(fields, eps, [0.0] * len(fields), finite, "", b"", None)
    for data, method in tried:
        if exact and len(exact) <= len(data):
            break
        if _holds(data, method, fields, eps):
            return data
    return exact or _written(fields, eps, [0.0] * len(fields), finite, "", b"", None)


def chunk_bytes(
    x: np.ndarray | Sequence[np.ndarray],
    eps: Sequence[float] | np.ndarray,
    method: Method,
    dtypes: Sequence[np.dtype | str | type] | None = None,
) -> int:
    """Bytes of a chunk by ``method``, or exactly stored if that is less; nothing is verified."""
    fields, finite, inner = _prepared(x, eps, dtypes)
    sizes = [len(data) for data, _ in _tries(fields, eps, inner, finite, [method])]
    if not sizes or sizes[0] > NEARLY_NOISE * sum(f.nbytes for f in fields):
        exact = _written(fields, eps, [0.0] * len(fields), finite, "", b"", None)
        sizes.append(len(exact))
    return min(sizes)


def _prepared(
    x: np.ndarray | Sequence[np.ndarray],
    eps: Sequence[float] | np.ndarray,
    dtypes: Sequence[np.dtype | str | type] | None,
) -> tuple[list[np.ndarray], list[np.ndarray], list[float]]:
    """Fields in their stored dtypes, where they are finite, bounds for methods."""
    fields = [x[:, c] for c in range(x.shape[1])] if isinstance(x, np.ndarray) else list(x)
    if dtypes is not None:
        fields = [np.asarray(f).astype(d) for f, d in zip(fields, dtypes, strict=True)]
    fields = [np.asarray(f) for f in fields]
    finite = [np.isfinite(f) for f in fields]
    inner = [guarded(f[g], float(e)) for f, g, e in zip(fields, finite, eps, strict=True)]
    return fields, finite, inner


def _tries(
    fields: list[np.ndarray],
    eps: Sequence[float] | np.ndarray,
    inner: list[float],
    finite: list[np.ndarray],
    methods: Sequence[Method],
) -> Iterator[tuple[bytes, Method]]:
    """The chunk as each method writes it."""
    lossy = [c for c, e in enumerate(inner) if e > 0]
    if not lossy:
        return
    work = np.stack([filled(fields[c], finite[c]) for c in lossy], axis=1)
    bare = work
    if not all(finite[c].all() for c in lossy):
        bare = np.where(np.stack([finite[c] for c in lossy], axis=1), work, np.nan)
    bounds = np.array([inner[c] for c in lossy])
    fewest = np.inf
    for method in methods:
        if fewest < CLEARLY * method.floor * len(work):
            continue
        try:
            payload, decoded = method.encode(bare if method.gaps else work, bounds)
        except UnsuitableError:
            continue
        data = _written(fields, eps, inner, finite, method.name, payload, decoded)
        fewest = min(fewest, len(data))
        yield data, method


def _holds(
    data: bytes, method: Method, fields: list[np.ndarray], eps: Sequence[float] | np.ndarray
) -> bool:
    """Whether the bytes really decode to values within the bound; no method is trusted."""
    try:
        back = decode_chunk(data, {method.name: method})
    except ArchiveError:
        return False
    for x, stored, bound in zip(fields, back, eps, strict=True):
        same = unsigned(stored) == unsigned(x)
        if not np.all(same | (np.isfinite(x) & (errors(stored, x) <= bound))):
            return False
    return True


def _written(
    fields: list[np.ndarray],
    eps: Sequence[float] | np.ndarray,
    inner: list[float],
    finite: list[np.ndarray],
    name: str,
    payload: bytes,
    decoded: np.ndarray | None,
) -> bytes:
    """The chunk, with every value of ``decoded`` (n, lossy fields, *space) compared."""
    head, tail = Writer(), Writer()
    n, *space = fields[0].shape if fields else (0,)
    head.data += MAGIC
    for value in (VERSION, n, len(fields), len(space), *space):
        head.number(value)
    head.block(name.encode())
    place = 0
    for x, bound, reduced, good in zip(fields, eps, inner, finite, strict=True):
        head.number(DTYPES.index(x.dtype.newbyteorder("=")))
        head.number(1 if reduced > 0 else 0)
        head.real(float(bound))
        if reduced == 0 or decoded is None:
            tail.block(encode_exact(x))
            continue
        stored = cast(decoded[:, place], x.dtype)
        place += 1
        error = errors(stored, x)
        ok = error <= bound  # NaN compares as false: a miss
        missed = good & ~ok
        kept = error[good & ok]
        head.real(reduced)
        head.real(float(kept.max(initial=0.0)))
        with np.errstate(over="ignore", under="ignore"):
            head.real(float(np.sum(kept**2)))
        head.number(int(missed.sum()))
        tail.block(scattered.encode_mask(~good))
        tail.block(encode_exact(x[~good]))
        tail.block(scattered.encode_places(missed))
        tail.block(encode_exact(x[missed]))
    head.block(payload)
    return bytes(head.data + tail.data)
