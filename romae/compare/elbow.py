"""From which latent size on more numbers bring little, and how sure that is.

With e(k) the error of size k, the median over seeds, e(0) = 1, that of the mean, and f(i, j) the
fall log e(i) - log e(j), the elbow is the smallest size before which the error falls by a factor
``gain`` (2 by default), after which it does not, and falls less than half as steeply, per size of
the sweep:

    k* = min { k_n : f(0, k_n) >= log gain >= f(k_n, j),  f(k_n, j) / (N - n) <= f(0, k_n) / (2 n) }

with j the best of the sizes k_n ... k_N. Factors, because errors fall by factors: POD's by one with
every mode, so that it has no elbow; an autoencoder's until its latents hold the motion, and little
after that. When k* is the largest size of the sweep, or there is none, the curve has not levelled
off: no elbow was seen. A curve that falls slowly all along has none either: that is what the
steepness is for.

How sure: the sweep is redrawn 1000 times, seeds with replacement for every size, and with
replacement blocks of held-out snapshots that follow each other, the same blocks for all models
(Kuensch 1989, "The jackknife and the bootstrap for general stationary observations": neighbours in
time are not independent, blocks nearly are). Each drawing has its own k*.
"""

from collections.abc import Sequence

import numpy as np

from romae.metrics import over_groups

GAIN = 2.0
BLOCKS = 10  # of held-out snapshots, about
DRAWS = 1000


def elbow(error: np.ndarray, gain: float = GAIN) -> np.ndarray:
    """Index of k* in ``error`` (..., K), sizes ascending; the last one where there is none.

    >>> int(elbow(np.array([0.5, 0.1, 0.01, 0.009, 0.008])))
    2
    """
    level = np.log(np.maximum(error, np.finfo(np.float64).tiny))
    best = np.flip(np.minimum.accumulate(np.flip(level, -1), -1), -1)
    before, after = -level, level - best
    steps = np.arange(1, error.shape[-1] + 1)
    bends = 2 * steps * after <= (steps[-1] - steps) * before
    found = (before >= np.log(gain)) & (after <= np.log(gain)) & bends
    return np.where(found.any(-1), np.argmax(found, -1), len(steps) - 1)


def block_of(lengths: Sequence[int], count: int = BLOCKS) -> np.ndarray:
    """Number of the block of every snapshot (T,): contiguous, none across two cases."""
    each = max(1, -(-count // len(lengths)))
    parts, first = [], 0
    for n in lengths:
        pieces = min(each, n)
        parts.append(first + np.arange(n) * pieces // n)
        first += pieces
    return np.concatenate(parts)


def curve(
    error: np.ndarray,
    fluctuation: np.ndarray,
    groups: Sequence[Sequence[int]],
) -> np.ndarray:
    """Relative L2 of all fields (...): energies ``error`` (..., T, C), ``fluctuation`` (T, C)."""
    return over_groups(error.sum(-2), fluctuation.sum(-2), groups)


def redrawn(
    error: Sequence[np.ndarray],
    fluctuation: np.ndarray,
    blocks: np.ndarray,
    groups: Sequence[Sequence[int]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """Median errors (draws, K) of redrawn seeds and blocks.

    ``error``: for each of K sizes the error energies (seeds, T, C); ``fluctuation`` (T, C);
    ``blocks`` (T,) as :func:`block_of` gives them. The same ``seed`` draws the same blocks.
    """
    number = int(blocks.max()) + 1
    member = np.eye(number)[blocks].T  # (blocks, T)
    chosen = np.random.default_rng(seed).integers(number, size=(draws, number))
    times = np.stack([np.bincount(row, minlength=number) for row in chosen])  # (draws, blocks)
    below = times @ (member @ fluctuation)  # (draws, C)
    found = np.empty((draws, len(error)))
    for j, one in enumerate(error):
        above = np.einsum("db,sbc->dsc", times, member @ one)
        each = over_groups(above, np.broadcast_to(below[:, None], above.shape), groups)
        pick = np.random.default_rng([seed, j]).integers(len(one), size=each.shape)
        found[:, j] = np.median(np.take_along_axis(each, pick, axis=1), axis=1)
    return found
