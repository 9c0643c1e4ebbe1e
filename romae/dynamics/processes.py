"""Hyper-parameters of independent Gaussian processes over the parameters of cases.

    a_r ~ GP(0, s^2 exp(-|| (mu - mu') / l ||^2 / 2) + n^2 [mu = mu'])

by maximal likelihood, of scikit-learn, one process after the other.
"""

import warnings
from typing import Any

import numpy as np

from romae.errors import MissingDependencyError

Array = np.ndarray

LENGTHS = (0.1, 10.0)  # bounds of l, in standard deviations of the parameters
NOISES = (1e-8, 0.5)  # bounds of n^2, of the variance over cases


def fit_processes(centres: Array, scores: Array, seed: int) -> tuple[Array, Array, Array]:
    """s^2 (r,), l (r, p) and n^2 (r,) of ``scores`` (cases, r) at ``centres`` (cases, p).

    Raises :class:`MissingDependencyError` without scikit-learn.
    """
    GP, kernels = _sklearn()
    r, p = scores.shape[1], centres.shape[1]
    signal, lengths, noise = np.ones(r), np.ones((r, p)), np.ones(r)
    for i in range(r):
        kernel = kernels.ConstantKernel(1.0, (0.05, 100.0)) * kernels.RBF(
            np.ones(p), LENGTHS
        ) + kernels.WhiteKernel(1e-3, NOISES)
        gp = GP(kernel, alpha=0.0, n_restarts_optimizer=2, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a bound is reached is no failure
            gp.fit(centres, scores[:, i])
        theta = np.exp(gp.kernel_.theta)
        signal[i], lengths[i], noise[i] = theta[0], theta[1:-1], theta[-1]
    return signal, lengths, noise


def _sklearn() -> tuple[Any, Any]:
    try:
        from sklearn.gaussian_process import GaussianProcessRegressor, kernels
    except ImportError as error:
        raise MissingDependencyError(
            "LatentGP needs scikit-learn, which is not installed. Type: pip install "
            "'romae[dynamics]'; or take romae.OperatorInference, which takes parameters too"
        ) from error
    return GaussianProcessRegressor, kernels
