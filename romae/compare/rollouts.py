"""Forecasts from many starts: rolled out as one batch, decoded and measured start by start.

A start (i, s) of case i lets a model see z_{s-c} ... z_{s-1}, c its context, and asks for

    z^_s ... z^_{s+S-1},       errors NRMSE(start, lead)  of  D(z^_{s+n-1})  against  x_{s+n-1}

The rollouts of all starts are one call, so that a model steps them together; decoding goes
start by start and by blocks, so that memory does not grow with the number of starts.
"""

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from romae.compare.coding import BLOCK_BYTES, decode, encode, finite_blocks
from romae.compare.contenders import PERSISTENCE, Entry, Start
from romae.compare.forcing import Forcing, uses_inputs
from romae.compare.ladders import along
from romae.conventions import CASE, LATENT, TIME
from romae.fields import Snapshots
from romae.metrics import FluctuationSums, energy, nrmse
from romae.progress import track

Told = tuple[Forcing, Sequence[Start], bool]  # inputs, the starts, and whether they come round
Codes = list[np.ndarray]  # latents (T_i, k) of every case


@dataclass(frozen=True)
class Rolled:
    """Rollouts ``z`` (B, steps, k), which of them left the training span ``left`` (B,), and
    the wall time of all of them together."""

    z: np.ndarray
    left: np.ndarray
    seconds: float


def codes_of(reducer: Any, snapshots: Snapshots) -> Codes:
    """Latents of every case, in one reading."""
    return one_pass({0: reducer}, snapshots, None)[1][0]


def one_pass(
    reducers: dict[int, Any], snapshots: Snapshots, mean: np.ndarray | None
) -> tuple[FluctuationSums, dict[int, Codes]]:
    """Fluctuation about ``mean``, and latents by the key of the reducer, in one reading."""
    parts: dict[int, list[list[np.ndarray]]] = {
        key: [[] for _ in range(snapshots.cases)] for key in reducers
    }
    zero = np.zeros(snapshots.shape[1:]) if mean is None else mean
    fluctuation = FluctuationSums(snapshots.layout.quadrature, zero)
    now, own = -1, reducers
    for case, values in finite_blocks(snapshots, BLOCK_BYTES):
        if case != now:
            now, own = case, {k: along(r, snapshots, case) for k, r in reducers.items()}
        if mean is not None:
            fluctuation.add(values)
        for key, reducer in own.items():
            parts[key][case].append(encode(reducer, values))
    return fluctuation, {k: [np.concatenate(c) for c in cases] for k, cases in parts.items()}


def roll(
    dynamics: Any,
    histories: np.ndarray,
    steps: int,
    like: Snapshots,
    *,
    cases: Sequence[int] | None = None,
    told: "Told | None" = None,
    **options: Any,
) -> Rolled:
    """Continue ``histories`` (B, c, k), c >= context, by ``steps``: one call for all of them.

    Where in time they lie does not matter to a model of the latents: all get the first times
    of ``like``, whose step and kind of axis they have. ``cases`` says whose parameters each has,
    ``told`` the known inputs, for a model that was fitted with some.
    """
    axis = like.times(int(np.argmax(like.lengths)))
    times = xr.Variable(TIME, axis.values[: histories.shape[1]], dict(axis.attrs))
    history = xr.DataArray(
        histories.astype(np.float64), dims=(CASE, TIME, LATENT), coords={TIME: times}
    )
    if like.params is not None and cases is not None:
        options["params"] = like.params.iloc[list(cases)].reset_index(drop=True)
    if told is not None and uses_inputs(dynamics):
        forcing, starts, cycle = told
        options["inputs"] = forcing.along(starts, history, dynamics, steps, cycle=cycle)
    with warnings.catch_warnings():  # counted instead of shown
        warnings.simplefilter("ignore", UserWarning)
        begin = time.perf_counter()
        result = dynamics.forecast(history, steps, **options)
        seconds = time.perf_counter() - begin
    return Rolled(result.values, _left(dynamics, result), seconds)


def histories_of(dynamics: Any, codes: Codes, starts: Sequence[Start]) -> np.ndarray:
    """Histories (B, c, k) before ``starts``; two states at least, which tell the time step."""
    c = max(int(dynamics.context), 2)
    return np.stack([_before(codes[case], s, c) for case, s in starts])


def _before(z: np.ndarray, start: int, c: int) -> np.ndarray:
    found = z[max(0, start - c) : start]
    if len(found) < c:  # a context of 1 at the very first start: the state before never matters
        found = np.concatenate([np.repeat(found[:1], c - len(found), axis=0), found])
    return found


def roll_entry(
    entry: Entry,
    codes: Codes,
    test: Snapshots,
    starts: Sequence[Start],
    steps: int,
    forcing: Forcing | None = None,
) -> np.ndarray:
    """Latents (B, steps, k) that ``entry`` decodes: forecast, or those of the truth."""
    if entry.kind == "reconstruction":
        return np.stack([codes[case][s : s + steps] for case, s in starts])
    histories = histories_of(entry.dynamics, codes, starts)
    told = None if forcing is None else (forcing, starts, False)
    cases = [case for case, _ in starts]
    found = roll(entry.dynamics, histories, steps, test, cases=cases, told=told)
    entry.left, entry.seconds = int(found.left.sum()), found.seconds
    return found.z.astype(np.float32)


def forecast_errors(
    entries: Sequence[Entry],
    rolled: Sequence[np.ndarray | None],
    test: Snapshots,
    starts: Sequence[Start],
    steps: int,
    mean: np.ndarray,
    reference: np.ndarray,
    groups: Sequence[Sequence[int]],
) -> np.ndarray:
    """NRMSE (entry, start, lead, field) of the decoded ``rolled`` (B, steps, k).

    An entry without latents is persistence or climatology of the fields; one whose
    ``failure`` is told is NaN. ``reference`` (C,): mean fluctuation energy.
    """
    weights = test.layout.quadrature
    errors = np.full((len(entries), len(starts), steps, test.layout.channels + 1), np.nan)
    with track(len(starts), "decoding forecasts") as task:
        for i, (case, start) in enumerate(starts):
            before = test.read(start - 1, start, case).astype(float)
            rungs = [e.ladder.along(test, case).rungs[0] if e.ladder else None for e in entries]
            for a, truth in _truth(test, case, start, steps):
                part = slice(a, a + len(truth))
                for j, entry in enumerate(entries):
                    if entry.failure:
                        continue
                    z, rung = rolled[j], rungs[j]
                    if z is None or rung is None:
                        guess = before if entry.name == PERSISTENCE else mean[None]
                    else:
                        guess = decode(rung, z[i, part])
                    found = energy(guess - truth, weights)
                    errors[j, i, part] = nrmse(found, reference, groups)
            task.advance()
    return errors


def latent_errors(
    rolled: np.ndarray, codes: Codes, starts: Sequence[Start], reference: float
) -> np.ndarray:
    """NRMSE (start, lead) of the latents themselves: |z^ - z| over their fluctuation."""
    truth = np.stack([codes[case][s : s + rolled.shape[1]] for case, s in starts])
    return np.sqrt(((rolled.astype(float) - truth) ** 2).sum(-1) / reference)


def _truth(test: Snapshots, case: int, start: int, steps: int) -> Iterator[tuple[int, np.ndarray]]:
    """(offset, values (b, C, *space)) of the snapshots that are forecast, by batches."""
    rows = max(1, BLOCK_BYTES // (8 * test.layout.size))
    for a in range(0, steps, rows):
        b = min(a + rows, steps)
        yield a, test.read(start + a, start + b, case).astype(float)


def _left(dynamics: Any, result: xr.DataArray) -> np.ndarray:
    """Which rollouts of ``result`` (..., time, latent) left the span: bool (...)."""
    from romae.dynamics.base import LEFT

    if LEFT not in result.attrs:
        return np.zeros(result.shape[:-2], dtype=bool)
    low, high = dynamics.span.limits()
    zn = dynamics.span.normalise(result.values)
    slack = 1e-6 * (high - low)  # held at the border, which rounding may move
    return np.asarray((~((zn > low + slack) & (zn < high - slack))).any((-2, -1)))
