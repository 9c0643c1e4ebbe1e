"""Ensemble forecasts from many starts: is their spread right, lead time by lead time?

For each start the members are rolled out with those of all other starts, decoded, and
compared with the truth: fair CRPS, spread, skill and ranks (:mod:`romae.compare.calibration`), in
units of the field, means over points (quadrature weights) and starts. Ranks are counted at a few
points of each start, because neighbours say the same.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.compare.calibration import RANK, crps, ranks, variance
from romae.compare.coding import BLOCK_BYTES, decode
from romae.compare.contenders import Start, choose_starts
from romae.compare.even import even_test, step_asked
from romae.compare.forcing import Forcing
from romae.compare.ladders import Ladder, Models, Rung, as_reducer, check_test, named
from romae.compare.rollouts import Told, codes_of, histories_of, roll
from romae.errors import OptionError, check_option
from romae.fields import Snapshots, open_snapshots
from romae.progress import track

RANK_POINTS = 16  # per field, start and lead


def compare_ensembles(
    models: Models,
    test: Any,
    steps: int,
    starts: int | Sequence[int] | Sequence[Start] = 20,
    *,
    members: Any = 20,
    inputs: Any = None,
    resample: Any = None,
    seed: int = 0,
    on_leak: Literal["raise", "flag"] = "raise",
) -> xr.Dataset:
    """Calibration of ensemble forecasts of reduced models over lead time.

    ``members``: how many, or what ``forecast(ensemble=)`` takes; ``starts`` as in
    :func:`romae.compare_forecasts`. ``inputs``: known series over the test times, for the models
    that were fitted with some; all members are told the same. ``resample``: time step such as
    "6 h" for uneven test times, which are interpolated (:mod:`romae.compare.even`); "median": that
    of the first model. A model's own reconstruction error
    counts as error and has no spread: where it dominates, the ratio is small whatever the dynamics
    do.

    Returns a Dataset over (model, field, lead): ``crps``, ``spread``, ``skill``, ``ratio``;
    ``ranks`` (model, field, rank), counts. Raises :class:`DataError` for uneven times and inputs
    that do not cover them, :class:`OptionError` for a model without dynamics or fewer than 2
    members.
    """
    check_option("on_leak", on_leak, ["raise", "flag"])
    snapshots = open_snapshots(test)
    check_test(models, snapshots, on_leak=on_leak)
    snapshots = even_test(snapshots, step_asked(models, resample))
    given = named(models)
    for name, model in given.items():
        if getattr(model, "dynamics", None) is None:
            raise OptionError(
                f"{name} has no dynamics and cannot forecast. Expected reduced models, such as "
                f"romae.ReducedModel(reducer, romae.DMD()).fit(train)."
            )
    forcing = Forcing.read(inputs, snapshots)
    context = max(int(m.dynamics.context) for m in given.values())
    chosen = choose_starts(starts, snapshots, context, steps)
    told: Told | None = None if forcing is None else (forcing, chosen, False)
    parts = []
    with track(len(given) * len(chosen), "ensembles") as task:
        for model in given.values():
            parts.append(_one(model, snapshots, chosen, steps, members, told, seed, task))
    result = xr.concat(parts, xr.Variable("model", list(given)))
    unit = str(snapshots.times(0).attrs.get("units", ""))
    unit = "s" if snapshots.times(0).dtype.kind in "mMO" else unit
    lead = np.arange(1, steps + 1)
    result = result.assign_coords(
        lead=("lead", lead),
        lead_time=("lead", lead * float(snapshots.dt or np.nan), {"units": unit}),
    )
    result.attrs = {
        "title": "Calibration of ensemble forecasts", "starts": len(chosen), "steps": steps,
        "members": result.sizes[RANK] - 1, "time_units": unit, "test_source": snapshots.source,
    }  # fmt: skip
    return result


def _one(
    model: Any, test: Snapshots, starts: list[Start], steps: int, members: Any,
    told: Told | None, seed: int, task: Any,
) -> xr.Dataset:  # fmt: skip
    reducer = as_reducer(model)
    codes = codes_of(reducer, test)
    histories = histories_of(model.dynamics, codes, starts)
    cases = [case for case, _ in starts]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        z = roll(
            model.dynamics, histories, steps, test, cases=cases, told=told, ensemble=members,
            seed=seed,
        ).z  # (M, B, steps, k)  # fmt: skip
    if z.ndim != 4 or len(z) < 2:
        raise OptionError(f"members is {members!r}. Expected at least 2, to have a spread.")
    M, C = len(z), test.layout.channels
    ladder = Ladder(reducer, reducer.name, (Rung(reducer.name, reducer.latent, reducer),))
    sums = np.zeros((3, C, steps))  # crps, variance, squared error
    counts = np.zeros((C, M + 1), dtype=np.int64)
    weights = test.layout.quadrature.reshape(C, -1)
    share = weights / weights.sum(1, keepdims=True)
    rows = max(1, BLOCK_BYTES // (8 * M * test.layout.size))
    for i, (case, start) in enumerate(starts):
        rung = ladder.along(test, case).rungs[0]
        for a in range(0, steps, rows):
            b = min(a + rows, steps)
            truth = test.read(start + a, start + b, case).astype(float).reshape(b - a, C, -1)
            flat = decode(rung, z[:, i, a:b].reshape(-1, z.shape[-1]))
            x = flat.reshape(M, b - a, C, -1)
            good = (weights > 0)[None]
            x, y = np.where(good, x, 0.0), np.where(good, truth, 0.0)
            found = (crps(x, y), variance(x), (x.mean(0) - y) ** 2)
            for j, values in enumerate(found):
                sums[j, :, a:b] += np.einsum("tcn,cn->ct", values, share)
            for c in range(C):
                valid = np.flatnonzero(weights[c] > 0)
                pick = np.linspace(0, len(valid) - 1, min(RANK_POINTS, len(valid))).astype(int)
                at = valid[pick]
                place = ranks(x[:, :, c, at], y[:, c, at], seed=seed + i)
                counts[c] += np.bincount(place.ravel(), minlength=M + 1)
        task.advance()
    sums /= len(starts)
    spread, skill = np.sqrt(sums[1]), np.sqrt(sums[2])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = spread / skill
    dims, units = ("field", "lead"), [f.units for f in test.layout.fields]
    data = {
        "crps": (dims, sums[0], {"long_name": "fair CRPS"}),
        "spread": (dims, spread, {"long_name": "spread of the ensemble"}),
        "skill": (dims, skill, {"long_name": "RMSE of the ensemble mean"}),
        "ratio": (dims, ratio, {"units": "1", "long_name": "spread over skill"}),
        "ranks": (("field", RANK), counts, {"units": "1", "long_name": "points with this rank"}),
    }
    coords = {"field": list(test.layout.names), "units": ("field", units), RANK: np.arange(M + 1)}
    return xr.Dataset(data, coords=coords)
