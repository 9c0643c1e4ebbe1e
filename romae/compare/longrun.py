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
from romae.compare.forcing import Forcing, uses_inputs
from romae.compare.ladders import Models, as_reducer, check_test, named
from romae.compare.rollouts import Codes, Told, histories_of, one_pass, roll
from romae.compare.statistics import (
    lyapunov_from_data,
    lyapunov_of_map,
    spectrum_distance,
    total_variation,
    wasserstein,
    wasserstein_of_histograms,
)
from romae.compare.tally import (
    BINS,
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
    functionals: Mapping[str, Functional] | None = None,
    joint: Pair | Literal["derivatives", "skip"] = "derivatives",
    lyapunov: Literal["estimate", "skip"] = "estimate",
    on_leak: Literal["raise", "flag"] = "raise",
) -> xr.Dataset:
    """Statistics of rollouts of ``steps`` from ``starts`` beside those of ``test``.

    ``models``: fitted reduced models; persistence and climatology join them, and with ``train``
    DMD. ``inputs``: known series over the test times, for the models that were fitted with some.
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
    if snapshots.dt is None:
        raise DataError(
            f"the times of {snapshots.source} are not evenly spaced: they have no spectrum. "
            f"Resample first, for example ds.interp(time=...)."
        )
    check_test(models, snapshots, on_leak=on_leak)
    forcing = Forcing.read(inputs, snapshots)
    entries = contenders(models, train, "skip")
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
        exponents[0] = _of_data(next(iter(codes.values())), float(snapshots.dt))
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
    result = _dataset(names, kinds, tallies, halves, frame, snapshots, steps)
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


def _dataset(
    names: list[str],
    kinds: list[str],
    tallies: list[Tally],
    halves: tuple[Tally, Tally],
    frame: Frame,
    test: Snapshots,
    steps: int,
) -> xr.Dataset:
    truth, C = tallies[0], frame.layout.channels
    pairs = [(halves[0], halves[1]), *((t, truth) for t in tallies[1:])]
    deviation = np.maximum(_deviation(truth, frame), np.finfo(float).tiny)
    dt = float(test.dt or np.nan)
    shortest = min(steps, max(len(np.concatenate(s)) for s in halves[0].series if s))
    segment = int(np.clip(shortest // 2, min(8, shortest), 1024))
    unit = "s" if test.times(0).dtype.kind in "mMO" else str(test.times(0).attrs.get("units", ""))
    field, per = ("model", "field"), ("model", "functional")
    histograms = np.stack([t.histogram for t in tallies])
    density = histograms / histograms.sum(-1, keepdims=True) / frame.width[:, None]
    one = {"units": "1"}
    data: dict[str, Any] = {
        "pdf": ((*field, "bin"), density, {"long_name": "probability density"}),
        "wasserstein": (field, [
            [wasserstein_of_histograms(a.histogram[c], b.histogram[c], frame.width[c])
             / deviation[c] for c in range(C)] for a, b in pairs
        ], {**one, "long_name": "Wasserstein distance over standard deviation"}),
    }  # fmt: skip
    spectra = [t.time_spectrum(dt, segment) for t in tallies]
    split = [h.time_spectrum(dt, segment)[1] for h in halves]
    data["time_spectrum"] = (
        (*field, "frequency"), np.stack([s for _, s in spectra]), {"long_name": "power"},
    )  # fmt: skip
    powers = [s for _, s in spectra]
    against = [(split[0], split[1]), *((p, powers[0]) for p in powers[1:])]
    data["time_spectrum_distance"] = (field, _wrong(against, C), {
        **one, "long_name": "share of the power at the wrong frequency"
    })  # fmt: skip
    coords: dict[str, Any] = {"frequency": ("frequency", spectra[0][0], {
        "units": f"{unit}-1" if unit not in ("", "1") else "1", "long_name": "cycles per time"
    })}  # fmt: skip
    for name, (axis, spacing, _) in frame.axes.items():
        found = [t.space_spectra()[name] for t in tallies]
        cut = [h.space_spectra()[name] for h in halves]
        data[f"space_spectrum_{name}"] = (
            (*field, f"wavenumber_{name}"), np.stack(found), {"long_name": "power"},
        )  # fmt: skip
        against = [(cut[0], cut[1]), *((p, found[0]) for p in found[1:])]
        data[f"space_spectrum_{name}_distance"] = (field, _wrong(against, C), {
            **one, "long_name": f"share of the power at the wrong wavenumber along {name}"
        })  # fmt: skip
        wave = 2 * np.pi * np.fft.rfftfreq(frame.layout.shape[axis], spacing)
        coords[f"wavenumber_{name}"] = (f"wavenumber_{name}", wave, {"long_name": "wavenumber"})
    if frame.functionals:
        values = [{n: np.concatenate(v) for n, v in t.values.items()} for t in tallies]
        parts = [{n: np.concatenate(v) for n, v in h.values.items()} for h in halves]
        both = [(parts[0], parts[1]), *((v, values[0]) for v in values[1:])]
        data["functional_mean"] = (per, [[v.mean() for v in m.values()] for m in values])
        data["functional_std"] = (per, [[v.std() for v in m.values()] for m in values])
        data["functional_wasserstein"] = (per, [
            [wasserstein(a[n], b[n]) / max(values[0][n].std(), 1e-300) for n in frame.functionals]
            for a, b in both
        ], {**one, "long_name": "Wasserstein distance over standard deviation"})  # fmt: skip
        coords["functional"] = list(frame.functionals)
    if frame.joint is not None:
        data["joint_pdf"] = (("model", "first", "second"), [
            t.joint / max(t.joint.sum(), 1) for t in tallies
        ], {**one, "long_name": "joint probability"})  # fmt: skip
        data["joint_distance"] = ("model", [total_variation(a.joint, b.joint) for a, b in pairs], {
            **one, "long_name": "total variation between joint PDFs"
        })  # fmt: skip
        for dim, (a, b) in zip(("first", "second"), frame.joint_range, strict=True):
            n = truth.joint.shape[0]
            coords[dim] = (dim, a + (b - a) * (np.arange(n) + 0.5) / n)
    coords |= {
        "model": names, "kind": ("model", kinds), "field": list(frame.layout.names),
        "value": (("field", "bin"), frame.centres),
        "bin": np.arange(BINS),
    }  # fmt: skip
    attrs = {"title": "Statistics of long rollouts", "dt": dt, "time_units": unit,
             "test_source": test.source, "test_fingerprint": test.fingerprint,
             "test_snapshots": len(test), "segment": segment}  # fmt: skip
    return xr.Dataset(data, coords=coords, attrs=attrs)


def _deviation(truth: Tally, frame: Frame) -> np.ndarray:
    """Standard deviation of each field over all points and times, from the histogram."""
    share = truth.histogram / truth.histogram.sum(-1, keepdims=True)
    mean = (share * frame.centres).sum(-1, keepdims=True)
    return np.sqrt((share * (frame.centres - mean) ** 2).sum(-1))


def _wrong(pairs: list[tuple[np.ndarray, np.ndarray]], fields: int) -> list[list[float]]:
    return [[spectrum_distance(a[c], b[c]) for c in range(fields)] for a, b in pairs]
