"""Tallies of long rollouts as a Dataset, each with its distances to the truth.

The first tally is that of the test data, whose distances are those between its two halves: the
floor that a finite series sets.
"""

from typing import Any

import numpy as np
import xarray as xr

from romae.compare.statistics import (
    spectrum_distance,
    total_variation,
    wasserstein,
    wasserstein_of_histograms,
)
from romae.compare.tally import BINS, Frame, Tally
from romae.fields import Layout, Snapshots


def statistics_dataset(
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
        coords[f"wavenumber_{name}"] = (f"wavenumber_{name}", wave, {
            "units": _inverse(frame.layout, name), "long_name": "wavenumber"
        })  # fmt: skip
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
        "units": ("field", [f.units for f in frame.layout.fields]),
        "value": (("field", "bin"), frame.centres),
        "bin": np.arange(BINS),
    }  # fmt: skip
    attrs = {"title": "Statistics of long rollouts", "dt": dt, "time_units": unit,
             "test_source": test.source, "test_fingerprint": test.fingerprint,
             "test_snapshots": len(test), "segment": segment}  # fmt: skip
    return xr.Dataset(data, coords=coords, attrs=attrs)


def _inverse(layout: Layout, axis: str) -> str:
    """Unit of the wavenumber along ``axis``."""
    x = layout.coords.get(axis)
    unit = "" if x is None else str(x.attrs.get("units", ""))
    if unit in ("", "1"):
        return "1"
    return f"{unit}-1" if unit.isalpha() else f"({unit})-1"


def _deviation(truth: Tally, frame: Frame) -> np.ndarray:
    """Standard deviation of each field over all points and times, from the histogram."""
    share = truth.histogram / truth.histogram.sum(-1, keepdims=True)
    mean = (share * frame.centres).sum(-1, keepdims=True)
    return np.sqrt((share * (frame.centres - mean) ** 2).sum(-1))


def _wrong(pairs: list[tuple[np.ndarray, np.ndarray]], fields: int) -> list[list[float]]:
    return [[spectrum_distance(a[c], b[c]) for c in range(fields)] for a, b in pairs]
