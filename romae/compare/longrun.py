"""Long rollouts against long data: does the model keep the statistics?

Each model is rolled out for ``steps`` from a few starts and decoded; from the fields of all
rollouts, and from all test snapshots, the same is taken (:mod:`romae.compare.tally`):

    PDF of each field            W_1 over the standard deviation of the truth
    power over frequency, over wavenumber       share of the power in the wrong place
    functionals (energy, squared gradient, your own)    mean, standard deviation, W_1 / std
    joint PDF of (u_x, u_xx)     total variation
    lambda_1                     twin rollouts; of the data: nearest neighbours
    share of rollouts that stay in three times the training range

A model that was fitted with inputs gets those of the times of each start; beyond the end of a case
they come round again, a jump that shows where cases are short against the memory of the flow.

Every distance has a floor, which finite data set: the row of the test data holds the distance of
its first half to its second. A model at that level cannot be told from the data.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from romae.compare.coding import BLOCK_BYTES, decode, finite_blocks
from romae.compare.contenders import PERSISTENCE, Entry, Start, choose_starts, contenders
from romae.compare.distances import statistics_dataset
from romae.compare.even import even_test, step_asked
from romae.compare.forcing import Forcing, uses_inputs
from romae.compare.ladders import Models, as_reducer, check_test, named
from romae.compare.rollouts import Codes, Told, histories_of, one_pass, roll
from romae.compare.statistics import (
    lyapunov_from_data,
    lyapunov_of_map,
)
from romae.compare.tally import (
    WIDER,
    Frame,
    Functional,
    Pair,
    Tally,
    default_functionals,
    default_joint,
)
from romae.errors import DataError, check_option
from romae.fields import Snapshots, open_snapshots
from romae.progress import track

TRUTH = "test data"
TWINS, TWIN_STEPS = 16, 1000


def compare_statistics(
    models: Models,
    test: Any,
    *,
    steps: int,
    starts: int | Sequence[int] | Sequence[Start] = 4,
    train: Any = None,
    inputs: Any = None,
    resample: Any = None,
    functionals: Mapping[str, Functional] | None = None,
    joint: Pair | Literal["derivatives", "skip"] = "derivatives",
    lyapunov: Literal["estimate", "skip"] = "estimate",
    on_leak: Literal["raise", "flag"] = "raise",
) -> xr.Dataset:
    """Statistics of rollouts of ``steps`` from ``starts`` beside those of ``test``.

    ``models``: fitted reduced models; persistence and climatology join them, and with ``train``
    DMD. ``inputs``: known series over the test times, for the models that were fitted with some.
    ``resample``: time step such as "6 h" for uneven test times, which are interpolated
    (:mod:`romae.compare.even`), and for DMD; "median": that of the first model.
    ``functionals``: names to functions of physical values (b, C, *space), NaN where masked,
    that return (b,); None takes the fluctuation energy and the squared gradient. ``joint`` returns
    two arrays of one shape from such values, or is ``"derivatives"`` (u_x, u_xx of the first
    field along the last axis). ``steps`` may exceed the test data.

    Returns a Dataset over ``model`` (the first is the test data, whose distances are those between
    its halves): ``pdf``, ``wasserstein``, ``time_spectrum``, ``space_spectrum_<axis>`` and their
    ``_distance`` (model, field); ``functional_mean``, ``_std``, ``_wasserstein`` (model,
    functional); ``joint_pdf``, ``joint_distance``, ``lyapunov``, ``stable`` (model).

    Raises :class:`DataError` for uneven times, too few of them and inputs that do not cover them,
    :class:`OptionError` when no start leaves room for a history.
    """
    check_option("lyapunov", lyapunov, ["estimate", "skip"])
    snapshots = open_snapshots(test)
    check_test(models, snapshots, on_leak=on_leak)
    resample = step_asked(models, resample)
    snapshots = even_test(snapshots, resample)
    forcing = Forcing.read(inputs, snapshots)
    entries = contenders(models, train, "skip", resample)
    context = max(int(getattr(e.dynamics, "context", 1)) for e in entries)
    chosen = choose_starts(starts, snapshots, context, 1)
    reference = as_reducer(next(iter(named(models).values())))
    mean = np.asarray(reference.scaling.mean, dtype=float)
    reducers = {id(e.ladder.reducer): e.ladder.reducer for e in entries if e.ladder}
    fluctuation, codes = one_pass(reducers, snapshots, mean)
    frame = _frame(snapshots, mean, fluctuation.energy, functionals, joint)
    whole, halves = _of_truth(frame, snapshots)
    tallies, exponents, stable = [whole], [float("nan")], [float("nan")]
    if lyapunov == "estimate":
        exponents[0] = _of_data(next(iter(codes.values())), float(snapshots.dt or np.nan))
    with track(len(entries), "long rollouts") as task:
        for entry in entries:
            own = codes[id(entry.ladder.reducer)] if entry.ladder else []
            tally, share = _of_model(entry, own, snapshots, chosen, steps, frame, forcing)
            tallies.append(tally)
            stable.append(share)
            exponents.append(
                _exponent(entry, own, snapshots, context, forcing)
                if lyapunov == "estimate" and entry.ladder
                else float("nan")
            )
            task.advance()
    names = [TRUTH, *(e.name for e in entries)]
    kinds = ["data", *(e.kind for e in entries)]
    result = statistics_dataset(names, kinds, tallies, halves, frame, snapshots, steps)
    unit = str(result.attrs["time_units"])
    rate = {"units": f"{unit}-1" if unit not in ("", "1") else "1"}
    result["lyapunov"] = ("model", exponents, {**rate, "long_name": "largest Lyapunov exponent"})
    result["stable"] = ("model", stable, {
        "units": "1", "long_name": f"share of rollouts that stay in range for {steps} steps"
    })  # fmt: skip
    result.attrs |= {"starts": len(chosen), "steps": steps}
    if forcing is not None:
        told = [e.name for e in entries if e.ladder and uses_inputs(e.dynamics)]
        result.attrs["inputs"] = f"{', '.join(forcing.names)}: {', '.join(told) or 'no model'}"
    return result


def _frame(
    test: Snapshots, mean: np.ndarray, reference: np.ndarray, functionals: Any, joint: Any
) -> Frame:
    """Bins from the range of the truth; what is measured."""
    layout, C = test.layout, test.layout.channels
    pair = default_joint(layout) if joint == "derivatives" else joint
    pair = None if pair == "skip" else pair
    low, high = np.full(C, np.inf), np.full(C, -np.inf)
    ends = np.array([[np.inf, -np.inf]] * 2)
    for _, values in finite_blocks(test, BLOCK_BYTES):
        flat = values.reshape(len(values), C, -1)
        low = np.fmin(low, np.nanmin(flat, axis=(0, 2)))
        high = np.fmax(high, np.nanmax(flat, axis=(0, 2)))
        if pair is not None:
            for i, part in enumerate(pair(values)):
                ends[i] = min(ends[i, 0], np.nanmin(part)), max(ends[i, 1], np.nanmax(part))
    room = np.where(high > low, WIDER * (high - low), np.maximum(np.abs(high), 1.0))
    if functionals is None:
        functionals = default_functionals(layout, mean, reference)
    spans = [(float(a - 0.1 * (b - a)), float(b + 0.1 * (b - a))) for a, b in ends]
    frame = Frame(layout, mean, low - room, high + room, functionals, pair)
    if pair is not None:
        frame.joint_range = (spans[0], spans[1])
    return frame


def _of_truth(frame: Frame, test: Snapshots) -> tuple[Tally, tuple[Tally, Tally]]:
    """Of all test snapshots, and of the two halves of every case."""
    whole, first, second = Tally(frame), Tally(frame), Tally(frame)
    now, seen = -1, 0
    for case, values in finite_blocks(test, BLOCK_BYTES):
        if case != now:
            now, seen = case, 0
            for tally in (whole, first, second):
                tally.begin()
        values = values.astype(float)
        cut = max(0, min(len(values), test.lengths[case] // 2 - seen))
        whole.add(values)
        for tally, part in ((first, values[:cut]), (second, values[cut:])):
            if len(part):
                tally.add(part)
        seen += len(values)
    return whole, (first, second)


def _of_model(
    entry: Entry, codes: Codes, test: Snapshots, starts: list[Start], steps: int, frame: Frame,
    forcing: Forcing | None,
) -> tuple[Tally, float]:  # fmt: skip
    """Tally of all rollouts of one model, and the share that stayed in range."""
    tally, rows = Tally(frame), max(1, BLOCK_BYTES // (8 * test.layout.size))
    rolled = None
    if entry.ladder is not None:
        histories = histories_of(entry.dynamics, codes, starts)
        told: Told | None = None if forcing is None else (forcing, starts, True)
        cases = [case for case, _ in starts]
        rolled = roll(entry.dynamics, histories, steps, test, cases=cases, told=told)
    for i, (case, start) in enumerate(starts):
        tally.begin()
        for values in _fields(entry, rolled.z[i] if rolled else None, test, case, start, steps,
                              rows, frame):  # fmt: skip
            tally.add(values)
    return tally, 1.0 if rolled is None else float(1 - rolled.left.mean())


def _fields(
    entry: Entry, z: np.ndarray | None, test: Snapshots, case: int, start: int, steps: int,
    rows: int, frame: Frame,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Forecast fields (b, C, *space) by blocks."""
    rung = entry.ladder.along(test, case).rungs[0] if entry.ladder else None
    still = test.read(start - 1, start, case).astype(float)
    still = still if entry.name == PERSISTENCE else frame.mean[None]
    for a in range(0, steps, rows):
        b = min(a + rows, steps)
        if rung is None or z is None:
            yield np.repeat(still, b - a, axis=0)
        else:
            yield decode(rung, z[a:b])


def _exponent(
    entry: Entry, codes: Codes, test: Snapshots, context: int, forcing: Forcing | None
) -> float:
    """Of twins that are told the same inputs."""
    starts = choose_starts(TWINS, test, context, 1)
    histories = histories_of(entry.dynamics, codes, starts).astype(np.float64)

    def on(histories: np.ndarray, steps: int) -> np.ndarray:
        own = starts * (len(histories) // len(starts))
        told: Told | None = None if forcing is None else (forcing, own, True)
        cases = [case for case, _ in own]
        return roll(entry.dynamics, histories, steps, test, cases=cases, told=told).z

    return lyapunov_of_map(on, histories, float(test.dt or np.nan), steps=TWIN_STEPS)


def _of_data(codes: Codes, dt: float) -> float:
    try:
        return lyapunov_from_data(max(codes, key=len), dt)
    except DataError:  # too few states: nothing to say
        return float("nan")
