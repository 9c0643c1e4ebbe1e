"""How well a score tells anomalous snapshots from ordinary ones.

With scores s of P anomalous and N ordinary snapshots, a threshold h flags what lies above it:

    hit rate  H(h) = #{anomalous, s > h} / P,      false alarms  F(h) = #{ordinary, s > h} / N
    AUC = ∫ H dF = (#{pairs with s_anomalous > s_ordinary} + ties / 2) / (P N)

so 1 is a perfect order and 1/2 none. The calibrated threshold maximises H - F (Youden 1950,
"Index for rating diagnostic tests"), midway between the two scores around it.
"""

import numpy as np

from romae.errors import DataError


def roc(score: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """False alarms, hit rates and thresholds (n,), from nothing flagged to everything.

    ``score`` (T,), ``label`` (T,) true where anomalous. Scores that are equal share one point.
    """
    order = np.argsort(-score, kind="stable")
    s, hit = score[order], label[order]
    last = np.append(s[1:] != s[:-1], True)  # of each run of equal scores
    hits, alarms = np.cumsum(hit)[last], np.cumsum(~hit)[last]
    below = np.append(s[last][1:], -np.inf)
    finite = np.isfinite(below)
    threshold = np.where(finite, 0.5 * (s[last] + np.where(finite, below, 0.0)), -np.inf)
    return (
        np.append(0.0, alarms / max(alarms[-1], 1)),
        np.append(0.0, hits / max(hits[-1], 1)),
        np.append(s[0], threshold),
    )


def auc(score: np.ndarray, label: np.ndarray) -> float:
    """Area under the curve of :func:`roc`.

    >>> auc(np.array([1.0, 2.0, 3.0]), np.array([False, True, True]))
    1.0
    """
    alarms, hits, _ = roc(score, label)
    pairs = int(label.sum()) * int((~label).sum())
    # In whole pairs, so that a perfect order is exactly 1.
    doubled = np.rint(pairs * np.sum(np.diff(alarms) * (hits[1:] + hits[:-1])))
    return float(doubled / (2 * pairs))


def calibrated(score: np.ndarray, label: np.ndarray) -> float:
    """Threshold with the largest difference of hit rate and false alarms."""
    alarms, hits, threshold = roc(score, label)
    return float(threshold[int(np.argmax(hits - alarms))])


def check_labels(label: np.ndarray) -> None:
    """Both kinds have to be there: without one of them no rate is defined."""
    found = int(label.sum())
    if not 0 < found < label.size:
        raise DataError(
            f"labels mark {found} of {label.size} snapshots. Expected some anomalous ones (1) and "
            f"some ordinary ones (0); leave labels out if one kind is missing."
        )
