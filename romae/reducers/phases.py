"""The phase of a snapshot along a periodic axis, and the way there and back.

With x^(k) the Fourier coefficients of a snapshot along one periodic axis of n points,

    m = x^(1), one for each field and place on the other axes; mean over those that are aligned too
    a = w* m = |a| e^(i phi),     |w| = 1
    y^(k) = e^(-i k phi) x^(k)    the aligned snapshot: a is real and positive for it
    x^(k) = e^(+i k phi) y^(k)    and back

A snapshot moved by s along the axis (period L) has the phase phi - 2 pi s / L and the same y: y is
the one member of the family of all shifted copies that lies on the slice Im a = 0, Re a > 0 (the
"first Fourier mode slice"). Exact for fields without energy at the Nyquist wave of an even grid,
k = n/2, which has no phase: it keeps its amplitude and the sign of cos(phi n/2). So the map is
orthogonal for every field, and errors of y are errors of x; what a field loses that the grid does
not resolve (shocks, kinks) is that copies moved by parts of a cell are no longer the same y.

phi jumps where a passes zero, as the coefficient of a standing wave does twice a period. A
combination of height and momentum, which pass at different times, does not. With white noise of
variance e on the coefficients phi has the variance e / 2|a|^2, so w is chosen to minimise

    J(w) = mean_t 1 / (|w* m_t|^2 / mean_s |m_s|^2 + EPS)

over the leading singular vectors of the m of the training data, by gradients from many starts. The
singular vectors do not depend on where the snapshots are; nor does J.

Source: Budanur, Borrero-Echeverry & Cvitanovic 2015, "Periodic orbit analysis of a system with
continuous symmetry: a tutorial"; there w picks one mode of one field.
"""

from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

EPS = 1e-3  # |a|^2 below this share of the mean counts alike
LEADING = 6  # singular vectors that are combined
STARTS = 4  # of the best starts are followed
ROWS = 4096  # snapshots of which J is the mean
SILENT = 1e-6  # of the rms |a| or of the largest |x|: below it a is rounding, the phase is zero


class Phases(nn.Module):
    """Phases of snapshots (B, C, *space) along some of their space axes.

    ``axes``: positions in ``space``; ``shape``: (C, *space). ``weights`` of axis i: (2, C, *rest),
    real and imaginary part of w, ``rest`` the axes that are not aligned.
    """

    floor: Tensor  # (axes,): |a| up to this is rounding

    def __init__(self, axes: tuple[int, ...], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.axes = axes
        rest = [n for i, n in enumerate(shape[1:]) if i not in axes]
        for i, axis in enumerate(axes):
            r = 2 * torch.pi * torch.arange(shape[1 + axis], dtype=torch.float64) / shape[1 + axis]
            wave = torch.stack([r.cos(), -r.sin()], 1) / len(r)
            self.register_buffer(f"wave{i}", wave.float(), persistent=False)
            self.register_buffer(f"weights{i}", torch.zeros(2, shape[0], *rest))
        self.register_buffer("floor", torch.zeros(len(axes)))

    def coefficients(self, x: Tensor, i: int) -> Tensor:
        """m of the aligned axis number ``i``: (B, C, *rest, 2), real and imaginary part."""
        others = [2 + axis for axis in self.axes if axis != self.axes[i]]
        if others:
            x = x.mean(others, keepdim=True)
        m = torch.tensordot(x, getattr(self, f"wave{i}"), dims=([2 + self.axes[i]], [0]))
        gone = sorted((a - (a > 2 + self.axes[i]) for a in others), reverse=True)
        for axis in gone:
            m = m.squeeze(axis)
        return m

    def forward(self, x: Tensor) -> Tensor:
        """cos and sin of the phases, one axis after the other: (B, 2 axes)."""
        found, largest = [], x.abs().flatten(1).amax(1)
        for i in range(len(self.axes)):
            m, w = self.coefficients(x, i).flatten(1, -2), getattr(self, f"weights{i}").flatten(1)
            re = m[..., 0] @ w[0] + m[..., 1] @ w[1]
            im = m[..., 1] @ w[0] - m[..., 0] @ w[1]
            size = torch.hypot(re, im)
            silent = size <= torch.maximum(self.floor[i], SILENT * largest)
            size = size.masked_fill(silent, 1.0)
            found += [(re / size).masked_fill(silent, 1.0), (im / size).masked_fill(silent, 0.0)]
        return torch.stack(found, 1)

    def align(self, x: Tensor, phasors: Tensor) -> Tensor:
        """Snapshots moved to the slice."""
        return self._move(x, -angles(phasors))

    def restore(self, y: Tensor, phasors: Tensor) -> Tensor:
        """Aligned snapshots moved back to where they were."""
        return self._move(y, angles(phasors))

    def _move(self, x: Tensor, phi: Tensor) -> Tensor:
        for i, axis in enumerate(self.axes):
            x = moved(x, phi[:, i], 2 + axis)
        return x


def angles(phasors: Tensor) -> Tensor:
    """phi (B, axes), float64, of cos and sin (B, 2 axes), of any amplitude; of 0 and 0 it is 0."""
    pairs = phasors.double().unflatten(1, (-1, 2))
    return torch.atan2(pairs[..., 1], pairs[..., 0])


def moved(x: Tensor, phi: Tensor, dim: int) -> Tensor:
    """x^(k) e^(i k phi) along ``dim``: ``x`` (B, ...) moved by -phi n / 2 pi points, phi (B,)."""
    n = x.shape[dim]
    spectrum = torch.fft.rfft(x, dim=dim)
    angle = phi.double()[:, None] * torch.arange(spectrum.shape[dim], device=x.device)
    factor = torch.polar(torch.ones_like(angle), angle)
    if n % 2 == 0:
        factor[:, -1] = torch.where(angle[:, -1].cos() >= 0, 1.0, -1.0)
    shape = [len(x), *(-1 if i == dim else 1 for i in range(1, x.ndim))]
    spectrum *= factor.to(spectrum.dtype).view(shape)
    return torch.fft.irfft(spectrum, n=n, dim=dim)


def choose_weights(m: np.ndarray) -> np.ndarray:
    """w (F,) of coefficients ``m`` (T, F), complex; zero where m is."""
    basis = _leading(m)
    b = m[:: max(1, len(m) // ROWS)] @ basis.conj()
    energy = np.mean(np.abs(b) ** 2) * b.shape[1]
    if not energy > 0:
        return np.zeros(m.shape[1], complex)
    b = b / np.sqrt(energy)
    starts = sorted(_starts(b.shape[1]), key=lambda c: _objective(c, b)[0])
    best = min((_descend(c, b) for c in starts[:STARTS]), key=lambda c: _objective(c, b)[0])
    w = basis @ _complex(best)
    w /= np.linalg.norm(w)
    largest = w[np.argmax(np.abs(w))]
    return np.asarray(w * (np.abs(largest) / largest))  # its phase is free


def _leading(m: np.ndarray) -> np.ndarray:
    """Leading right singular vectors (F, r) of ``m``, from the smaller of both products."""
    tall = len(m) >= m.shape[1]
    values, vectors = np.linalg.eigh(m.T @ m.conj() if tall else m @ m.conj().T)
    keep = values[::-1][:LEADING] > 1e-6 * max(values[-1], np.finfo(float).tiny)
    found = vectors[:, ::-1][:, : len(keep)][:, keep]
    if not tall:
        found = m.T @ found.conj()
        found = found / np.linalg.norm(found, axis=0)
    return found if found.shape[1] else np.eye(m.shape[1], 1, dtype=complex)


def _starts(r: int) -> list[np.ndarray]:
    """Each vector alone, and each pair in four phases, as 2 r real numbers."""
    eye = np.eye(r, dtype=complex)
    mixed = [eye[i] + p * eye[j] for i, j in combinations(range(r), 2) for p in (1, -1, 1j, -1j)]
    return [np.concatenate([c.real, c.imag]) for c in (*eye, *mixed)]


def _complex(c: np.ndarray) -> np.ndarray:
    return c[: len(c) // 2] + 1j * c[len(c) // 2 :]


def _objective(c: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray]:
    """J and its gradient with respect to the 2 r real numbers of w."""
    w, size = _complex(c), float(c @ c)
    a = b @ w.conj()
    q = np.abs(a) ** 2 / size
    inverse = 1.0 / (q + EPS)
    slope = -(inverse**2) / len(b)  # dJ/dq
    toward = (slope * a.conj()) @ b / size
    gradient = 2 * np.concatenate([toward.real, toward.imag]) - 2 * c * float(slope @ q) / size
    return float(inverse.mean()), gradient


def _descend(c: np.ndarray, b: np.ndarray) -> np.ndarray:
    from scipy.optimize import minimize

    found = minimize(_objective, c, args=(b,), jac=True, method="L-BFGS-B")
    return np.asarray(found.x / np.linalg.norm(found.x))
