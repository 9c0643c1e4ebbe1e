"""The reservoir of an echo state network: drawn once, driven by data or closed on itself.

    r_{t+1} = (1 - a) r_t + a tanh(W_in u_t + W r_t)      u (m,): latents, params, inputs and 1
    open loop     u_t known                               gives the states r (T, N)
    closed loop   z_{t+1} = z_t + W_out phi(r_{t+1}, z_t) is the next u

W has ``DEGREE`` non-zeros in a row, kept as (N, DEGREE) values and columns, and spectral radius 1.
A step of a sparse reservoir is a few thousand multiplications, so both loops are compiled.
"""

import numpy as np

from romae.compiling import jit
from romae.errors import MissingDependencyError

Array = np.ndarray

DEGREE = 3  # non-zeros in a row of W


class Reservoir:
    """What is drawn once: W with spectral radius 1, W_in in [-1, 1]."""

    def __init__(self, data: Array, indices: Array, W_in: Array):
        self.data, self.indices, self.W_in = data, indices, W_in

    @classmethod
    def draw(cls, units: int, driven: int, seed: int) -> "Reservoir":
        rng = np.random.default_rng(seed)
        degree = min(DEGREE, units)
        indices = np.stack([rng.choice(units, degree, replace=False) for _ in range(units)])
        data = rng.uniform(-1, 1, indices.shape)
        data /= _spectral_radius(data, indices)
        return cls(data, indices.astype(np.int32), rng.uniform(-1, 1, (driven, units)))


def _spectral_radius(data: Array, indices: Array) -> float:
    """Largest |eigenvalue| of W, by Arnoldi's method where the whole spectrum would take long."""
    try:  # here: reducers work on machines that have torch and numpy and no scipy
        from scipy.sparse import csr_array
        from scipy.sparse.linalg import ArpackNoConvergence, eigs
    except ImportError as error:
        raise MissingDependencyError(
            "EchoState needs scipy, which is not installed. Type: pip install scipy; or take "
            "romae.DMD or romae.GRU, which do without"
        ) from error
    N, degree = data.shape
    W = csr_array((data.ravel(), indices.ravel(), np.arange(N + 1) * degree), shape=(N, N))
    if N > 500:
        try:
            start = np.random.default_rng(0).standard_normal(N)
            return float(np.abs(eigs(W, k=4, ncv=100, v0=start, return_eigenvectors=False)).max())
        except ArpackNoConvergence:
            pass
    return float(np.abs(np.linalg.eigvals(W.toarray())).max())


def fed_in_training(
    sequences: list[Array], params: Array | None, inputs: list[Array] | None
) -> list[Array]:
    """u of every case, (T_i, m): latents, parameters, inputs and 1."""
    driven = []
    for case, z in enumerate(sequences):
        parts = [z]
        if params is not None:
            parts.append(np.broadcast_to(params[case], (len(z), params.shape[1])))
        if inputs is not None:
            parts.append(inputs[case][: len(z)])
        driven.append(np.concatenate([*parts, np.ones((len(z), 1))], axis=1))
    return driven


def fed_ahead(
    history: Array, steps: int, width: int, params: Array | None, inputs: Array | None
) -> Array:
    """u (B, c - 1 + steps, m = ``width``) after ``history`` (B, c, k), latents to come 0."""
    B, c, k = history.shape
    rows = c - 1 + steps
    u = np.ones((B, rows, width))
    u[:, :, :k] = 0
    u[:, :c, :k] = history
    if params is not None:
        u[:, :, k : k + params.shape[1]] = params[:, None]
    if inputs is not None:
        u[:, :, -1 - inputs.shape[2] : -1] = inputs[:, :rows]
    return u


@jit(inline="always")
def _tanh(x):
    """tanh within 3e-7: the rational function of Eigen, which compiles to vector code."""
    x = min(max(x, -7.90531110763549805), 7.90531110763549805)
    q = x * x
    p = 2.00018790482477e-13 - 2.76076847742355e-16 * q
    p = 5.12229709037114e-08 + q * (-8.60467152213735e-11 + q * p)
    p = 4.89352455891786e-03 + q * (6.37261928875436e-04 + q * (1.48572235717979e-05 + q * p))
    d = 1.18534705686654e-04 + q * 1.19825839466702e-06
    return x * p / (4.89352518554385e-03 + q * (2.26843463243900e-03 + q * d))


@jit()
def open_loop(drive, W_data, W_indices, leak, r, states):
    """Open loop: ``drive`` (n, N) are the inputs times W_in; r (N,) is continued in place."""
    N, degree = W_data.shape
    pre = np.empty(N)
    for t in range(len(drive)):
        for i in range(N):
            total = drive[t, i]
            for j in range(degree):
                total += W_data[i, j] * r[W_indices[i, j]]
            pre[i] = total
        for i in range(N):
            r[i] += leak * (_tanh(pre[i]) - r[i])
        states[t] = r


@jit()
def closed_loops(u, c, k, W_data, W_indices, W_in, W_out, leak, square):
    """Closed loops: u (B, c - 1 + steps, m), whose latents are known for c steps."""
    B, rows, m = u.shape
    N, degree = W_data.shape
    out = np.empty((B, rows - c + 1, k))
    pre, r, z, x = np.empty(N), np.empty(N), np.empty(k), np.empty(m)
    for b in range(B):
        r[:] = 0.0
        for t in range(rows):
            x[:] = u[b, t]
            if t >= c:
                x[:k] = z
            for i in range(N):
                total = 0.0
                for j in range(degree):
                    total += W_data[i, j] * r[W_indices[i, j]]
                pre[i] = total
            for j in range(m):
                for i in range(N):
                    pre[i] += W_in[j, i] * x[j]
            for i in range(N):
                r[i] += leak * (_tanh(pre[i]) - r[i])
            if t < c - 1:
                continue
            for j in range(k):
                z[j] = x[j] + W_out[N + k, j]
            for i in range(k):
                for j in range(k):
                    z[j] += x[i] * W_out[N + i, j]
            for i in range(N):
                phi = r[i] * r[i] if square and i % 2 == 0 else r[i]
                for j in range(k):
                    z[j] += phi * W_out[i, j]
            out[b, t - c + 1] = z
    return out
