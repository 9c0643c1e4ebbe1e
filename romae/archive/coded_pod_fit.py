"""Learning :class:`romae.archive.coded_pod.CodedPOD`: one pass for the modes, one for coefficients.

Modes come from an incremental decomposition of blocks B in units of the bound: with the basis
U S so far, the SVD of [U S; B] through its small Gram matrix, cut to LARGEST_RANK (Levy &
Lindenbaum 2000, "Sequential Karhunen-Loeve basis extraction"). Rank, rounding and folding are those
with the fewest bytes, modes and residual counted, on frames spread over the whole.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from romae.archive.coded_pod import ORDER, CodedPOD, arrange, recur, to_wavelets
from romae.archive.entropy import encode_integers

LARGEST_RANK = 64
RANKS = (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64)
NOISE = (0.25, 0.4, 0.55, 0.75, 1.0)  # rms of the rounded modes' part in the error, in eps
COEFFICIENT_NOISE = 0.08  # the same for the coefficients
FRAMES = 24  # on which residuals are measured
FINE = 0.01  # rms truncation error over eps, below which more modes change nothing
SMALLEST = 32  # snapshots below which modes cannot pay

Blocks = Callable[[], Iterable[np.ndarray]]


def fit_pod(blocks: Blocks, eps: np.ndarray, share: float = 1.0) -> CodedPOD | None:
    """Modes of the snapshots (n, C, *space) in ``blocks()``, or None where they cannot pay.

    ``blocks`` is called three times; memory is LARGEST_RANK + two blocks of snapshots, in float64.
    ``eps``: (C,) bound, all above zero. ``share``: snapshots to be coded per snapshot here.
    """
    basis = _basis(_scaled(blocks(), eps))
    if basis is None:
        return None
    mean, modes, shape, count = basis
    a = np.concatenate([_project(b, mean, modes) for b in _scaled(blocks(), eps)])
    sample = _sample(blocks(), count)
    return _Choice(mean, modes, a, sample, eps, shape, share).best()


def _scaled(blocks: Iterable[np.ndarray], eps: np.ndarray) -> Iterator[tuple[np.ndarray, tuple]]:
    for block in blocks:
        unit = np.asarray(eps).reshape(1, -1, *(1,) * (block.ndim - 2))
        yield (np.asarray(block, np.float64) / unit).reshape(len(block), -1), block.shape[1:]


def _basis(blocks):
    """Mean (P,), modes (r, P) scaled to unit coefficients, shape, number of snapshots."""
    rows = None
    count, total, offset, shape = 0, 0.0, 0.0, ()
    for block, space in blocks:
        shape = space
        if rows is None:
            offset = block[0].copy()  # near the mean, so that nothing cancels
            rows = np.empty((0, block.shape[1]))
        block = block - offset
        total = total + block.sum(axis=0)
        count += len(block)
        rows = _compress(np.concatenate([rows, block]))
    if rows is None or count < SMALLEST:
        return None
    # deviations from the mean m: in an orthonormal basis U of the rows, diag(s^2) - n (U m)(U m)^T
    mean = total / count
    values, vectors = np.linalg.eigh(rows @ rows.T)
    keep = values > 1e-13 * max(values.max(), 1e-300)
    basis = (vectors[:, keep].T @ rows) / np.sqrt(values[keep])[:, None]
    along = basis @ mean
    values, vectors = np.linalg.eigh(np.diag(values[keep]) - count * np.outer(along, along))
    order = np.argsort(-values)[: min(LARGEST_RANK, count // 2)]
    order = order[values[order] > 1e-12 * max(values.max(initial=0.0), 1e-300)]
    modes = (vectors[:, order].T @ basis) * np.sqrt(values[order] / count)[:, None]
    return offset + mean, modes, shape, count


def _compress(rows: np.ndarray) -> np.ndarray:
    """Rows with the same leading right singular vectors and values, LARGEST_RANK + 1 at most."""
    if len(rows) <= LARGEST_RANK + 1:
        return rows
    _, vectors = np.linalg.eigh(rows @ rows.T)
    return np.ascontiguousarray(vectors[:, -(LARGEST_RANK + 1) :].T @ rows)


def _project(block, mean, modes):
    flat, _ = block
    gram = modes @ modes.T
    return np.linalg.lstsq(gram, modes @ (flat - mean).T, rcond=1e-12)[0].T


def _sample(blocks: Iterable[np.ndarray], count: int) -> np.ndarray:
    wanted = set(np.linspace(0, count - 1, min(FRAMES, count)).astype(int).tolist())
    found, start = [], 0
    for block in blocks:
        found += [block[i - start] for i in range(start, start + len(block)) if i in wanted]
        start += len(block)
    return np.array(found, np.float64)


class _Choice:
    def __init__(self, mean, modes, a, sample, eps, shape, share) -> None:
        self.psi = np.concatenate([mean[None], modes]).reshape(-1, *shape)
        self.a, self.sample, self.eps, self.share = a, sample, eps, share
        self.folds = [(axis,) for axis, n in enumerate(shape[1:]) if n % 2 == 0 and n >= 16]

    def best(self) -> CodedPOD | None:
        if len(self.psi) < 2:
            return None
        fold = self.fold()
        best, fewest, worse, finest = None, np.inf, 0, 0
        for rank in self.ranks():
            y = to_wavelets(self.psi[: rank + 1], fold)
            improved = False
            for level in range(finest, len(NOISE)):
                method = self.method(y, rank, NOISE[level], fold)
                size = self.size(method)
                if size < fewest:
                    best, fewest, improved = method, size, True
                    finest = max(level - 1, 0)  # more modes bear coarser ones
            worse = 0 if improved else worse + 1
            if worse >= 2:
                break
        return best

    def fold(self) -> tuple[int, ...]:
        """The axis whose mirror images make the modes shortest, if any."""
        psi = self.psi[:9]
        step = 0.4 * np.sqrt(12.0 / len(psi))

        def size(fold: tuple[int, ...]) -> int:
            q = np.rint(to_wavelets(psi, fold) / step).astype(np.int64)
            return len(encode_integers(arrange(q, fold)))

        return min([(), *self.folds], key=size)

    def ranks(self) -> list[int]:
        """Ranks whose truncation error is below the bound in the mean; none: modes do not pay."""
        unit = self.eps.reshape(1, -1, *(1,) * (self.sample.ndim - 2))
        rest = (self.sample / unit).reshape(len(self.sample), -1) - self.psi[0].ravel()
        psi = self.psi[1:].reshape(len(self.psi) - 1, -1)
        explained = np.mean((rest @ psi.T) ** 2, axis=0) / np.sum(psi**2, axis=1) / psi.shape[1]
        left = np.sqrt(np.maximum(np.mean(rest**2) - np.cumsum(explained), 0.0))
        ranks = [r for r in RANKS if r < len(self.psi)]
        enough = sum(left[r - 1] >= FINE for r in ranks) + 1
        return [r for r in ranks[:enough] if left[r - 1] < 1.0]

    def method(self, y: np.ndarray, rank: int, noise: float, fold: tuple[int, ...]) -> CodedPOD:
        step = noise * np.sqrt(12.0 / (rank + 1))
        q = np.rint(y / step).astype(np.int64)
        peak = np.abs(self.psi[1 : rank + 1].reshape(rank, -1)).max(axis=1)
        steps = COEFFICIENT_NOISE * np.sqrt(12.0 / rank) / np.maximum(0.5 * peak, 1e-300)
        a = np.rint(self.a[:, :rank] / steps)
        recurrence = np.zeros((rank, ORDER))
        for r in range(rank):
            past = np.stack([a[ORDER - 1 - j : len(a) - 1 - j, r] for j in range(ORDER)], axis=1)
            recurrence[r] = np.linalg.lstsq(past, a[ORDER:, r], rcond=1e-10)[0]
        return CodedPOD(q, step, self.eps, fold, steps, recurrence)

    def size(self, method: CodedPOD) -> float:
        """Bytes for the whole: modes, coefficients, the residual of the sample in proportion."""
        count = len(self.a)
        a = np.rint(self.a[:, : method.rank] / method.steps).astype(np.int64)
        difference = np.empty_like(a)
        recur(a, difference, method.recurrence, True)
        payload, _ = method.encode(self.sample, self.eps)
        residual = len(payload) - len(encode_integers(difference[: len(self.sample)]))
        return (
            len(method.to_bytes())
            + self.share * len(encode_integers(difference))
            + self.share * residual * count / len(self.sample)
        )
