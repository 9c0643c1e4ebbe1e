"""States between two steps, for models that integrate a differential equation.

    z(n + s) = z(n) + int_0^s dz/dt dt,    n whole, 0 < s < 1, in steps of the data

The whole steps are those of a rollout, bit for bit; each time off the grid is one shorter step
from the whole one before it. So a forecast at more times has the same states at the others.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from romae.dynamics.base import Dynamics


def between(
    model: "Dynamics",
    history: np.ndarray,
    times: np.ndarray,
    part: Callable[..., np.ndarray],
    **known: Any,
) -> np.ndarray:
    """States (B, n, k) at increasing ``times`` (n,) in steps after ``history`` (B, context, k).

    ``part(z, share, **rows)`` continues N states (N, k) by shares (N,) of a step, with ``params``
    (N, p) and ``inputs`` (N, 2, m) at the whole steps before and after, where ``known`` has them.
    """
    whole = np.floor(times).astype(int)
    z, (B, c, k) = history[:, -1:], history.shape
    if whole[-1]:
        z = np.concatenate([z, model._rollout(history, int(whole[-1]), **known)], axis=1)
    found, off = z[:, whole], np.flatnonzero(times > whole)
    if not off.size:
        return found
    rows = dict(known)
    if known.get("params") is not None:
        rows["params"] = np.repeat(known["params"], len(off), axis=0)
    if known.get("inputs") is not None:
        at = c - 1 + whole[off]
        pair = np.stack([known["inputs"][:, at], known["inputs"][:, at + 1]], axis=2)
        rows["inputs"] = pair.reshape(-1, 2, pair.shape[-1])
    share = np.tile(times[off] - whole[off], B)
    found[:, off] = part(found[:, off].reshape(-1, k), share, **rows).reshape(B, -1, k)
    return found
