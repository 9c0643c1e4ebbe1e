"""How sure a mean over starts is: bootstrap by blocks of starts.

Forecasts from starts closer than the length of a rollout share part of the truth, so their
errors are not independent, and a plain bootstrap over starts would promise too much. Starts are
therefore drawn in blocks of

    L = 2 ceil(steps / median spacing of the starts),     at most n / 4

neighbours in time, out of the starts of all cases in a row that closes on itself (circular
block bootstrap). Twice the overlap, because blocks cut it at both ends: with L as long as the
overlap a 95 % interval held the true mean in 82 % of experiments, with this in 86 %, with three
times in 90 %. Few blocks make it too narrow. L = 1, the plain bootstrap, where rollouts do not
overlap. The same draws serve every model, so that differences between models are paired: what
all find hard cancels.

Source: D. N. Politis, J. P. Romano, A circular block-resampling procedure for stationary
data, 1992.
"""

import itertools
from collections.abc import Sequence

import numpy as np

DRAWS = 2000
LEVEL = 0.95


def block_length(starts: Sequence[tuple[int, int]], steps: int) -> int:
    """L for ``starts`` (case, index) and rollouts of ``steps``, as above.

    >>> block_length([(0, 0), (0, 10), (0, 20), (0, 30)], steps=5)
    1
    """
    ordered = sorted(starts)
    gaps = [b[1] - a[1] for a, b in itertools.pairwise(ordered) if a[0] == b[0]]
    if not gaps:
        return 1
    overlap = int(np.ceil(steps / max(float(np.median(gaps)), 1.0)))
    return 1 if overlap == 1 else max(1, min(2 * overlap, len(starts) // 4))


def draw(
    starts: Sequence[tuple[int, int]], steps: int, *, draws: int = DRAWS, seed: int = 0
) -> np.ndarray:
    """Indices into ``starts``, one resampling per row: (draws, n)."""
    n, L = len(starts), block_length(starts, steps)
    order = np.array(sorted(range(n), key=lambda i: starts[i]))
    first = np.random.default_rng(seed).integers(0, n, (draws, -(-n // L)))
    rows = (first[..., None] + np.arange(L)) % n
    return order[rows.reshape(draws, -1)[:, :n]]


def interval(
    values: np.ndarray, drawn: np.ndarray, *, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile interval of the mean over the last axis of ``values`` (..., n): two of (...).

    ``drawn`` is what :func:`draw` returned. NaN where a value is NaN.
    """
    # One product instead of gathering draws x n numbers per model.
    draws, n = drawn.shape
    share = np.zeros((n, draws))
    np.add.at(share, (drawn, np.arange(draws)[:, None]), 1.0 / n)
    means = np.asarray(values, dtype=float) @ share
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=-1)
    return low, high
