"""The best linear step, with which the training of a network starts.

    min_{A, b} sum_n || z_{n+1} - A [z_n, x_n] - b ||^2        x: parameters and inputs
    A = V diag(lambda) V^-1,    q_n = V^-1 z_n                 modes and their size in the data

    |lambda| > 1                                  -> 1         nothing grows for ever
    an oscillation that goes on in the data       -> |lambda| = 1

Noise in z_n shrinks A (errors in variables), and so do harmonics that no linear map follows: the
limit cycle that the data repeat to their end would die out after some ten periods. What one step
says of |lambda| is therefore checked against the whole length T of the data. An oscillation that
should lose less than half, |lambda|^T > 1/2, and whose |q|^2 falls by less than half of that, or by
less than a tenth, from the first half of the data to the second, is taken to last. Driven ones are
left alone.
"""

import numpy as np

Array = np.ndarray

WORST_BASIS = 1e8  # condition of the eigenvectors
SURE = -0.1  # log of the ratio of |q|^2 that the data tell from 1


def evenly(
    sequences: list[Array], drives: list[Array], times: list[Array] | None
) -> tuple[list[Array], list[Array]]:
    """States and drives at whole steps, by a cubic spline: good enough for a start."""
    if times is None:
        return sequences, drives
    from scipy.interpolate import make_interp_spline  # here: forecasts work without scipy

    grids = [np.arange(0.0, np.floor(t[-1]) + 1) for t in times]
    z = [
        make_interp_spline(t, rows, k=min(3, len(t) - 1))(at)
        for t, rows, at in zip(times, sequences, grids, strict=True)
    ]
    x = [
        rows[np.searchsorted(t, at, side="right") - 1]
        for t, rows, at in zip(times, drives, grids, strict=True)
    ]
    return z, x


def driven(drives: list[Array]) -> bool:
    """Whether anything that changes in time acts from outside."""
    return any(np.ptp(x, axis=0).any() for x in drives)


def linear_map(sequences: list[Array], drives: list[Array]) -> tuple[Array, Array]:
    """Least squares z_{n+1} = A [z_n, x_n] + b over all cases: A, b.

    Modes that grow are held, and oscillations that last keep their size.
    """
    k, width = sequences[0].shape[1], sequences[0].shape[1] + drives[0].shape[1] + 1
    G, R = np.zeros((width, width)), np.zeros((width, k))
    for z, x in zip(sequences, drives, strict=True):  # sums: memory for one case at a time
        fed = np.concatenate([z, x, np.ones((len(z), 1))], axis=1)[:-1]
        G += fed.T @ fed
        R += fed.T @ z[1:]
    values, Q = np.linalg.eigh(G)
    # directions that the data do not excite above rounding keep zero
    inverse = np.where(values > 1e-12 * values[-1], 1 / np.maximum(values, 1e-300), 0.0)
    M = (Q * inverse @ (Q.T @ R)).T
    A, b = M[:, :-1], M[:, -1]
    rates, modes = np.linalg.eig(A[:, :k])
    if np.linalg.cond(modes) < WORST_BASIS:
        held = rates / np.maximum(1, np.abs(rates))
        if not driven(drives):
            lasting = _lasting(held, np.linalg.inv(modes), sequences)
            held[lasting] /= np.abs(held[lasting])
        if not np.array_equal(held, rates):
            A[:, :k] = np.linalg.solve(modes.T, (modes * held).T).T.real
    return A, b


def _lasting(rates: Array, inverse: Array, sequences: list[Array]) -> Array:
    """Which oscillations lose so little in the data that their decay is none of theirs, (k,)."""
    first, second = np.zeros(len(rates)), np.zeros(len(rates))
    for z in sequences:
        halves = np.array_split(np.abs(z @ inverse.T) ** 2, 2)  # |q|^2 of each mode
        first = first + len(z) * halves[0].mean(axis=0)
        second = second + len(z) * halves[1].mean(axis=0)
    loss = np.log(np.maximum(np.abs(rates), 1e-300)) * max(map(len, sequences))  # it should be
    lost = np.log(np.maximum(second, 1e-300) / np.maximum(first, 1e-300))
    return np.asarray((rates.imag != 0) & (loss > -np.log(2)) & (lost > np.minimum(loss / 2, SURE)))
