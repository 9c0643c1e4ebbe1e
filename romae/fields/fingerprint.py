"""A short name for data, equal for equal data wherever and however it is stored.

sha256 over the names and units of the fields, the grid and its coordinates, the mask, all times
and a fixed sample of values: in every trajectory the first and last snapshot and two between,
and in each of them at most ``POINTS`` points, evenly spaced. A change of a value that is not in
the sample goes unseen; a change of grid, time axis or length never does.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from romae.fields.snapshots import Snapshots

POINTS = 65_536


def fingerprint(snapshots: Snapshots) -> str:
    """Hexadecimal sha256 of ``snapshots`` (64 characters)."""
    layout = snapshots.layout
    digest = hashlib.sha256()
    about = {
        "names": layout.names,
        "units": [f.units for f in layout.fields],
        "space": layout.space,
        "shape": layout.shape,
        "lengths": snapshots.lengths,
        "dtype": snapshots.dtype.name,
    }
    digest.update(json.dumps(about, sort_keys=True).encode())
    for name in sorted(map(str, layout.coords.variables)):
        digest.update(name.encode())
        digest.update(canonical(layout.coords.variables[name].values))
    if layout.mask is not None:
        digest.update(np.packbits(layout.mask).tobytes())
    stride = max(1, -(-layout.size // POINTS))
    for case, n in enumerate(snapshots.lengths):
        digest.update(canonical(snapshots.times(case).values))
        for t in sorted({0, n // 3, 2 * n // 3, n - 1}):
            values = snapshots.read(t, t + 1, case).reshape(-1)[::stride]
            digest.update(canonical(values))
    return digest.hexdigest()


def canonical(values: np.ndarray) -> bytes:
    """Bytes of ``values`` that do not depend on byte order, NaN payload, date unit or -0."""
    kind = values.dtype.kind
    if kind in "OUS":
        return json.dumps([str(v) for v in values.ravel().tolist()]).encode()
    if kind in "mM":
        return values.astype(f"{kind}8[us]").astype("<i8").tobytes()
    if kind in "iub":
        return values.astype("<i8").tobytes()
    numbers = values.astype("<f8") + 0.0
    return np.where(np.isnan(numbers), np.nan, numbers).tobytes()
