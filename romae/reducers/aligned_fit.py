"""What an alignment learns from snapshots: the weights of its phases, then the phases themselves.

Both passes stream. What they keep is filled in place, in arrays made before the first block: small
ones kept between large ones would fragment the heap until it had grown by the size of the data.
"""

import numpy as np
import torch

from romae.fields import Snapshots
from romae.reducers.aligned_coder import AlignedCoder
from romae.reducers.aligned_view import aligned_view
from romae.reducers.data import FitData, scaled_batches
from romae.reducers.phases import SILENT, angles, choose_weights

COEFFICIENT_BYTES = 16 << 20  # of the first Fourier coefficients from which weights are chosen
RIGID = 1e-5  # of the fluctuation, and
ROUNDING = 4e-7  # of the largest value: aligned snapshots that differ by less are one shape


def fit_weights(coder: AlignedCoder, data: FitData) -> None:
    """Set the weights of the phases, from evenly spaced snapshots where there are many."""
    phases, quadrature = coder.phases, data.snapshots.layout.quadrature
    shapes = [getattr(phases, f"weights{i}").shape[1:] for i in range(len(phases.axes))]
    T = len(data.snapshots)
    kept = max(1, COEFFICIENT_BYTES // (8 * sum(int(np.prod(s)) for s in shapes)))
    stride = -(-T // kept)
    found = [np.empty((-(-T // stride), int(np.prod(s))), np.complex64) for s in shapes]
    seen = 0
    for _, x in scaled_batches(data.snapshots, data.scaling, data.device):
        own = x[-seen % stride :: stride] + coder.offset
        row, seen = -(-seen // stride), seen + len(x)
        for i, m in enumerate(found):
            pairs = phases.coefficients(own, i).cpu().numpy()
            m[row : row + len(own)] = (pairs[..., 0] + 1j * pairs[..., 1]).reshape(
                len(own), m.shape[1]
            )
    root = np.sqrt(quadrature.mean(tuple(1 + a for a in phases.axes))).reshape(-1)
    for i, single in enumerate(found):
        m = single.astype(complex)
        w = root * choose_weights(m * root)
        pair = np.stack([w.real, w.imag]).reshape(2, *shapes[i])
        getattr(phases, f"weights{i}").copy_(torch.from_numpy(pair))
        phases.floor[i] = SILENT * float(np.sqrt(np.mean(np.abs(m @ w.conj()) ** 2)))


def aligned_snapshots(coder: AlignedCoder, snapshots: Snapshots, data: FitData) -> Snapshots:
    """``snapshots``, in their own units, aligned as they are read."""
    axes = coder.phases.axes
    phi = [np.empty((n, len(axes))) for n in snapshots.lengths]
    done = [0] * snapshots.cases
    for case, x in scaled_batches(snapshots, data.scaling, data.device):
        start, done[case] = done[case], done[case] + len(x)
        phi[case][start : done[case]] = angles(coder.phases(x + coder.offset)).cpu().numpy()
    largest = np.maximum(np.abs(data.survey.minimum), np.abs(data.survey.maximum))
    rounding = RIGID * data.survey.std + ROUNDING * largest
    return aligned_view(snapshots, phi, axes, rounding=rounding)
