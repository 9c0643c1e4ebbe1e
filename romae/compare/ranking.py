"""Which forecast model wins, by how much, and whether the data can tell: numbers and words.

Models are ranked by the mean over starts of the valid prediction time, longest first; those with
the same (all valid to the end, or none for a single step) by the mean over starts and lead times
of the log of the NRMSE, smallest first. The mean, because it uses every start; quartiles stand
beside it. A model is *tied* with the winner when the 95 % interval of the paired difference
between the two (:mod:`romae.compare.bootstrap`) contains zero, or when they differ by less than
2 %: where the reducer makes the error, starts agree on differences that nobody can use.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from romae.compare.bootstrap import draw, interval
from romae.metrics import time_words

FLOOR = 1e-12  # of an NRMSE, before its logarithm
MATTERS = 0.02  # of the valid time, or of the error


@dataclass(frozen=True)
class Ranking:
    """Per model: ``rank`` (1 is best; failed ones last), ``tied`` with the winner, the mean
    valid time and its interval, the geometric mean error; ``behind``: interval of the
    difference to the winner, in time where valid times decide, else in log error."""

    rank: np.ndarray
    tied: np.ndarray
    valid: np.ndarray
    valid_low: np.ndarray
    valid_high: np.ndarray
    error: np.ndarray
    behind_low: np.ndarray
    behind_high: np.ndarray


def rank_models(
    valid: np.ndarray, errors: np.ndarray, starts: Sequence[tuple[int, int]], steps: int
) -> Ranking:
    """Ranking of models from ``valid`` times (M, starts) and ``errors`` (M, starts, lead).

    A model whose valid times are NaN has failed: its rank is last and it ties with none.
    """
    failed = np.isnan(valid).any(1)
    level = np.log(np.clip(np.where(np.isfinite(errors), errors, 1e6), FLOOR, 1e6)).mean(2)
    mean_valid, mean_level = valid.mean(1), level.mean(1)
    order = sorted(
        range(len(valid)), key=lambda i: (failed[i], -np.nan_to_num(mean_valid[i]), mean_level[i])
    )
    rank = np.empty(len(valid), dtype=np.int64)
    rank[order] = np.arange(1, len(valid) + 1)
    drawn = draw(starts, steps)
    low, high = interval(valid, drawn)
    best = order[0]
    ahead = valid[best] - valid  # positive where the winner is better
    by_error = mean_valid == mean_valid[best]
    ahead = np.where(by_error[:, None], level - level[best], ahead)
    behind_low, behind_high = interval(ahead, drawn)
    matters = np.where(by_error, MATTERS, MATTERS * np.nan_to_num(mean_valid[best]))
    tied = ((behind_low <= 0) | (ahead.mean(1) < matters)) & ~failed
    tied[best] = not failed[best]
    return Ranking(
        rank, tied, mean_valid, low, high, np.where(failed, np.nan, np.exp(mean_level)),
        np.where(failed, np.nan, behind_low), np.where(failed, np.nan, behind_high),
    )  # fmt: skip


def sentences(
    names: Sequence[str],
    baseline: Sequence[bool],
    ranking: Ranking,
    failure: Sequence[str],
    *,
    horizon: float,
    unit: str,
    threshold: float,
    starts: int,
) -> list[str]:
    """What the ranking says, the most important first."""
    order = np.argsort(ranking.rank)
    alive = [int(i) for i in order if not failure[i]]
    if not alive:
        return ["No model could be fitted. " + _failures(names, failure)]
    scale, unit = time_words(unit, horizon)
    unit, horizon, ranking = f" {unit}", horizon / scale, _scaled(ranking, scale)
    best = alive[0]
    found = [_winner(best, names, ranking, horizon, unit, threshold, starts)]
    ties = [names[i] for i in alive[1:] if ranking.tied[i]]
    if ties:
        it = "it" if len(ties) == 1 else "they"
        found.append(
            f"On these starts {_join(ties)} cannot be told from {names[best]}: {it} differ"
            f"{'s' if it == 'it' else ''} by less than the 95 % interval, or by less than 2 %."
        )
    elif len(alive) > 1:
        second = alive[1]
        found.append(
            f"The next, {names[second]}, {_much(second, best, ranking, horizon, unit)}; the "
            "difference is outside the 95 % interval."
        )
    if baseline[best]:
        found.append(
            f"{names[best]} wins and costs next to nothing: no other model compared here is "
            "worth its cost on these data."
        )
    else:
        simple = [names[i] for i in alive if baseline[i] and ranking.tied[i]]
        if simple:
            found.append(f"{_join(simple)} would do as well, at almost no cost.")
    if text := _failures(names, failure):
        found.append(text)
    return found


def _scaled(r: Ranking, scale: float) -> Ranking:
    """With valid times in another unit."""
    valid, low, high = (v / scale for v in (r.valid, r.valid_low, r.valid_high))
    return replace(r, valid=valid, valid_low=low, valid_high=high)


def _winner(
    i: int, names: Sequence[str], r: Ranking, horizon: float, unit: str, threshold: float, n: int
) -> str:
    if r.valid[i] >= horizon:
        valid = f"stays valid to the end ({horizon:.3g}{unit}) from every start"
    else:
        valid = (
            f"stays below {100 * threshold:g} % error for {r.valid[i]:.3g}{unit} on average "
            f"(95 % interval {r.valid_low[i]:.3g} to {r.valid_high[i]:.3g})"
        )
    return (
        f"{names[i]} wins: it {valid}, over {n} starts, with a mean error of {_error(r.error[i])}."
    )


def _much(i: int, best: int, r: Ranking, horizon: float, unit: str) -> str:
    if r.valid[i] == r.valid[best]:
        return f"is as long valid and has {_error(r.error[i])} error"
    return f"is valid for {r.valid[i]:.3g}{unit}"


def _error(value: float) -> str:
    text = f"{100 * value:.2g}"
    return f"{float(text):.0f} %" if value >= 0.1 else f"{text} %"


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _failures(names: Sequence[str], failure: Sequence[str]) -> str:
    """Those with one reason together."""
    by: dict[str, list[str]] = {}
    for name, text in zip(names, failure, strict=True):
        if text:
            by.setdefault(text, []).append(name)
    parts = [f"{_join(those)}: {text.rstrip('.')}" for text, those in by.items()]
    return f"Not compared: {'; '.join(parts)}." if parts else ""
