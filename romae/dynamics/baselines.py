"""The two forecasts that cost nothing, and that every other has to beat.

    persistence   z_{t+n} = z_t
    climatology   z_{t+n} = mean of the training latents

Persistence wins over short times, climatology over long times in chaotic flows: the
error of persistence grows to sqrt(2) times that of climatology once correlation is lost.
"""

import numpy as np

from romae.dynamics.base import Dynamics


class Persistence(Dynamics):
    """The last state stays."""

    continuous = True

    def _fit(self, sequences: list[np.ndarray]) -> None:
        pass

    def _rollout(self, history: np.ndarray, steps: int) -> np.ndarray:
        return np.repeat(history[:, -1:], steps, axis=1)

    def _at(self, history: np.ndarray, times: np.ndarray) -> np.ndarray:
        return self._rollout(history, len(times))


class Climatology(Dynamics):
    """The mean of the training latents, always."""

    continuous = True

    def _fit(self, sequences: list[np.ndarray]) -> None:
        pass

    def _rollout(self, history: np.ndarray, steps: int) -> np.ndarray:
        return np.zeros(
            (len(history), steps, history.shape[2])
        )  # latents arrive with their mean removed

    def _at(self, history: np.ndarray, times: np.ndarray) -> np.ndarray:
        return self._rollout(history, len(times))
