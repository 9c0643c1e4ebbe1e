"""The 2 eps lattice: the coarsest rounding that keeps a bound.

    q = round((x - p) / (2 eps)),    x' = p + 2 eps q,    |x' - x| <= eps,

where p is a prediction known to the decoder. All in element-wise float64 in this order, so that
encoder and decoder agree bit for bit. Differences of more than :data:`LARGEST` steps are not coded:
q = 0 there, and the chunk stores the value exactly.
"""

import numpy as np

LARGEST = 2**46  # |q|: 2 eps q is then exact to 2^-6 eps in float64


def quantise(x: np.ndarray, p: np.ndarray | float, eps: np.ndarray | float) -> np.ndarray:
    """Lattice steps q, int64, of ``x`` from the prediction ``p``; arrays broadcast."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        q = np.rint((x - p) / (2.0 * np.asarray(eps)))
        return np.where(np.abs(q) <= LARGEST, q, 0.0).astype(np.int64)


def restore(q: np.ndarray, p: np.ndarray | float, eps: np.ndarray | float) -> np.ndarray:
    """Values p + 2 eps q, float64."""
    with np.errstate(over="ignore", invalid="ignore"):
        value: np.ndarray = p + (2.0 * np.asarray(eps)) * q
    return value
