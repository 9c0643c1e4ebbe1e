"""Where the training latents lie: their scale, and how far a rollout may stray.

    zn = (z - mean) / scale                              scale: standard deviation over time
    low - (high - low)  <=  zn  <=  high + (high - low)  the span: three times the range

A healthy forecast stays within the range or slightly outside; three times the range is
left only by a rollout that has nothing to do with the data any more.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Span:
    """Scale and range of the training latents; every array has shape (k,)."""

    mean: np.ndarray
    scale: np.ndarray
    low: np.ndarray  # normalised, as is high
    high: np.ndarray

    @classmethod
    def measure(cls, z: np.ndarray) -> Self:
        """Span of latents (T, k). A latent that never changes is scaled by its own size."""
        mean, std, size = z.mean(axis=0), z.std(axis=0), np.abs(z).max(axis=0)
        rounding = 1e-7 * size  # latents may come in float32
        scale = np.where(std > rounding, std, np.where(size > 0, size, 1.0))
        zn = (z - mean) / scale
        return cls(mean, scale, zn.min(axis=0), zn.max(axis=0))

    @property
    def constant(self) -> np.ndarray:
        """Which latents never changed in training, (k,); the range of the others is at least 2."""
        return self.high - self.low < 1

    def normalise(self, z: np.ndarray) -> np.ndarray:
        return (z - self.mean) / self.scale

    def restore(self, zn: np.ndarray) -> np.ndarray:
        return zn * self.scale + self.mean

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        width = np.maximum(self.high - self.low, 1.0)  # a constant latent has no range
        return self.low - width, self.high + width

    def contains(self, zn: np.ndarray) -> np.ndarray:
        """Whether each state of (..., k) lies in the span, (...); NaN does not."""
        low, high = self.limits()
        return np.asarray(((zn >= low) & (zn <= high)).all(axis=-1))

    def left(self, zn: np.ndarray) -> np.ndarray:
        """Index of the first state of rollouts (B, steps, k) outside, (B,); steps for none."""
        outside = ~self.contains(zn)
        return np.where(outside.any(axis=1), outside.argmax(axis=1), zn.shape[1])

    def hold(self, zn: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Rollouts (B, steps, k) from states ``start`` (B, k) held inside the span; finite.

        From the first NaN on, the last state that was a number stays.
        """
        lost = np.isnan(zn).any(axis=2)
        if lost.any():
            seen = np.concatenate([start[:, None], zn], axis=1)
            lost = np.concatenate(
                [np.zeros((len(zn), 1), bool), np.logical_or.accumulate(lost, 1)], 1
            )
            last = np.maximum.accumulate(np.where(lost, 0, np.arange(lost.shape[1])), axis=1)
            zn = np.take_along_axis(seen, last[..., None], axis=1)[:, 1:]
        return np.clip(zn, *self.limits())

    def arrays(self) -> dict[str, np.ndarray]:
        return {f.name: getattr(self, f.name) for f in fields(self)}
