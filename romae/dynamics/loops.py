"""The closed loops of the trained models, compiled: a whole rollout is one call.

Each does what the network of the same name in :mod:`romae.nets.steps` does, one start after the
other, so that a forecast has the same bits alone and in company. A step of a small state is
a few thousand multiplications, about a microsecond; as calls of a tensor library it would
be a hundred.

States are in float64. The gates of recurrent networks, whose matrices are most of their time, are
in float32, in which they were trained: half the memory to read, twice the numbers in a register.

Shapes: ``history`` (B, C, k), oldest first; ``x`` (B, C - 1 + steps, m); results (B, steps, k).
Matrices come transposed, (inputs, outputs), so that the inner loops run along memory.
"""

import math

import numpy as np

from romae.compiling import jit

# Sums may be reordered, which lets them use vector registers; NaN and Inf keep their meaning.
_compiled = jit(fastmath={"reassoc", "contract"})


@_compiled
def _add(y, W, x):
    """y += W^T x, eight rows of W (inputs, outputs) at a time."""
    n = W.shape[0]
    whole = n - n % 8
    for j in range(0, whole, 8):
        a, b, c, d = x[j], x[j + 1], x[j + 2], x[j + 3]
        e, f, g, h = x[j + 4], x[j + 5], x[j + 6], x[j + 7]
        for i in range(W.shape[1]):
            left = (W[j, i] * a + W[j + 1, i] * b) + (W[j + 2, i] * c + W[j + 3, i] * d)
            right = (W[j + 4, i] * e + W[j + 5, i] * f) + (W[j + 6, i] * g + W[j + 7, i] * h)
            y[i] += left + right
    for j in range(whole, n):
        for i in range(W.shape[1]):
            y[i] += W[j, i] * x[j]


@_compiled
def _sigmoid(a, bits):
    """a <- 1 / (1 + exp(-a)), in vector registers, as no C library does; to about 2e-15.

    exp(x) = 2^n exp(r) with |r| < log(2) / 2, a Taylor polynomial and the bits of 2^n. NaN stays.
    """
    power = bits.view(np.float64)
    for i in range(len(a)):
        x = -a[i]
        x = -700.0 if x < -700.0 else (700.0 if x > 700.0 else x)
        n = np.floor(x * 1.4426950408889634 + 0.5)
        r = x - n * 0.6931471805599453
        p = 1 / 3628800 + r * (1 / 39916800 + r * (1 / 479001600))
        p = 1 / 720 + r * (1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * p)))
        p = 1 + r * (1 + r * (0.5 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * p)))))
        bits[i] = (np.int64(n) + 1023) << 52
        a[i] = p
    for i in range(len(a)):
        a[i] = 1.0 / (1.0 + a[i] * power[i])


_TOP, _LOG2E, _LN2, _HALF, _ONE, _TWO = (
    np.float32(v) for v in (87.0, 1.4426950408889634, 0.6931471805599453, 0.5, 1.0, 2.0)
)
_C2, _C3, _C4, _C5, _C6, _C7 = (np.float32(1 / math.factorial(n)) for n in range(2, 8))


@_compiled
def _sigmoid32(a, bits):
    """As :func:`_sigmoid`, in float32 and to about 1e-7."""
    power = bits.view(np.float32)
    for i in range(len(a)):
        x = -a[i]
        x = -_TOP if x < -_TOP else (_TOP if x > _TOP else x)
        n = np.floor(x * _LOG2E + _HALF)
        r = x - n * _LN2
        p = _C4 + r * (_C5 + r * (_C6 + r * _C7))
        p = _ONE + r * (_ONE + r * (_C2 + r * (_C3 + r * p)))
        bits[i] = (np.int32(n) + np.int32(127)) << np.int32(23)
        a[i] = p
    for i in range(len(a)):
        a[i] = _ONE / (_ONE + a[i] * power[i])


@_compiled
def _tanh32(a, bits):
    for i in range(len(a)):
        a[i] *= _TWO
    _sigmoid32(a, bits[: len(a)])
    for i in range(len(a)):
        a[i] = _TWO * a[i] - _ONE


@_compiled
def _tanh(a, bits):
    """a <- tanh(a) = 2 sigmoid(2 a) - 1."""
    for i in range(len(a)):
        a[i] *= 2.0
    _sigmoid(a, bits[: len(a)])
    for i in range(len(a)):
        a[i] = 2.0 * a[i] - 1.0


@_compiled
def _silu(a, s, bits):
    """a <- a sigmoid(a)."""
    s[:] = a
    _sigmoid(s, bits[: len(a)])
    for i in range(len(a)):
        a[i] *= s[i]


@_compiled
def recurrent(history, x, steps, A, b, W, V, bias, c, W_out):
    """GRU or LSTM, by the number of gates in V (H, gates H); W, V, bias and c in float32."""
    B, C, k = history.shape
    H, m = V.shape[0], x.shape[2]
    lstm = V.shape[1] == 4 * H
    out = np.empty((B, steps, k))
    fed, given = np.empty(k + m), np.empty(k + m, np.float32)
    new, bits = np.empty(H, np.float32), np.empty(len(c), np.int32)
    read, kept = np.empty(len(c), np.float32), np.empty(len(c), np.float32)
    for n in range(B):
        h, cell = np.zeros(H, np.float32), np.zeros(H, np.float32)
        for t in range(C - 1 + steps):
            for i in range(k):
                fed[i] = history[n, t, i] if t < C else out[n, t - C, i]
            for i in range(m):
                fed[k + i] = x[n, t, i]
            given[:], read[:], kept[:] = fed, bias, c
            _add(read, W, given)
            _add(kept, V, h)
            if lstm:  # gates in the order input, forget, new, output
                for i in range(4 * H):
                    read[i] += kept[i]
                new[:] = read[2 * H : 3 * H]
                _tanh32(new, bits[:H])
                _sigmoid32(read, bits)
                for i in range(H):
                    cell[i] = read[H + i] * cell[i] + read[i] * new[i]
                new[:] = cell
                _tanh32(new, bits[:H])
                for i in range(H):
                    h[i] = read[3 * H + i] * new[i]
            else:  # reset, update, new
                for i in range(2 * H):
                    read[i] += kept[i]
                _sigmoid32(read[: 2 * H], bits[: 2 * H])
                for i in range(H):
                    new[i] = read[2 * H + i] + read[i] * kept[2 * H + i]
                _tanh32(new, bits[:H])
                for i in range(H):
                    h[i] = new[i] + read[H + i] * (h[i] - new[i])
            if t >= C - 1:
                z = out[n, t - C + 1]
                z[:] = b
                _add(z, A, fed)
                _add(z, W_out, h)
    return out


@_compiled
def flow(history, x, steps, substeps, span, squash, A, b, W1, b1, W2, b2, W_out):
    """Runge-Kutta steps of fourth order (3/8 rule), ``substeps`` of them in each ``span`` (B,)."""
    B, C, k = history.shape
    m = x.shape[2]
    out = np.empty((B, steps, k))
    fed, seen = np.empty(k + m), np.empty(k + m)
    h1, h2, s = np.empty(len(b1)), np.empty(len(b2)), np.empty(len(b1))
    bits = np.empty(max(len(b1), k), np.int64)
    r = np.empty((4, k))
    for n in range(B):
        z, dt = history[n, C - 1].copy(), span[n] / substeps
        for t in range(steps):
            for i in range(m):
                fed[k + i] = seen[k + i] = x[n, C - 1 + t, i]
            for _ in range(substeps):
                for stage in range(4):
                    for i in range(k):
                        if stage == 0:
                            fed[i] = z[i]
                        elif stage == 1:
                            fed[i] = z[i] + dt * r[0, i] / 3
                        elif stage == 2:
                            fed[i] = z[i] + dt * (r[1, i] - r[0, i] / 3)
                        else:
                            fed[i] = z[i] + dt * (r[0, i] - r[1, i] + r[2, i])
                    for i in range(k):
                        seen[i] = fed[i] / squash
                    _tanh(seen[:k], bits[:k])
                    for i in range(k):
                        seen[i] *= squash
                    h1[:], h2[:], r[stage] = b1, b2, b
                    _add(h1, W1, seen)
                    _silu(h1, s, bits)
                    _add(h2, W2, h1)
                    _silu(h2, s, bits)
                    _add(r[stage], A, fed)
                    _add(r[stage], W_out, h2)
                for i in range(k):
                    z[i] += (r[0, i] + 3 * (r[1, i] + r[2, i]) + r[3, i]) * dt / 8
            out[n, t] = z
    return out


@_compiled
def _normed(h, scale, out):
    total = 0.0
    for i in range(len(h)):
        total += h[i] * h[i]
    factor = 1.0 / np.sqrt(total / len(h) + 1.1920929e-07)  # torch's, of float32
    for i in range(len(h)):
        out[i] = h[i] * factor * scale[i]


@_compiled
def attention(
    history, x, steps, A, b, E, e, norm_1, QKV, position, mix, norm_2, up, up_b, down, norm_3, W_out
):
    """Transformer with keys and values kept in rings of the last ``band`` tokens."""
    B, C, k = history.shape
    m, D = x.shape[2], len(e)
    layers, band, heads = position.shape
    d = D // heads
    out = np.empty((B, steps, k))
    fed, h, a, mixed, wide = np.empty(k + m), np.empty(D), np.empty(D), np.empty(D), np.empty(4 * D)
    qkv, score, s, bits = (
        np.empty(3 * D),
        np.empty(band),
        np.empty(4 * D),
        np.empty(4 * D, np.int64),
    )
    K, V = np.empty((layers, band, D)), np.empty((layers, band, D))
    for n in range(B):
        for t in range(C - 1 + steps):
            for i in range(k):
                fed[i] = history[n, t, i] if t < C else out[n, t - C, i]
            for i in range(m):
                fed[k + i] = x[n, t, i]
            h[:] = e
            _add(h, E, fed)
            many, here = min(t + 1, band), t % band
            for layer in range(layers):
                _normed(h, norm_1[layer], a)
                qkv[:] = 0.0
                _add(qkv, QKV[layer], a)
                K[layer, here], V[layer, here] = qkv[D : 2 * D], qkv[2 * D :]
                mixed[:] = 0.0
                for head in range(heads):
                    first, top = head * d, -np.inf
                    for back in range(many):
                        key, total = K[layer, (t - back) % band], 0.0
                        for i in range(first, first + d):
                            total += qkv[i] * key[i]
                        score[back] = total / np.sqrt(d) + position[layer, band - 1 - back, head]
                        top = max(top, score[back])
                    total = 0.0
                    for back in range(many):
                        score[back] = np.exp(score[back] - top)
                        total += score[back]
                    for back in range(many):
                        value, weight = V[layer, (t - back) % band], score[back] / total
                        for i in range(first, first + d):
                            mixed[i] += weight * value[i]
                _add(h, mix[layer], mixed)
                _normed(h, norm_2[layer], a)
                wide[:] = up_b[layer]
                _add(wide, up[layer], a)
                _silu(wide, s, bits)
                _add(h, down[layer], wide)
            if t >= C - 1:
                _normed(h, norm_3, a)
                z = out[n, t - C + 1]
                z[:] = b
                _add(z, A, fed)
                _add(z, W_out, a)
    return out
