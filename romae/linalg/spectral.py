"""Spectral proper orthogonal decomposition of coordinates in time.

Series z (T, r) are cut into blocks of N rows, ``step`` apart, each times a window h (N,):

    q_b(f) = sum_t h_t z_{b+t} exp(-2 pi i f t) / sqrt(N sum_t h_t^2),      f = 0, 1/N, ..., 1/2
    S(f)   = sum_b q_b q_b^H / blocks,      S psi_j = lambda_j psi_j,       lambda_1 >= lambda_2 ...

Real series have a one-sided spectrum: frequencies between 0 and 1/2 count twice, so that the
energies lambda of all frequencies and modes add up to the mean square of h z over that of h. With
z = U W x' the modes of the fields are phi_j = psi_j^T U, orthonormal in W at each frequency, and
x'(t) = sum Re(a_j exp(2 pi i f t) phi_j). A density per unit of frequency is lambda N dt.

Nothing needs S itself: lambda and psi are the squares and right vectors of Q (blocks, r), the
rows q_b / sqrt(blocks). Projection of x' on fewer coordinates makes no lambda larger.

Sources: Welch 1967, "The use of fast Fourier transform for the estimation of power spectra";
Towne, Schmidt & Colonius 2018, "Spectral proper orthogonal decomposition and its relationship to
dynamic mode decomposition and resolvent analysis".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Window = Literal["hann", "hamming", "boxcar"]

STANDS_OUT = 3.0  # energy of the first mode over that of the second, at a peak


@dataclass(frozen=True)
class Spectrum:
    """``frequency`` (F,) in cycles per step; ``energy`` (F, m) and ``total`` (F,), of all modes.

    ``vectors`` (F, m, r) are psi, of norm 1, the entry of largest magnitude real and positive;
    ``blocks`` their number.
    """

    frequency: np.ndarray
    energy: np.ndarray
    total: np.ndarray
    vectors: np.ndarray
    blocks: int


def window_of(name: Window, size: int) -> np.ndarray:
    """Window h (size,), periodic: the value after the last would be the first."""
    turn = np.cos(2 * np.pi * np.arange(size) / size)
    share = {"hann": 0.5, "hamming": 0.54, "boxcar": 1.0}[name]
    return share - (1 - share) * turn


def starts(length: int, block: int, overlap: float) -> range:
    """First rows of the blocks in a series of ``length``; the next starts before one ends."""
    return range(0, length - block + 1, max(1, block - round(overlap * block)))


def spectrum(
    series: Sequence[np.ndarray], block: int, overlap: float, window: Window, modes: int
) -> Spectrum:
    """Spectral POD of ``series`` (T_i, r), of which each gives its own blocks.

    ``modes`` are kept at every frequency, if there are so many blocks and coordinates.
    Memory: the transforms of all blocks, about 8 T r / (1 - overlap) bytes.
    """
    h = window_of(window, block)[:, None]
    cut = [z[a : a + block] for z in series for a in starts(len(z), block, overlap)]
    Q = np.stack([np.fft.rfft(h * part, axis=0) for part in cut], axis=1)  # (F, blocks, r)
    Q /= np.sqrt(block * np.sum(h**2) * len(cut))
    inner = slice(1, (block + 1) // 2)  # neither 0 nor, of an even block, 1/2
    Q[inner] *= np.sqrt(2)
    m = min(modes, *Q.shape[1:])
    energy, vectors = np.empty((len(Q), m)), np.empty((len(Q), m, Q.shape[2]), complex)
    total = np.sum(np.abs(Q) ** 2, axis=(1, 2))
    for f, q in enumerate(Q):
        _, s, psi = np.linalg.svd(q, full_matrices=False)
        energy[f], vectors[f] = s[:m] ** 2, psi[:m]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(2)[..., None], axis=2)
    vectors *= np.conj(largest) / np.abs(largest)
    return Spectrum(np.fft.rfftfreq(block), energy, total, vectors, len(cut))


def peaks(energy: np.ndarray, most: int) -> np.ndarray:
    """Positions of the ``most`` largest local maxima of the first mode, in order; one at least.

    ``energy`` (F, m). Of maxima only those count at which the first mode stands out from the
    second by ``STANDS_OUT``: in noise the first mode has maxima everywhere. Frequency 0 is no
    peak, unless there is no other.
    """
    first = energy[:, 0]
    inside = np.arange(1, len(first))
    if not len(inside):
        return np.zeros(1, int)
    padded = np.append(first, -np.inf)
    found = inside[(first[1:] > first[:-1]) & (first[1:] >= padded[2:])]
    if energy.shape[1] > 1:
        found = found[first[found] >= STANDS_OUT * energy[found, 1]]
    if not len(found):
        found = inside[np.argsort(first[1:])[-1:]]
    return np.sort(found[np.argsort(first[found])[::-1][:most]])
