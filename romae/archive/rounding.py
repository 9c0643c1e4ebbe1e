"""The bound that methods see, the cast to the stored dtype, and errors as they are compared."""

import numpy as np

STEPS = 2.0**45  # of 2 eps' across a field; beyond that it is stored exactly


def guarded(values: np.ndarray, eps: float) -> float:
    """The bound eps' for methods, 0 for lossless; ``values``: the finite ones, stored dtype."""
    dtype = values.dtype
    if values.size == 0 or dtype.kind == "b" or not np.isfinite(eps):
        return 0.0
    low, high = float(values.min()), float(values.max())
    if dtype.kind in "iu":
        inner = (np.floor(eps) + 0.5) * (1 - 1e-4)
        largest = max(abs(low), abs(high))
        inner -= float(np.spacing(largest)) if largest > 2**52 else 0.0
    else:
        peak = values.dtype.type(max(abs(low), abs(high)))
        with np.errstate(over="ignore"):
            inner = eps * (1 - 1e-4) - float(np.spacing(peak)) / 2
    if not inner > 0 or eps == 0 or high / STEPS - low / STEPS > 2 * inner:
        return 0.0
    return inner


def cast(decoded: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Float64 ``decoded`` in the stored dtype: integers rounded and clipped to their range."""
    with np.errstate(over="ignore", invalid="ignore"):
        if dtype.kind not in "iu":
            return decoded.astype(dtype)
        info = np.iinfo(dtype)
        whole = np.rint(np.nan_to_num(decoded))
        top = whole >= float(info.max)
        safe = np.where(top, 0.0, np.maximum(whole, float(info.min))).astype(dtype)
        safe[top] = info.max
        return safe


def errors(stored: np.ndarray, source: np.ndarray) -> np.ndarray:
    """|x' - x| in float64, rounded up for wide integers; NaN and infinities give NaN."""
    if stored.dtype.kind in "iu":
        unsigned = np.dtype(f"u{max(stored.itemsize, 1)}")
        high, low = np.maximum(stored, source), np.minimum(stored, source)
        gap = high.view(unsigned) - low.view(unsigned)  # modulo 2^w: exact
        wide = gap.astype(np.float64)
        return np.where(gap > 2**53, np.nextafter(wide, np.inf), wide)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.abs(stored.astype(np.float64) - source.astype(np.float64))
