"""Scaling to numbers near 1, and exactly back.

    z = (x - mean) / scale,    x = z · scale + mean        mean: (C, *space), scale: (C,)

mean is the temporal mean field, scale_c the weighted rms of the fluctuation of field c. With
kind "units", fields of the same units share one scale, the rms of all their fluctuations
together, so that u and v keep their shares of the energy and every group of fields has energy 1:
POD then minimises the error over all fields as :mod:`romae.metrics` defines it.

All in float64: for float32 data inverse(forward(x)) equals x to the last bit wherever
|x| ≥ 2^-26 |mean|; closer to zero than that it differs by at most 2^-50 |mean|.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from romae.errors import GridMismatchError, check_option
from romae.fields.snapshots import Snapshots
from romae.fields.survey import Survey, survey

Kind = Literal["units", "field", "none"]
ROUNDING = 1e-6  # of the scale: a mean that float32 holds so well is stored in half the bytes


@dataclass(frozen=True, eq=False)
class Scaling:
    """Affine scaling of snapshots (B, C, *space).

    ``mean``: (C, *space) float64, physical units, finite everywhere; ``scale``: (C,) float64,
    positive; ``valid``: bool (C, *space) or None. Masked points become 0 scaled and NaN back.
    """

    mean: np.ndarray
    scale: np.ndarray
    kind: Kind = "units"
    valid: np.ndarray | None = None

    @classmethod
    def fit(cls, data: Snapshots | Survey, kind: Kind = "units") -> Scaling:
        """Scaling of ``data``, surveyed first if need be.

        "units": one scale per group of the same non-empty units; "field": each field its own;
        "none": 1. Fields that do not change in time get scale 1.
        """
        check_option("scaling", kind, ["units", "field", "none"])
        found = data if isinstance(data, Survey) else survey(data)
        scale = np.where(found.std > 0, found.std, 1.0)
        if kind == "none":
            scale = np.ones_like(scale)
        elif kind == "units":
            units = [f.units or f"\0{f.name}" for f in found.layout.fields]
            for unit in set(units):
                group = np.array([u == unit for u in units]) & (found.std > 0)
                if group.any():
                    scale[group] = np.sqrt(np.sum(found.std[group] ** 2))
        mean = found.mean if found.mask is None else np.where(found.mask, found.mean, 0.0)
        single = mean.astype(np.float32).astype(np.float64)
        columns = scale.reshape(-1, *(1,) * (mean.ndim - 1))
        float32 = all(np.dtype(f.dtype).itemsize <= 4 for f in found.layout.fields)
        if float32 and np.all(np.abs(single - mean) <= ROUNDING * columns):
            mean = single
        return cls(mean, scale, kind, found.mask)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Scaled float64 (B, C, *space) of physical ``x``; 0 where masked."""
        z = (self._check(x) - self.mean) / self.columns
        if self.valid is not None:
            np.copyto(z, 0.0, where=~self.valid)
        return z

    def inverse(self, z: np.ndarray) -> np.ndarray:
        """Physical float64 (B, C, *space) of scaled ``z``; NaN where masked."""
        x = self._check(z) * self.columns + self.mean
        if self.valid is not None:
            np.copyto(x, np.nan, where=~self.valid)
        return x

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """JSON-able description and arrays; see :meth:`from_state`."""
        single = self.mean.astype(np.float32)
        arrays = {"mean": single if np.array_equal(single, self.mean) else self.mean}
        arrays["scale"] = self.scale
        if self.valid is not None:
            arrays["valid"] = self.valid
        return {"kind": self.kind}, arrays

    @classmethod
    def from_state(cls, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Scaling:
        """The scaling that :meth:`to_state` described."""
        valid = arrays.get("valid")
        return cls(
            np.asarray(arrays["mean"], dtype=np.float64),
            np.asarray(arrays["scale"], dtype=np.float64),
            state["kind"],
            None if valid is None else np.asarray(valid, dtype=bool),
        )

    @property
    def columns(self) -> np.ndarray:
        """``scale`` (C, 1, ...), to multiply fields with."""
        return self.scale.reshape(-1, *(1,) * (self.mean.ndim - 1))

    def _check(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x, dtype=np.float64)
        if x.shape[1:] != self.mean.shape:
            raise GridMismatchError(
                f"cannot scale an array of shape {x.shape}: expected (B, "
                f"{', '.join(map(str, self.mean.shape))})"
            )
        return x
