"""Physical values to latents and back, in batches that bound memory.

    values (b, C, *space)  --scaling-->  x  --E-->  z (b, k)  --D-->  x^  --scaling-->  values

The networks compute in float32 on the reducer's device; what leaves them is scaled back in
float64, so that the error measured is theirs and not that of the scaling.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from romae.compare.ladders import Ladder, Rung
from romae.fields import Snapshots
from romae.fields.survey import check_values

BLOCK_BYTES = 32 << 20  # of test snapshots read at once
BATCH_BYTES = 4 << 20  # of snapshots encoded at once: feature maps take many times that


def reconstruct(ladder: Ladder, values: np.ndarray) -> Iterator[tuple[Rung, np.ndarray]]:
    """For each rung, D(E(values)) in physical units, float64 (b, C, *space), NaN where masked.

    ``values`` (b, C, *space) are physical too.
    """
    z = encode(ladder.reducer, values)
    for rung in ladder.rungs:
        yield rung, decode(rung, z[:, : rung.latent])


def encode(reducer: Any, values: np.ndarray) -> np.ndarray:
    """E of physical ``values`` (b, C, *space): (b, k) float32, in batches that bound memory."""
    import torch

    from romae.feed import TensorScaling

    device = reducer.device
    scaling = TensorScaling(reducer.scaling, device)
    # float64 data are scaled as such: pressures near 1e5 Pa would lose digits in float32.
    parts = torch.from_numpy(np.ascontiguousarray(values)).split(_rows(values.shape[1:]))
    with torch.inference_mode():
        codes = [reducer.encode_tensor(scaling.forward(x.to(device))).cpu() for x in parts]
    return torch.cat(codes).numpy()


def decode(rung: Rung, z: np.ndarray) -> np.ndarray:
    """D of latents ``z`` (b, k): physical, float64 (b, C, *space), NaN where masked."""
    import torch

    reducer = rung.reducer
    rows = _rows((reducer.layout.size,))
    with torch.inference_mode():
        parts = torch.from_numpy(np.asarray(z, dtype=np.float32)).split(rows)
        found = [reducer.decode_tensor(part.to(reducer.device)).cpu().numpy() for part in parts]
    return np.concatenate([reducer.scaling.inverse(x) for x in found])


def _rows(shape: tuple[int, ...]) -> int:
    return max(1, BATCH_BYTES // (4 * int(np.prod(shape))))


def finite_blocks(snapshots: Snapshots, nbytes: int) -> Iterator[tuple[int, np.ndarray]]:
    """(case, values (b, C, *space)) in order; stray NaN and infinities are refused.

    Read by blocks of ``nbytes`` and handed out by batches: errors take several times their size.
    """
    for block in snapshots.blocks(nbytes):
        check_values(snapshots, block.case, block.start, block.values)
        rows = _rows(block.values.shape[1:])
        for start in range(0, len(block.values), rows):
            yield block.case, block.values[start : start + rows]
        del block  # before the next is read: one is held, not two
