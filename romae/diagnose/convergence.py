"""Whether there are enough snapshots: do the modes of fewer point the same way?

U (k, n) and V (k, n) are the first k modes of two sets of snapshots, orthonormal in W. The angles
between the subspaces they span are theta_i with cos(theta_i) the singular values of U W V^T; the
largest one, 90 degrees when some direction of one is nowhere in the other, is given for each k.

Modes of the first eighth, quarter and half are set against those of all: how they settle. The
first half against the second is the test: the two share no snapshot, and so each says how far off
the other may be. Angles jump where k cuts through modes of equal energy, which are defined as a
pair only (a travelling wave); look at the next k.

Sources: Björck & Golub 1973, "Numerical methods for computing angles between linear subspaces".
"""

from fractions import Fraction
from typing import Any

import numpy as np
import torch
import xarray as xr

from romae.diagnose.coordinates import fitted_pod
from romae.errors import OptionError
from romae.fields import Scaling, Snapshots, open_snapshots, survey
from romae.reducers import POD
from romae.reducers.data import FitData
from romae.reducers.pod import LinearCoder, decompose_fields, linear_coder

PARTS = (Fraction(1, 8), Fraction(1, 4), Fraction(1, 2))
HALVES = "halves"
MODES = 16  # compared by default
COLUMNS = 1 << 18  # of modes multiplied at a time


def convergence(data: Any, *, pod: POD | None = None, tolerance: float = 10.0) -> xr.Dataset:
    """Angles between the modes of parts of the snapshots and those of all.

    Parameters
    ----------
    data : Snapshots, or what :func:`romae.open_snapshots` takes. Every trajectory is cut alike,
        in time.
    pod : rank and method of the decompositions, and if it is fitted that of all snapshots; by
        default the first 16 modes. The four parts cost another two fits.
    tolerance : degrees up to which the verdict calls modes converged.

    Returns
    -------
    A Dataset: ``angle`` (part, mode), degrees, the largest angle between the first ``mode`` modes
    of ``part`` (1/8, 1/4, 1/2) and of all snapshots, in the row ``halves`` between those of the
    first and the second half; ``energy`` (part, mode), the share of the energy of all
    snapshots that the modes hold, in the row ``halves`` those of the second half; ``best`` (mode),
    what the modes of all hold; ``snapshots`` (part). NaN where a part has fewer modes.
    ``attrs["verdict"]`` says it in words, ``attrs["converged"]`` is the number of modes.
    """
    snapshots = open_snapshots(data)
    snapshots.require(16, "convergence")
    if not 0 < tolerance < 90:
        raise OptionError(
            f"tolerance is {tolerance!r}. Expected degrees between 0 and 90; type tolerance=10."
        )
    T, *state = snapshots.shape
    pod = fitted_pod(snapshots, pod or POD(min(MODES, T - 1, int(np.prod(state)))))
    if pod.training["fingerprint"] != snapshots.fingerprint:
        raise OptionError(
            f"this POD was fitted to {pod.training['source']}, other snapshots than "
            f"{snapshots.source}. Fit it to these, or leave pod out."
        )
    first = [snapshots.split(float(p), by="time")[0] for p in PARTS]
    second = snapshots.split(0.5, 0.5, by="time")[1]
    sets = [_coder(part, pod) for part in [*first, second]]
    whole = pod.module
    assert isinstance(whole, LinearCoder)
    k = pod.latent
    against = [whole] * len(first) + [sets[len(PARTS) - 1]]
    angle = np.stack([angles(products(U, V), k) for U, V in zip(sets, against, strict=True)])
    energy = _captured(snapshots, pod, [*sets, whole])
    where = {"part": [*map(str, PARTS), HALVES], "mode": np.arange(1, k + 1)}
    units = {"units": "degree", "long_name": "largest angle between subspaces"}
    share = {"units": "1", "long_name": "share of the energy of all snapshots"}
    result = xr.Dataset(
        {
            "angle": (("part", "mode"), angle, units),
            "energy": (("part", "mode"), energy[:-1], share),
            "best": ("mode", energy[-1], share),
            "snapshots": ("part", [len(part) for part in [*first, second]]),
        },
        where,
        {"source": snapshots.source, "tolerance": tolerance},
    )
    words, count = verdict(angle[-1], tolerance)
    return result.assign_attrs(verdict=words, converged=count)


def products(U: LinearCoder, V: LinearCoder) -> np.ndarray:
    """U W V^T in float64, a range of columns at a time."""
    w = torch.ones(U.modes.shape[1]) if U.weights is None else U.weights
    parts = zip(*(a.split(COLUMNS, dim=-1) for a in (U.modes, w.to(U.modes), V.modes)), strict=True)
    return sum((u.double() * q) @ v.double().T for u, q, v in parts).cpu().numpy()


def angles(C: np.ndarray, k: int) -> np.ndarray:
    """Largest angle in degrees between the spans of the first 1 ... k rows, products ``C``.

    Modes are stored in float32, which resolves 0.03 degrees.
    """
    found = np.full(k, np.nan)
    for i in range(min(k, *C.shape)):
        cosine = np.linalg.svd(C[: i + 1, : i + 1], compute_uv=False)[-1]
        found[i] = np.degrees(np.arccos(np.clip(cosine, 0, 1)))
    return found


def verdict(angle: np.ndarray, tolerance: float) -> tuple[str, int]:
    """What the angles between two halves (k,) say, and how many modes are converged.

    >>> verdict(np.array([60.0, 3.0, 40.0]), 10)[0]
    'the first 2 of 3 modes are converged to 3 degrees, from one half of the snapshots to the other'
    """
    sure = np.flatnonzero(angle <= tolerance)
    halves = "from one half of the snapshots to the other"
    if not len(sure):
        least = float(np.nanmin(angle))
        return f"no mode is converged to {tolerance:g} degrees, {halves} (least {least:.2g})", 0
    k = int(sure[-1]) + 1
    modes = "the first mode is" if k == 1 else f"the first {k} of {len(angle)} modes are"
    return f"{modes} converged to {max(angle[k - 1], 0.01):.2g} degrees, {halves}", k


def _coder(part: Snapshots, pod: POD) -> LinearCoder:
    """Modes of ``part`` about its own mean, in the scale of ``pod``."""
    found = survey(part)
    own = Scaling.fit(found, pod.scaling.kind)
    scaling = Scaling(own.mean, pod.scaling.scale, own.kind, own.valid)
    rank = min(pod.latent, len(part) - 1)
    data = FitData(part, None, found, scaling, pod.device, None)
    modes = decompose_fields(data, rank, pod.method, pod.memory).modes
    return linear_coder(pod.layout, modes).to(pod.device)


def _captured(snapshots: Snapshots, pod: POD, sets: list[LinearCoder]) -> np.ndarray:
    """Share of the energy of all snapshots in the first 1 ... k modes of each set: one pass."""
    energy = np.zeros((len(sets), pod.latent))
    for _, x in pod.batches(snapshots):
        for i, coder in enumerate(sets):
            z = coder.encode(x).double().square().sum(0).cpu().numpy()
            energy[i, : len(z)] += z
    found = np.cumsum(energy, axis=1)
    for i, coder in enumerate(sets):
        found[i, len(coder.modes) :] = np.nan
    return found * (float(pod.energy[pod.latent - 1]) / found[-1, -1])
