"""POD coordinates of all snapshots: a few hundred numbers each, whatever the grid.

A diagnosis in time or of subspaces needs the snapshots only by their coordinates
z (T, r) in the first r POD modes, which are read off in one pass.
"""

from collections.abc import Sequence

import numpy as np

from romae.errors import OptionError
from romae.fields import Snapshots
from romae.reducers import POD

EXACT_BYTES = 256 << 20  # snapshots of up to so many bytes are represented by all their modes
MODES = 256  # of larger ones


def fitted_pod(snapshots: Snapshots, pod: POD | None) -> POD:
    """``pod`` if it is fitted, else fitted to ``snapshots``; without one as many modes as serve.

    Raises :class:`~romae.errors.GridMismatchError` for a POD of another grid.
    """
    if pod is None:
        T, *state = snapshots.shape
        small = snapshots.nbytes <= EXACT_BYTES
        pod = POD(max(1, min(T - 1, int(np.prod(state)), *([] if small else [MODES]))))
    elif not isinstance(pod, POD):
        raise OptionError(
            f"pod is {pod!r}. Expected a romae.POD, fitted or not; type pod=romae.POD(rank=64)."
        )
    if "module" not in vars(pod):
        return pod.fit(snapshots)
    pod.layout.check_same(snapshots.layout, "the data of this diagnosis")
    return pod


def coordinates(pod: POD, snapshots: Snapshots) -> list[np.ndarray]:
    """z (T_i, r) float64 of each trajectory, scaled, by blocks."""
    found: list[list[np.ndarray]] = [[] for _ in range(snapshots.cases)]
    for case, x in pod.batches(snapshots):
        found[case].append(pod.encode_tensor(x).cpu().numpy().astype(np.float64))
    return [np.concatenate(parts) for parts in found]


def same_units(pod: POD) -> str | None:
    """The units that all fields share, if they also share one scale; else None."""
    units = {f.units for f in pod.layout.fields}
    one = len(units) == 1 and np.ptp(pod.scaling.scale) == 0
    return units.pop() if one else None


def chosen(values: Sequence[float], what: str, low: float, high: float) -> list[float]:
    """``values`` as floats; :class:`OptionError` outside ``low`` to ``high``."""
    found = [float(v) for v in values]
    for v in found:
        if not low <= v <= high:
            raise OptionError(f"{what} {v:g} is outside {low:g} to {high:g}. Type one inside.")
    return found
