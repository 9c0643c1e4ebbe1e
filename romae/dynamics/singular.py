"""Whether a law can be regressed at all: independent latents, and enough pairs of snapshots.

    z_{n+1} = c + A z_n + ..        k + 1 unknowns for each latent in the smallest law
    zn = Q R                        latents (T, k) without their mean, each over its scale
    r_i = | zn_i - its projection on zn_0 .. zn_{i-1} | / sqrt(T)       i depends where r_i ~ 0

Ridge and least squares by singular values answer such questions too, with one law of the many that
fit alike. What it says off the training data is then set by the regularisation and not by the data,
so it is refused. Products of latents and delays are dependent by nature (a wave of one frequency in
four delays has rank two); those are what the regularisation is for, and are not looked at. Latents
at rest do not count: they are held where they are.
"""

from collections.abc import Sequence

import numpy as np

from romae.dynamics.span import Span
from romae.errors import DataError

Array = np.ndarray

TOLERANCE = 1e-9  # of the scale of a latent: less that is its own is none
COARSEST = 1e-4  # tolerance for latents whose own rounding is large, a small motion about an offset


def check_regression(
    name: str, sequences: Sequence[Array], span: Span, unknowns: int, context: int, eps: float
) -> None:
    """Raise DataError where normalised ``sequences`` (T_i, k) cannot determine a linear law.

    ``unknowns`` for each latent of the smallest law that ``name`` may find, ``context`` states
    on its right-hand side; ``eps``: relative rounding of the latents as they were given.
    """
    pairs, snapshots = sum(len(z) - context for z in sequences), sum(map(len, sequences))
    moves = np.flatnonzero(~span.constant)
    if pairs < unknowns:
        needed = snapshots + unknowns - pairs
        raise DataError(
            f"{name}: {snapshots} snapshots give {pairs} pair{'s' * (pairs != 1)} of states and "
            f"next states, and the smallest law of {len(moves)} latents has {unknowns} unknowns "
            f"for each of them. Expected at least {needed} snapshots; {_fewer(pairs, len(moves))}."
        )
    size = np.maximum(np.abs(span.mean), np.abs(span.mean + span.scale * span.high)) / span.scale
    tolerance = np.clip(2 * eps * size, TOLERANCE, COARSEST)[moves]
    own = own_parts(np.concatenate(sequences)[:, moves], tolerance)
    lost = own < tolerance
    if not lost.any() or unknowns <= 1 + int((~lost).sum()):
        return
    kept, gone = moves[~lost].tolist(), moves[lost].tolist()
    raise DataError(
        f"{name}: of {len(moves)} training latents those at {_listed(gone)} are copies or linear "
        f"combinations of others (of latent {gone[0]} {own[lost][0]:.1g} of its scale is its own, "
        f"expected more than {tolerance[lost][0]:.1g}): no law can tell them apart. Fit the "
        f"reducer with latent={len(kept)}, or fit on z.isel(latent={_listed(kept, 24)})."
    )


def own_parts(zn: Array, tolerance: Array) -> Array:
    """r (k,): what of each column of ``zn`` (T, k) the independent ones before it do not hold."""
    R = np.linalg.qr(zn - zn.mean(axis=0), mode="r") / np.sqrt(len(zn))
    basis = np.empty((len(R), 0))
    own = np.empty(zn.shape[1])
    for i, column in enumerate(R.T):
        rest = column - basis @ (basis.T @ column)
        rest -= basis @ (basis.T @ rest)  # again: the first leaves rounding along the basis
        own[i] = np.linalg.norm(rest)
        if own[i] >= tolerance[i]:
            basis = np.column_stack([basis, rest / own[i]])
    return own


def _fewer(pairs: int, latents: int) -> str:
    most = min(pairs - 1, latents - 1)
    if most < 1:
        return "give more, or take romae.Persistence()"
    return (
        f"give more, or fit the reducer with at most {most} latent{'s' * (most != 1)}, "
        f"or fit on z.isel(latent=slice({most}))"
    )


def _listed(indices: list[int], most: int = 8) -> str:
    shown = ", ".join(map(str, indices[:most]))
    return f"[{shown}{', ..' * (len(indices) > most)}]"
