"""Error-bounded interpolation over time and space, from coarse to fine.

The points of a chunk (n, a, b, c) are coded on grids of stride 2^l, l = top .. 0, in each of which
the new points are interpolated from the ones already decoded
(:mod:`romae.archive.interpolate`): first those odd along one axis, then along two, three, four, so
that a point odd along several axes is interpolated along all of them. Coarse grids, on
which all others build, have the smaller bound

    eps_l = eps / min(alpha^l, beta),

with (alpha, beta), and the pace of learning, chosen by coding a small piece of the chunk. Where
x is NaN, q = 0: the interpolation goes on through gaps at no cost. Axes
that join at their ends are taken as periodic. Each field is coded by itself:

    field := 0 value                                                    within eps of one value
           | 1 + setting periodic mean block(fitted? bits, weights) block(coded)

Source: Liang et al. 2022, "SZ3: a modular framework for composing prediction-based
error-bounded lossy compressors"; level bounds from Liu et al. 2022, "Dynamic quality metric
oriented error bounded lossy compression" (QoZ). Ours differs in its
fitted weights over several axes, and in coding q in the context of the roughness and of |q| nearby
rather than by Huffman and zstd.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from romae.archive.entropy import fourfold
from romae.archive.interpolate import CONTEXTS, CROSS, ROWS, read_pass, sum_levels, write_pass
from romae.archive.method import Method
from romae.archive.pieces import Reader, Writer
from romae.archive.rangecoder import PACES, PER, TAIL, check_end, fresh, reader, writer, written
from romae.archive.weights import equal, fit, unpacked
from romae.errors import ArchiveError

SETTINGS = ((1.0, 1.0), (1.15, 1.5), (1.3, 2.0), (1.5, 3.0))  # (alpha, beta)
GROUPS = 3  # levels 0, 1, and all above, have contexts of their own
PIECE = 16384  # values to choose the setting on
CAP = 6000  # points to fit weights on


def passes(sizes: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...], np.ndarray]]:
    """Level, axes S and grid (rows 0 to 4) of each pass over an array of four ``sizes``."""
    need = [(size - 1).bit_length() for size in sizes]
    strides = [int(np.prod(sizes[a + 1 :], dtype=np.int64)) for a in range(4)]
    for l in reversed(range(max(need))):  # noqa: E741
        halved = [a for a in range(4) if l < need[a]]
        step = [min(2 << l, 1 << need[a]) for a in range(4)]
        for m in range(1, len(halved) + 1):
            for S in combinations(halved, m):
                s = [1 << l if a in S else 0 for a in range(4)]
                yield l, S, np.array([sizes, strides, s, step, s, [0] * 4], np.int64)


def periodic(x: np.ndarray) -> int:
    """Bits of the axes of space along which x (n, a, b, c) joins at its ends as it goes inside."""
    result = 0
    for a in range(1, 4):
        if x.shape[a] < 8:
            continue
        u = np.moveaxis(x[:: max(1, len(x) // 8)], a, -1)
        with np.errstate(over="ignore"):
            inside = np.abs(u[..., 1:] - u[..., :-1])
            seam = np.abs(u[..., 0] - u[..., -1])
        inside, seam = inside[np.isfinite(inside)], seam[np.isfinite(seam)]
        if not (seam.size and inside.size):
            continue
        if seam.mean() <= 1.5 * inside.mean() and np.median(seam) <= 2.0 * np.median(inside):
            result |= 1 << a
    return result


class _Field:
    """One field (n, a, b, c) on its way in or out."""

    def __init__(
        self,
        sizes: tuple[int, ...],
        mean: float,
        eps: float,
        setting: int,
        ends: int,
        d: np.ndarray,
        M: np.ndarray,
    ):
        self.sizes, self.mean, self.eps, self.ends = sizes, mean, eps, ends
        self.alpha, self.beta = SETTINGS[setting]
        self.d, self.M = d, M
        self.rows, self.cross = np.empty((ROWS, sizes[3])), np.empty((CROSS, sizes[3]), np.int32)
        self.levels = sum_levels()
        self.P, self.Z = [fresh(CONTEXTS * PER) for _ in range(GROUPS)], fresh(TAIL)

    def passes(self) -> Iterator[tuple[int, tuple[int, ...], np.ndarray, float]]:
        """Group of contexts, S, whole grid, and bound of each pass; first the corner point."""
        corner = np.array([self.sizes, [0] * 4, [0] * 4, self.sizes, [0] * 4, [0] * 4], np.int64)
        yield GROUPS - 1, (), corner, self.eps / self.beta
        for l, S, grid in passes(self.sizes):  # noqa: E741
            for a in S:  # periodic where the coarse grid is
                grid[5, a] = (self.ends >> a) & 1 and self.sizes[a] % grid[3, a] == 0
            yield min(l, GROUPS - 1), S, grid, self.eps / min(self.alpha**l, self.beta)

    def run(
        self,
        buffer: np.ndarray,
        state: np.ndarray,
        x: np.ndarray,
        step: tuple[int, np.ndarray, np.ndarray, float],
        reading: bool = False,
    ) -> bool:
        """Code one pass with the weights given."""
        group, grid, weights, eps = step
        code_pass = read_pass if reading else write_pass
        tables = (self.P[group], self.Z)
        space = (self.rows, self.cross, self.levels)
        values = (x, self.d, self.M)
        done = code_pass(buffer, state, *values, *tables, grid, weights, self.mean, eps, *space)
        return bool(done)


def _encode(
    x: np.ndarray, mean: float, eps: float, setting: int, pace: int, ends: int, cap: int
) -> tuple[bytes, np.ndarray]:
    """Weights and coded integers of a field (n, a, b, c), and its decoded values, flat."""
    capacity = 2 * x.size + 64 * x.shape[3] + 4096
    flat = x.reshape(-1)
    while True:
        buffer, state = writer(capacity, pace)
        d, M = np.empty(x.size), np.empty(x.size, np.int32)
        field = _Field(x.shape, mean, eps, setting, ends, d, M)
        chosen, codes, enough = [], [], True
        for group, S, grid, bound in field.passes():
            known = field.d.reshape(x.shape)
            code = fit(x, known, grid, mean, bound, cap) if S and cap else None
            weights = equal(S) if code is None else unpacked(code, S)
            chosen += [code is not None] if S else []
            codes += [code.tobytes()] if code is not None else []
            enough = field.run(buffer, state, flat, (group, grid, weights, bound))
            if not enough:
                break
        if enough:
            break
        capacity *= 4
    out = Writer()
    out.block(np.packbits(chosen).tobytes() + b"".join(codes))
    out.block(written(buffer, state))
    return bytes(out.data), field.d


class Spline(Method):
    """Interpolation by fitted cubics, each field by itself; needs no side information."""

    name = "spline"
    gaps = True

    def encode(self, x: np.ndarray, eps: np.ndarray) -> tuple[bytes, np.ndarray]:
        out, decoded = Writer(), np.empty(x.shape)
        for c, bound in enumerate(eps.tolist()):
            data, decoded[:, c] = self._field(x[:, c], bound)
            out.data += data
        return bytes(out.data), decoded

    @staticmethod
    def _field(x: np.ndarray, eps: float) -> tuple[bytes, np.ndarray]:
        out = Writer()
        good = x[np.isfinite(x)]
        low, high = float(good.min(initial=np.inf)), float(good.max(initial=-np.inf))
        middle = low / 2 + high / 2 if good.size else 0.0
        if not good.size or (high - middle <= eps and middle - low <= eps):
            out.number(0)
            out.real(middle)
            return bytes(out.data), np.full(x.shape, middle)
        x4 = np.ascontiguousarray(x).reshape(fourfold(x.shape))
        mean = float(np.mean(good / 2)) * 2
        ends = periodic(x4)
        piece = _piece(x4)
        ends_there = ends if piece is x4 else 0

        def cost(setting: int, pace: int) -> int:
            return len(_encode(piece, mean, eps, setting, pace, ends_there, 0)[0])

        trials = [cost(setting, 0) for setting in range(len(SETTINGS))]
        best = int(np.argmin(trials))
        pace = int(cost(best, 1) < trials[best])
        data, decoded = _encode(x4, mean, eps, best, pace, ends, CAP)
        out.number(1 + best + len(SETTINGS) * pace)
        out.number(ends)
        out.real(mean)
        return bytes(out.data) + data, decoded.reshape(x.shape)

    def decode(self, payload: bytes, shape: tuple[int, ...], eps: np.ndarray) -> np.ndarray:
        n, count, *space = shape
        source, x = Reader(payload), np.empty((count, n, *space))
        M = np.empty(x[0].size if count else 0, np.int32)
        for c, bound in enumerate(eps.tolist()):
            setting = source.number() - 1
            if setting < 0:
                x[c] = source.real()
                continue
            pace, setting = divmod(setting, len(SETTINGS))
            if pace >= len(PACES):
                raise _damaged(f"setting {setting}")
            ends, mean = source.number(), source.real()
            side, data = source.block(), source.block()
            sizes, d = fourfold((n, *space)), x[c].reshape(-1)
            _decode(_Field(sizes, mean, bound, setting, ends, d, M), side, data, pace)
        return x.swapaxes(0, 1)


def _decode(field: _Field, side: bytes, data: bytes, pace: int) -> None:
    """Fill ``field.d`` from its weights and coded integers."""
    todo = list(field.passes())
    flags = (len(todo) - 1 + 7) // 8
    chosen = [False, *np.unpackbits(np.frombuffer(side[:flags], np.uint8)).astype(bool)]
    codes = np.frombuffer(side[flags:], np.int8)
    if len(chosen) < len(todo):
        raise _damaged(f"{len(side)} bytes of weights")
    buffer, state = reader(data, pace)
    at, whole = 0, True
    for (group, S, grid, bound), fitted in zip(todo, chosen, strict=False):
        weights = equal(S)
        if fitted:
            if len(codes) < at + 2 * len(S):
                raise _damaged(f"{len(codes)} weights")
            weights = unpacked(codes[at : at + 2 * len(S)], S)
            at += 2 * len(S)
        whole = whole and field.run(buffer, state, field.d, (group, grid, weights, bound), True)
    check_end(data, state, whole)


def _piece(x: np.ndarray) -> np.ndarray:
    """All times of a window in the middle of space, some 16 000 values."""
    part = x
    while part.size > PIECE and max(part.shape[1:]) > 8:
        a = 1 + int(np.argmax(part.shape[1:]))
        quarter = part.shape[a] // 4
        part = np.moveaxis(np.moveaxis(part, a, 0)[quarter : quarter + part.shape[a] // 2], 0, a)
    return part if part is x else np.ascontiguousarray(part)


def _damaged(seen: str) -> ArchiveError:
    return ArchiveError(
        f"A chunk coded by interpolation says {seen}. Expected what romae writes: the chunk is "
        "damaged, restore it from a copy."
    )
